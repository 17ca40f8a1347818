"""The week to come: how much there is in each hour, and which jobs they are."""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from daemon_process import API, KalaProcess
from playwright.sync_api import Locator, Page, Request, Route, expect

from .window import Window

pytestmark = pytest.mark.slow

BERLIN = ZoneInfo("Europe/Berlin")  # where windows are
UTC = ZoneInfo("UTC")


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quiet_week() -> datetime:
    """When a week begins in which Berlin's clock does not change: to come, also when a day ends while tests run."""
    day = datetime.now(BERLIN).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    while day.utcoffset() != (day + timedelta(days=8)).utcoffset():
        day += timedelta(days=1)
    return day


DAY = quiet_week()


def clock_change(hours: int) -> datetime:
    """The next day, from tomorrow on, that is so much shorter or longer by Berlin's clock."""
    day = datetime.now(BERLIN).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while (day + timedelta(days=1)).astimezone(UTC) - day.astimezone(UTC) != timedelta(hours=24 + hours):
        day += timedelta(days=1)
    return day


def on_day(hour: int = 0) -> datetime:
    """That hour of the first day of the week that is shown."""
    return DAY.replace(hour=hour)


def week(window: Window, **params: str) -> Page:
    return window.go("week", since=instant(DAY), **params)


def cells(page: Page) -> Locator:
    return page.get_by_role("grid").get_by_role("gridcell")


def cell_at(page: Page, moment: datetime) -> Locator:
    """The cell of an hour of Berlin's clock."""
    name = f"{moment:%a, %b} {moment.day}, {moment:%H}:00–"
    return page.get_by_role("gridcell", name=re.compile(re.escape(name)))


def make_daily(kala: KalaProcess, count: int, at: datetime, name: str = "daily") -> None:
    """Jobs at this time of Berlin's day, every day."""
    schedule = f"{at.minute} {at.hour} * * *"
    jobs = [
        {"name": f"{name} {number:03}", "command": "true", "schedule": schedule, "time_zone": "Europe/Berlin"}
        for number in range(count)
    ]
    answer, _ = kala.request("POST", f"{API}/job/batch/", json.dumps(jobs).encode())
    assert answer.status == 200


def test_every_cell_has_what_the_server_counts_for_its_hour(window: Window) -> None:
    kala = window.kala
    make_daily(kala, 12, on_day(14), "at two")
    kala.create(name="often", schedule="*/20 * * * *")
    page = week(window)
    since = on_day()
    counts = kala.get(f"{API}/schedule/load/?since={instant(since)}&days=1").json["counts"]
    for hour in range(24):
        count = sum(counts[hour * 60 : hour * 60 + 60])
        assert count == (15 if hour == 14 else 3)
        cell = cell_at(page, since.replace(hour=hour))
        expect(cell).to_have_text(str(count))
        expect(cell).to_have_attribute("aria-label", re.compile(f": {count} occurrences"))
    full = cell_at(page, since.replace(hour=14))
    expect(full).to_have_attribute("aria-label", re.compile("15 occurrences, 13 of them at 14:00"))
    expect(full.locator(".peak")).to_have_count(1)
    expect(full).to_have_attribute("data-level", "5")
    expect(cell_at(page, since.replace(hour=13))).to_have_attribute("data-level", "1")
    expect(page.locator(".below li").first).to_have_text(re.compile("14:00.*13$"))


def test_an_hour_opens_by_keyboard_and_the_address_keeps_it(window: Window) -> None:
    make_daily(window.kala, 3, on_day(14))
    page = week(window)
    cell = cell_at(page, on_day(14))
    cell.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("region", name="The hour that is open")
    expect(panel.get_by_role("heading")).to_have_text(re.compile("14:00–15:00$"))
    expect(panel.get_by_role("status")).to_have_text("3 occurrences of 3 jobs.")
    expect(cell).to_be_focused()
    expect(cell).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(window.url("week", since=instant(DAY), cell=instant(on_day(14))))
    page.reload()
    expect(panel.get_by_role("row")).to_have_count(4)
    link = panel.get_by_role("link", name="daily 001")
    job = next(job for job, it in window.kala.jobs().items() if it["name"] == "daily 001")
    expect(link).to_have_attribute("href", f"?view=job&id={job}")
    panel.get_by_role("link", name="Close").click()
    expect(panel).to_be_hidden()
    page.go_back()
    expect(panel).to_be_visible()


