"""The web page and its files: read once, sent from memory."""

import hashlib
from importlib import resources
from typing import NamedTuple

from quart import Quart, Response, request
from werkzeug.exceptions import NotFound

from kala.web.compress import gzipped, wants_gzip

PAGE = "index.html"
TYPES = {
    PAGE: "text/html; charset=utf-8",
    "kala.css": "text/css; charset=utf-8",
    "kala.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files that there are. No other name is looked for."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class File(NamedTuple):
    """One file, plain and packed. The tag is of the plain bytes."""

    media_type: str
    plain: bytes
    packed: bytes
    tag: str


def load() -> dict[str, File]:
    folder = resources.files("kala.web") / "static"
    files = {}
    for name, media_type in TYPES.items():
        plain = (folder / name).read_bytes()
        files[name] = File(media_type, plain, gzipped(plain, level=9), hashlib.sha256(plain).hexdigest()[:32])
    return files


def add_routes(app: Quart) -> None:
    files = load()

    async def page() -> Response:
        return send(files[PAGE])

    async def static(name: str) -> Response:
        if name == PAGE or name not in files:
            raise NotFound
        return send(files[name])

    app.add_url_rule("/", "page at /", page)
    app.add_url_rule("/webui/", "page", page)
    app.add_url_rule("/webui/static/<name>", "static", static)


def send(file: File) -> Response:
    """The file, or 304 when the client has it. It may be kept, and must be asked for again (an upgrade changes it)."""
    packs = wants_gzip(request.headers.get("Accept-Encoding"))
    headers = {
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
        "ETag": f'"{file.tag}-gz"' if packs else f'"{file.tag}"',
        "Content-Security-Policy": POLICY,
    }
    tags = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if headers["ETag"] in tags or "*" in tags:
        return Response(b"", 304, headers, content_type=file.media_type)
    if packs:
        headers["Content-Encoding"] = "gzip"
    return Response(file.packed if packs else file.plain, 200, headers, content_type=file.media_type)
