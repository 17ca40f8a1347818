"""The list of jobs: worked on one by one or many at once, by keyboard, by everybody, on a phone."""

import re
from collections.abc import Callable

import pytest
from daemon_process import API, KalaProcess
from playwright.sync_api import Locator, Page, expect

from .joblist import listed, make_many, row
from .window import Window

pytestmark = pytest.mark.slow


def selected(page: Page) -> Locator:
    return page.get_by_role("group", name="With the selected jobs")


# One job.


def test_a_row_starts_disables_and_enables(window: Window) -> None:
    job = window.kala.create(name="one")
    page = listed(window)
    page.get_by_role("button", name="Start one").click()
    expect(row(page, "one").get_by_role("img", name="1 succeeded")).to_be_visible()
    page.get_by_role("button", name="Disable one").click()
    expect(page.get_by_role("button", name="Enable one")).to_be_visible()
    expect(page.get_by_role("button", name="Start one")).to_be_disabled()
    assert window.kala.job(job)["disabled"] is True
    page.get_by_role("button", name="Enable one").click()
    expect(page.get_by_role("button", name="Start one")).to_be_enabled()
    assert window.kala.job(job)["disabled"] is False


def test_deleting_asks_and_tells_of_children(window: Window) -> None:
    parent = window.kala.create(name="parent")
    window.kala.create(name="child", schedule="", parent_jobs=[parent])
    page = listed(window)
    page.get_by_role("button", name="Delete parent").click()
    asked = page.get_by_role("dialog", name="Delete parent?")
    expect(asked).to_contain_text("After it: 1 job")
    expect(asked).to_contain_text("no other parent")
    asked.get_by_role("button", name="Cancel").click()
    expect(asked).to_have_count(0)
    assert len(window.kala.jobs()) == 2
    page.get_by_role("button", name="Delete parent").click()
    asked.get_by_role("button", name="Delete").click()
    expect(row(page, "child").locator(".now")).to_have_text("deleted")
    assert window.kala.jobs() == {}


# Many.


def test_a_range_is_selected_with_shift_and_all_of_the_page_at_once(window: Window) -> None:
    make_many(window.kala, 60)
    page = listed(window, sort="name")
    page.get_by_role("checkbox", name="Select job 002").click()
    page.get_by_role("checkbox", name="Select job 006").click(modifiers=["Shift"])
    expect(selected(page)).to_contain_text("5 selected")
    page.get_by_role("checkbox", name="Select job 004").click()
    expect(selected(page)).to_contain_text("4 selected")
    every = page.get_by_role("checkbox", name="Select all on this page")
    assert every.evaluate("one => one.indeterminate")
    every.click()
    expect(selected(page)).to_contain_text("50 selected")
    selected(page).get_by_role("button", name="Select none").click()
    expect(selected(page)).to_be_hidden()
    every.click()
    page.get_by_role("link", name="Next").click()
    expect(page.locator("tbody .title").first).to_have_text("job 050")
    expect(selected(page)).to_be_hidden()  # what is not seen is not worked on


def test_what_failed_of_many_is_told_and_stays_selected(window: Window) -> None:
    make_many(window.kala, 9)
    off = window.kala.create(name="off")
    window.kala.post(f"{API}/job/disable/{off}/")
    page = listed(window)
    page.get_by_role("checkbox", name="Select all on this page").click()
    selected(page).get_by_role("button", name="Start").click()
    told = page.locator("#notices").get_by_role("alert")
    expect(told).to_contain_text(re.compile(r"Started 9 of 10 jobs\. 1 failed: off: .*disabled"))
    expect(selected(page)).to_contain_text("1 selected")
    for number in (0, 8):
        expect(row(page, f"job {number:03}").get_by_role("img", name="1 succeeded")).to_be_visible()
    expect(row(page, "off").get_by_role("img")).to_have_count(0)


