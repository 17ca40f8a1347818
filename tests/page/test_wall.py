"""The wall: the overview for a screen that nobody touches."""

import re
from collections.abc import Callable
from itertools import cycle

import pytest
from daemon_process import API, KalaProcess
from playwright.sync_api import expect

from .window import Window

pytestmark = pytest.mark.slow


def start(kala: KalaProcess, job_id: str) -> None:
    assert kala.post(f"{API}/job/start/{job_id}/?wait=false").status == 202


def test_it_tells_how_it_stands(window: Window) -> None:
    job = window.kala.create(name="long", command="sleep 600")
    page = window.go("wall")
    sign = page.locator(".sign")
    expect(sign).to_have_text("Live")
    expect(page.locator("body > header")).to_be_hidden()
    start(window.kala, job)
    expect(page.get_by_role("heading", name="Running now: 1")).to_be_visible()
    window.kala.post(f"{API}/pause/")
    expect(sign).to_have_text("Pausednothing starts")
    window.kala.post(f"{API}/resume/")
    expect(sign).to_have_text("Live")


def test_it_comes_back_by_itself(window: Window) -> None:
    job = window.kala.create(name="long", command="sleep 600")
    page = window.go("wall")
    window.kala.kill()
    expect(page.locator(".sign")).to_have_text(re.compile(r"Not live for \d+ s"))
    window.restart_daemon()
    expect(page.locator(".sign")).to_have_text("Live")
    start(window.kala, job)
    expect(page.get_by_role("heading", name="Running now: 1")).to_be_visible()


def test_another_version_of_the_daemon_brings_its_own_page(window: Window) -> None:
    page = window.go("wall")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Kala on")

    newer = window.kala.get(f"{API}/node/").json | {"version": "99.0"}
    page.evaluate("window.isOld = true")
    page.route("**/node/", lambda route: route.fulfill(json=newer))
    with page.expect_navigation():
        window.kala.create()  # something is read again
    assert page.evaluate("window.isOld === undefined")


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (3840, 2160)])
def test_all_of_it_is_on_the_screen(
    open_window: Callable[..., Window], kala: KalaProcess, width: int, height: int
) -> None:
    for place in range(20):
        job = kala.create(name=f"job {place} " * 20, command="sleep 600" if place % 2 else "false")
        start(kala, job)
    window = open_window(kala, viewport={"width": width, "height": height})
    page = window.go("wall")
    expect(page.get_by_role("heading", name="Running now: 10")).to_be_visible()
    expect(page.get_by_role("application", name=re.compile("failed 10"))).to_be_visible()
    for place in range(3):
        expect(page.locator(".now-rows").nth(place).locator("> *").nth(5)).to_be_attached()
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
        width,
        height,
    ]
    lists = page.locator(".now-rows").evaluate_all(
        """all => all.map((list) => {
            const room = list.getBoundingClientRect();
            const rows = [...list.children].map((row) => row.getBoundingClientRect());
            const seen = rows.filter((row) => row.left < room.right - 1 && row.top < room.bottom - 1);
            return [seen.length, seen.every((row) => row.bottom <= room.bottom + 1), room.bottom <= innerHeight];
        })"""
    )
    assert len(lists) == 3
    assert all(seen >= 6 and whole and inside for seen, whole, inside in lists), lists


def test_the_way_back_appears_when_it_is_wanted(window: Window) -> None:
    page = window.go("wall")
    back = page.get_by_role("link", name="Back to the overview")
    expect(back).to_have_css("opacity", "0")
    places = cycle([300, 310])

    def is_seen() -> bool:
        page.mouse.move(next(places), 300)
        return bool(back.evaluate("(one) => getComputedStyle(one).opacity === '1'"))

    window.kala.wait_for(is_seen)
    expect(back).to_have_css("opacity", "0")  # again, after a while
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(back).to_be_focused()
    expect(back).to_have_css("opacity", "1")
    back.click()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    expect(page.locator("body > header")).to_be_visible()


def test_it_is_accessible(window: Window, check_accessible: Callable[[Window], None]) -> None:
    page = window.go("wall")
    start(window.kala, window.kala.create(name="long", command="sleep 600"))
    start(window.kala, window.kala.create(name="bad", command="false"))
    expect(page.get_by_role("heading", name="Running now: 1")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="failed").get_by_role("link", name="bad")).to_be_visible()
    check_accessible(window)
