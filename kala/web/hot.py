"""The hot way: what programs ask most is answered without Quart, which would take ten times as long.

A request takes it when it is of the short way (`shortway.py`), has nothing odd, and is for a route that says what its
view is made of (`Route.hot`). Gate, door, audit log and traffic are those of every request, the answer is made by the
function that the view calls, and an error by the one table: byte for byte what Quart would have sent.
"""

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

from kala.roles import Role
from kala.traffic import Asked, Traffic
from kala.web.answers import SECURITY, Reply
from kala.web.door import Door
from kala.web.forwarded import HEADERS
from kala.web.gate import Gate
from kala.web.measured import route_of
from kala.web.problems import JSON, problem_of
from kala.web.routes import Route

ODD = HEADERS | {b"idempotency-key"}
"""Headers of which more is to be known than the hot way knows."""

_ID = re.compile(rb"(/.*/)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?")
_PLACE = "<job_id>/"
_FIXED = b"".join(b"%s: %s\r\n" % one for one in ((b"content-type", JSON.encode()), *SECURITY))
STATUS_LINES = {one.value: b"HTTP/1.1 %d %s\r\n" % (one.value, one.phrase.encode()) for one in HTTPStatus}


class HotRoute(NamedTuple):
    """What is to be known of a route that has it. `told` is its name for `traffic`."""

    method: str
    reply: Callable[..., Awaitable[Reply]]
    takes_body: bool
    needs: Role | None
    told: tuple[str, str]


class Call(NamedTuple):
    """A request that takes the hot way. `path` is without a prefix."""

    route: HotRoute
    path: str
    arguments: tuple[str, ...]


class Hot:
    """The routes that have it. `prefix` is as in `Forwarded`."""

    def __init__(self, table: Iterable[Route], gate: Gate, door: Door, traffic: Traffic, prefix: str) -> None:
        self._gate, self._door, self._traffic, self._prefix = gate, door, traffic, prefix.encode()
        self._fixed: dict[tuple[str, bytes], HotRoute] = {}
        self._by_id: dict[tuple[str, bytes], HotRoute] = {}
        for one in table:
            if one.hot is None:
                continue
            route = HotRoute(one.method, one.hot, one.body is not None, one.needs, route_of(one.name, one.path))
            path = one.path.encode()
            if one.path.endswith(_PLACE):
                self._by_id[one.method, path.removesuffix(_PLACE.encode())] = route
            else:  # strict slashes are off: both forms are served
                self._fixed[one.method, path] = self._fixed[one.method, path.removesuffix(b"/")] = route

    def find(self, method: str, target: bytes) -> Call | None:
        """The call that a request makes, if it is one of those."""
        prefix = self._prefix
        if prefix and target.startswith(prefix + b"/"):
            target = target[len(prefix) :]
        arguments: tuple[str, ...] = ()
        route = self._fixed.get((method, target))
        if route is None:
            if (match := _ID.fullmatch(target)) is None or (route := self._by_id.get((method, match[1]))) is None:
                return None
            arguments = (match[2].decode(),)
        return Call(route, target.decode(), arguments)

    async def answer(
        self, call: Call, sent: bytes, headers: list[tuple[bytes, bytes]], accept_encoding: str | None, client: Any
    ) -> tuple[bytes, bytes]:
        """The answer's head, but for what ends it (length, date), and its body."""
        begun, asked, status = time.perf_counter(), Asked(), 0
        route, path, arguments = call
        scope = {
            "type": "http",
            "method": route.method,
            "path": path,
            "headers": headers,
            "client": client,
            "state": {},
        }
        try:
            try:
                if (fault := self._gate.refusal(scope)) is not None:
                    raise fault
                self._door.let_in(scope, route.needs)
                asked.route = route.told
                reply = await route.reply(*arguments, sent) if route.takes_body else await route.reply(*arguments)
                said, body = reply.packed(accept_encoding)
                status = reply.status
                if reply.about is not None:
                    scope["state"]["about"] = reply.about
            except Exception as error:  # noqa: BLE001  # as Quart's handler of errors: it is told in the answer
                problem = problem_of(error, f"{route.method} {path}")
                status, said, body = problem.status, problem.headers, problem.body
        finally:
            self._door.note(scope, status)  # 0: it was cancelled, and has no answer
        self._traffic.note(asked, status, time.perf_counter() - begun)
        return _head(status, tuple(said.items())), body


@lru_cache(maxsize=256)
def _head(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = b"".join([b"%s: %s\r\n" % (name.lower().encode(), value.encode()) for name, value in headers])
    return STATUS_LINES[status] + lines + _FIXED
