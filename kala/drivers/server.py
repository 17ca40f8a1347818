"""Where a database's server is and how to come in: what the settings say, read once for all drivers.

An address is `host:port,host:port/path?option=value`, the same behind `scheme://user:password@`; ports may be left out.
The forms that only one engine has are read by its driver.
"""

import re
import ssl
from collections.abc import Mapping
from socket import socket
from typing import Any
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from kala.errors import SettingsError


class Tls(Struct, frozen=True):
    """Files, and the name that the server's certificate must have; empty: not given."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    name: str = ""

    def __bool__(self) -> bool:
        return any((self.ca, self.certificate, self.key, self.name))


class Server(Struct, frozen=True):
    """What `--jobdb-…` say of a server, as it was given."""

    address: str = ""
    username: str = ""
    password: str = ""
    tls: Tls = Tls()

    def __repr__(self) -> str:  # without a password, also of an address that cannot be read
        return f"Server({self.address.rpartition('@')[2].partition('?')[0]!r})"


class Address(Struct, frozen=True):
    """A server's address, read. `hosts` is never empty; `secure` is what the scheme says of TLS, None without one."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    path: str  # without the slash
    options: dict[str, str]
    username: str
    password: str
    secure: bool | None = None

    def __repr__(self) -> str:  # as above
        return "Address(...)"

    @property
    def place(self) -> str:
        """For people: never with a password."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{hosts}/{self.path}" if self.path else hosts


def read_address(server: Server, schemes: Mapping[str, bool | None], port: int) -> Address:
    """The address of a server, 127.0.0.1 when none was given. `schemes` are those that may stand before it, and what
    each says of TLS; `port` is the one that is meant without one. A user name or password of the settings comes before
    that of the URL. Raises `SettingsError`."""
    scheme, separator, rest = server.address.strip().rpartition("://")
    if separator and schemes and scheme.lower() not in schemes:
        raise _refusal(f"it begins with {scheme}://, and may begin with {', '.join(f'{one}://' for one in schemes)}")
    if "@" in rest and "@" not in re.split("[/?]", rest, maxsplit=1)[0]:
        raise _refusal("in a user name or password / is written %2F, and ? %3F")  # and is not shown
    rest, _, query = rest.partition("?")
    rest, _, path = rest.partition("/")
    login, _, hosts = rest.rpartition("@")
    username, _, password = login.partition(":")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise _refusal("behind the ? it must read option=value, with & between") from None
    return Address(
        scheme.lower(),
        tuple(_host(one, port) for one in hosts.split(",")),
        unquote(path),
        options,
        server.username or unquote(username),
        server.password or unquote(password),
        schemes.get(scheme.lower()) if separator else None,
    )


def _host(text: str, port: int) -> tuple[str, int]:
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        given = rest.removeprefix(":")
    elif text.count(":") > 1:
        name, given = text, ""
    else:
        name, _, given = text.partition(":")
    if given and not (given.isascii() and given.isdecimal() and 0 < int(given) < 65_536):
        raise _refusal(f"{given!r} is not a port")
    return name or "127.0.0.1", int(given) if given else port


def _refusal(fault: str) -> SettingsError:
    return SettingsError(f"--jobdb-address: {fault}")


class NamedContext(ssl.SSLContext):
    """Holds a server to the name that was asked for, whatever it was reached by."""

    name = ""

    def wrap_socket(self, sock: socket, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        if self.name:
            named["server_hostname"] = self.name
        return super().wrap_socket(sock, *arguments, **named)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What a connection is wrapped in: the server's certificate is held against the CA given, or the system's, and its
    name. Raises `SettingsError` for files that cannot be used."""
    context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = tls.name
    try:
        if tls.ca:
            context.load_verify_locations(tls.ca)
        else:
            context.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"--jobdb-tls-capath: {tls.ca} cannot be used: {_said(error)}") from None
    if tls.key and not tls.certificate:
        raise SettingsError("--jobdb-tls-keypath goes with --jobdb-tls-certpath")
    if tls.certificate:
        try:
            context.load_cert_chain(tls.certificate, tls.key or None, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            files = f"{tls.certificate} and {tls.key}" if tls.key else tls.certificate
            raise SettingsError(f"--jobdb-tls-certpath: {files} cannot be used: {_said(error)}") from None
    return context


def _no_password() -> str:
    raise ValueError("the key needs a password: store it without one, readable by this program alone")


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
