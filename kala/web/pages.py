"""The web page and its files: read once, sent from memory.

All but the page itself are under a name made from the contents of all of them, so that browsers may keep them for ever,
and never mix those of two versions. Comments and what is blank are left out on the way: they are for us.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

import rjsmin  # type: ignore[import-untyped]  # it has no types
from quart import Quart, Response, request
from werkzeug.exceptions import NotFound

from kala.web.compress import gzipped, wants_gzip

PAGE, LOGIN = "index.html", "login/index.html"
ROOT = "/webui/static"
PATHS = ("/", "/webui/", "/login/", f"{ROOT}/<version>/<path:path>")
NAMES = ("page at /", "page", "login", "static")
"""Of their routes, which need no token: they show nothing but themselves."""
STYLES = "styles.css"
"""What all of `styles/` is sent as."""
BASE = "base.js"
"""What the scripts are sent as that it passes on."""
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
_REFERENCE = re.compile(rb'((?:href|src)=")(?=[a-z/]+\.[a-z]+")')
PASSED_ON = re.compile(rb'^export \* from "\./([a-z]+\.js)";$', re.MULTILINE)
_IMPORT = re.compile(rb"^import [^;]*;$", re.MULTILINE)
_COMMENT = re.compile(rb"/\*.*?\*/", re.DOTALL)
_NEEDLESS = re.compile(rb";(?=})|(?<=})\n")
"""At the end of a block. Scripts are written so that they mean nothing there, which a test holds them to."""
LONG = re.compile(rb"(?<=[=:,(\[])(true|false|undefined)(?=[,;)}\]])")
SHORT = {b"true": b"!0", b"false": b"!1", b"undefined": b"void 0"}
"""Words that are longer than they need be, where they are no part of a text, which the same test looks after."""
_BLANK = re.compile(rb"(?<=[{};,:]) | (?=[{};])|;(?=\s*})")


class File(NamedTuple):
    """One file, plain and packed. The tag is of the plain bytes."""

    media_type: str
    plain: bytes
    packed: bytes
    tag: str


class Files(NamedTuple):
    """The page, the login, and what they need, by their paths below `ROOT/version/`."""

    page: File
    login: File
    others: dict[str, File]
    version: str


def load(prefix: str = "") -> Files:
    """Read them from the package. `prefix` is the path below which a proxy shows them."""
    contents = dict(sorted(_walk(resources.files("kala.web") / "static")))
    page, login = contents.pop(PAGE), contents.pop(LOGIN)
    styles = [contents.pop(path) for path in list(contents) if path.startswith("styles/")]
    contents[STYLES] = b"".join(styles)  # in the order of their names
    scripts = [contents.pop(path.decode()) for path in PASSED_ON.findall(contents[BASE])]
    contents[BASE] = b"".join(_IMPORT.sub(b"", script) for script in scripts)
    contents = {path: spare(path, plain) for path, plain in contents.items()}
    version = hashlib.sha256()
    for path, plain in contents.items():
        version.update(b"%s\n%d\n%s" % (path.encode(), len(plain), plain))
    name = version.hexdigest()[:8]
    others = {path: _file(path, plain) for path, plain in contents.items()}
    folder = f"{prefix}{ROOT}/{name}/".encode()
    page, login = (_REFERENCE.sub(rb"\g<1>" + folder, plain) for plain in (page, login))
    return Files(_file(PAGE, page), _file(LOGIN, login), others, name)


def spare(path: str, plain: bytes) -> bytes:
    """A file without its comments, and blanks that say nothing."""
    if path.endswith(".js"):
        return _NEEDLESS.sub(b"", LONG.sub(lambda word: SHORT[word[1]], rjsmin.jsmin(plain)))
    return _BLANK.sub(b"", b" ".join(_COMMENT.sub(b"", plain).split())) if path.endswith(".css") else plain


def _walk(folder: Traversable, under: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{under}{entry.name}/")
        elif entry.name.rpartition(".")[2] in TYPES:
            yield under + entry.name, entry.read_bytes()


def _file(path: str, plain: bytes) -> File:
    media_type = TYPES[path.rpartition(".")[2]]
    return File(media_type, plain, gzipped(plain, level=9), hashlib.sha256(plain).hexdigest()[:32])


def add_routes(app: Quart, prefix: str = "") -> None:
    files = load(prefix)

    async def page() -> Response:
        return send(files.page, "no-cache")

    async def static(version: str, path: str) -> Response:
        if path not in files.others:
            raise NotFound
        # a page that was loaded before an upgrade gets what there is now, and is not to keep it
        return send(files.others[path], FOR_EVER if version == files.version else "no-cache")

    async def login() -> Response:
        return send(files.login, "no-cache")

    views: tuple[Callable[..., Awaitable[Response]], ...] = (page, page, login, static)
    for path, name, view in zip(PATHS, NAMES, views, strict=True):
        app.add_url_rule(path, name, view)


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
