"""The overview: what runs, comes, failed, how often and how late, as it happens."""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable

import pytest
from daemon_process import API, KalaProcess
from playwright.sync_api import Locator, Page, Request, expect

from .window import Window

pytestmark = pytest.mark.slow


def panel(page: Page, heading: str) -> Locator:
    """The panel with this heading."""
    return page.locator("section.panel").filter(has=page.get_by_role("heading", name=re.compile(f"^{heading}")))


def counter(page: Page, name: str) -> Locator:
    return page.locator(".counters div").filter(has=page.get_by_text(name, exact=True)).locator("dd")


def start(kala: KalaProcess, job_id: str) -> str:
    """Start a job; the run's id."""
    answer = kala.post(f"{API}/job/start/{job_id}/?wait=false")
    assert answer.status == 202, answer
    return str(answer.json["id"])


def test_without_jobs_it_says_how_to_make_one_and_the_command_works(window: Window) -> None:
    page = window.go()
    expect(page.get_by_role("heading", name="No job yet")).to_be_visible()
    expect(panel(page, "Running now")).to_be_hidden()
    expect(page.get_by_role("link", name="Make one with the form")).to_have_attribute("href", "?view=edit")
    command = page.locator(".empty pre").inner_text()
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=30)
    expect(page.get_by_role("heading", name="No job yet")).to_be_hidden()
    row = panel(page, "Next due").get_by_role("listitem")
    expect(row).to_contain_text("hello")
    expect(row).to_contain_text("every minute")
    expect(row).to_contain_text(re.compile(r"in \d+ s"))
    expect(counter(page, "Jobs")).to_have_text("1")


def test_a_run_appears_as_it_starts_and_goes_as_it_is_cancelled(window: Window) -> None:
    page = window.go()
    job = window.kala.create(name="long one", command="sleep 600")
    run = start(window.kala, job)
    running = panel(page, "Running now")
    expect(running.get_by_role("heading")).to_have_text("Running now: 1")
    row = running.get_by_role("listitem")
    expect(row).to_contain_text("running")
    expect(row).to_contain_text("manual")
    expect(row).to_contain_text(re.compile(r"manual[1-9]\d* s"))  # it grows
    expect(row.get_by_role("link", name="long one")).to_have_attribute("href", f"?view=run&id={run}")
    row.get_by_role("button", name="Cancel long one").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(running.get_by_text("Nothing runs.")).to_be_visible()
    window.kala.wait_for(lambda: window.kala.get(f"{API}/run/{run}/").json["run"]["state"] == "cancelled")


def test_what_fails_is_told_with_why_and_counted(window: Window) -> None:
    page = window.go()
    good, bad = (window.kala.create(name=name, command=name) for name in ("true", "false"))
    for _ in range(3):
        start(window.kala, good)
    run = start(window.kala, bad)
    row = panel(page, "Last failures").get_by_role("listitem")
    expect(row).to_contain_text("failed")
    expect(row).to_contain_text("exit code 1")
    expect(row.get_by_role("link", name="false")).to_have_attribute("href", f"?view=run&id={run}")
    chart = page.get_by_role("application", name="Runs by minute")
    counted = re.compile("succeeded 3, failed 1, missed 0")
    expect(chart).to_have_attribute("aria-label", counted)
    expect(counter(page, "Succeeded")).to_have_text("3")
    page.reload()  # from what the daemon tells
    window.wait_live()
    expect(chart).to_have_attribute("aria-label", counted)
    expect(row).to_contain_text("exit code 1")
    lateness = page.get_by_role("application", name="Lateness of starts")
    expect(lateness).to_have_attribute("aria-label", re.compile(r"half within \d"))


