"""The page below a path of its own, as a proxy shows it."""

from collections.abc import Callable

import pytest
from daemon_process import KalaProcess
from playwright.sync_api import expect

from .window import Window

pytestmark = pytest.mark.slow


def test_the_page_works_below_a_prefix(
    open_window: Callable[..., Window], start_kala: Callable[..., KalaProcess]
) -> None:
    # given a daemon that a proxy shows at /kala, and that all which the page asks for must be there
    kala = start_kala("--path-prefix", "/kala")
    kala.create(name="backup")
    window = open_window(kala)
    page, asked = window.page, list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    # then it shows what there is, goes from view to view and does what it is told to
    page.goto(f"{kala.url}/kala/")
    window.wait_live()
    page.locator("#nav").get_by_role("link", name="Jobs").click()
    page.get_by_role("link", name="backup", exact=True).click()
    expect(page.get_by_text(f"curl -X POST {kala.url}/kala/api/v1/job/start/")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("succeeded").first).to_be_visible()
    assert page.url.startswith(f"{kala.url}/kala/?view=job")
    assert any(url.startswith("ws") for url in asked)
    for url in asked:
        assert url.partition("://")[2].partition("/")[2].startswith("kala/"), url
