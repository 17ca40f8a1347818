"""hypercorn's HTTP/1 protocol without what is not needed here: each thing left out is bytes that cannot do harm.

No HTTP/2: neither the upgrade nor the preface is taken. No compression of websocket messages: 64 KB received could
become 64 MB. What cannot be read is answered in JSON. Written against hypercorn 0.18.
"""

from itertools import chain

import h11
from hypercorn.events import Closed, Event
from hypercorn.protocol.h11 import H11Protocol

from kala.web.problems import error_body

FAULTS = {
    400: "this is not an HTTP request",
    431: "the request's head is too large",
    501: "this transfer encoding is not known here",
    505: "only HTTP/1.1 and 1.0 are spoken here",
}


class Http1(H11Protocol):
    """One connection's protocol."""

    async def handle(self, event: Event) -> None:
        try:
            await super().handle(event)
        except h11.RemoteProtocolError as error:
            await self._send_error_response(error.error_status_hint)
            await self.send(Closed())

    async def _check_protocol(self, event: h11.Request) -> None:
        if event.http_version not in (b"1.1", b"1.0"):
            raise h11.RemoteProtocolError(FAULTS[505], error_status_hint=505)

    async def _create_stream(self, request: h11.Request) -> None:
        if any(name == b"sec-websocket-extensions" for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                http_version=request.http_version,
                headers=[header for header in request.headers if header[0] != b"sec-websocket-extensions"],
            )
        await super()._create_stream(request)

    async def _send_error_response(self, status_code: int) -> None:
        body = error_body(FAULTS.get(status_code, FAULTS[400]))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        response = h11.Response(
            status_code=status_code, headers=list(chain(headers, self.config.response_headers("h11")))
        )
        try:
            await self._send_h11_event(response)
            await self._send_h11_event(h11.Data(data=body))
            await self._send_h11_event(h11.EndOfMessage())
        except h11.LocalProtocolError:
            return  # a HEAD, which has no body, or an answer that is under way: the connection closes anyway
