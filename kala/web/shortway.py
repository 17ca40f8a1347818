"""A short way for ordinary requests: one that has come whole is run in the connection's own task and answered in one
piece, which takes a third of the time of hypercorn's way (a task, two channels and three sends a request).

Ordinary is HTTP/1.1 in its plainest form, as nearly every request is. Whatever is not (chunked, pipelined, upgrades,
HEAD, what may last, anything odd in the head) goes hypercorn's way, byte for byte as it came; and with it whatever is
wrong, so that h11 alone judges what is HTTP. While a request is on its short way nobody reads the connection: a client
that hangs up is noticed when it is answered.
"""

import os
import re
import time
from collections.abc import Coroutine
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple
from urllib.parse import unquote

import h11
import trio
from hypercorn.trio.tcp_server import MAX_RECV

from kala.web.begun import Waiting, begin
from kala.web.guard import Connection
from kala.web.hot import ODD as NOT_HOT
from kala.web.hot import STATUS_LINES
from kala.web.problems import problem_of
from kala.web.whole import comes_slowly, may_last

LARGEST = 64 << 10
"""Bytes of a request, head and body: the most that is waited for here."""

_LINE = re.compile(rb"(GET|POST|PUT|PATCH|DELETE|OPTIONS) (/[!-~]*) HTTP/1\.1\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[!-~](?:[ \t!-~]*[!-~])?)?)[ \t]*\r\n")
_ODD = frozenset({b"upgrade", b"expect", b"transfer-encoding", b"te", b"trailer", b"http2-settings"})
REPEATED = 1 << 10
"""Bytes of headers that are remembered with what was read in them: clients send the same again and again."""


class Fields(NamedTuple):
    """The headers of an ordinary request."""

    headers: list[tuple[bytes, bytes]]
    length: int  # of the body
    accept_encoding: str | None
    is_hot: bool  # none is in `NOT_HOT`


class Head(NamedTuple):
    """The head of an ordinary request. `end` is where the request ends in what was read."""

    method: str
    target: bytes
    fields: Fields
    start: int  # of the body
    end: int

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*self.fields.headers]


def head_of(data: bytes) -> Head | None:
    """The head that `data` begins with; None when it is not whole, or not plain. Stricter than h11, never laxer."""
    blank = data.find(b"\r\n\r\n", 0, 16 << 10)
    line = _LINE.match(data)
    if blank < 0 or line is None:
        return None
    at, start = line.end(), blank + 4
    fields = (_fields_again if start - at <= REPEATED else _fields_of)(data[at : blank + 2])
    if fields is None:
        return None
    return Head(line[1].decode(), line[2], fields, start, start + fields.length)


def _fields_of(block: bytes) -> Fields | None:
    """The header lines of a request; None when they are not plain."""
    headers: list[tuple[bytes, bytes]] = []
    at, hosts, length, accepted, is_hot = 0, 0, -1, None, True
    while at < len(block):
        field = _FIELD.match(block, at)
        if field is None:
            return None
        at = field.end()
        name, value = field[1].lower(), field[2]
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if length >= 0 or not value.isdigit() or len(value) > 9:
                return None
            length = int(value)
        elif name in _ODD or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        elif name == b"accept-encoding" and accepted is None:
            accepted = value.decode()
        elif name in NOT_HOT:
            is_hot = False
        headers.append((name, value))
    return Fields(headers, max(length, 0), accepted, is_hot) if hosts == 1 else None


_fields_again = lru_cache(maxsize=256)(_fields_of)


