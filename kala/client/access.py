"""How a client gets to a daemon: over TCP or a unix socket, with TLS or without, and as whom."""

import os
import ssl
import stat
from collections.abc import Mapping

import httpx2
from msgspec import Struct

from kala import __version__
from kala.calls.proxies import Proxies
from kala.errors import SettingsError

LONGEST = 1_000  # bytes of a file with a token
UNIX = "unix:"
BEHIND_SOCKET = "http://localhost"
"""What a daemon is called on its unix socket."""


class Access(Struct, frozen=True):
    """What a client trusts, shows and says. Files are in PEM; without a key of its own a certificate's file has it."""

    ca: str = ""  # empty: what this machine trusts
    cert: str = ""
    key: str = ""
    headers: Mapping[str, str] = {}

    def trust(self) -> ssl.SSLContext:
        """Takes some 10 ms. Raises `SettingsError`, naming the flag."""
        if self.key and not self.cert:
            raise SettingsError("--key goes with --cert")
        try:
            context = ssl.create_default_context(cafile=self.ca) if self.ca else httpx2.create_ssl_context()
        except (OSError, ValueError) as error:
            raise SettingsError(f"--ca {self.ca} holds no certificates that can be read: {said(error)}") from None
        if self.cert:
            try:
                context.load_cert_chain(self.cert, self.key or None)
            except (OSError, ValueError) as error:
                of_key = f" with --key {self.key}" if self.key else ""
                raise SettingsError(f"--cert {self.cert}{of_key} cannot be used: {said(error)}") from None
        return context

    def trust_for(self, url: str) -> ssl.SSLContext | None:
        """What `url` needs, or nothing."""
        return self.trust() if url.lower().startswith("https:") else None


def token_in(path: str) -> str:
    """The token that a file holds, which nobody else may read. Raises `SettingsError`."""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read(LONGEST).decode("ascii").strip()
    except OSError as error:
        raise SettingsError(f"--token-file {path} cannot be read: {said(error)}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"--token-file {path} holds no token") from None
    if mode & 0o077:
        raise SettingsError(f"--token-file {path}: others may read it (mode {mode:o}): chmod 600")
    return one_word(token, f"--token-file {path}")


def one_word(token: str, what: str) -> str:
    """`token`, when a header can hold it. Raises `SettingsError`, which does not show it."""
    if not token.isascii() or not token.isprintable() or len(token.split()) != 1:
        raise SettingsError(f"{what} holds no token")
    return token


def said(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not in PEM").lower().replace("_", " ")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def socket_of(url: str) -> str:
    """The path of the unix socket at `url`; empty when it is no such URL."""
    return url.removeprefix(UNIX) if url.startswith(UNIX) else ""


def client(url: str, access: Access, timeout: httpx2.Timeout, *, flag: str = "--url") -> tuple[httpx2.Client, str]:
    """A client for the daemon at `url`, and the address below which it has its paths. Raises `SettingsError`."""
    path = socket_of(url)
    address = BEHIND_SOCKET if path else url
    try:
        parsed = httpx2.URL(address)
    except httpx2.InvalidURL as error:
        raise SettingsError(f"{flag} {url}: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or url == UNIX:
        raise SettingsError(f"{flag} {url}: the address of a daemon is like http://127.0.0.1:8000, or unix:/path")
    trust = access.trust_for(address)
    made = httpx2.Client(
        headers={"User-Agent": f"kala/{__version__}", **access.headers},
        proxy=Proxies(os.environ).for_url(parsed),
        transport=httpx2.HTTPTransport(uds=path, verify=False) if path else None,
        verify=trust if trust is not None else False,
        timeout=timeout,
        trust_env=False,  # proxies are ours; a password for this host may stand in .netrc for something else
    )
    return made, address