def test_what_waits_is_told(start_kala: Callable[..., KalaProcess], open_window: Callable[..., Window]) -> None:
    kala = start_kala("--max-runs", "1")
    page = open_window(kala).go()
    job = kala.create(name="long", command="sleep 600", overlap="allow")
    for _ in range(3):
        start(kala, job)
    running = panel(page, "Running now")
    expect(running.get_by_role("heading")).to_have_text("Running now: 1, 2 waiting")
    expect(running.get_by_role("listitem")).to_have_text(
        [re.compile("running"), re.compile("waiting"), re.compile("waiting")]
    )
    expect(counter(page, "Waiting")).to_have_text("2")


def test_of_many_runs_some_are_shown_and_all_are_counted(window: Window) -> None:
    job = window.kala.create(name="long", command="sleep 600", overlap="allow")
    for _ in range(35):
        start(window.kala, job)
    page = window.go()
    running = panel(page, "Running now")
    expect(running.get_by_role("heading")).to_have_text("Running now: 35")
    expect(running.get_by_role("listitem")).to_have_count(30)
    expect(running.get_by_role("link", name="5 more")).to_have_attribute("href", "?view=jobs&state=running")


READ_AGAIN = """(m) => m.renewRunning(async () => {
    const { runs } = await m.get("/run/", { state: "running" });
    return { runs, more: false };
})"""


def test_a_row_keeps_its_focus_while_others_come_and_it_is_read_again(window: Window) -> None:
    page = window.go()
    job = window.kala.create(name="long", command="sleep 600", overlap="allow")
    start(window.kala, job)
    running = panel(page, "Running now")
    expect(running.get_by_role("listitem")).to_contain_text("running")
    button = running.get_by_role("button", name="Cancel long")
    button.focus()
    window.evaluate_module("base.js", READ_AGAIN)
    start(window.kala, job)  # the row of which is drawn no earlier than what was read
    expect(button).to_have_count(2)
    expect(button.first).to_be_focused()