class ShortWay(Connection):
    """A connection that knows it."""

    _held = b""  # the beginning of an ordinary request whose body is still to come
    _head: Head | None = None
    _second, _date = 0, b""

    def _phase(self) -> str:
        return "body" if self._held else super()._phase()

    async def receive(self) -> bytes:
        """What comes next that does not take the hot way. What does is answered here."""
        while not self.closing:
            data = await self._read()
            if self._held:
                return data
            head = self._head = head_of(data) if data and self._is_between_requests() else None
            # In a turn that is over no request is begun, as it would be cancelled: the turn may have been put off
            if head is None or len(data) != head.end or self.turn.cancel_called:
                return data
            if (answering := self._hot(head, data)) is None:
                return data
            await self._answer_hot(answering)
        return b""

    async def _read(self) -> bytes:
        """As `Connection.receive`, without what a stream does beside."""
        talk = self.talk
        while talk is None or talk.is_quiet():
            if (descriptor := self.socket.fileno()) < 0:
                raise trio.ClosedResourceError
            await trio.lowlevel.wait_readable(descriptor)
            if self.socket.fileno() != descriptor:
                raise trio.ClosedResourceError
            try:
                data = os.read(descriptor, MAX_RECV)
            except BlockingIOError:
                continue
            except OSError:
                raise trio.BrokenResourceError from None
            if talk is None:
                return data
            if not data or not (data := talk.opened(data, MAX_RECV)):
                break  # the stream finds the end again
            return data
        return await super().receive()

    async def _answer_hot(self, answering: Coroutine[Any, Any, tuple[bytes, bytes]]) -> None:
        came = begin(answering)
        waits = isinstance(came, Waiting)
        if isinstance(came, Waiting):
            self.busy()
            self.turn.deadline = inf
            came = await came
        rest, is_sealed = self._send_some(self._ended(*came))
        if not (waits or rest):
            self.answered_at_once()
            return
        if rest:
            self.busy()
            self.turn.deadline = inf
            await self.send(rest, is_sealed=is_sealed)
        self._look()

    async def _finish(self, begun: bytes, body: bytes) -> None:
        rest, is_sealed = self._send_some(self._ended(begun, body))
        if rest:
            await self.send(rest, is_sealed=is_sealed)

    def _send_some(self, data: bytes) -> tuple[bytes, bool]:
        """Send of an answer what the system takes at once; return the rest, and whether it is sealed already. Nothing
        else is being sent: one request is answered at a time."""
        if self.talk is not None:
            if self.talk.is_new:
                return data, False
            data = self.talk.sealed(data)
        try:
            return data[os.write(self.socket.fileno(), data) :], True
        except OSError:
            return data, True  # it takes nothing now, or never again, as `send` will find

    async def take(self, data: bytes) -> None:
        held, self._held = self._held, b""
        if not data:  # the peer has ended its side
            if held:
                await super().take(held)
            await super().take(data)
            return
        data = held + data
        head = self._head
        if head is None or len(data) > head.end or head.end > LARGEST:
            await super().take(data)
        elif len(data) < head.end:
            if comes_slowly(head.target.decode()):
                await super().take(data)
            else:
                self._held = data
        elif (answering := self._hot(head, data)) is not None:
            self.busy()
            await self._finish(*await answering)
        else:
            scope = self._scope(head)
            if may_last(scope):
                await super().take(data)
            else:
                await self._answer(scope, data[head.start :])

    def _hot(self, head: Head, data: bytes) -> Coroutine[Any, Any, tuple[bytes, bytes]] | None:
        """The answer to a request that is whole, if it takes the hot way."""
        hot, fields = self.config.hot, head.fields
        if hot is None or not fields.is_hot or (call := hot.find(head.method, head.target)) is None:
            return None
        return hot.answer(call, data[head.start :], fields.headers, fields.accept_encoding, self.protocol.client)

    def _is_between_requests(self) -> bool:
        protocol = self.protocol
        connection = protocol.connection
        return (
            protocol.stream is None
            and connection.our_state is h11.IDLE
            and connection.their_state is h11.IDLE
            and not connection.trailing_data[0]
        )

    def _scope(self, head: Head) -> dict[str, Any]:
        """As hypercorn makes it."""
        path, _, query = head.target.partition(b"?")
        return {
            "type": "http",
            "http_version": "1.1",
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": head.method,
            "scheme": "https" if self.protocol.ssl else "http",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": head.headers,
            "client": self.protocol.client,
            "server": self.protocol.server,
            "state": {},
            "extensions": {},
        }

    async def _answer(self, scope: dict[str, Any], body: bytes) -> None:
        self.busy()
        message = {"type": "http.request", "body": body, "more_body": False}
        start: dict[str, Any] = {}
        parts: list[bytes] = []

        async def receive() -> dict[str, Any]:
            nonlocal message
            given, message = message, {"type": "http.disconnect"}
            return given

        async def send(sent: Any) -> None:
            if sent["type"] == "http.response.start":
                start.update(sent)
            else:
                parts.append(sent.get("body", b""))

        try:
            await self.app(scope, receive, send, trio.to_thread.run_sync, trio.from_thread.run)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  # a bug in the application: this request's answer, and no more
            problem = problem_of(error, f"{scope['method']} {scope['path']}")
            start = {"status": problem.status, "headers": [(b"content-type", b"application/json")]}
            parts = [problem.body]
        await self.send(self._written(start["status"], start["headers"], b"".join(parts)))

    def _written(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        lines = [b"%s: %s\r\n" % header for header in headers if header[0] != b"content-length"]
        begun = STATUS_LINES[status] + b"".join(lines)
        return self._ended(begun, body, has_length=status not in (204, 304))

    def _ended(self, begun: bytes, body: bytes, *, has_length: bool = True) -> bytes:
        """A whole answer, from its head as far as that is known."""
        length = b"content-length: %d\r\n" % len(body) if has_length else b""
        close = b""
        if self.is_last():
            close = b"connection: close\r\n"
            self.closing = True
        return b"%s%s%s%s\r\n%s" % (begun, length, close, self._dated(), body)

    def _dated(self) -> bytes:
        """hypercorn's headers of every answer, made once a second."""
        if ShortWay._second != (now := int(time.time())):
            ShortWay._second = now
            ShortWay._date = b"".join([b"%s: %s\r\n" % one for one in self.config.response_headers("h11")])
        return self._date
