"""The calendar of counts: days and hours by the viewer's clock, also when that changes, and what stands out."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from daemon_process import KalaProcess

from .window import Window

pytestmark = pytest.mark.slow

CALENDAR = """(m, [since, until, counts, now]) => {
    const at = (text) => Date.parse(text);
    const made = m.calendar(at(since), at(until), counts, at(now ?? since));
    return {
        columns: made.columns, least: made.least, most: made.most,
        days: made.days.map((day) => [...day.hours].map(
            ([column, hour]) => ({ column, ...hour, minutes: hour.counts.length }),
        )),
    };
}"""


def calendar(window: Window, since: str, until: str, counts: list[int], now: str | None = None) -> Any:
    return window.evaluate_module("parts/heat.js", CALENDAR, [since, until, counts, now])


def minutes(since: str, until: str) -> int:
    return int((datetime.fromisoformat(until) - datetime.fromisoformat(since)) / timedelta(minutes=1))


def test_a_day_that_has_an_hour_twice(window: Window) -> None:
    window.go("week")
    since, until = "2026-10-24T00:00:00+02:00", "2026-10-27T00:00:00+01:00"
    counts = list(range(minutes(since, until)))
    made = calendar(window, since, until, counts)
    assert [len(day) for day in made["days"]] == [24, 25, 24]
    assert made["columns"] == [*range(0, 6, 2), 5, *range(6, 48, 2)]
    twice = [hour for hour in made["days"][1] if hour["column"] in (4, 5)]
    assert [hour["minutes"] for hour in twice] == [60, 60]
    assert twice[1]["from"] - twice[0]["from"] == 3_600_000
    assert sum(hour["sum"] for day in made["days"] for hour in day) == sum(counts)


def test_a_day_that_lacks_an_hour(window: Window) -> None:
    window.go("week")
    since, until = "2027-03-27T00:00:00+01:00", "2027-03-30T00:00:00+02:00"
    made = calendar(window, since, until, [1] * minutes(since, until))
    assert [len(day) for day in made["days"]] == [24, 23, 24]
    assert 4 in made["columns"]
    assert [hour["column"] for hour in made["days"][1]][:4] == [0, 2, 6, 8]
    assert made["days"][1][2]["from"] == datetime.fromisoformat("2027-03-28T03:00:00+02:00").timestamp() * 1_000


def test_a_clock_that_changes_by_half_an_hour(open_window: Callable[..., Window], kala: KalaProcess) -> None:
    window = open_window(kala, timezone_id="Australia/Lord_Howe")
    window.go("week")
    since, until = "2027-04-04T00:00:00+11:00", "2027-04-05T00:00:00+10:30"
    made = calendar(window, since, until, [1] * minutes(since, until))
    [day] = made["days"]
    assert [(hour["column"], hour["minutes"]) for hour in day][:4] == [(0, 60), (2, 60), (3, 30), (4, 60)]
    assert sum(hour["sum"] for hour in day) == 24 * 60 + 30


def test_a_span_that_begins_within_an_hour(window: Window) -> None:
    window.go("week")
    since, until = "2026-12-01T11:47:00+01:00", "2026-12-03T11:47:00+01:00"
    made = calendar(window, since, until, [1] * (minutes(since, until) + 1_440))
    assert [len(day) for day in made["days"]] == [13, 24, 12]
    assert made["days"][0][0]["column"] == 22
    assert (made["days"][0][0]["minutes"], made["days"][-1][-1]["minutes"]) == (13, 47)
    assert (made["least"], made["most"]) == (60, 60)  # what is cut short does not count


def test_what_has_passed_comes_no_more(window: Window) -> None:
    window.go("week")
    made = calendar(
        window, "2026-12-01T00:00:00+01:00", "2026-12-01T03:00:00+01:00", [1] * 180, "2026-12-01T01:20:30+01:00"
    )
    assert [hour["sum"] for hour in made["days"][0]] == [0, 40, 60]


@pytest.mark.parametrize(
    ("counts", "marked"),
    [
        ([0] * 30 + [9] + [0] * 29, 30),
        ([4] + [0] * 59, None),  # too few to matter
        ([20] * 60, None),
        ([20] * 59 + [60], None),  # thrice as many: not far above
        ([20] * 59 + [64], 59),
        ([300] + [2] * 59, 0),
    ],
)
def test_a_minute_far_above_the_others_is_marked(window: Window, counts: list[int], marked: int | None) -> None:
    window.go("week")
    made = calendar(window, "2026-12-01T00:00:00+01:00", "2026-12-01T01:00:00+01:00", counts)
    [[hour]] = made["days"]
    found = hour["peak"] and (hour["peak"]["at"] - hour["from"]) // 60_000
    assert found == marked


def test_the_most_crowded_minutes_come_first(window: Window) -> None:
    window.go("week")
    found = window.evaluate_module(
        "parts/heat.js",
        "(m) => m.crowded(0, 8 * 60000, [9, 3, 7, 1, 7, 8, 2, 50, 99], 60000, 4)",
    )
    assert [(one["at"] // 60_000, one["count"]) for one in found] == [(7, 50), (5, 8), (2, 7), (4, 7)]


def test_levels_are_even_ratios(window: Window) -> None:
    window.go("week")
    for least, most, levels in ((1, 1, [1] * 5), (1, 100_000, [10, 100, 1000, 10_000, 100_000])):
        assert (
            window.evaluate_module("parts/heat.js", "(m, [least, most]) => m.levelsOf({ least, most })", [least, most])
            == levels
        )
