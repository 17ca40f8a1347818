"""One HTTP/1.1 connection as a client: h11 on Trio's streams, without TLS, with it, or through a proxy.

The usual client libraries spend twice the time on a request, for what is not needed here.
"""

import base64
import ipaddress
import os
import socket
import ssl
import time
from typing import Any

import h11
import httpx2
import trio

from kala.calls.denied import Denied, Deny, open_allowed

CHUNK = 65536
MAX_HEAD = 100 * 1024  # bytes of status line and headers
PORTS = {"http": 80, "https": 443}
Stream = trio.SocketStream | trio.SSLStream  # type: ignore[type-arg]
BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


class ConnectFailed(Exception):
    """No connection has come about: nothing was sent. Its text says why."""


class Lost(Exception):
    """A connection that gave no proper answer. Its text says why."""


class Connection:
    """Made by `connect`. One request at a time: `send`, `head`, `chunk` until it is empty, then `reusable`. Whoever
    stops before that closes it; so does cancelling, through its owner."""

    def __init__(self, stream: Stream, sock: trio.socket.SocketType) -> None:
        self._stream, self._socket = stream, sock
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self.idle_since = 0.0
        self.heard = False  # anything since the request

    async def send(self, request: h11.Request, body: bytes) -> None:
        """Send a whole request. A connection that breaks meanwhile is no error yet: the answer may have come before.
        Raises h11.LocalProtocolError."""
        self.heard = False
        data = self._h11.send(request) or b""
        if body:
            data += self._h11.send(h11.Data(data=body)) or b""
        data += self._h11.send(h11.EndOfMessage()) or b""
        try:
            await self._stream.send_all(data)
        except BROKEN:
            await trio.lowlevel.checkpoint()

    async def head(self) -> h11.Response:
        """The beginning of the answer. Raises Lost."""
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise Lost("it has closed the connection without an answer")

    async def chunk(self) -> bytes | bytearray:
        """The next piece of the answer's body; empty at its end. Raises Lost."""
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Data):
                if event.data:
                    return event.data
            else:
                return b""

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                data = await self._stream.receive_some(CHUNK)
                self.heard = self.heard or bool(data)
                if not data and self._h11.their_state is h11.SEND_RESPONSE:
                    raise Lost("it has closed the connection without an answer")
                self._h11.receive_data(bytes(data))
        except h11.RemoteProtocolError as error:
            raise Lost(str(error)) from error
        except BROKEN as error:
            raise Lost(reason(error)) from error
        return event  # type: ignore[return-value]  # NEED_DATA has been dealt with

    def reusable(self) -> bool:
        """Whether another request can follow; once asked, it can be sent."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        self.idle_since = time.monotonic()
        return True

    def usable(self, idle: float) -> bool:
        """Of an idle one: whether it has been so for less than `idle` seconds, and its server has not closed it."""
        return time.monotonic() - self.idle_since < idle and not self._socket.is_readable()

    def close(self) -> None:
        """At once, without TLS's goodbye: HTTP marks its own ends."""
        self._socket.close()


async def connect(url: httpx2.URL, proxy: httpx2.URL | None, trust: ssl.SSLContext | None, deny: Deny) -> Connection:
    """A connection for requests to the host of `url`. `trust` is needed where TLS is. Raises ConnectFailed, also where
    `deny` keeps us from all of its addresses, or a proxy from seeing them."""
    if deny and proxy is not None:
        raise ConnectFailed(
            f"{place(url)} would be called through the proxy {place(proxy)}, behind which nobody can tell its address:"
            " with --remote-deny no call goes through a proxy"
        )
    sock, stream = await open_socket(proxy or url, deny)
    try:
        if proxy is not None and proxy.scheme == "https":
            stream = await encrypted(stream, proxy, trust)
        if url.scheme == "https":
            if proxy is not None:
                await tunnel(Connection(stream, sock), url, proxy)
            stream = await encrypted(stream, url, trust)
        return Connection(stream, sock)
    except BaseException:
        sock.close()
        raise


async def open_socket(url: httpx2.URL, deny: Deny) -> tuple[trio.socket.SocketType, Stream]:
    """An address is connected to directly, without the nursery in which the addresses of a name are tried."""
    host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
    try:
        if deny:
            sock = await open_allowed(host, port, deny)
            return sock, trio.SocketStream(sock)
        family = address_family(host)
        if family is None:
            stream = await trio.open_tcp_stream(host, port)
            return stream.socket, stream
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            await sock.connect((host, port))
            return sock, trio.SocketStream(sock)  # which sets TCP_NODELAY
        except BaseException:
            sock.close()
            raise
    except Denied as denied:
        raise ConnectFailed(f"{place(url)} may not be called: --remote-deny {denied.rules}") from denied
    except OSError as error:
        raise ConnectFailed(f"cannot connect to {place(url)}: {reason(error)}") from error


async def encrypted(stream: Stream, url: httpx2.URL, trust: ssl.SSLContext | None) -> "trio.SSLStream[Any]":
    if trust is None:
        raise TypeError("TLS needs something to trust")
    made = trio.SSLStream(stream, trust, server_hostname=url.raw_host.decode("ascii"), https_compatible=True)
    try:
        await made.do_handshake()
    except (*BROKEN, ssl.CertificateError) as error:
        raise ConnectFailed(f"cannot connect to {place(url)}: {reason(error)}") from error
    return made


async def tunnel(connection: Connection, url: httpx2.URL, proxy: httpx2.URL) -> None:
    """Have a proxy connect us to the host of `url`."""
    target = place(url).encode("ascii")
    await connection.send(
        h11.Request(method=b"CONNECT", target=target, headers=[(b"Host", target), *proxy_headers(proxy)]), b""
    )
    try:
        answer = await connection.head()
    except Lost as error:
        raise ConnectFailed(f"the proxy {place(proxy)} gave no proper answer: {error}") from error
    if not 200 <= answer.status_code < 300:
        raise ConnectFailed(f"the proxy {place(proxy)} answered {answer.status_code} for {place(url)}")


def proxy_headers(proxy: httpx2.URL) -> list[tuple[bytes, bytes]]:
    """What a proxy is to be told of us."""
    credentials = basic(proxy)
    return [] if credentials is None else [(b"Proxy-Authorization", credentials)]


def basic(url: httpx2.URL) -> bytes | None:
    """The user and password in a URL, as RFC 7617 has them in a header."""
    if not url.userinfo:
        return None
    return b"Basic " + base64.b64encode(f"{url.username}:{url.password}".encode())


def place(url: httpx2.URL) -> str:
    """Host and port."""
    host = url.raw_host.decode("ascii")
    return f"{f'[{host}]' if ':' in host else host}:{url.port or PORTS[url.scheme]}"


def address_family(host: str) -> socket.AddressFamily | None:
    """None for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def reason(error: BaseException) -> str:
    """What lies at the root of an error of the network, for people."""
    while True:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
        if isinstance(error, BaseExceptionGroup):  # one for each address that was tried
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        elif isinstance(error, OSError):
            # Not the text of the system's errors: Trio puts the address into it.
            number = None if isinstance(error, socket.gaierror) else error.errno
            return (error.strerror or str(error) if number is None else os.strerror(number)).lower()
        else:
            return str(error) or "connection lost"
