"""The list of jobs: searched, sorted and paged by the server, alive, and worked on one by one or many at once."""

import re
import shlex
import subprocess
import time

import pytest
from daemon_process import API
from playwright.sync_api import Page, Request, Route, expect

from .joblist import listed, make_many, names, row
from .window import Window

pytestmark = pytest.mark.slow


def asked_for(page: Page, part: str) -> list[Request]:
    """Requests from now on whose address has this in it."""
    found: list[Request] = []

    def note(request: Request) -> None:
        if part in request.url:
            found.append(request)

    page.on("request", note)
    return found


# What is shown.


def test_a_row_tells_what_there_is_to_tell(window: Window) -> None:
    kala = window.kala
    job = kala.create(
        name="backup", owner="ops", labels={"team": "db"}, schedule="30 2 * * MON", time_zone="Europe/Berlin"
    )
    kala.post(f"{API}/job/start/{job}/")
    page = listed(window)
    it = row(page, "backup")
    expect(it).to_contain_text("at 02:30 on Monday, Europe/Berlin")
    expect(it.locator(".when")).to_have_attribute("title", "30 2 * * MON Europe/Berlin")
    expect(it.get_by_role("img", name="Last 1 runs: 1 succeeded")).to_be_visible()
    expect(it.locator(".now")).to_have_text("active")
    expect(it.locator(".next time")).to_have_text(re.compile(r"^in \d"))
    expect(it.get_by_role("link", name="backup", exact=True)).to_have_attribute("href", f"?view=job&id={job}")
    expect(it.get_by_role("link", name="Edit backup")).to_have_attribute("href", f"?view=edit&id={job}")
    expect(page.get_by_text("1 job", exact=True)).to_be_visible()


def test_what_jobs_are_called_is_text_and_breaks_nothing(window: Window) -> None:
    nasty = "<img src=x onerror=window.pwned=1>"
    window.kala.create(name=nasty, owner=nasty, labels={"n" * 60: "v" * 60}, command="x" * 100_000)
    window.kala.create(name="n" * 1024, owner="o" * 300)
    page = listed(window)
    expect(row(page, nasty)).to_be_visible()
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate("window.pwned") is None
    assert page.locator(".jobs img").count() == 0


def test_without_jobs_it_says_what_to_do_and_that_works(window: Window) -> None:
    page = listed(window)
    expect(page.get_by_text("There is no job yet")).to_be_visible()
    line = page.locator(".empty pre").text_content() or ""
    subprocess.run(shlex.split(line), check=True, capture_output=True, timeout=30)
    expect(row(page, "hello")).to_be_visible()  # with nothing to jump, it is shown by itself
    expect(page.locator(".empty")).to_be_hidden()


def test_where_nothing_matches_the_filters_can_be_cleared(window: Window) -> None:
    window.kala.create(name="there")
    page = listed(window, q="nothing like it", state="failing", sort="name")
    expect(page.get_by_text("No job matches")).to_be_visible()
    page.get_by_role("link", name="Clear the filters").click()
    expect(row(page, "there")).to_be_visible()
    expect(page).to_have_url(window.url("jobs", sort="name"))
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_what_cannot_be_read_is_told_in_place(window: Window) -> None:
    window.kala.create(name="there")
    page = listed(window, sort="nonsense")
    expect(page.get_by_role("alert")).to_contain_text("The jobs cannot be read")
    page.get_by_role("combobox", name="Order").select_option("name")
    expect(row(page, "there")).to_be_visible()
    expect(page.locator(".fault")).to_be_empty()


# Search, filters, order, pages.


def test_typing_searches_at_the_server_and_is_no_step_back(window: Window) -> None:
    make_many(window.kala, 120)
    page = listed(window)
    page.get_by_role("searchbox", name="Search jobs").press_sequentially("job 11")
    expect(page.locator("tbody tr")).to_have_count(10)
    expect(page).to_have_url(window.url("jobs", q="job 11"))
    expect(page.get_by_text("10 jobs", exact=True)).to_be_visible()
    expect(page.get_by_role("searchbox", name="Search jobs")).to_be_focused()
    page.go_back()
    assert page.url == "about:blank"