def test_a_long_list_comes_in_pages(window: Window) -> None:
    make_daily(window.kala, 130, on_day(14))
    page = week(window, cell=instant(on_day(14)))
    panel = page.get_by_role("region", name="The hour that is open")
    expect(panel.locator("tbody tr")).to_have_count(100)
    panel.get_by_role("button", name="More").click()
    expect(panel.locator("tbody tr")).to_have_count(130)
    expect(panel.get_by_role("button", name="More")).to_be_hidden()
    expect(panel.get_by_role("status")).to_have_text("130 occurrences of 130 jobs.")


@pytest.mark.parametrize("held", ["the further page", "what is shown"])
def test_a_further_page_comes_while_what_is_shown_is_read_again(window: Window, held: str) -> None:
    make_daily(window.kala, 130, on_day(14))
    page = week(window, cell=instant(on_day(14)))
    rows = page.get_by_role("region", name="The hour that is open").locator("tbody tr")
    expect(rows).to_have_count(100)
    routes: list[Route] = []
    wanted = {"the further page": "after=", "what is shown": "limit=100$"}[held]
    page.route(re.compile(f"/schedule/due/.*{wanted}"), lambda route: routes.append(route), times=1)

    def read_again() -> None:
        page.set_viewport_size({"width": 500, "height": 860})  # which draws it anew

    def holding() -> bool:
        page.evaluate("1")  # by which playwright sees what has come
        return len(routes) > 0

    if held == "the further page":
        page.get_by_role("button", name="More").click()
        window.kala.wait_for(holding)
        with page.expect_response(re.compile("/schedule/due/.*limit=100$")):
            read_again()
        routes[0].continue_()
        expect(rows).to_have_count(130)
    else:
        read_again()
        window.kala.wait_for(holding)
        page.get_by_role("button", name="More").click()
        expect(rows).to_have_count(130)
        with page.expect_response(re.compile("/schedule/due/.*limit=130$")):
            routes[0].continue_()
        expect(rows).to_have_count(130)


def test_a_crowded_minute_shows_its_own_jobs(window: Window) -> None:
    make_daily(window.kala, 6, on_day(14).replace(minute=30), "thirty")
    window.kala.create(name="other", schedule="5 14 * * *", time_zone="Europe/Berlin")
    page = week(window)
    name = f"{on_day():%a, %b} {on_day().day}, 14:30"
    page.get_by_role("link", name=name).click()
    panel = page.get_by_role("region", name="The hour that is open")
    expect(panel.locator("tbody tr")).to_have_count(6)
    expect(panel.get_by_role("status")).to_contain_text("6 occurrences of 6 jobs at 14:30.")
    panel.get_by_role("link", name="The whole hour").click()
    expect(panel.locator("tbody tr")).to_have_count(7)
    expect(panel.get_by_role("application")).to_have_attribute("aria-label", re.compile("occurrences 7"))


def test_the_grid_has_one_tab_stop_and_arrows_move_in_it(window: Window) -> None:
    window.kala.create(name="often", schedule="0 * * * *")
    page = week(window)
    start = on_day(10) + timedelta(days=1)
    expect(cell_at(page, start)).to_be_visible()
    assert page.locator("[role=gridcell][tabindex='0']").count() == 1
    cell_at(page, start).click()
    page.keyboard.press("ArrowRight")
    expect(cell_at(page, start.replace(hour=11))).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(cell_at(page, start.replace(hour=11) + timedelta(days=1))).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    expect(cell_at(page, start.replace(hour=0))).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(cell_at(page, start.replace(hour=0))).to_be_focused()
    page.keyboard.press("End")
    expect(cell_at(page, start.replace(hour=23))).to_be_focused()
    page.keyboard.press("Control+Home")
    expect(cell_at(page, on_day())).to_be_focused()
    assert page.locator("[role=gridcell][tabindex='0']").count() == 1


