"""A daemon's events over a websocket, for as long as one wants: it connects again and goes on where it was."""

import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import msgspec
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    open_websocket_url,
    wrap_client_stream,
)

from kala.client.access import Access, socket_of
from kala.client.faults import Unreachable, refusal
from kala.client.server import Params, base_of, given
from kala.events import HELLO, RELOAD

FIRST_DELAY, LAST_DELAY = 0.5, 15.0
"""Seconds before connecting again: twice as long each time, until a connection has been made."""

SILENCE = 60.0
"""Seconds without a word, after which a connection is taken for dead. A daemon says something every 20."""

MAX_MESSAGE = 16 << 20  # bytes

CONNECT = 10.0  # seconds

Event = dict[str, Any]


class Batch(msgspec.Struct):
    """One message of the daemon's; empty ones only show that it lives."""

    events: list[Event]


class Stream:
    """Events from `url`, as `access` gets there, that fit `filters` (type, job, label). Each batch is sent to `out`,
    `hello` and `reload` included: who takes them slowly slows the daemon, which cuts off who is too slow. `changed`
    gets a sentence when the connection does: empty while it stands.

    `run` never returns. It raises `Unreachable` when there never was a connection, and `Answered` when the daemon
    refuses what is asked for.
    """

    def __init__(
        self,
        url: str,
        filters: Params,
        out: "trio.MemorySendChannel[list[Event]]",
        changed: Callable[[str], None],
        access: Access | None = None,
    ) -> None:
        self._url, self._filters, self._out, self._changed = base_of(url), filters, out, changed
        access = access or Access()
        self._trust = access.trust_for(self._url)
        self._headers = [(name.encode(), value.encode()) for name, value in access.headers.items()]
        self._after = ""
        self._delay = FIRST_DELAY
        self._greeted = False

    async def run(self) -> None:
        while True:
            why = await self._connection()
            if not self._greeted:
                raise Unreachable(self._url, why)
            self._changed(f"connecting again: {why}")
            await trio.sleep(self._delay * random.uniform(0.75, 1.25))  # noqa: S311  # clients that come back apart
            self._delay = min(self._delay * 2, LAST_DELAY)

    async def _connection(self) -> str:
        """One connection to its end, and why it ended."""
        pairs = [*given(self._filters), *([("after", self._after)] if self._after else [])]
        resource = "/api/v1/events/" + (f"?{urlencode(pairs)}" if pairs else "")
        try:
            with trio.fail_after(CONNECT) as patience:
                async with self._opened(resource) as connection:
                    while True:
                        message = await connection.get_message()
                        patience.deadline = math.inf
                        await self._take(message)
                        patience.deadline = trio.current_time() + SILENCE
        except trio.TooSlowError:
            return "it is silent"
        except ConnectionRejected as rejected:
            if 400 <= rejected.status_code < 500:
                raise refusal(rejected.status_code, rejected.body or b"") from None
            return f"it answers {rejected.status_code}"
        except ConnectionClosed as end:
            return (end.reason.reason if end.reason is not None else None) or "the connection broke off"
        except (HandshakeError, OSError, trio.BrokenResourceError) as error:
            cause = error.__cause__ or error.__context__ or error
            return str(error) or str(cause) or type(cause).__name__
        except msgspec.MsgspecError:
            return "it says what is not an event"

    @asynccontextmanager
    async def _opened(self, resource: str) -> AsyncIterator[WebSocketConnection]:
        path = socket_of(self._url)
        if not path:
            address = "ws" + self._url.removeprefix("http") + resource
            async with open_websocket_url(
                address, self._trust, extra_headers=self._headers, max_message_size=MAX_MESSAGE
            ) as connection:
                yield connection
            return
        try:
            async with await trio.open_unix_socket(path) as stream, trio.open_nursery() as nursery:
                connection = await wrap_client_stream(
                    nursery, stream, "localhost", resource, extra_headers=self._headers, max_message_size=MAX_MESSAGE
                )
                async with connection:
                    yield connection
        except BaseExceptionGroup as group:
            raise only(group) from None

    async def _take(self, message: str | bytes) -> None:
        events = msgspec.json.decode(message, type=Batch).events
        if events and events[0]["type"] in (HELLO, RELOAD):
            self._greeted, self._delay = True, FIRST_DELAY
            self._changed("")
        if events:
            self._after = events[-1]["id"]
            await self._out.send(events)


def only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a nursery's group: here one ends it."""
    first = group.exceptions[0]
    return only(first) if isinstance(first, BaseExceptionGroup) else first
