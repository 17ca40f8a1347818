"""Events over a websocket, as they are committed."""

from typing import TYPE_CHECKING

import quart.wrappers
import trio
from quart import Quart, websocket

from kala.frames import Frame
from kala.hub import Lagged, Listener
from kala.web.guard import Connection
from kala.web.listening import QUIET, asked, first_of

if TYPE_CHECKING:
    from kala.service import Service

GOING_AWAY, TRY_AGAIN_LATER = 1001, 1013  # RFC 6455 7.4.1, and its registry of close codes
GONE: type[Exception] | tuple[()] = getattr(quart.wrappers, "ClientDisconnectedError", ())
"""What Quart 0.23 raises when the client has gone while something waits for it; 0.22 cancels alone."""


def add_routes(app: Quart, service: "Service") -> None:
    async def events() -> None:
        """Messages `{"events": [{id, at, type, …}, …]}`, at most twenty a second. The first is `hello` or `reload`.

        Closes with 1001 when the daemon stops and with 1013 when the client reads too slowly: it may come back, and
        go on after the last id.
        """
        what = asked(service, websocket.args, websocket.headers)
        try:
            await websocket.accept()
            with service.hub.listen(**what) as listener:
                await converse(listener, whole(first_of(listener, service.clock.now())))
        except* GONE:
            pass

    app.add_websocket("/api/v1/events/", "events over a websocket", events)


async def converse(listener: Listener, greeting: bytes) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(discard)
        code, reason = await forward(listener, greeting)
        # Closing is done here: after an error hypercorn would close with 1000
        await websocket.close(code, reason)
        nursery.cancel_scope.cancel()


async def discard() -> None:
    """Clients have nothing to say, but who never receives never learns that a client has gone."""
    while True:
        await websocket.receive()


async def forward(listener: Listener, greeting: bytes) -> tuple[int, str]:
    """Send what comes until nothing more will; the code and reason to close with.

    Past Quart and hypercorn, which would make every message anew for each client, in several times the time.
    """
    connection: Connection = websocket.scope["state"]["connection"]
    connection.keep_near()

    def push(frame: Frame) -> bool:
        return connection.is_socket() and connection.send_nowait(frame.form(whole))

    if connection.is_socket():  # the handshake may have failed meanwhile
        await connection.send(greeting)
    listener.push = push
    while connection.is_socket():
        data = NOTHING
        try:
            with trio.move_on_after(QUIET):
                data = (await anext(listener)).form(whole)
        except StopAsyncIteration:
            return GOING_AWAY, "the daemon is stopping"
        except Lagged as lagged:
            return TRY_AGAIN_LATER, str(lagged)
        if connection.is_socket():
            await connection.send(data)
    return GOING_AWAY, ""


def whole(frame: Frame) -> bytes:
    return message(frame.lines)


def message(lines: list[bytes]) -> bytes:
    """A text message in one frame of a server's (RFC 6455, 5.2), for all clients alike: nothing is agreed with one."""
    text = b'{"events":[%s]}' % b",".join(lines)
    if len(text) < 126:
        return b"\x81%c%s" % (len(text), text)
    if len(text) < 1 << 16:
        return b"\x81\x7e%s%s" % (len(text).to_bytes(2, "big"), text)
    return b"\x81\x7f%s%s" % (len(text).to_bytes(8, "big"), text)


NOTHING = message([])
