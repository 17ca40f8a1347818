"""What people do with the page, from one view to the next, without loading it again; and by keyboard alone."""

import re
from collections.abc import Callable

import pytest
from daemon_process import API
from playwright.sync_api import Page, expect

from .jobform import create, made, name
from .window import Window

pytestmark = pytest.mark.slow

NAUGHTY = "</title><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>\u202e\u0007&amp;"
UNTIL = "echo one; until [ -e go ]; do sleep 0.05; done; echo two"


def stays(page: Page) -> None:
    """From here on it is one page, or `is_same` says so."""
    page.evaluate("window.stays = true")


def is_same(page: Page) -> bool:
    return bool(page.evaluate("window.stays === true"))


def test_a_job_is_made_watched_and_cancelled_without_loading_again(window: Window) -> None:
    page = window.go()
    stays(page)
    page.get_by_role("navigation", name="Views").get_by_role("link", name="New job").click()
    name(page).fill("made by hand")
    page.get_by_label("Command", exact=True).fill(f"sh -c '{UNTIL}'")
    create(page)
    job = made(page)
    # it runs at once, as it has no schedule: the job's page shows it, and leads to its output
    expect(page.locator(".on li")).to_contain_text("running for")
    running = page.get_by_role("link", name=re.compile("output|running", re.IGNORECASE)).first
    running.click()
    expect(page).to_have_url(re.compile("view=run"))
    output = page.get_by_role("region", name="Output", exact=True)
    expect(output).to_contain_text("one")
    (window.kala.folder / "go").touch()
    expect(output).to_contain_text("two")
    expect(page.locator("h1 .badge")).to_have_text("succeeded")
    # once more, by its page, and this time it is ended
    (window.kala.folder / "go").unlink()
    page.go_back()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".on li")).to_contain_text("running for")
    page.get_by_role("link", name=re.compile("output|running", re.IGNORECASE)).first.click()
    expect(output).to_contain_text("one")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Cancel|End")).click()
    expect(page.locator("h1 .badge")).to_have_text("cancelled")
    assert is_same(page)
    states = [run["state"] for run in window.kala.get(f"{API}/run/?job={job}").json["runs"]]
    assert states == ["cancelled", "succeeded"]


