"""A run: what became of it and why, its attempts, cancelling it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from daemon_process import API
from playwright.sync_api import Locator, Page, expect

from .window import Window

pytestmark = pytest.mark.slow

GOING = "echo begun; until [ -e go ]; do sleep 0.02; done; echo done"


def started(window: Window, command: str, **members: object) -> str:
    """A run of a new job, by hand; its id."""
    job = window.kala.create(command=command, shell=True, **members)
    answer = window.kala.post(f"{API}/job/start/{job}/?wait=false")
    assert answer.status == 202, answer
    return str(answer.json["id"])


def run_of(window: Window, run: str) -> dict[str, Any]:
    return dict(window.kala.get(f"{API}/run/{run}/").json["run"])


def wait_state(window: Window, run: str, state: str) -> None:
    window.kala.wait_for(lambda: run_of(window, run)["state"] == state, state)


def state_of(page: Page) -> Locator:
    return page.locator("h1 .badge")


def fact(page: Page, name: str) -> Locator:
    return page.locator("dl.facts > div", has=page.locator("dt", has_text=name)).locator("dd")


def text_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Output", exact=True)


def test_a_run_from_its_start_to_its_end(window: Window) -> None:
    run = started(window, GOING, name="night's <b>work</b>")
    page = window.go("run", id=run)
    page.evaluate("window.isSame = true")
    expect(state_of(page)).to_have_text("running")
    expect(page.get_by_role("heading", level=1)).to_contain_text("night's <b>work</b>")
    expect(fact(page, "Trigger")).to_have_text("manual")
    first = fact(page, "On for").inner_text()
    expect(fact(page, "On for")).not_to_have_text(first)  # it grows
    expect(fact(page, "On for")).to_have_text(re.compile(r"^[1-9]\d* s$"))
    expect(page).to_have_title("running: night's <b>work</b> · Kala")
    expect(text_of(page)).to_contain_text("begun")
    row = page.locator("tbody tr")
    expect(row).to_contain_text("running")
    (window.kala.folder / "go").touch()
    expect(state_of(page)).to_have_text("succeeded")
    expect(text_of(page)).to_contain_text("done")
    expect(row).to_contain_text("exit code 0")
    expect(fact(page, "Duration")).to_contain_text("s")
    expect(fact(page, "Ended").locator("small")).to_contain_text("UTC")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    assert page.evaluate("window.isSame")  # without being loaded again
    page.get_by_role("heading", level=1).get_by_role("link").click()
    assert "view=job" in page.url


def test_cancelling_by_button_and_by_key(window: Window) -> None:
    for way in ("button", "key"):
        run = started(window, GOING)
        page = window.go("run", id=run)
        expect(text_of(page)).to_contain_text("begun")
        if way == "button":
            page.get_by_role("button", name="Cancel").click()
        else:
            page.keyboard.press("c")
        page.get_by_role("button", name="Let it be").click()
        assert run_of(window, run)["state"] == "running"
        expect(page.get_by_role("button", name="Cancel")).to_be_enabled()
        page.keyboard.press("c")
        page.get_by_role("button", name="Cancel the run").click()
        expect(state_of(page)).to_have_text("cancelled")
        expect(page.locator(".why")).to_contain_text("someone asked for that")
        expect(page.locator("tbody tr")).to_contain_text("signal 15")


def test_cancelling_what_has_ended_meanwhile(window: Window) -> None:
    run = started(window, GOING)
    page = window.go("run", id=run)
    page.get_by_role("button", name="Cancel").click()
    (window.kala.folder / "go").touch()
    wait_state(window, run, "succeeded")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_text("It had ended already: succeeded.")).to_be_visible()
    expect(state_of(page)).to_have_text("succeeded")


def test_it_follows_what_others_do_with_it(window: Window) -> None:
    run = started(window, GOING, name="theirs")
    page = window.go("run", id=run)
    expect(state_of(page)).to_have_text("running")
    assert window.kala.post(f"{API}/run/{run}/cancel/").status == 202
    expect(state_of(page)).to_have_text("cancelled")


def test_a_job_that_is_gone(window: Window) -> None:
    run = started(window, "true")
    wait_state(window, run, "succeeded")
    answer = {"run": run_of(window, run) | {"job_name": ""}}  # a day after it was deleted
    window.page.route(f"**/run/{run}/", lambda route: route.fulfill(json=answer))
    page = window.go("run", id=run)
    expect(page.get_by_role("heading", level=1)).to_have_text("succeeded a job that is gone")
    expect(fact(page, "Job")).to_contain_text(answer["run"]["job_id"])
    expect(page.get_by_role("main").locator("a[href*='view=job&']")).to_have_count(0)


def test_several_attempts(window: Window) -> None:
    command = 'echo "this is $(cat n; echo x >> n | true)"; [ $(wc -l < n) -gt 2 ]'
    run = started(window, f"touch n; {command}", retries=2, retry_delay="PT1S")
    page = window.go("run", id=run)
    expect(state_of(page)).to_have_text("succeeded")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("exit code 1")
    expect(rows.nth(2)).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("heading", name="Output of attempt 3")).to_be_visible()
    expect(page.locator(".row")).to_have_text(["this is x", "x"])
    page.get_by_role("link", name="Output of attempt 1").click()
    expect(page.locator(".row")).to_have_text(["this is "])
    assert "attempt=1" in page.url
    # the address alone says which
    page.reload()
    expect(page.locator(".row")).to_have_text(["this is "])
    page.get_by_role("link", name="Output of attempt 2").click()
    page.go_back()
    expect(rows.nth(0)).to_have_attribute("aria-current", "true")
    window.go("run", id=run, attempt="9")
    expect(page.get_by_text("There has been no attempt 9.")).to_be_visible()


def test_a_further_attempt_does_not_take_away_what_is_read(window: Window) -> None:
    first = "if [ ! -e n ]; then touch n; seq 1 500; until [ -e fail ]; do sleep 0.02; done; exit 1; fi"
    run = started(window, f"{first}; echo second; until [ -e go ]; do sleep 0.02; done", retries=1, retry_delay="PT1S")
    page = window.go("run", id=run)
    expect(page.locator(".row", has_text="500")).to_be_visible()
    text_of(page).evaluate("(element) => { element.scrollTop = 0; }")
    expect(page.get_by_role("button", name="Follow")).to_be_visible()
    (window.kala.folder / "fail").touch()
    expect(page.get_by_text("Attempt 2 has begun.")).to_be_visible()
    expect(page.locator(".row").first).to_have_text("1")
    page.get_by_role("button", name="Show its output").click()
    expect(page.locator(".row")).to_have_text(["second"])
    (window.kala.folder / "go").touch()


def test_what_waits_and_what_never_ran(window: Window) -> None:
    job = window.kala.create(command=GOING, shell=True, name="turns", overlap="queue")
    first, second = (str(window.kala.post(f"{API}/job/start/{job}/?wait=false").json["id"]) for _ in range(2))
    page = window.go("run", id=second)
    expect(state_of(page)).to_have_text("waiting")
    expect(page.locator(".why")).to_contain_text("is still on")
    expect(page.get_by_text("Nothing yet: it has not begun.")).to_be_visible()
    wait_state(window, first, "running")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(state_of(page)).to_have_text("cancelled")
    expect(page.get_by_text("It was never begun")).to_be_visible()
    third = str(window.kala.post(f"{API}/job/start/{job}/?wait=false").json["id"])
    window.go("run", id=third)
    expect(state_of(page)).to_have_text("waiting")
    (window.kala.folder / "go").touch()
    expect(state_of(page)).to_have_text("succeeded")
    expect(text_of(page)).to_contain_text("done")


def test_occurrences_that_did_not_run(window: Window) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    window.kala.create(command="sleep 60", shell=True, schedule=f"R/{soon}/PT1S", overlap="skip", name="busy")

    def skipped() -> list[dict[str, Any]]:
        runs = window.kala.get(f"{API}/run/?state=skipped").json["runs"]
        return [run for run in runs if run["count"] > 1]

    run = window.kala.wait_for(skipped)[0]
    page = window.go("run", id=run["id"])
    expect(state_of(page)).to_have_text("skipped")
    expect(page.locator(".why")).to_contain_text("overlap is skip")
    # both grow each second
    window.kala.wait_for(
        lambda: fact(page, "Occurrences").inner_text() == str(run_of(window, run["id"])["count"]), "another count"
    )
    expect(fact(page, "Last")).to_contain_text("UTC")
    expect(text_of(page)).to_be_hidden()


def test_children_say_what_set_them_off(window: Window) -> None:
    parent = window.kala.create(command="true", name="parent")
    child = window.kala.create(command="echo child", schedule="", parent_jobs=[parent], name="child")
    run = str(window.kala.post(f"{API}/job/start/{parent}/?wait=false").json["id"])
    found = window.kala.wait_for(lambda: window.kala.get(f"{API}/run/?job={child}&state=succeeded").json["runs"])
    page = window.go("run", id=found[0]["id"])
    fact(page, "Trigger").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("succeeded parent")
    assert run in page.url


def test_no_such_run(window: Window, check_accessible: Callable[[Window], None]) -> None:
    page = window.go("run", id="<b>none</b>")
    expect(page.get_by_role("heading", name="There is no such run")).to_be_visible()
    expect(page.get_by_text("<b>none</b>")).to_be_visible()
    check_accessible(window)
    page.get_by_role("main").get_by_role("link", name="The jobs").click()
    assert "view=jobs" in page.url


def test_axe(window: Window, check_accessible: Callable[[Window], None]) -> None:
    run = started(
        window, r"printf '\033[31mred\033[0m \033[43mon yellow\033[0m\n'; false", retries=1, retry_delay="PT1S"
    )
    page = window.go("run", id=run)
    expect(state_of(page)).to_have_text("failed")
    page.get_by_label("Find in the output").fill("yellow")
    expect(page.locator("mark")).to_be_visible()
    check_accessible(window)


def test_a_narrow_window(open_window: Callable[..., Window], kala: Any) -> None:
    window = open_window(kala, viewport={"width": 360, "height": 700})
    run = started(window, "seq 1 10; echo " + "wide" * 1000, name="n" * 1000)
    page = window.go("run", id=run)
    expect(state_of(page)).to_have_text("succeeded")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
