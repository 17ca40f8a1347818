"""A job's view: what became of it, what comes, what it is, and what can be done with it."""

import json
import re
from collections.abc import Callable

import pytest
from daemon_process import API, KalaProcess
from playwright.sync_api import Locator, Page, Route, expect

from .window import Window

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)> & <b>co</b>"
SPRING = "30 2 * 3 0L"  # the last Sunday of March: the hour that is left out in Berlin

CUTTING = """
const whole = window.fetch;
window.fetch = async (...call) => {
    const answer = await whole(...call);
    if (!window.isCut || !String(call[0]).includes("/run/?")) return answer;
    return new Response(new ReadableStream({ pull: (to) => to.error(new TypeError("cut")) }), answer);
};
"""
"""While it is wanted, runs are answered with a beginning and nothing more."""


def started(kala: KalaProcess, job_id: str, times: int = 1) -> None:
    """Run it so often, one after another."""
    for _ in range(times):
        assert kala.post(f"{API}/job/start/{job_id}/").status == 204


def panel(page: Page, name: str) -> Locator:
    return page.locator("section.panel").filter(has=page.get_by_role("heading", name=name, exact=True))


def enter(window: Window, job_id: str) -> Page:
    """Come to a job from elsewhere: all is read once then, and what changes afterwards is known by events alone."""
    page = window.go("nowhere")
    page.evaluate(
        "address => { history.pushState(null, '', address); dispatchEvent(new PopStateEvent('popstate')); }",
        window.url("job", id=job_id),
    )
    return page


def test_definition_and_coming(window: Window) -> None:
    kala = window.kala
    job_id = kala.create(
        name=HOSTILE,
        command="echo '<i>x</i>' && true",
        shell=True,
        schedule=SPRING,
        time_zone="Europe/Berlin",
        environment={"HOME_OF_IT": "<u>/srv</u>"},
        labels={"team": "billing"},
        retries=2,
        notify=[{"url": "https://hooks.example/kala", "headers": {"X-A": ["1", "2"]}}],
    )
    page = window.go("job", id=job_id)
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page).to_have_title(f"{HOSTILE} · Kala")
    facts = panel(page, "Definition")
    expect(facts).to_contain_text("/bin/sh -c echo '<i>x</i>' && true")
    expect(facts).to_contain_text("HOME_OF_IT<u>/srv</u>")
    expect(facts).to_contain_text("team=billing")
    expect(facts).to_contain_text("retries2")
    expect(facts).to_contain_text("X-A1, 2")
    expect(facts).not_to_contain_text("overlap")  # is as it would be without saying
    rows = panel(page, "Coming").locator("tbody tr")
    expect(rows).to_have_count(10)
    expect(rows.first).to_contain_text("03:30:00+02:00")
    expect(rows.first).to_contain_text("does not exist")
    expect(panel(page, "Coming")).to_contain_text(re.compile(r"The next one is in \d+ [dhms]"))
    expect(panel(page, "Runs along time")).to_contain_text("It has not run yet.")


def test_json_makes_the_same_again(window: Window) -> None:
    members = {
        "name": "call",
        "command": "not used",
        "type": 1,
        "remote_properties": {"url": "http://127.0.0.1:9/", "method": "POST", "body": "{}", "headers": {"X-A": ["1"]}},
        "overlap": "skip",
        "output_limit": 0,
        "notify": [{"url": "https://hooks.example/kala"}],
        "disabled": True,
    }
    job_id = window.kala.create(**members)
    page = window.go("job", id=job_id)
    page.get_by_text("As JSON").click()
    text = page.get_by_label("The definition as JSON").text_content() or ""
    assert "retry_backoff" not in text
    copy_id = window.kala.create(**json.loads(text))
    before, after = (
        {name: value for name, value in window.kala.job(one).items() if name != "id"} for one in (job_id, copy_id)
    )
    assert before == after


def test_start_by_key_is_shown_as_it_happens(window: Window) -> None:
    kala = window.kala
    gate = kala.folder / "gate"
    job_id = kala.create(name="gated", command=f"while [ ! -e {gate} ]; do sleep 0.05; done", shell=True)
    page = enter(window, job_id)
    expect(page.get_by_role("heading", level=1)).to_have_text("gated")
    page.keyboard.press("s")
    expect(page.locator(".on li")).to_contain_text("running for")
    expect(page.get_by_role("row", name="running")).to_have_count(1)
    bar = page.locator(".timeline .attempt")
    expect(bar).to_have_class("attempt busy")
    first = page.locator(".on time").text_content()
    expect(page.locator(".on time")).not_to_have_text(first or "")  # it grows
    gate.touch()
    expect(page.locator(".on li")).to_have_count(0)
    expect(page.get_by_role("row", name="succeeded")).to_have_count(1)
    expect(bar).to_have_class("attempt good")
    expect(panel(page, "In figures")).to_contain_text("100 %, 1 of 1")
    expect(page.locator(".status")).to_contain_text("since it was made 1 succeeded, and 0 attempts failed")
    page.locator(".timeline a").click()
    expect(page).to_have_url(re.compile(r"view=run&id="))


