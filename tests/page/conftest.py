"""Fixtures of tests in a browser: `window`, a tab on the page of `kala`, and what makes more of them."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from daemon_process import DEADLINE, KalaProcess
from missing import missing
from playwright.sync_api import Browser, expect, sync_playwright

from .window import AXE, Window, chromium, violations

expect.set_options(timeout=DEADLINE * 1_000)


@pytest.fixture
def start_kala(start_kala: Callable[..., KalaProcess]) -> Callable[..., KalaProcess]:
    """As elsewhere, but what is left on at a stop is ended at once: nothing waits for it."""
    return partial(start_kala, "--drain", "0")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, which this folder's tests share. It is one folder's, since playwright's loop is in this thread."""
    path = chromium()
    if path is None:
        missing("chromium is not installed: scripts/services installs it")
    with sync_playwright() as playwright:
        # as root there is no sandbox, and in containers little shared memory
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--js-flags=--expose-gc"]
        running = playwright.chromium.launch(executable_path=path, args=flags)
        yield running
        running.close()


@pytest.fixture
def open_window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Opens windows: `open_window(kala, color_scheme="dark")`, with options of playwright's `new_context`. None of them
    may have complained at the end."""
    opened: list[Window] = []
    contexts = []

    def make(kala: KalaProcess, **options: Any) -> Window:
        context = browser.new_context(
            **({"viewport": {"width": 1280, "height": 860}, "timezone_id": "Europe/Berlin"} | options)
        )
        contexts.append(context)
        window = Window(context, kala)
        opened.append(window)
        return window

    yield make
    for context in contexts:
        context.close()
    faults = [fault for window in opened for fault in window.faults]
    assert not faults, "\n".join(faults)


@pytest.fixture
def window(open_window: Callable[..., Window], kala: KalaProcess) -> Window:
    """A window on a real daemon; `window.kala` is that."""
    return open_window(kala)


@pytest.fixture
def check_accessible() -> Callable[[Window], None]:
    """Fails with what axe-core finds wrong with a window, in the light and in the dark."""
    if not AXE.exists():
        missing("axe-core is not installed: scripts/services installs it")

    def check(window: Window) -> None:
        found = []
        for scheme in ("light", "dark"):
            window.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found += [f"{scheme}: {one}" for one in violations(window)]
        window.page.emulate_media(color_scheme=None)
        assert not found, "\n".join(found)

    return check
