"""Requests that have come whole: the body is read before any route runs, but for those that are made to be long.

So a limit is a limit whatever the framing, a route that has begun is not held up by its sender, and most requests need
no task beside their own.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioRequest

from kala.web.problems import Refused


class WholeRequest(TrioRequest):
    """A request whose body has come already."""

    async def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        """The body; as JSON, whatever the content type says."""
        body: bytes = self.scope["state"]["body"]
        return body.decode() if as_text else body


class WholeConnection(TrioASGIHTTPConnection):
    """Runs one request. What may last has a task beside it that ends it when the client has hung up."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        request = self._create_request_from_scope(send)
        if not may_last(self.scope):
            response = await self.app.handle_request(request)
            incoming: Incoming | None = self.scope["state"].get("incoming")
            async with dropping(None if incoming is None or incoming.ended else receive):
                await self._send_response(send, response)
            return
        answered = False

        async def watch(scope: trio.CancelScope) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            if not answered:
                scope.cancel()

        async def sent(message: Any) -> None:
            nonlocal answered
            # hypercorn says "disconnect" also because an answer is complete: what it does then must not be cancelled
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, nursery.cancel_scope)
            await self._send_response(sent, await self.app.handle_request(request))
            nursery.cancel_scope.cancel()


class Gone(Exception):
    """The client has gone before it has sent all."""


class Incoming:
    """The body of a request that is not whole yet."""

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        self._receive = receive
        self.ended = False  # all of it has been given

    async def more(self) -> bytes:
        """What comes next of it; nothing when it has ended. Raises `Gone`."""
        while not self.ended:
            message: Any = await self._receive()
            if message["type"] == "http.disconnect":
                self.ended = True
                raise Gone
            self.ended = not message.get("more_body", False)
            if piece := message.get("body", b""):
                return bytes(piece)
        return b""


@asynccontextmanager
async def dropping(receive: ASGIReceiveCallable | None) -> AsyncIterator[None]:
    """While a request is answered that has not come whole, drop what comes of it: nothing may wait for its reader."""
    if receive is None:
        yield
        return

    async def drop() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drop)
        yield
        nursery.cancel_scope.cancel()


def path_of(target: str) -> str:
    """The path of a request's target, which may be a whole URL (RFC 9112, 3.2.2); anything else is at no path.

    So is what begins with two slashes: the routes would be found all the same, and their limits not."""
    if target.startswith("/"):
        return "/*" if target.startswith("//") else target
    url = re.fullmatch(r"https?://(?:[^/\[\]]+|\[[0-9a-f:.]+\](?::\d+)?)(/.*)?", target, re.IGNORECASE | re.DOTALL)
    return "/*" if url is None else path_of(url[1] or "/")


def comes_slowly(path: str) -> bool:
    """A batch of jobs, which is read as it comes; perhaps below a prefix."""
    return path.rstrip("/").endswith("/api/v1/job/batch")


LASTING = ("/job", "/run", "/next", "/events", "/output")


def may_last(scope: Any) -> bool:
    """A start, which answers when the run has ended, a list, which is long, what comes, which may be far to seek, or
    events and outputs, which have no end in sight: worth ending when nobody listens."""
    path: str = scope["path"].rstrip("/")
    return "/start/" in path or path.endswith("/preview") or (scope["method"] == "GET" and path.endswith(LASTING))


async def body_of(scope: Any, receive: Any, limit: int) -> bytes | None:
    """The whole body; None when the client has gone. Raises `Refused` when it is larger than `limit` bytes."""
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if part := message.get("body", b""):
            parts.append(part)
            size += len(part)
        if size > limit:
            raise too_large(limit)
        if not message.get("more_body", False):
            return b"".join(parts)


def too_large(limit: int) -> Refused:
    return Refused(413, f"the body is larger than {limit} bytes, the most that is taken here")