def test_pausing_and_going_on(window: Window) -> None:
    window.kala.create()
    page = window.go()
    page.get_by_role("button", name="Pause", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    assert window.kala.get(f"{API}/pause/").json["paused"] is False
    page.get_by_role("button", name="Pause", exact=True).click()
    dialog.get_by_role("button", name="Pause", exact=True).click()
    resume = page.locator(".bar").get_by_role("button", name="Resume")
    expect(resume).to_be_visible()
    assert window.kala.get(f"{API}/pause/").json["paused"] is True
    resume.click()
    expect(page.locator(".bar").get_by_role("button", name="Pause")).to_be_visible()
    assert window.kala.get(f"{API}/pause/").json["paused"] is False


def test_a_job_that_is_edited_moves_among_what_comes(window: Window) -> None:
    first = window.kala.create(name="first", schedule="R/2040-01-01T00:00:00Z/P1D")
    window.kala.create(name="second", schedule="R/2041-01-01T00:00:00Z/P1D")
    page = window.go()
    names = panel(page, "Next due").get_by_role("link")
    expect(names).to_have_text(["first", "second"])
    window.kala.patch(f"{API}/job/{first}/", {"schedule": "R/2042-01-01T00:00:00Z/P1D"})
    expect(names).to_have_text(["second", "first"])
    window.kala.post(f"{API}/job/disable/{first}/")
    expect(names).to_have_text(["second"])
    expect(counter(page, "Disabled")).to_have_text("1")


def test_it_says_where_it_is_and_on_what(window: Window) -> None:
    window.kala.create()
    page = window.go()
    facts = panel(page, "Database")
    node = window.kala.get(f"{API}/node/").json
    expect(facts).to_contain_text(node["database"]["engine"])
    expect(facts).to_contain_text(node["database"]["place"])
    expect(facts).to_contain_text(f"process {window.kala.pid}")
    expect(facts).to_contain_text(node["version"])
    expect(facts).to_contain_text(f"at most {node['max_runs']:,} at a time")


def test_it_comes_back_after_a_restart(window: Window) -> None:
    job = window.kala.create(name="again", command="sleep 600")
    page = window.go()
    window.kala.kill()
    expect(page.locator("#live-text")).to_have_text("Not live")
    window.restart_daemon()
    window.wait_live()
    start(window.kala, job)
    expect(panel(page, "Running now").get_by_role("link", name="again")).to_be_visible()
    expect(panel(page, "Database")).to_contain_text(f"process {window.kala.pid}")


def test_what_cannot_be_read_is_said_and_is_read_again(window: Window) -> None:
    window.kala.create(name="to come")
    refused = '{"error": "the history is away"}'
    window.page.route(re.compile("/schedule/next/"), lambda route: route.fulfill(status=503, body=refused))
    page = window.go()
    due = panel(page, "Next due")
    expect(due.get_by_text("the history is away")).to_be_visible()
    expect(panel(page, "Last failures").get_by_text("the history is away")).to_be_hidden()
    page.unroute_all()
    expect(due.get_by_role("link", name="to come")).to_be_visible()
    expect(due.get_by_text("the history is away")).to_be_hidden()


MANY = """async (store, seconds) => {
    const until = performance.now() + seconds * 1000;
    let run = 0;
    while (performance.now() < until) {
        await new Promise((done) => requestAnimationFrame(done));
        const at = new Date().toISOString();
        for (let place = 0; place < 4; place += 1) {
            run += 1;
            const about = { at, job: "j", job_name: `job ${run}`, run: `run ${run}`, trigger: "schedule", attempt: 1 };
            store.take([
                { type: "run.started", state: "running", ...about },
                { type: "run.finished", state: "failed", error: "exit code 1", ...about },
            ]);
        }
    }
    return run;
}"""


def test_however_much_happens_the_daemon_is_asked_seldom(window: Window) -> None:
    window.kala.create()
    page = window.go()
    expect(counter(page, "Jobs")).to_have_text("1")
    # or what is read of the failures, of which the daemon knows none, comes in place of those that are told here
    page.route(re.compile(r"/run/\?state=failed"), lambda route: None)
    asked, begun = Counter[str](), time.monotonic()

    def note(request: Request) -> None:
        asked[request.url] += 1

    page.on("request", note)
    assert window.evaluate_module("base.js", MANY, 5) > 100
    assert asked, "totals are read again"
    assert max(asked.values()) <= (time.monotonic() - begun) / 2 + 3, asked
    expect(panel(page, "Last failures").get_by_role("listitem")).to_have_count(12)


def test_left_it_asks_for_nothing(window: Window) -> None:
    page = window.go()
    page.get_by_role("link", name="Make one with the form").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    window.evaluate_module("base.js", MANY, 3)
    assert [url for url in asked if re.search("/(stats|run)/", url)] == []


@pytest.mark.parametrize("has_jobs", [True, False])
def test_it_is_accessible(window: Window, check_accessible: Callable[[Window], None], has_jobs: bool) -> None:
    page = window.go()
    if has_jobs:
        start(window.kala, window.kala.create(name="long", command="sleep 600"))
        start(window.kala, window.kala.create(name="bad", command="false"))
        expect(panel(page, "Running now").get_by_role("listitem")).to_have_count(1)
        expect(panel(page, "Last failures").get_by_role("listitem")).to_have_count(1)
    else:
        expect(page.get_by_role("heading", name="No job yet")).to_be_visible()
    check_accessible(window)


def test_a_phone_has_room_for_it(open_window: Callable[..., Window], kala: KalaProcess) -> None:
    name = "a name without an end " * 40
    start(kala, kala.create(name=name, command="sleep 600"))
    start(kala, kala.create(name="x" * 1_000, command="false"))
    page = open_window(kala, viewport={"width": 360, "height": 740}).go()
    expect(panel(page, "Running now").get_by_role("listitem")).to_have_count(1)
    expect(panel(page, "Last failures").get_by_role("listitem")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