def test_an_answer_that_comes_late_does_not_replace_a_newer_one(window: Window) -> None:
    window.kala.create(name="first")
    window.kala.create(name="second")
    page = listed(window, q="nothing")
    held: list[Route] = []
    page.route(re.compile(r"q=fir(&|$)"), lambda route: held.append(route))
    search = page.get_by_role("searchbox", name="Search jobs")
    search.fill("fir")
    window.kala.wait_for(lambda: page.evaluate("true") and held)  # asking lets playwright see what has come
    search.fill("second")
    page.evaluate(
        """() => {
            window.seen = [];
            const titles = () => [...document.querySelectorAll("tbody .title")];
            const note = () => window.seen.push(...titles().map((one) => one.textContent));
            new MutationObserver(note).observe(document.querySelector("tbody"), { childList: true });
        }"""
    )
    held[0].continue_()
    expect(row(page, "second")).to_be_visible()
    assert set(page.evaluate("window.seen")) == {"second"}


def test_pages_go_forward_and_back_also_by_the_browser(window: Window) -> None:
    make_many(window.kala, 120)
    page = listed(window, sort="name")
    first = page.locator("tbody .title").first
    expect(first).to_have_text("job 000")
    expect(page.locator("tbody tr")).to_have_count(50)
    expect(page.get_by_role("link", name="First page")).to_be_hidden()
    pages = page.get_by_role("navigation", name="Pages")
    pages.get_by_role("link", name="Next").click()
    expect(first).to_have_text("job 050")
    pages.get_by_role("link", name="Next").click()
    expect(first).to_have_text("job 100")
    expect(page.locator("tbody tr")).to_have_count(20)
    expect(pages.get_by_role("link", name="Next")).to_be_hidden()
    third = page.url
    page.go_back()
    expect(first).to_have_text("job 050")
    page.goto(third)
    expect(first).to_have_text("job 100")
    pages.get_by_role("link", name="First page").click()
    expect(first).to_have_text("job 000")
    expect(page).to_have_url(window.url("jobs", sort="name"))


def test_headings_sort_and_say_so(window: Window) -> None:
    for name in ("b", "c", "a"):
        window.kala.create(name=name)
    page = listed(window)
    heading = page.get_by_role("columnheader", name="Name")
    expect(heading).to_have_attribute("aria-sort", "none")
    for order, shown in (("ascending", "abc"), ("descending", "cba"), ("none", "bca")):
        heading.get_by_role("button").click()
        expect(heading).to_have_attribute("aria-sort", order)
        for place, name in enumerate(shown):
            expect(page.locator("tbody .title").nth(place)).to_have_text(name)
    page.get_by_role("columnheader", name="Owner").get_by_role("button").click()
    expect(page).to_have_url(window.url("jobs", sort="owner"))