def test_why_by_keyboard(window: Window) -> None:
    job_id = window.kala.create(name="failing", command="exit 3", shell=True, retries=2)
    started(window.kala, job_id, 2)
    page = window.go("job", id=job_id)
    runs = panel(page, "Runs along time")
    expect(runs.locator(".chart-legend")).to_have_text("2 failed")
    expect(runs.locator(".timeline a")).to_have_text(["+2", "+2"])
    expect(runs.locator(".timeline .attempt.bad")).to_have_count(6)
    box = runs.get_by_role("application")
    box.focus()
    page.keyboard.press("ArrowLeft")
    expect(runs.locator(".chart-readout")).to_contain_text("3 attempts: failed (started by hand")
    expect(runs.locator(".chart-readout")).to_contain_text("exit code 3")
    expect(box.locator("a").last).to_have_class("current")
    page.keyboard.press("Home")
    expect(box.locator("a").first).to_have_class("current")
    first = box.locator("a").first.get_attribute("data-run")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"view=run&id={first}"))


def test_what_did_not_run(window: Window) -> None:
    job_id = window.kala.create(name="slow", command="sleep 60", schedule="* * * * * *", overlap="skip")
    page = enter(window, job_id)
    runs = panel(page, "Runs along time")
    expect(runs.locator(".chart-legend")).to_contain_text(re.compile(r"[2-9] skipped"))
    expect(runs.locator(".timeline .range")).to_have_count(1)
    row = page.get_by_role("row", name="skipped")
    expect(row).to_contain_text(re.compile(r"skipped × [2-9]"))
    expect(row).to_contain_text("overlap is skip")
    runs.locator(".timeline a", has=page.locator(".range")).hover()
    expect(runs.locator(".chart-readout")).to_contain_text("was still on, and overlap is skip")


def test_disable_and_enable(window: Window) -> None:
    job_id = window.kala.create(name="switched")
    page = enter(window, job_id)
    page.get_by_role("button", name="Disable").click()
    expect(page.locator(".status .label")).to_have_text("disabled")
    expect(panel(page, "Coming")).to_contain_text("The job is disabled: nothing of it starts until it is enabled.")
    assert window.kala.job(job_id)["disabled"] is True
    page.keyboard.press("d")
    expect(page.locator(".status .label")).to_have_count(0)
    expect(page.get_by_role("button", name="Disable")).to_be_visible()
    expect(panel(page, "Coming").locator("tbody tr")).to_have_count(10)


def test_start_of_disabled_says_why_not(window: Window) -> None:
    page = window.go("job", id=window.kala.create(name="off", disabled=True))
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("Start: ")
    expect(page.get_by_role("alert")).to_contain_text("disabled")


def test_edited_elsewhere(window: Window) -> None:
    job_id = window.kala.create(name="before")
    page = enter(window, job_id)
    expect(page.get_by_role("heading", level=1)).to_have_text("before")
    assert window.kala.patch(f"{API}/job/{job_id}/", {"name": "after", "command": "echo new"}).status == 200
    expect(page.get_by_role("heading", level=1)).to_have_text("after")
    expect(panel(page, "Definition")).to_contain_text("echo new")


def test_deleted_elsewhere(window: Window) -> None:
    job_id = window.kala.create(name="doomed")
    started(window.kala, job_id)
    page = enter(window, job_id)
    expect(page.get_by_role("row", name="succeeded")).to_have_count(1)
    window.kala.delete(f"{API}/job/{job_id}/")
    expect(page.get_by_role("status").filter(has_text="This job is deleted.")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_hidden()
    page.keyboard.press("s")
    expect(page.get_by_role("row", name="succeeded")).to_have_count(1)
    expect(panel(page, "Definition")).to_contain_text("true")  # as it was
    page.reload()  # what is kept can still be read
    expect(panel(page, "Definition")).to_be_hidden()
    expect(page.get_by_role("status").filter(has_text="This job is deleted.")).to_be_visible()
    expect(page.get_by_role("row", name="succeeded")).to_have_count(1)
    page.locator(".banner").get_by_role("link", name="To the jobs").click()
    expect(page).to_have_url(re.compile("view=jobs"))


def test_unknown(window: Window, check_accessible: Callable[[Window], None]) -> None:
    page = window.go("job", id="<b>no</b>")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such job")
    expect(page.locator("main")).to_contain_text("<b>no</b>")
    check_accessible(window)


def test_delete_asks(window: Window) -> None:
    parent = window.kala.create(name="parent")
    window.kala.create(name="child", parent_jobs=[parent])
    page = window.go("job", id=parent)
    expect(page.get_by_role("heading", level=1)).to_have_text("parent")
    page.keyboard.press("Delete")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Those that have no other parent go as well")
    dialog.get_by_role("button", name="Cancel").click()
    assert len(window.kala.jobs()) == 2
    page.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("view=jobs"))
    assert window.kala.jobs() == {}


