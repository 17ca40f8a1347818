"""A short way for ordinary requests: one that has come whole is run in the connection's own task and answered in one
piece, which takes a third of the time of hypercorn's way (a task, two channels and three sends a request).

Ordinary is HTTP/1.1 in its plainest form, as nearly every request is. Whatever is not (chunked, pipelined, upgrades,
HEAD, what may last, anything odd in the head) goes hypercorn's way, byte for byte as it came; and with it whatever is
wrong, so that h11 alone judges what is HTTP. While a request is on its short way nobody reads the connection: a client
that hangs up is noticed when it is answered.
"""

import re
import time
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import unquote

import h11
import trio

from kala.web.guard import Connection
from kala.web.problems import problem_of
from kala.web.whole import comes_slowly, may_last

LARGEST = 64 << 10
"""Bytes of a request, head and body: the most that is waited for here."""

_LINE = re.compile(rb"(GET|POST|PUT|PATCH|DELETE|OPTIONS) (/[!-~]*) HTTP/1\.1\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[!-~](?:[ \t!-~]*[!-~])?)?)[ \t]*\r\n")
_ODD = frozenset({b"upgrade", b"expect", b"transfer-encoding", b"te", b"trailer", b"http2-settings"})
_STATUS_LINES = {one.value: b"HTTP/1.1 %d %s\r\n" % (one.value, one.phrase.encode()) for one in HTTPStatus}


class Head(NamedTuple):
    """The head of an ordinary request. `end` is where the request ends in what was read."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    start: int  # of the body
    end: int


def head_of(data: bytes) -> Head | None:
    """The head that `data` begins with; None when it is not whole, or not plain. Stricter than h11, never laxer."""
    blank = data.find(b"\r\n\r\n", 0, 16 << 10)
    line = _LINE.match(data)
    if blank < 0 or line is None:
        return None
    headers: list[tuple[bytes, bytes]] = []
    at, hosts, length = line.end(), 0, -1
    while at < blank + 2:
        field = _FIELD.match(data, at)
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
        headers.append((name, value))
    if hosts != 1:
        return None
    start = blank + 4
    return Head(line[1].decode(), line[2], headers, start, start + max(length, 0))


class ShortWay(Connection):
    """A connection that knows it."""

    _held = b""  # the beginning of an ordinary request whose body is still to come
    _head: Head | None = None
    _second, _date = 0, b""

    def _phase(self) -> str:
        return "body" if self._held else super()._phase()

    async def take(self, data: bytes) -> None:
        held, self._held = self._held, b""
        if not data:  # the peer has ended its side
            if held:
                await super().take(held)
            await super().take(data)
            return
        if held:
            data = held + data
        elif self._is_between_requests():
            self._head = head_of(data)
        else:
            self._head = None
        head = self._head
        if head is None or len(data) > head.end or head.end > LARGEST:
            await super().take(data)
        elif len(data) < head.end:
            if comes_slowly(head.target.decode()):
                await super().take(data)
            else:
                self._held = data
        else:
            scope = self._scope(head)
            if may_last(scope):
                await super().take(data)
            else:
                await self._answer(scope, data[head.start :])

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
        if status not in (204, 304):
            lines.append(b"content-length: %d\r\n" % len(body))
        if self.is_last():
            lines.append(b"connection: close\r\n")
            self.closing = True
        return b"%s%s%s\r\n%s" % (_STATUS_LINES[status], b"".join(lines), self._dated(), body)

    def _dated(self) -> bytes:
        """hypercorn's headers of every answer, made once a second."""
        if ShortWay._second != (now := int(time.time())):
            ShortWay._second = now
            ShortWay._date = b"".join([b"%s: %s\r\n" % one for one in self.config.response_headers("h11")])
        return self._date
