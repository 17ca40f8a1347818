"""hypercorn's HTTP/1 protocol without what is not needed here: each thing left out is bytes that cannot do harm.

No HTTP/2: neither the upgrade nor the preface is taken. No compression of websocket messages: 64 KB received could
become 64 MB. What cannot be read is answered in JSON. Written against hypercorn 0.18.
"""

from itertools import chain
from typing import Any

import h11
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.ws_stream import WSStream

from kala.web.limits import GuardConfig
from kala.web.problems import error_body

FAULTS = {
    400: "this is not a request that can be read",
    431: "the request's head is too large",
    500: "internal error: the daemon's log says more",
    501: "this transfer encoding is not known here",
    505: "only HTTP/1.1 and 1.0 are spoken here",
}
HYPERCORNS_OWN = [(b"content-length", b"0"), (b"connection", b"close")]
"""The headers of the answers that hypercorn makes up itself."""


class Conversation(h11.Connection):
    """What follows a client's last request, of which it has said so, is passed over (RFC 9112, 9.6): h11 takes it for a
    fault, which would be answered in place of that request."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.their_state is h11.MUST_CLOSE and self.trailing_data[0]:
            return h11.NEED_DATA
        return super().next_event()


class Http1(H11Protocol):
    """One connection's protocol."""

    config: GuardConfig

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connection = Conversation(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)

    async def handle(self, event: Event) -> None:
        if isinstance(event, RawData) and event.data and self.connection.their_state is h11.MUST_CLOSE:
            return
        try:
            if isinstance(event, RawData) and event.data and isinstance(self.connection, H11WSConnection):
                await self._refuse_early_frames()
            await super().handle(event)
        except h11.RemoteProtocolError as error:
            await self._send_error_response(error.error_status_hint)
            await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Response) and event.status_code >= 400 and list(event.headers) == HYPERCORNS_OWN:
            headers, body = self._fault(event.status_code)
            await super().stream_send(Response(STREAM_ID, headers, event.status_code))
            if self.stream is None or self.stream.scope.get("method") != "HEAD":
                await super().stream_send(Body(STREAM_ID, body))
        else:
            await super().stream_send(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        if event.http_version not in (b"1.1", b"1.0"):
            raise h11.RemoteProtocolError(FAULTS[505], error_status_hint=505)
        names = {name for name, _ in event.headers}
        if b"transfer-encoding" in names and (b"content-length" in names or event.http_version == b"1.0"):
            # A proxy in front may have believed the other one, and taken the rest for another's request (RFC 9112, 6.1)
            raise h11.RemoteProtocolError(FAULTS[400], error_status_hint=400)

    async def _create_stream(self, request: h11.Request) -> None:
        if any(name == b"sec-websocket-extensions" for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                http_version=request.http_version,
                headers=[header for header in request.headers if header[0] != b"sec-websocket-extensions"],
            )
        await super()._create_stream(request)
        if isinstance(self.stream, WSStream) and self.stream.closed:
            # A handshake that was none, and that has been answered so: hypercorn would wait for more of it
            await self.send(Closed())
        elif isinstance(self.connection, H11WSConnection) and self.connection.buffer:
            await self._refuse_early_frames()

    async def _refuse_early_frames(self) -> None:
        """Frames may come when the handshake has been answered (RFC 6455, 4.1). hypercorn answers earlier ones while
        the application accepts, and forgets to tell it of the end."""
        stream = self.stream
        if isinstance(stream, WSStream) and not stream.handshake.accepted and not stream.closed:
            stream.closed = True
            if stream.app_put is not None:
                await stream.app_put({"type": "websocket.disconnect", "code": 1002})
            raise h11.RemoteProtocolError(FAULTS[400])

    async def _send_error_response(self, status_code: int) -> None:
        self.config.unreadable += 1
        headers, body = self._fault(status_code)
        response = h11.Response(
            status_code=status_code, headers=list(chain(headers, self.config.response_headers("h11")))
        )
        try:
            await self._send_h11_event(response)
            await self._send_h11_event(h11.Data(data=body))
            await self._send_h11_event(h11.EndOfMessage())
        except h11.LocalProtocolError:
            return  # a HEAD, which has no body, or an answer that is under way: the connection closes anyway

    def _fault(self, status_code: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
        body = error_body(FAULTS.get(status_code, FAULTS[400]))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        return headers, body