def test_by_keyboard_alone(window: Window) -> None:
    page = window.go()
    page.keyboard.press("n")
    expect(name(page)).to_be_focused()
    page.keyboard.type("by keys")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.labels?.[0]?.textContent.trim().startsWith('Command')"):
            break
    page.keyboard.type("echo typed")
    page.keyboard.press("Control+Enter")
    job = made(page)
    window.kala.wait_for(lambda: window.kala.job(job)["metadata"]["success_count"] == 1)
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    page.keyboard.press("s")
    window.kala.wait_for(lambda: window.kala.job(job)["metadata"]["success_count"] == 2)
    page.keyboard.press("Control+k")
    page.keyboard.type("Go to the jobs")
    expect(page.get_by_role("dialog").get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("view=jobs"))
    expect(page.get_by_role("link", name="by keys", exact=True)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("keys")
    expect(page).to_have_url(re.compile("q=keys"))


def test_names_and_errors_are_text_in_every_view(window: Window) -> None:
    kala = window.kala
    job = kala.create(
        name=NAUGHTY,
        owner="<b>owner</b>",
        command=f"echo '{NAUGHTY}'; exit 3",
        shell=True,
        labels={"x": "<i>label</i>"},
        schedule="",
    )
    child = kala.create(name=f"child {NAUGHTY}", parent_jobs=[job], schedule="")
    kala.wait_for(lambda: kala.job(job)["metadata"]["error_count"] == 1)
    run = kala.get(f"{API}/run/?job={job}").json["runs"][0]["id"]
    for view, parameters in [
        ("overview", {}),
        ("wall", {}),
        ("jobs", {}),
        ("job", {"id": job}),
        ("job", {"id": child}),
        ("run", {"id": run}),
        ("edit", {"id": job}),
        ("edit", {"copy": job}),
    ]:
        page = window.go(view, **parameters)
        if view == "edit":
            expect(name(page)).to_have_value(re.compile("</title>"))
        else:
            expect(page.get_by_text("</title><script>").first).to_be_visible()
        assert page.evaluate("window.hit") is None
        assert page.locator("main b, main i, main script, main img").count() == 0
    page = window.go()
    page.keyboard.press("Control+k")
    page.keyboard.type("</title>")
    expect(page.get_by_role("option").first).to_contain_text("</title><script>")
    assert page.evaluate("window.hit") is None


def test_a_million_character_name_is_refused_in_words(window: Window) -> None:
    page = window.go("edit")
    name(page).fill(("<b>" + "x" * 997) * 1000)
    page.get_by_label("Command", exact=True).fill("true")
    create(page)
    expect(page.get_by_text(re.compile("1,024|1 MiB|too l|larger", re.IGNORECASE)).first).to_be_visible()
    assert window.kala.jobs() == {}


@pytest.mark.parametrize("view", ["overview", "week", "jobs", "job", "run", "edit", "wall"])
def test_a_killed_and_restarted_daemon_under_every_view(window: Window, view: str) -> None:
    kala = window.kala
    job = kala.create(name="survivor", schedule="R/2100-01-01T00:00:00Z/P1D")
    assert kala.post(f"{API}/job/start/{job}/").status == 204
    run = kala.get(f"{API}/run/?job={job}").json["runs"][0]["id"]
    page = window.go(view, **{"job": {"id": job}, "run": {"id": run}, "edit": {"id": job}}.get(view, {}))
    shown = page.locator("main h1").first
    expect(shown).to_be_visible()
    stays(page)
    kala.kill()
    expect(page.locator("#live-text")).to_have_text("Not live")
    expect(shown).to_be_visible()  # what was known stays
    window.restart_daemon()
    window.wait_live()
    expect(shown).to_be_visible()
    assert is_same(page)


def test_two_daemons_events_are_not_mixed_up_after_a_new_start(
    window: Window, open_window: Callable[..., Window]
) -> None:
    # a page that was away over a restart hears of what comes then, once
    kala = window.kala
    job = kala.create(name="counted", schedule="R/2100-01-01T00:00:00Z/P1D")
    page = window.go("job", id=job)
    kala.kill()
    expect(page.locator("#live-text")).to_have_text("Not live")
    window.restart_daemon()
    window.wait_live()
    assert kala.post(f"{API}/job/start/{job}/").status == 204
    rows = page.locator("tbody tr").filter(has_text="succeeded")
    expect(rows).to_have_count(1)
    other = open_window(kala)
    other.go("job", id=job)
    expect(other.page.locator("tbody tr").filter(has_text="succeeded")).to_have_count(1)


def test_a_view_that_cannot_be_loaded_says_so_and_can_be_tried_again(window: Window) -> None:
    page = window.page
    page.route("**/views/week.js", lambda route: route.abort())
    window.go()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Week").click()
    expect(page.get_by_text("This view cannot be loaded")).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", level=1, name="Week")).to_be_visible()


def test_an_answer_that_is_cut_off_is_none(window: Window) -> None:
    window.go()
    fault = window.evaluate_module(
        "base.js",
        """(m) => m.decoded(new Response(new ReadableStream({ pull: (to) => to.error(new TypeError("cut")) })))
            .catch((fault) => [fault instanceof m.Fault, fault.message])""",
    )
    assert fault == [True, "the daemon does not answer"]


def test_a_bug_in_what_is_read_again_is_told(window: Window) -> None:
    window.go()
    window.evaluate_module(
        "base.js",
        """(m) => new Promise((done) => {
            const read = async () => { throw new RangeError("a bug"); };
            m.reader(read, { signal: new AbortController().signal, onFault: done }).want();
        })""",
    )
    assert [fault.split("\n")[0] for fault in window.faults] == ["a bug"]
    window.faults.clear()
