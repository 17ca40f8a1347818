"""The page and its files."""

import re
from importlib import resources

import pytest

from .server import Server

FILES = {
    "/": "text/html; charset=utf-8",
    "/webui": "text/html; charset=utf-8",
    "/webui/": "text/html; charset=utf-8",
    "/webui/static/kala.css": "text/css; charset=utf-8",
    "/webui/static/kala.js": "text/javascript; charset=utf-8",
    "/webui/static/icon.svg": "image/svg+xml",
}
STATIC = resources.files("kala.web") / "static"


@pytest.mark.parametrize(("path", "media_type"), FILES.items())
def test_files_have_their_type_a_tag_and_a_policy(either: Server, path: str, media_type: str) -> None:
    got = either.ask("GET", path)
    assert (got.status, got.headers["Content-Type"]) == (200, media_type)
    policy = got.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    # asked for again with its tag, it is not sent again
    again = either.ask("GET", path, If_None_Match=f'"other", W/{got.headers["ETag"]}')
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", got.headers["ETag"])
    assert either.ask("GET", path, If_None_Match='"other"').status == 200
    packed = either.ask("GET", path, Accept_Encoding="gzip")
    assert packed.headers["ETag"] != got.headers["ETag"]


def test_what_the_page_asks_for_is_there(server: Server) -> None:
    page = server.ask("GET", "/").text
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(wanted) == 3
    for path in wanted:
        assert server.ask("GET", path).status == 200


def test_the_page_keeps_to_its_policy() -> None:
    # nothing inline, nothing from elsewhere, and nothing of a job becomes markup
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)
    script, style = (STATIC / "kala.js").read_text(), (STATIC / "kala.css").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\.style\b", script)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page + style + (STATIC / "icon.svg").read_text())
    assert not re.search(r"@import|url\(", style)
