"""The schedule builder: choices to text and back, and what the server says comes of it."""

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from daemon_process import API, KalaProcess
from playwright.sync_api import Page, expect

from .window import Window

pytestmark = pytest.mark.slow

START = "2030-01-31T08:00:00"
AS_CHOICES: list[tuple[str, dict[str, Any]]] = [
    ("", {"mode": "now"}),
    (f"R0/{START}Z/", {"mode": "at", "start": START, "clock": "utc"}),
    (f"R0/{START}/", {"mode": "at", "start": START, "clock": "job"}),
    (f"R0/{START}+01:00/", {"mode": "at", "start": START, "clock": "mine"}),  # tests look from Berlin
    ("R0/2030-07-31T08:00:00+02:00/", {"mode": "at", "start": "2030-07-31T08:00:00", "clock": "mine"}),
    *(
        (
            f"R/{START}Z/{interval}",
            {"mode": "every", "start": START, "clock": "utc", "count": count, "unit": unit, "times": ""},
        )
        for interval, count, unit in [
            ("PT30S", "30", "PT#S"),
            ("PT0.5S", "0.5", "PT#S"),
            ("PT15M", "15", "PT#M"),
            ("PT1H", "1", "PT#H"),
            ("P1D", "1", "P#D"),
            ("P2W", "2", "P#W"),
            ("P3M", "3", "P#M"),
            ("P1Y", "1", "P#Y"),
        ]
    ),
    # Rn repeats n times after the first
    (
        f"R5/{START}/P1D",
        {"mode": "every", "start": START, "clock": "job", "count": "1", "unit": "P#D", "times": "6"},
    ),
    (
        f"R0/{START}/P1D",
        {"mode": "every", "start": START, "clock": "job", "count": "1", "unit": "P#D", "times": "1"},
    ),
    (
        f"R9007199254740993/{START}Z/P1D",  # no number of JavaScript's
        {"mode": "every", "start": START, "clock": "utc", "count": "1", "unit": "P#D", "times": "9007199254740994"},
    ),
    ("30 8 * * mon-fri", {"mode": "cron"}),
    ("*/10 * * * * *", {"mode": "cron"}),
    ("0 12 * * fri#2", {"mode": "cron"}),
    ("@hourly", {"mode": "cron"}),
]
ALONE = [
    f"R/{START}Z/P1DT12H",
    f"R/{START}Z/P1M2D",
    f"R/{START}.25Z/P1D",
    f"R/{START}+05:30/P1D",  # of neither zone
    f"R/{START}[Europe/Berlin]/P1D",
    f"R05/{START}Z/P1D",
    f"R3/{START}Z/",
    f"R/{START}Z/",
    "R/2030-01-31/P1D",
    "R/",
    "0 8 * *",
    "hello",
]


def test_text_and_choices_are_one(window: Window) -> None:
    window.go("edit")
    texts = [text for text, _ in AS_CHOICES]
    read = window.evaluate_module("parts/builder.js", "(m, texts) => texts.map(m.parse)", texts)
    assert dict(zip(texts, read, strict=True)) == dict(AS_CHOICES)
    timed = [(text, choices) for text, choices in AS_CHOICES if "start" in choices]
    written = window.evaluate_module("parts/builder.js", "(m, all) => all.map(m.write)", [one for _, one in timed])
    assert written == [text for text, _ in timed]


def test_what_choices_cannot_express_is_left_alone(window: Window) -> None:
    window.go("edit")
    modes = window.evaluate_module("parts/builder.js", "(m, texts) => texts.map((text) => m.parse(text).mode)", ALONE)
    assert dict(zip(ALONE, modes, strict=True)) == dict.fromkeys(ALONE, "free")


def schedule(page: Page) -> Any:
    return page.get_by_label("Schedule", exact=True)


def mode(page: Page) -> Any:
    return page.get_by_role("combobox", name="Runs", exact=True)


def test_choosing_writes_the_text(window: Window) -> None:
    page = window.go("edit")
    mode(page).select_option("every")
    expect(schedule(page)).to_have_value(re.compile(r"^R/\d{4}-\d\d-\d\dT\d\d:00:00/P1D$"))
    page.get_by_label("Start", exact=True).fill("2030-01-31T08:00")
    page.get_by_label("Every so many").fill("2")
    page.get_by_label("Unit").select_option("weeks")
    page.get_by_label("By whose clock").select_option("mine")
    expect(schedule(page)).to_have_value("R/2030-01-31T08:00:00+01:00/P2W")
    page.get_by_label("How many times").fill("6")
    expect(schedule(page)).to_have_value("R5/2030-01-31T08:00:00+01:00/P2W")
    mode(page).select_option("at")
    expect(schedule(page)).to_have_value("R0/2030-01-31T08:00:00+01:00/")
    mode(page).select_option("cron")
    expect(schedule(page)).to_have_value("0 8 * * *")
    mode(page).select_option("now")
    expect(schedule(page)).to_have_value("")


