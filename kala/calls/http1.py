"""One HTTP/1.1 connection as a client, on a socket, with or without TLS on it.

The usual client libraries spend several times as long on a request, for what is not needed here.
"""

import os
import socket
import ssl
import time
from contextlib import suppress
from typing import NamedTuple

import h11
import trio
from trio.lowlevel import wait_readable, wait_writable

from kala.calls import plain
from kala.calls.plain import Headers

CHUNK = 65536
MAX_HEAD = 100 * 1024  # bytes of status line and headers
BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)
Tls = trio.SSLStream[trio.abc.Stream]
"""TLS on a socket, or, behind a proxy that is spoken to by TLS, on that."""


class Lost(Exception):
    """A connection that gave no proper answer. Its text says why."""


class Request(NamedTuple):
    """`headers` are those but for the host and the body's length."""

    method: bytes
    path: bytes
    host: bytes
    headers: Headers
    body: bytes = b""

    def by(self, machine: h11.Connection) -> bytes:
        """What h11 sends. Raises h11.LocalProtocolError."""
        headers = [(b"Host", self.host), *self.headers]
        if plain.has_length(self.method, self.body):
            headers.append((b"Content-Length", b"%d" % len(self.body)))
        data = machine.send(h11.Request(method=self.method, target=self.path, headers=headers)) or b""
        if self.body:
            data += machine.send(h11.Data(data=self.body)) or b""
        return data + (machine.send(h11.EndOfMessage()) or b"")


class Head(NamedTuple):
    """The beginning of an answer. Names of headers are in lower case."""

    status: int
    headers: Headers


class Connection:
    """Made by `opening.connect`. One request at a time: `send`, `head`, `chunk` until it is empty, then `reusable`.
    Whoever stops before that closes it; so does cancelling, through its owner.

    h11 comes in when a request is not plain, or its answer is not, and stays until that has been read.
    """

    __slots__ = ("_body", "_broken", "_machine", "_request", "_socket", "_tls", "heard", "idle_since")

    _request: Request  # the latest

    def __init__(self, sock: socket.socket, tls: Tls | None = None) -> None:
        self._socket, self._tls = sock, tls
        self._machine: h11.Connection | None = None
        self._body: bytes | None = None  # of a plain answer, as far as nobody has asked for it
        self._broken = False
        self.idle_since = 0.0
        self.heard = False  # anything since the request

    async def send(self, request: Request) -> None:
        """Send a whole request. A connection that breaks meanwhile is no error yet: the answer may have come before.
        Raises h11.LocalProtocolError."""
        self.heard, self._request, self._machine, self._body = False, request, None, None
        if (data := plain.request(*request)) is None:
            self._machine = new_machine()
            data = request.by(self._machine)
        try:
            await self._write(data)
        except BROKEN:
            self._broken = True
            await trio.lowlevel.checkpoint()

    async def head(self) -> Head:
        """The beginning of the answer. Raises Lost."""
        if self._machine is None:
            data = await self._read()
            if self._request.method != b"HEAD" and (answer := plain.answer(data)) is not None:
                status, headers, self._body = answer
                return Head(status, headers)
            self._machine = new_machine()
            self._request.by(self._machine)
            self._hear(self._machine, data)
        while True:
            event = await self._next_event(self._machine)
            if isinstance(event, h11.Response):
                return Head(event.status_code, list(event.headers))
            if not isinstance(event, h11.InformationalResponse):
                raise Lost("it has closed the connection without an answer")

    async def chunk(self) -> bytes | bytearray:
        """The next piece of the answer's body; empty at its end. Raises Lost."""
        if self._machine is None:
            body, self._body = self._body or b"", b""
            return body
        while True:
            event = await self._next_event(self._machine)
            if isinstance(event, h11.Data):
                if event.data:
                    return event.data
            else:
                return b""

    async def _next_event(self, machine: h11.Connection) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := machine.next_event()) is h11.NEED_DATA:
                self._hear(machine, await self._read())
        except h11.RemoteProtocolError as error:
            raise Lost(str(error)) from error
        return event  # type: ignore[return-value]  # NEED_DATA has been dealt with

    def _hear(self, machine: h11.Connection, data: bytes) -> None:
        if not data and machine.their_state is h11.SEND_RESPONSE:
            raise Lost("it has closed the connection without an answer")
        machine.receive_data(data)

    async def _write(self, data: bytes) -> None:
        """What the socket takes at once it gets at once: of many calls that begin together the first one's request is
        under way before the second one is looked at."""
        if self._tls is not None:
            await self._tls.send_all(data)
            return
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await wait_writable(self._socket)

    async def _read(self) -> bytes:
        """What comes next; nothing when the server has closed. Raises Lost."""
        try:
            if self._tls is not None:
                data = bytes(await self._tls.receive_some(CHUNK))
            else:
                data = await self._received()
        except BROKEN as error:
            raise Lost(reason(error)) from error
        self.heard = self.heard or bool(data)
        return data

    async def _received(self) -> bytes:
        while True:
            await wait_readable(self._socket)
            with suppress(BlockingIOError):  # what made it readable may turn out to be damaged
                return self._socket.recv(CHUNK)

    def reusable(self) -> bool:
        """Whether another request can follow."""
        machine, self.idle_since = self._machine, time.monotonic()
        if self._broken:
            return False
        if machine is None:
            return self._body is not None
        both = machine.our_state is h11.DONE and machine.their_state is h11.DONE
        return both and machine.trailing_data == (b"", False)

    def usable(self, idle: float) -> bool:
        """Of an idle one: whether it has been so for less than `idle` seconds, and its server has not closed it."""
        return time.monotonic() - self.idle_since < idle and not is_readable(self._socket)

    def close(self) -> None:
        """At once, without TLS's goodbye: HTTP marks its own ends."""
        self._socket.close()


def is_readable(sock: socket.socket) -> bool:
    """Whether something has come on it, or its end."""
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass  # which is told to who reads
    return True


def new_machine() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)


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
