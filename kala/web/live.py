"""Events over a websocket, as they are committed."""

from typing import TYPE_CHECKING

import quart.wrappers
import trio
from quart import Quart, websocket

from kala.events import Event
from kala.hub import Lagged, Listener
from kala.jobjson import encode, rfc3339

if TYPE_CHECKING:
    from kala.service import Service

GOING_AWAY, TRY_AGAIN_LATER = 1001, 1013  # RFC 6455 7.4.1, and its registry of close codes
QUIET = 20.0
"""Seconds without events after which an empty batch is sent: proxies end connections that are silent for a minute."""
GONE: type[Exception] | tuple[()] = getattr(quart.wrappers, "ClientDisconnectedError", ())
"""What Quart 0.23 raises when the client has gone while something waits for it; 0.22 cancels alone."""


def add_routes(app: Quart, service: "Service") -> None:
    async def events() -> None:
        """`{"events": [{id, at, type, job, run, state, reason}, …]}`, a frame for each batch.

        Closes with 1001 when the daemon stops and with 1013 when the client reads too slowly: it may come back, and
        read afresh what it shows.
        """
        try:
            await websocket.accept()
            with service.hub.listen() as listener:
                await converse(listener)
        except* GONE:
            pass

    app.add_websocket("/api/v1/events/", "events", events)


async def converse(listener: Listener) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(discard)
        code, reason = await forward(listener)
        # Closing is done here: after an error hypercorn would close with 1000
        await websocket.close(code, reason)
        nursery.cancel_scope.cancel()


async def discard() -> None:
    """Clients have nothing to say, but who never receives never learns that a client has gone."""
    while True:
        await websocket.receive()


async def forward(listener: Listener) -> tuple[int, str]:
    """Send what comes until nothing more will; the code and reason to close with."""
    while True:
        batch: list[tuple[int, Event]] = []
        try:
            with trio.move_on_after(QUIET):
                batch = await anext(listener)
        except StopAsyncIteration:
            return GOING_AWAY, "the daemon is stopping"
        except Lagged as lagged:
            return TRY_AGAIN_LATER, str(lagged)
        await websocket.send(encode({"events": [event_object(number, event) for number, event in batch]}).decode())


def event_object(number: int, event: Event) -> dict[str, object]:
    return {
        "id": number,
        "at": rfc3339(event.at),
        "type": event.type,
        "job": event.job,
        "run": event.run,
        "state": event.state,
        "reason": event.reason,
    }