def test_other_weeks_are_links_and_go_back(window: Window) -> None:
    window.kala.create(name="often", schedule="0 * * * *")
    page = window.go("week")
    soon = datetime.now(BERLIN).replace(hour=3) + timedelta(days=2)  # also in this week when a day ends meanwhile
    expect(cells(page).first).to_be_visible()
    expect(page.get_by_role("link", name="Previous week")).to_be_hidden()
    page.keyboard.press("]")
    expect(cell_at(page, soon + timedelta(days=7))).to_be_visible()
    expect(page).to_have_url(re.compile("since="))
    page.get_by_role("link", name="Previous week").click()
    expect(cell_at(page, soon)).to_be_visible()
    page.go_back()
    page.go_back()
    expect(page).to_have_url(window.url("week"))
    expect(page.get_by_role("link", name="From today")).to_be_hidden()


def test_the_days_when_the_clock_changes_are_told(window: Window) -> None:
    window.kala.create(name="often", schedule="0 * * * *")
    spring, autumn = clock_change(-1), clock_change(1)
    page = window.go("week", since=instant(spring - timedelta(days=6)))  # more than a year from now is refused
    text = f"On Sun, Mar {spring.day} the clock goes forward: there is no 02:00."
    expect(page.get_by_text(text)).to_be_visible()
    expect(page.locator("td.out")).to_have_text(["no such hour"])
    page.goto(window.url("week", since=instant(autumn.replace(hour=12, minute=30) - timedelta(days=6))))
    text = f"On Sun, Oct {autumn.day} the clock goes back: the hour from 02:00 comes twice."
    expect(page.get_by_text(text)).to_be_visible()
    assert page.locator("th[role=columnheader]").all_text_contents().count("02 again") == 1
    expect(page.get_by_text("forward")).to_have_count(0)


def test_it_is_read_again_when_jobs_change_but_not_for_each(window: Window) -> None:
    window.kala.create(name="often", schedule="0 * * * *")
    page = week(window)
    cell = cell_at(page, on_day(14))
    expect(cell).to_have_text("1")
    asked: list[Request] = []
    page.on("request", lambda request: "/load/" in request.url and asked.append(request))
    make_daily(window.kala, 20, on_day(14))
    for number in range(20):
        window.kala.create(name=f"more {number}", schedule="0 * * * *")
    expect(cell).to_have_text("41", timeout=25_000)
    assert 1 <= len(asked) <= 3


def test_where_nothing_comes_it_says_what_to_do(window: Window) -> None:
    window.kala.create(name="far away")
    page = window.go("week")
    expect(page.get_by_text("Nothing comes in these days")).to_be_visible()
    expect(page.get_by_role("grid")).to_be_hidden()
    expect(page.locator(".empty pre")).to_contain_text(f"curl {window.kala.url}/api/v1/job/ -d")


def test_what_is_no_time_in_the_address_is_told(window: Window) -> None:
    page = window.go("week", since="yesterday", cell="<b>")
    expect(page.get_by_text("In the address since and cell is no time")).to_be_visible()


def test_what_cannot_be_read_is_told_and_tried_again(window: Window) -> None:
    window.kala.create(name="often", schedule="0 * * * *")
    page = window.page
    page.route("**/schedule/load/**", lambda route: route.fulfill(status=503, json={"error": "not now"}))
    week(window)
    expect(page.get_by_role("alert")).to_contain_text("What comes cannot be read: not now")
    page.unroute("**/schedule/load/**")
    page.get_by_role("button", name="Try again").click()
    expect(cell_at(page, on_day(14))).to_have_text("1")
    expect(page.locator(".fault")).to_be_empty()


def test_on_a_phone_hours_go_down(open_window: Callable[..., Window], kala: KalaProcess) -> None:
    make_daily(kala, 2, on_day(14))
    window = open_window(kala, viewport={"width": 360, "height": 700})
    page = week(window)
    expect(page.get_by_role("rowheader")).to_have_count(24)
    expect(page.get_by_role("columnheader")).to_have_count(8)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    cell_at(page, on_day(14)).click()
    page.keyboard.press("ArrowDown")
    expect(cell_at(page, on_day(15))).to_be_focused()
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(page.get_by_role("rowheader")).to_have_count(7)


def test_everybody_can_use_it(window: Window, check_accessible: Callable[[Window], None]) -> None:
    make_daily(window.kala, 9, on_day(14))
    make_daily(window.kala, 3, on_day(9))
    window.kala.create(name="often", schedule="0 * * * *")
    page = week(window, cell=instant(on_day(14)))
    expect(page.get_by_role("region", name="The hour that is open").get_by_role("row")).to_have_count(11)
    check_accessible(window)
