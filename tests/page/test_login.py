"""The login, and a page whose user may not do everything."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_process import DEADLINE
from guarded import Guarded
from playwright.sync_api import expect

from kala.roles import Role

from .window import Window


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as kala:
        yield kala


@pytest.fixture
def window(open_window: Callable[..., Window], guarded: Guarded) -> Window:
    return open_window(guarded)


def log_in(window: Window, secret: str) -> None:
    window.page.get_by_label("Token").fill(secret)
    window.page.get_by_role("button", name="Log in").click()


def test_who_is_not_logged_in_is_led_to_the_login_and_back(window: Window, guarded: Guarded) -> None:
    page = window.page
    page.goto(window.url("jobs", q="x"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    expect(page.get_by_label("Token")).to_be_focused()
    log_in(window, guarded.secret(Role.READ))
    window.wait_live()
    assert page.url == window.url("jobs", q="x")
    cookies = page.context.cookies()
    assert [(one["httpOnly"], one["sameSite"], one["secure"]) for one in cookies] == [(True, "Strict", False)]  # type: ignore[typeddict-item]
    assert page.evaluate("document.cookie") == ""
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert guarded.secret(Role.READ) not in stored + page.url + cookies[0]["value"]  # type: ignore[typeddict-item]


def test_a_wrong_token_is_told(window: Window, guarded: Guarded) -> None:
    page = window.page
    page.goto(window.url())
    log_in(window, "kala_" + "x" * 43)
    expect(page.get_by_role("alert")).to_contain_text("this token is not known, or has ended")
    expect(page.get_by_label("Token")).to_have_attribute("aria-invalid", "true")
    told = "too many wrong tokens from this address: try again in"
    for _ in range(60):  # ten come at once and one each six seconds
        log_in(window, "kala_" + "x" * 43)
        expect(page.get_by_role("button", name="Log in")).to_be_enabled()
        if told in page.get_by_role("alert").inner_text():
            break
    expect(page.get_by_role("alert")).to_contain_text(told)
    log_in(window, guarded.secret(Role.ADMIN))
    window.wait_live()


def test_a_role_that_does_not_do_is_told_where_it_was_tried(window: Window, guarded: Guarded) -> None:
    job_id = guarded.create()
    page = window.page
    page.goto(window.url("job", id=job_id))
    log_in(window, guarded.secret(Role.READ))
    window.wait_live()
    page.get_by_role("button", name="Start", exact=True).click()
    told = "this needs the role run, and the token the-read has the role read"
    expect(page.locator("#notices")).to_contain_text(told)


def test_who_loses_the_token_is_led_to_the_login(window: Window, guarded: Guarded) -> None:
    page = window.page
    page.goto(window.url())
    log_in(window, guarded.secret(Role.RUN))
    window.wait_live()
    guarded.write([Role.READ, Role.ADMIN])
    assert guarded.process is not None
    guarded.process.send_signal(signal.SIGHUP)
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in", timeout=DEADLINE * 1_000)


def test_logging_out(window: Window, guarded: Guarded) -> None:
    page = window.page
    page.goto(window.url())
    log_in(window, guarded.secret(Role.RUN))
    window.wait_live()
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("log in or out")
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text("You are here as the-run, with the role run.")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log out")).to_be_hidden()
    page.goto(window.url())
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_a_daemon_that_is_away_is_told(window: Window, guarded: Guarded) -> None:
    page = window.page
    page.goto(f"{guarded.url}/login/")
    log_in(window, guarded.secret(Role.RUN))
    window.wait_live()
    page.goto(f"{guarded.url}/login/")
    out = page.get_by_role("button", name="Log out")
    expect(out).to_be_visible()
    guarded.kill()
    out.click()
    expect(page.get_by_role("alert")).to_have_text("The daemon does not answer.")


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "\\\\evil.example"]
)
def test_the_login_leads_nowhere_else(window: Window, guarded: Guarded, wanted: str) -> None:
    page = window.page
    page.goto(f"{guarded.url}/login/")
    page.evaluate("wanted => history.replaceState(null, '', '?' + new URLSearchParams({next: wanted}))", wanted)
    log_in(window, guarded.secret(Role.READ))
    window.wait_live()
    assert page.url.startswith(guarded.url)


def test_it_is_accessible(window: Window, guarded: Guarded, check_accessible: Callable[[Window], None]) -> None:
    window.page.goto(f"{guarded.url}/login/")
    log_in(window, "wrong")
    expect(window.page.get_by_role("alert")).to_be_visible()
    check_accessible(window)
