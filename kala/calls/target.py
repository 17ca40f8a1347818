"""What a call is addressed to: a URL, read once."""

import base64
import re
from functools import lru_cache

import httpx2
import msgspec

from kala.errors import shortened

PORTS = {"http": 80, "https": 443}
PASSWORD = re.compile(r"//[^/@]*@")
# An origin, and a path and a query that travel as they are written, since nothing in them is escaped or left out.
PLAIN = re.compile(
    r"(https?://[^/?#@\\\s]+)"
    r"((?:/(?!\.\.?(?:[/?]|$))[A-Za-z0-9._~!$&'()*+,;=:@-]*)+(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?)"
)
MAX_PLAIN = 1000  # characters
Origin = tuple[str, str, int]
"""Scheme, host, port: what a connection is for."""


class Refused(Exception):
    """A call that goes no further; its text is the attempt's error."""


class Target(msgspec.Struct, frozen=True):
    """Where a request goes, with what it is made of: reading that from a URL takes longer than sending it."""

    text: str
    server: httpx2.URL  # of the origin, at least
    origin: Origin
    host: bytes  # as in a Host header
    path: bytes  # with the query
    credentials: bytes | None  # of the user in the URL

    @property
    def place(self) -> str:
        return place(self.server)


def parsed(text: str) -> Target:
    """Raises Refused."""
    if len(text) < MAX_PLAIN and (match := PLAIN.fullmatch(text)) is not None:
        try:
            known = whole(match[1])
        except Refused:
            return whole(text)  # which is refused likewise, as it was written
        return Target(text, known.server, known.origin, known.host, match[2].encode("ascii"), None)
    return whole(text)


@lru_cache(maxsize=1024)
def whole(text: str) -> Target:
    """Any URL, read by httpx2, which takes ten times as long as what is above. Raises Refused."""
    url, fault = read(text)
    if url is None:
        raise Refused(f"{fault}: {shortened(PASSWORD.sub('//…@', text))}")
    origin = url.scheme, url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
    return Target(text, url, origin, url.netloc, url.raw_path, basic(url))


def redirected(target: Target, location: str) -> Target:
    """Raises Refused."""
    try:
        url = httpx2.URL(target.text).join(location)
    except httpx2.InvalidURL:
        raise Refused(f"redirected to what is not a URL: {shortened(location)}") from None
    return parsed(str(url))


def url_fault(text: str) -> str:
    """What is wrong with a URL that is to be called; empty when nothing is."""
    return read(text)[1]


def read(text: str) -> tuple[httpx2.URL | None, str]:
    """A URL that can be called; or None, and what is wrong with it."""
    try:
        url = httpx2.URL(text)
        text.encode()
    except (httpx2.InvalidURL, UnicodeEncodeError):
        return None, "not a URL"
    if url.scheme not in PORTS:
        return None, "must be an http:// or https:// URL"
    if not url.raw_host:
        return None, "has no host"
    if b"%" in url.raw_host or (url.port is not None and not 0 < url.port < 65536):
        return None, "not a URL"
    return url, ""


def basic(url: httpx2.URL) -> bytes | None:
    """The user and password in a URL, as RFC 7617 has them in a header."""
    if not url.userinfo:
        return None
    return b"Basic " + base64.b64encode(f"{url.username}:{url.password}".encode())


def place(url: httpx2.URL) -> str:
    """Host and port."""
    host = url.raw_host.decode("ascii")
    return f"{f'[{host}]' if ':' in host else host}:{url.port or PORTS[url.scheme]}"