def test_pages_and_spans(window: Window) -> None:
    job_id = window.kala.create(name="often")
    started(window.kala, job_id, 23)
    page = window.go("job", id=job_id)
    rows = panel(page, "Runs").locator("tbody tr")
    legend = panel(page, "Runs along time").locator(".chart-legend")
    expect(rows).to_have_count(20)
    expect(legend).to_have_text("23 succeeded")
    newest = rows.first.get_by_role("link").get_attribute("href")
    page.get_by_label("Show").select_option("the last 20")
    expect(legend).to_have_text("20 succeeded")
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(3)
    expect(page.get_by_role("link", name="Older")).to_be_hidden()
    expect(page).to_have_url(re.compile("span=20.*after="))
    started(window.kala, job_id)  # an older page stays as it is
    expect(page.locator(".status")).to_contain_text("24 succeeded")
    expect(rows).to_have_count(3)
    page.reload()
    expect(rows).to_have_count(3)
    page.get_by_role("link", name="Newest").click()
    expect(rows).to_have_count(20)
    expect(rows.nth(1).get_by_role("link")).to_have_attribute("href", newest or "")
    page.get_by_label("Show").select_option("the last hour")
    expect(legend).to_have_text("24 succeeded")


def test_more_than_a_page_at_once(window: Window) -> None:
    """What the newest page does not tell is read all the same."""
    job_id = window.kala.create(name="burst", overlap="allow")
    page = enter(window, job_id)
    expect(page.get_by_role("heading", level=1)).to_have_text("burst")
    for _ in range(60):
        assert window.kala.post(f"{API}/job/start/{job_id}/?wait=false").status == 202
    expect(panel(page, "Runs along time").locator(".chart-legend")).to_have_text("60 succeeded")


def test_what_cannot_be_read_is_said(window: Window) -> None:
    job_id = window.kala.create(name="stubborn")
    started(window.kala, job_id)
    page = enter(window, job_id)
    expect(page.get_by_role("row", name="succeeded")).to_have_count(1)

    def refuse(route: Route) -> None:
        route.fulfill(status=503, json={"error": "not now"})

    page.route("**/api/v1/run/?*", refuse)
    started(window.kala, job_id)
    expect(page.locator(".fault").first).to_contain_text("What is on cannot be read now: not now.")
    expect(page.get_by_role("row", name="succeeded")).to_have_count(1)
    page.unroute("**/api/v1/run/?*")
    expect(page.get_by_role("row", name="succeeded")).to_have_count(2)
    expect(page.locator(".fault").first).to_be_empty()


def test_narrow(open_window: Callable[..., Window], kala: KalaProcess) -> None:
    window = open_window(kala, viewport={"width": 360, "height": 700})
    job_id = kala.create(name="n" * 1_024, command="echo " + "c" * 100_000, owner="o" * 500, labels={"k": "v" * 255})
    started(kala, job_id)
    page = window.go("job", id=job_id)
    expect(page.get_by_role("row", name="succeeded")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_answer_that_is_cut_off_is_told_and_read_again(window: Window) -> None:
    kala, page = window.kala, window.page
    job_id = kala.create()
    started(kala, job_id)
    page.add_init_script(CUTTING)
    window.go("job", id=job_id)
    rows = page.get_by_role("row", name="succeeded")
    expect(rows).to_have_count(1)
    page.evaluate("window.isCut = true")
    started(kala, job_id)
    fault = page.get_by_text("cannot be read now: the daemon does not answer").first
    expect(fault).to_be_visible()
    page.evaluate("window.isCut = false")
    expect(rows).to_have_count(2)
    expect(fault).to_be_hidden()


def test_accessible(window: Window, check_accessible: Callable[[Window], None]) -> None:
    kala = window.kala
    after_failure = kala.create(name="alarm")
    parent = kala.create(name="parent")
    members = {"shell": True, "environment": {"A": "b"}, "labels": {"team": "billing"}}
    job_id = kala.create(
        name="all of it", command="exit 1", parent_jobs=[parent], on_failure_job=after_failure, retries=1, **members
    )
    started(kala, job_id, 3)
    page = window.go("job", id=job_id)
    expect(page.get_by_role("row", name="failed")).to_have_count(3)
    expect(page.get_by_role("link", name="alarm")).to_be_visible()
    page.get_by_text("As JSON").click()
    check_accessible(window)
    page.goto(window.url("job", id=kala.create(schedule=SPRING, time_zone="Europe/Berlin")))
    expect(panel(page, "Coming").locator("tbody tr")).to_have_count(10)
    check_accessible(window)
