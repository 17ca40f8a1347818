"""What is around every view: the connection, banners, keys, the palette, addresses."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from .window import Window

pytestmark = pytest.mark.slow


def test_live_lost_and_back(window: Window) -> None:
    page = window.go()
    window.kala.kill()
    expect(page.locator("#live")).to_have_text("Not live Try now")
    expect(page.get_by_text("the daemon cannot be reached")).to_be_visible()
    window.restart_daemon()
    page.get_by_role("button", name="Try now").click()
    window.wait_live()
    expect(page.locator("#banners")).to_be_empty()


def test_no_one_axe(window: Window, check_accessible: Callable[[Window], None]) -> None:
    window.go("nonsense")
    check_accessible(window)
