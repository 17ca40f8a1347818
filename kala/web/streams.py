"""Events in an answer without end: server-sent events (HTML, 9.2), or a JSON object a line."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, NamedTuple

import trio
from quart import Response, request

from kala.frames import Frame
from kala.hub import Lagged
from kala.web.guard import Connection
from kala.web.listening import PARAMETERS, QUIET, Asked, asked, first_of
from kala.web.problems import error_body
from kala.web.routes import ROOT, Answer, Route
from kala.wire.eventjson import EventObject, event_id

if TYPE_CHECKING:
    from kala.service import Service

RETRY = 2000
"""Milliseconds after which a browser comes back: a restart takes about so long."""


class Form(NamedTuple):
    """How a stream is written."""

    media_type: str
    written: Callable[[Frame], bytes]
    quiet: Callable[[str], bytes]  # that it lives; with the id so far
    lagged: Callable[[bytes], bytes]  # the last of it, for a client that was too slow; with a JSON object
    begin: bytes = b""


def lines(frame: Frame) -> bytes:
    return b"\n".join(frame.lines) + b"\n"


def server_sent(frame: Frame) -> bytes:
    return b"".join(
        [
            b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id(frame.start, number).encode(), event.type.encode(), line)
            for (number, event), line in zip(frame, frame.lines, strict=True)
        ]
    )


NDJSON = Form("application/x-ndjson", lines, lambda _: b"\n", lambda error: error + b"\n")
SSE = Form(
    "text/event-stream",
    server_sent,
    lambda identifier: b":\nid: %s\n\n" % identifier.encode(),
    lambda error: b"event: lagged\ndata: %s\n\n" % error,
    b"retry: %d\n" % RETRY,
)


def routes(service: "Service") -> list[Route]:
    async def events() -> Response:
        """Events as they are committed, in the form that `Accept` asks for, else a line each. It begins with `hello`
        or `reload` and ends when the daemon stops, or, with a last word, when the client reads too slowly."""
        what = asked(service, request.args, request.headers)
        best = request.accept_mimetypes.best_match([NDJSON.media_type, SSE.media_type])
        form = SSE if best == SSE.media_type else NDJSON
        headers = {"Cache-Control": "no-store", "Vary": "Accept", "X-Accel-Buffering": "no"}  # nginx would gather it
        if request.method == "HEAD":
            response = Response(b"", 200, headers, content_type=form.media_type)
            del response.headers["Content-Length"]
            return response
        connection: Connection = request.scope["state"]["connection"]
        connection.keep_near()
        return Response(told(service, what, form), 200, headers, content_type=form.media_type)

    kinds = (NDJSON.media_type, SSE.media_type)
    about = "Events as they are committed, without end; the same over a websocket at this path."
    answers = {200: Answer("An `EventObject` a line, or as server-sent events.", EventObject, kinds)}
    return [Route("GET", f"{ROOT}/events/", events, about, answers, PARAMETERS)]


async def told(service: "Service", what: Asked, form: Form) -> AsyncIterator[bytes]:
    """The answer's body, piece by piece."""
    with service.hub.listen(**what) as listener:
        yield form.begin + form.written(first_of(listener, service.clock.now()))
        while True:
            data = b""
            try:
                with trio.move_on_after(QUIET):
                    data = (await anext(listener)).form(form.written)
            except StopAsyncIteration:
                return
            except Lagged as lagged:
                yield form.lagged(error_body(str(lagged)))
                return
            yield data or form.quiet(listener.id)