def test_typing_moves_the_choices(window: Window) -> None:
    page = window.go("edit")
    schedule(page).fill("R5/2030-01-31T08:00:00Z/PT15M")
    expect(mode(page)).to_have_value("every")
    expect(page.get_by_label("Every so many")).to_have_value("15")
    expect(page.get_by_label("Unit")).to_have_value("PT#M")
    expect(page.get_by_label("Start", exact=True)).to_have_value(re.compile("2030-01-31T08:00"))
    expect(page.get_by_label("By whose clock")).to_have_value("utc")
    expect(page.get_by_label("How many times")).to_have_value("6")
    schedule(page).fill("30 8 * * 1")
    expect(mode(page)).to_have_value("cron")
    schedule(page).fill("R/2030-01-31T08:00:00Z/P1DT1H")
    expect(mode(page)).to_have_value("free")
    expect(schedule(page)).to_have_value("R/2030-01-31T08:00:00Z/P1DT1H")


def test_a_choice_that_is_none_is_a_fault_of_the_schedule(window: Window) -> None:
    page = window.go("edit")
    schedule(page).fill("R5/2030-01-31T08:00:00Z/PT15M")
    page.get_by_label("How many times").fill("few")
    expect(page.locator("[data-path=schedule] .fault")).to_contain_text("must be R, or R and a number")
    expect(schedule(page)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("How many times").fill("3")
    expect(page.locator("[data-path=schedule] .fault")).to_be_hidden()
    expect(schedule(page)).to_have_value("R2/2030-01-31T08:00:00Z/PT15M")
    page.get_by_label("How many times").fill("")
    expect(schedule(page)).to_have_value("R/2030-01-31T08:00:00Z/PT15M")


def test_what_comes_is_told_by_both_clocks(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    far = datetime.now(ZoneInfo("America/New_York")) + timedelta(hours=12)  # or it might come between the two answers
    schedule(page).fill(f"30 {far.hour} * * *")
    page.get_by_label("Time zone").fill("America/New_York")
    coming = page.locator(".preview")
    expect(coming).to_contain_text(f"every day at {far.hour:02}:30, America/New_York")
    asked = {"schedule": f"30 {far.hour} * * *", "time_zone": "America/New_York"}
    answer = kala.post(f"{API}/schedule/preview/", asked).json["next"]
    expect(coming.locator("tbody tr")).to_have_count(10)
    expect(coming.locator("tbody td").first).to_have_text(answer[0]["local"].replace("T", " "))
    expect(coming.locator("time").first).to_have_attribute("datetime", answer[0]["at"])
    expect(coming).to_contain_text("Europe/Berlin")


def test_a_change_of_the_clock_is_noted(window: Window) -> None:
    page = window.go("edit")
    schedule(page).fill("R/2030-03-29T02:30:00/P1D")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    expect(page.locator(".preview small")).to_have_count(1)
    expect(page.locator(".preview tbody tr").nth(2).locator("small")).not_to_be_empty()


def test_faults_are_beside_their_fields_while_one_types(window: Window) -> None:
    page = window.go("edit")
    schedule(page).fill("0 25 * * *")
    fault = page.locator("[data-path=schedule] .fault")
    expect(fault).to_be_visible()
    expect(schedule(page)).to_have_accessible_description(re.compile("25"))
    schedule(page).fill("0 5 * * *")
    expect(page.locator(".preview")).to_contain_text("every day at 05:00")
    expect(fault).to_be_hidden()
    page.get_by_label("Time zone").fill("Europe/Nowhere")
    expect(page.locator("[data-path=time_zone] .fault")).to_be_visible()
    expect(page.get_by_label("Time zone")).to_have_attribute("aria-invalid", "true")
    expect(fault).to_be_hidden()
    page.get_by_label("Time zone").fill("Europe/Berlin")
    expect(page.locator("[data-path=time_zone] .fault")).to_be_hidden()


def test_old_answers_are_dropped(window: Window) -> None:
    """The answer to what was typed first comes last, and is not shown."""
    page = window.go("edit")
    held: list[Any] = []
    page.route(
        "**/schedule/preview/",
        lambda route: held.append(route) if "0 1 * * *" in (route.request.post_data or "") else route.continue_(),
    )
    with page.expect_request("**/schedule/preview/"):
        schedule(page).fill("0 1 * * *")
    schedule(page).fill("0 2 * * *")
    expect(page.locator(".preview")).to_contain_text("every day at 02:00")
    assert len(held) == 1
    # where the browser has not let go of it already, the answer comes now, before that to a later question
    held[0].fulfill(json={"next": [], "explanation": "", "words": "too late"})
    assert page.evaluate("fetch('/healthz').then((answer) => answer.status)") == 200
    expect(page.locator(".preview")).to_contain_text("every day at 02:00")
    assert "too late" not in page.locator(".preview").inner_text()


def test_the_proposed_start_goes_with_the_zone_until_it_is_chosen(window: Window) -> None:
    page = window.go("edit")
    mode(page).select_option("every")
    by_utc = schedule(page).input_value()
    page.get_by_label("Time zone").fill("Asia/Tokyo")
    expect(schedule(page)).not_to_have_value(by_utc)
    page.get_by_label("Start", exact=True).fill("2030-01-01T08:00")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    expect(schedule(page)).to_have_value("R/2030-01-01T08:00:00/P1D")


def test_a_child_and_a_job_without_schedule_say_when_they_run(window: Window, kala: KalaProcess) -> None:
    parent = kala.create(name="first of all")
    page = window.go("edit")
    expect(page.locator(".preview")).to_contain_text("once, as soon as it is made")
    window.go("edit", copy=kala.create(name="child", parent_jobs=[parent]))
    expect(page.locator(".preview")).to_contain_text("after its parents")