def test_labels_and_owners_of_rows_filter_and_states_by_buttons(window: Window) -> None:
    kala = window.kala
    kala.create(name="one", owner="ann", labels={"team": "web", "tier": "1"})
    kala.create(name="two", owner="ann", labels={"team": "web"})
    kala.create(name="three", owner="bob", labels={"team": "db"})
    page = listed(window)
    row(page, "one").get_by_role("button", name="ann").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    row(page, "one").get_by_role("button", name="team=web").click()
    row(page, "one").get_by_role("button", name="tier=1").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"owner=ann&label=team%3Dweb&label=tier%3D1"))
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="No longer only label tier=1").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="No longer only owner ann").click()
    page.get_by_role("button", name="No longer only label team=web").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    row(page, "two").get_by_role("button", name="Disable").click()
    expect(row(page, "two").locator(".now")).to_have_text("disabled")
    page.get_by_role("button", name="disabled", exact=True).click()
    expect(page.get_by_role("button", name="disabled", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="active", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(3)
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(1)


# Live.


def test_runs_are_seen_as_they_come_and_go(window: Window) -> None:
    job = window.kala.create(name="slow", command="sleep 600")
    page = listed(window)
    started = window.kala.post(f"{API}/job/start/{job}/?wait=false").json["id"]
    on = row(page, "slow").locator(".now a")
    expect(on).to_contain_text("running")
    expect(on).to_have_attribute("href", f"?view=run&id={started}")
    window.kala.post(f"{API}/run/{started}/cancel/")
    expect(row(page, "slow").get_by_role("img", name="Last 1 runs: 1 cancelled")).to_be_visible()
    expect(row(page, "slow").locator(".now")).to_have_text("active")


def test_an_event_shows_before_anything_is_read(window: Window) -> None:
    job = window.kala.create(name="quick")
    page = listed(window)
    expect(row(page, "quick")).to_be_visible()
    page.route(re.compile(r"[?&]id="), lambda route: route.abort())
    window.kala.post(f"{API}/job/start/{job}/")
    expect(row(page, "quick").get_by_role("img", name="Last 1 runs: 1 succeeded")).to_be_visible()


def test_many_events_are_read_once_a_second(window: Window) -> None:
    jobs = make_many(window.kala, 10)
    page = listed(window)
    expect(page.locator("tbody tr")).to_have_count(10)
    asked, begun = asked_for(page, "&id="), time.monotonic()
    for _ in range(12):
        for job in jobs:
            window.kala.post(f"{API}/job/start/{job}/")
    for name in ("job 000", "job 009"):
        expect(row(page, name).get_by_role("img", name="Last 12 runs: 12 succeeded")).to_be_visible()
    assert 1 <= len(asked) <= time.monotonic() - begun + 2


def test_other_jobs_are_told_and_rows_stay_where_they_are(window: Window) -> None:
    make_many(window.kala, 60)
    page = listed(window, sort="-created")
    expect(page.locator("tbody tr")).to_have_count(50)
    before = names(page)
    for name in ("new a", "new b", "new c"):
        window.kala.create(name=name)
    line = page.get_by_role("button", name="3 new jobs: show")
    expect(line).to_be_visible()
    expect(page.get_by_text("63 jobs", exact=True)).to_be_visible()
    assert names(page) == before
    line.click()
    expect(page.locator("tbody .title").first).to_have_text("new c")
    expect(line).to_be_hidden()


def test_new_jobs_that_do_not_match_are_not_told(window: Window) -> None:
    window.kala.create(name="wanted 1")
    page = listed(window, q="wanted")
    expect(row(page, "wanted 1")).to_be_visible()
    window.kala.create(name="another")
    window.kala.create(name="wanted 2")
    expect(page.get_by_role("button", name="1 new job: show")).to_be_visible(timeout=15_000)


def test_a_job_deleted_elsewhere_says_so_and_goes_with_the_next_reading(window: Window) -> None:
    job = window.kala.create(name="doomed")
    window.kala.create(name="stays")
    page = listed(window)
    expect(row(page, "doomed")).to_be_visible()
    with page.expect_response(lambda response: "&id=" in response.url):  # what is read of it says the same as the event
        window.kala.delete(f"{API}/job/{job}/")
    expect(page.get_by_text("1 job", exact=True)).to_be_visible()
    expect(row(page, "doomed").locator(".now")).to_have_text("deleted")
    expect(row(page, "doomed").get_by_role("button", name="Start doomed")).to_be_disabled()
    page.get_by_role("columnheader", name="Name").get_by_role("button").click()
    expect(row(page, "doomed")).to_have_count(0)
    expect(row(page, "stays")).to_be_visible()


def test_leaving_it_leaves_nothing_behind(window: Window) -> None:
    job = window.kala.create(name="one")
    page = listed(window)
    expect(row(page, "one")).to_be_visible()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Week").click()
    expect(page.locator(".view.jobs")).to_have_count(0)
    asked = asked_for(page, f"{API}/job/?")
    window.note_events()
    window.kala.post(f"{API}/job/start/{job}/")
    window.wait_true("window.heard.some((one) => one.type === 'run.finished')")
    page.wait_for_timeout(1_200)  # the list would be read a second after the time before at the latest
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).not_to_contain_text("Start the row's job")
    assert asked == []
