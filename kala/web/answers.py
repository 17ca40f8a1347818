"""How answers are written: JSON, whole or in pieces, packed for who asks for that."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
from quart import Response, request

from kala.audit import About
from kala.web.compress import WORTH, gzipped, gzipped_chunks, wants_gzip
from kala.web.problems import JSON

NDJSON = "application/x-ndjson"
STALE = "Kala-Stale"
STALE_ABOUT = {STALE: "`true` when the database is away, and what is only there is missing from this answer."}
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),
)
"""Of every answer. Pages have a Content-Security-Policy besides (`pages.py`)."""
_HEADERS = {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}


class Reply(NamedTuple):
    """A JSON answer, whichever way its request came. `about` is for the audit log."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012  # never changed
    about: About | None = None

    def packed(self, accept_encoding: str | None) -> tuple[dict[str, str], bytes]:
        """All its headers but for those of every answer, and its body: packed when the client asks for that (by the
        header of this name) and it is worth it."""
        headers, body = {**_HEADERS, **self.headers}, self.body
        if len(body) > WORTH and wants_gzip(accept_encoding):
            headers["Content-Encoding"] = "gzip"
            body = gzipped(body)
        return headers, body


def respond(reply: Reply) -> Response:
    """The reply to this request."""
    if reply.about is not None:
        request.scope["state"]["about"] = reply.about
    accepted = None if request.method == "HEAD" else request.headers.get("Accept-Encoding")
    headers, body = reply.packed(accepted)
    return Response(body, reply.status, headers, content_type=JSON)


def answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer to this request."""
    return respond(Reply(body, status, headers or {}))


def stale_when(stale: bool) -> dict[str, str]:
    """The header of an answer that misses what is only in a database that is away."""
    return {STALE: "true"} if stale else {}


def in_pieces(pieces: AsyncIterator[bytes], media_type: str = JSON, headers: dict[str, str] | None = None) -> Response:
    """An answer that is written while it is sent. To a HEAD its head alone: the pieces are never asked for."""
    headers = {**_HEADERS, **(headers or {})}
    if request.method == "HEAD":
        response = Response(b"", 200, headers, content_type=media_type)
        del response.headers["Content-Length"]  # it is not known before the answer is made
        return response
    if wants_gzip(request.headers.get("Accept-Encoding")):
        headers["Content-Encoding"] = "gzip"
        pieces = gzipped_chunks(pieces)
    return Response(pieces, 200, headers, content_type=media_type)


def did(**facts: str | int) -> None:
    """Say what this request has done, for the audit log: `job`, `run` or `jobs`."""
    request.scope["state"]["about"] = msgspec.convert(facts, About)


async def body_sent() -> bytes:
    """The request's body: JSON, whatever its content type says."""
    body: bytes = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    return body


def nothing() -> Response:
    """204, which has neither a body nor a type."""
    response = Response(b"", 204)
    del response.headers["Content-Type"]
    del response.headers["Content-Length"]
    return response
