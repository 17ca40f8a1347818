"""The route of Prometheus, which asks for one of two formats."""

from typing import TYPE_CHECKING

from quart import Response, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_options_header

from kala.web.compress import WORTH, gzipped, wants_gzip
from kala.web.routes import Answer, Route

if TYPE_CHECKING:
    from kala.service import Service

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"
TYPES = {TEXT: f"{TEXT}; version=0.0.4; charset=utf-8", OPENMETRICS: f"{OPENMETRICS}; version=1.0.0; charset=utf-8"}
VERSIONS = {TEXT: "0.0.4", OPENMETRICS: "1.0.0"}
HEADERS = {"Cache-Control": "no-store", "Vary": "Accept, Accept-Encoding"}


def routes(service: "Service") -> list[Route]:
    async def metrics() -> Response:
        wanted = format_for(request.accept_mimetypes)
        body = service.metrics.openmetrics() if wanted == OPENMETRICS else service.metrics.text()
        headers = dict(HEADERS)
        if len(body) > WORTH and wants_gzip(request.headers.get("Accept-Encoding")):
            body = gzipped(body)
            headers["Content-Encoding"] = "gzip"
        return Response(body, 200, headers, content_type=TYPES[wanted])

    about = "What is measured, for Prometheus; as OpenMetrics for who prefers that."
    return [Route("GET", "/metrics/", metrics, about, {200: Answer("The metrics.", media_types=(TEXT, OPENMETRICS))})]


def format_for(accept: MIMEAccept) -> str:
    """Which format is preferred, in the version that is written here; text where neither is named."""
    weights = dict.fromkeys(VERSIONS, 0.0)
    for value, weight in accept:
        kind, options = parse_options_header(value)
        if kind in VERSIONS and options.get("version", VERSIONS[kind]) == VERSIONS[kind]:
            weights[kind] = max(weights[kind], weight)
    return OPENMETRICS if weights[OPENMETRICS] > 0 and weights[OPENMETRICS] >= weights[TEXT] else TEXT
