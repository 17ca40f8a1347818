"""The web page and its files: read once, sent from memory.

All but the page itself are under a name made from the contents of all of them, so that browsers may keep them for ever,
and never mix those of two versions. Comments and what is blank are left out on the way: they are for us.
"""

import hashlib
import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

import rjsmin  # type: ignore[import-untyped]  # it has no types
from quart import Quart, Response, request
from werkzeug.exceptions import NotFound

from kala.web.compress import gzipped, wants_gzip

PAGE = "index.html"
ROOT = "/webui/static"
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing inline, nothing from elsewhere; and no text becomes markup or script, whatever the page's code does."""
FOR_EVER = "public, max-age=31536000, immutable"
_REFERENCE = re.compile(r'^(<(?:link|script|a)\b[^\n]*?(?:href|src)=")([a-z*/]+\.[a-z]+)("[^\n]*)$', re.MULTILINE)
_COMMENT = re.compile(rb"/\*.*?\*/", re.DOTALL)
_IMAGE = re.compile(r'(<img src=")([a-z/]+\.svg)(")')


class File(NamedTuple):
    """One file, plain and packed. The tag is of the plain bytes."""

    media_type: str
    plain: bytes
    packed: bytes
    tag: str


class Files(NamedTuple):
    """The page, and what it needs, by their paths below `ROOT/version/`."""

    page: File
    others: dict[str, File]
    version: str


def load() -> Files:
    """Read them from the package."""
    contents = dict(sorted(_walk(resources.files("kala.web") / "static")))
    page = contents.pop(PAGE)
    version = hashlib.sha256()
    for path, plain in contents.items():
        version.update(b"%s\n%d\n%s" % (path.encode(), len(plain), plain))
    name = version.hexdigest()[:16]
    others = {path: _file(path, plain) for path, plain in contents.items()}
    return Files(_file(PAGE, written(page.decode(), name, list(others)).encode()), others, name)


def written(page: str, version: str, paths: list[str]) -> str:
    """The page with the addresses of its files. A line that refers to `*.css` is repeated for each that there is; it is
    told of all scripts at once (`modulepreload`), since they would else be found one after another."""

    def lines(match: re.Match[str]) -> str:
        before, path, after = match.groups()
        folder, star, suffix = path.partition("*")
        found = [one for one in paths if one.startswith(folder) and one.endswith(suffix)] if star else [path]
        return "\n".join(f"{before}{ROOT}/{version}/{one}{after}" for one in found)

    return _IMAGE.sub(rf"\g<1>{ROOT}/{version}/\g<2>\g<3>", _REFERENCE.sub(lines, page))


def spare(path: str, plain: bytes) -> bytes:
    """A file without its comments, and blanks that say nothing."""
    if path.endswith(".js"):
        return bytes(rjsmin.jsmin(plain))
    return b" ".join(_COMMENT.sub(b"", plain).split()) if path.endswith(".css") else plain


def _walk(folder: Traversable, under: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{under}{entry.name}/")
        elif entry.name.rpartition(".")[2] in TYPES:
            yield under + entry.name, spare(entry.name, entry.read_bytes())


def _file(path: str, plain: bytes) -> File:
    media_type = TYPES[path.rpartition(".")[2]]
    return File(media_type, plain, gzipped(plain, level=9), hashlib.sha256(plain).hexdigest()[:32])


def add_routes(app: Quart) -> None:
    files = load()

    async def page() -> Response:
        return send(files.page, "no-cache")

    async def static(version: str, path: str) -> Response:
        if path not in files.others:
            raise NotFound
        # a page that was loaded before an upgrade gets what there is now, and is not to keep it
        return send(files.others[path], FOR_EVER if version == files.version else "no-cache")

    app.add_url_rule("/", "page at /", page)
    app.add_url_rule("/webui/", "page", page)
    app.add_url_rule(f"{ROOT}/<version>/<path:path>", "static", static)


def send(file: File, keep: str) -> Response:
    """The file, or 304 when the client has it. `keep`: how long it may go without asking again."""
    packs = wants_gzip(request.headers.get("Accept-Encoding"))
    headers = {
        "Cache-Control": keep,
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