def test_many_are_disabled_enabled_and_deleted(window: Window) -> None:
    make_many(window.kala, 20)
    parent = window.kala.create(name="parent")
    window.kala.create(name="child", schedule="", parent_jobs=[parent])
    page = listed(window)
    every = page.get_by_role("checkbox", name="Select all on this page")
    for verb, told, is_disabled in (("Disable", "Disabled", True), ("Enable", "Enabled", False)):
        every.click()
        selected(page).get_by_role("button", name=verb).click()
        expect(page.locator("#notices")).to_contain_text(f"{told} 22 of 22 jobs.")
        assert {job["disabled"] for job in window.kala.jobs().values()} == {is_disabled}
    every.click()
    selected(page).get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete 22 jobs?").get_by_role("button", name="Delete 22 jobs").click()
    # the child may go with its parent before it is asked for
    expect(page.locator("#notices")).to_contain_text("Deleted 22 of 22 jobs.")
    expect(page.locator("#notices").get_by_role("alert")).to_have_count(0)
    assert window.kala.jobs() == {}


def test_some_are_worked_on_at_a_time(window: Window) -> None:
    window.go("jobs")
    most, done, failed = window.evaluate_module(
        "parts/jobacts.js",
        """async (m) => {
            let [on, most, last] = [0, 0, 0];
            const failed = await m.each([...Array(30).keys()].map((id) => ({ id })), async ({ id }) => {
                on += 1;
                most = Math.max(most, on);
                await new Promise((done) => setTimeout(done, 1));
                on -= 1;
                if (id % 10 === 3) throw new Error(`no ${id}`);
            }, (done) => { last = done; });
            return [most, last, failed.map(({ item, error }) => `${item.id}: ${error.message}`)];
        }""",
    )
    assert (most, done, sorted(failed)) == (6, 30, ["13: no 13", "23: no 23", "3: no 3"])


# By keyboard, for everybody, everywhere.


def test_everything_by_keyboard(window: Window) -> None:
    jobs = make_many(window.kala, 3)
    page = listed(window)
    expect(page.locator("tbody tr")).to_have_count(3)
    links = [page.get_by_role("link", name=f"job {number:03}", exact=True) for number in range(3)]
    page.keyboard.press("j")
    expect(links[0]).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(links[2]).to_be_focused()
    page.keyboard.press("k")
    expect(links[1]).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_role("checkbox", name="Select job 001")).to_be_checked()
    page.keyboard.press("s")
    expect(row(page, "job 001").get_by_role("img", name="1 succeeded")).to_be_visible()
    expect(links[1]).to_be_focused()  # through all that has been read
    page.keyboard.press("Delete")
    expect(page.get_by_role("dialog", name="Delete job 001?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search jobs")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(links[0]).to_be_focused()
    page.keyboard.press("e")
    expect(page).to_have_url(window.url("edit", id=jobs[0]))
    page.go_back()
    expect(links[0]).to_be_visible()
    page.keyboard.press("j")
    expect(links[0]).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(window.url("job", id=jobs[0]))


def test_everybody_can_use_it(window: Window, check_accessible: Callable[[Window], None]) -> None:
    kala = window.kala
    listed(window)
    expect(window.page.get_by_text("There is no job yet")).to_be_visible()
    check_accessible(window)
    off = kala.create(name="off", owner="ann", labels={"team": "web"})
    kala.post(f"{API}/job/disable/{off}/")
    fails = kala.create(name="fails", command="exit 3", owner="bob", labels={"team": "db"})
    kala.post(f"{API}/job/start/{fails}/")
    slow = kala.create(name="slow", command="sleep 600")
    on = kala.post(f"{API}/job/start/{slow}/?wait=false").json["id"]
    doomed = kala.create(name="doomed")
    page = listed(window, state="active,disabled,failing")
    expect(row(page, "slow").locator(".now")).to_contain_text("running")
    kala.delete(f"{API}/job/{doomed}/")
    expect(row(page, "doomed").locator(".now")).to_have_text("deleted")
    page.get_by_role("checkbox", name="Select off").click()
    check_accessible(window)
    kala.post(f"{API}/run/{on}/cancel/")  # or the daemon would wait for it


def test_on_a_phone_rows_become_lines(open_window: Callable[..., Window], kala: KalaProcess) -> None:
    kala.create(name="one", owner="ann", labels={"team": "web"})
    window = open_window(kala, viewport={"width": 360, "height": 700}, has_touch=True)
    page = listed(window)
    page.get_by_role("button", name="Start one").tap()
    expect(row(page, "one").get_by_role("img", name="1 succeeded")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    box = row(page, "one").bounding_box()
    assert box is not None
    assert box["width"] <= 360
