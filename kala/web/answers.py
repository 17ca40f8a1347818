"""How answers are written: JSON, whole or in pieces, packed for who asks for that."""

from collections.abc import AsyncIterator

import msgspec
from quart import Response, request

from kala.audit import About
from kala.web.compress import WORTH, gzipped, gzipped_chunks, wants_gzip
from kala.web.problems import JSON

NDJSON = "application/x-ndjson"
STALE = "Kala-Stale"
STALE_ABOUT = {STALE: "`true` when the database is away, and what is only there is missing from this answer."}
_HEADERS = {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}


def answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer, packed when the client asks for that and it is worth it."""
    headers = {**_HEADERS, **(headers or {})}
    if len(body) > WORTH and request.method != "HEAD" and wants_gzip(request.headers.get("Accept-Encoding")):
        body = gzipped(body)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, headers, content_type=JSON)


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
