"""Schedules by the clock of a zone: what each policy makes of each change. What is expected is written out from the
zones' rules."""

from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

import pytest

from kala import schedule
from kala.clock import SECOND, from_datetime, to_datetime
from kala.schedule import parse
from kala.schedule.durations import EARLIEST

HOUR = 3_600 * SECOND


def moment(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def shown(at: int) -> str:
    return to_datetime(at).replace(tzinfo=None).isoformat().removesuffix(":00")


class Change(NamedTuple):
    """Three readings of one time of day around a change of a zone's offset, and the moments of each, in UTC."""

    zone: str
    time: str
    before: str
    at: dict[str, list[str]]  # by the policy for it
    after: str


GAPS = [
    # 02:00 +01:00 → 03:00 +02:00 at 01:00Z
    Change(
        "Europe/Berlin", "02:30", "2026-03-28T01:30", {"shift": ["2026-03-29T01:30"], "skip": []}, "2026-03-30T00:30"
    ),
    # 02:00 -05:00 → 03:00 -04:00 at 07:00Z
    Change(
        "America/New_York", "02:30", "2026-03-07T07:30", {"shift": ["2026-03-08T07:30"], "skip": []}, "2026-03-09T06:30"
    ),
    # 02:00 +10:30 → 02:30 +11:00 at 15:30Z of the day before
    Change(
        "Australia/Lord_Howe",
        "02:15",
        "2026-10-02T15:45",
        {"shift": ["2026-10-03T15:45"], "skip": []},
        "2026-10-04T15:15",
    ),
    # the last summer time: midnight -03:00 → 01:00 -02:00
    Change(
        "America/Sao_Paulo",
        "00:30",
        "2018-11-03T03:30",
        {"shift": ["2018-11-04T03:30"], "skip": []},
        "2018-11-05T02:30",
    ),
]
FOLDS = [
    # 03:00 +02:00 → 02:00 +01:00 at 01:00Z
    Change(
        "Europe/Berlin",
        "02:30",
        "2026-10-24T00:30",
        {
            "first": ["2026-10-25T00:30"],
            "second": ["2026-10-25T01:30"],
            "both": ["2026-10-25T00:30", "2026-10-25T01:30"],
        },
        "2026-10-26T01:30",
    ),
    # 02:00 -04:00 → 01:00 -05:00 at 06:00Z
    Change(
        "America/New_York",
        "01:30",
        "2026-10-31T05:30",
        {
            "first": ["2026-11-01T05:30"],
            "second": ["2026-11-01T06:30"],
            "both": ["2026-11-01T05:30", "2026-11-01T06:30"],
        },
        "2026-11-02T06:30",
    ),
    # 02:00 +11:00 → 01:30 +10:30 at 15:00Z of the day before
    Change(
        "Australia/Lord_Howe",
        "01:45",
        "2026-04-03T14:45",
        {
            "first": ["2026-04-04T14:45"],
            "second": ["2026-04-04T15:15"],
            "both": ["2026-04-04T14:45", "2026-04-04T15:15"],
        },
        "2026-04-05T15:15",
    ),
    # midnight -02:00 → 23:00 -03:00 of the same day, for the last time
    Change(
        "America/Sao_Paulo",
        "23:30",
        "2019-02-16T01:30",
        {
            "first": ["2019-02-17T01:30"],
            "second": ["2019-02-17T02:30"],
            "both": ["2019-02-17T01:30", "2019-02-17T02:30"],
        },
        "2019-02-18T02:30",
    ),
]
POLICIES = [(gap, fold) for gap in schedule.GAPS for fold in schedule.FOLDS]


@pytest.mark.parametrize(("gap", "fold"), POLICIES)
@pytest.mark.parametrize("change", [*GAPS, *FOLDS], ids=lambda change: f"{change.zone}, {change.after[:10]}")
@pytest.mark.parametrize("kind", ["interval", "cron"])
def test_each_policy_at_each_change(change: Change, gap: str, fold: str, kind: str) -> None:
    hour, minute = map(int, change.time.split(":"))
    text = f"R/2000-01-01T{change.time}:00/P1D" if kind == "interval" else f"{minute} {hour} * * *"
    plan = parse(text, change.zone, gap, fold)
    there = change.at[gap if gap in change.at else fold]
    expected = [change.before, *dict.fromkeys([*there, change.after])]
    begin, end = moment(change.before) - 1, moment(change.after)
    assert [shown(at) for at in plan.occurrences(begin, end)] == expected
    # and the same by all that a plan can be asked
    assert [shown(at) for at in plan.latest(len(expected), end)] == expected
    assert plan.count_between(begin, end) == len(expected)
    assert [plan.next_after(moment(one)) for one in expected[:-1]] == [moment(one) for one in expected[1:]]
    assert [plan.last_before(moment(one)) for one in expected[1:]] == [moment(one) for one in expected[:-1]]
    assert [bool(plan.note(moment(one))) for one in expected] == [one in there for one in expected]


@pytest.mark.parametrize("text", ["R/2011-12-29T08:00:00/P1D", "0 8 * * *"])
@pytest.mark.parametrize("gap", schedule.GAPS)
def test_a_whole_day_left_out_falls_on_the_next_one_once(text: str, gap: str) -> None:
    # from the end of 29 December 2011 -10:00 to the beginning of the 31st +14:00
    plan = parse(text, "Pacific/Apia", gap)
    begin, end = moment("2011-12-29T17:00"), moment("2011-12-31T18:00")
    assert [shown(at) for at in plan.occurrences(begin, end)] == [
        "2011-12-29T18:00",
        "2011-12-30T18:00",  # 08:00 of the 31st, and where it is shifted of the 30th, which there was not
        "2011-12-31T18:00",
    ]
    assert plan.count_between(begin, end) == 3
    assert len(plan.latest(5, end, after=begin)) == 3


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        # a zone whose rules changed: Istanbul kept its summer time from 2016 on
        ("R/2015-12-01T09:00:00/P6M", "Europe/Istanbul", ["2015-12-01T07:00", "2016-06-01T06:00", "2016-12-01T06:00"]),
        ("30 3 30 10 *", "Europe/Istanbul", ["2015-10-30T00:30", "2016-10-30T00:30", "2017-10-30T00:30"]),
        ("0 0 4 11 *", "America/Sao_Paulo", ["2017-11-04T02:00", "2018-11-04T03:00", "2019-11-04T03:00"]),
        # month ends clamp, by the day that it is there
        ("R/2026-01-31T23:30:00/P1M", "America/New_York", ["2026-02-01T04:30", "2026-03-01T04:30", "2026-04-01T03:30"]),
        # the calendar by the clock, and then the time as it passes
        ("R/2026-03-28T02:30:00/P1DT1H", "Europe/Berlin", ["2026-03-28T01:30", "2026-03-29T02:30", "2026-03-30T02:30"]),
        ("R/2026-10-24T02:30:00/P1DT1H", "Europe/Berlin", ["2026-10-24T00:30", "2026-10-25T01:30", "2026-10-26T03:30"]),
        # hours pass everywhere alike
        ("R/2026-03-28T14:00:00/PT24H", "Europe/Berlin", ["2026-03-28T13:00", "2026-03-29T13:00"]),
        ("R/2026-03-28T14:00:00/P1D", "Europe/Berlin", ["2026-03-28T13:00", "2026-03-29T12:00"]),
        # by rules that go beyond 2037, and offsets with seconds, long ago
        ("R/2100-07-01T08:00:00/P6M", "Europe/Berlin", ["2100-07-01T06:00", "2101-01-01T07:00"]),
        ("R/1893-03-31T12:00:00/P1D", "Europe/Berlin", ["1893-03-31T11:06:32", "1893-04-01T11:00"]),
        # a start that says its moment
        ("R/2026-01-31T08:00:00Z/P6M", "Europe/Berlin", ["2026-01-31T08:00", "2026-07-31T07:00"]),
        ("R/2026-01-31T03:00:00-05:00/P6M", "Europe/Berlin", ["2026-01-31T08:00", "2026-07-31T07:00"]),
        ("R/2026-01-31T08:00:00Z[Europe/Berlin]/P6M", "", ["2026-01-31T08:00", "2026-07-31T07:00"]),
        ("R/2026-01-31T09:00:00+01:00[Europe/Berlin]/P6M", "", ["2026-01-31T08:00", "2026-07-31T07:00"]),
        ("R/2026-01-31T09:00:00[Europe/Berlin]/P6M", "", ["2026-01-31T08:00", "2026-07-31T07:00"]),
        ("R/2026-01-31T09:00:00[!Europe/Berlin]/P6M", "Europe/Berlin", ["2026-01-31T08:00", "2026-07-31T07:00"]),
        ("R/2026-01-31T09:00:00[America/Argentina/Salta]/P6M", "", ["2026-01-31T12:00", "2026-07-31T12:00"]),
        ("R/2026-01-31T09:00:00/P6M", "UTC", ["2026-01-31T09:00", "2026-07-31T09:00"]),
        # an offset says which of two times the start is
        ("R/2026-10-25T02:30:00+01:00[Europe/Berlin]/P1D", "", ["2026-10-25T01:30", "2026-10-26T01:30"]),
        ("R/2026-10-25T02:30:00+02:00[Europe/Berlin]/PT1H", "", ["2026-10-25T00:30", "2026-10-25T01:30"]),
    ],
)  # fmt: skip
def test_occurrences_by_the_clock_of_a_zone(text: str, zone: str, expected: list[str]) -> None:
    plan = parse(text, zone)
    assert [shown(at) for at in islice(plan.ahead(moment(expected[0]) - 1), len(expected))] == expected
    assert plan.latest(len(expected), moment(expected[-1])) == [moment(one) for one in expected]
    if plan.start is not None:
        assert plan.start == moment(expected[0])
        assert plan.last_before(plan.start) is None


@pytest.mark.parametrize(
    ("text", "gap", "fold", "expected"),
    [
        ("R/2026-03-29T02:30:00/P1D", "shift", "first", ["2026-03-29T01:30", "2026-03-30T00:30"]),
        ("R/2026-03-29T02:30:00/P1D", "skip", "first", ["2026-03-30T00:30", "2026-03-31T00:30"]),
        ("R/2026-03-29T02:30:00/PT1H", "shift", "first", ["2026-03-29T01:30", "2026-03-29T02:30"]),
        ("R/2026-03-29T02:30:00/PT1H", "skip", "first", ["2026-03-29T02:30", "2026-03-29T03:30"]),
        ("R/2026-10-25T02:30:00/P1D", "shift", "second", ["2026-10-25T01:30", "2026-10-26T01:30"]),
        ("R/2026-10-25T02:30:00/P1D", "shift", "both", ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-26T01:30"]),
        ("R/2026-10-25T02:30:00/PT7M", "shift", "second", ["2026-10-25T01:30", "2026-10-25T01:37"]),
        ("R/2026-10-25T02:30:00/PT7M", "shift", "both", ["2026-10-25T00:30", "2026-10-25T00:37"]),  # one grid, not two
        ("R0/2026-10-25T02:30:00/", "shift", "both", ["2026-10-25T00:30"]),
        ("R0/2026-10-25T02:30:00/", "shift", "second", ["2026-10-25T01:30"]),
        ("R0/2026-03-29T02:30:00/", "shift", "first", ["2026-03-29T01:30"]),
    ],
)
def test_the_start_goes_by_the_same_rules(text: str, gap: str, fold: str, expected: list[str]) -> None:
    plan = parse(text, "Europe/Berlin", gap, fold)
    assert [shown(at) for at in islice(plan.ahead(EARLIEST), len(expected))] == expected
    assert plan.start == moment(expected[0])
    assert plan.is_single == text.startswith("R0/")
    assert bool(plan.note(moment(expected[0]))) == (gap == "shift")


@pytest.mark.parametrize(
    ("zone", "begin", "count"),
    [
        ("Europe/Berlin", "2026-03-28T23:00", 23),
        ("Europe/Berlin", "2026-10-24T22:00", 25),
        ("Australia/Lord_Howe", "2026-04-04T13:00", 25),  # 01:30 comes twice, and the hour 01 so with it
        ("Pacific/Apia", "2011-12-30T10:00", 24),
    ],
)
@pytest.mark.parametrize(("gap", "fold"), POLICIES)
def test_every_hour_is_every_hour_that_there_is(zone: str, begin: str, count: int, gap: str, fold: str) -> None:
    # given a day, from midnight to midnight by its clock
    plan = parse("30 * * * *", zone, gap, fold)
    start = moment(begin)
    end = next(parse("0 0 * * *", zone).ahead(start))
    found = list(plan.occurrences(start - 1, end - 1))
    assert len(found) == plan.count_between(start - 1, end - 1) == count
    if zone != "Australia/Lord_Howe":
        assert found == [start + HOUR // 2 + k * HOUR for k in range(count)]


@pytest.mark.parametrize(
    ("text", "at", "found"),
    [
        ("30 */2 * * *", "2026-03-29T00:00", ["04:30", "06:30"]),  # an hour that is left out is not made good
        ("30 */2 * * *", "2026-10-25T00:00", ["02:30", "02:30"]),  # and one that comes twice counts twice
        ("30 0-22/2 * * *", "2026-03-29T00:00", ["03:30", "04:30"]),
        ("30 0-22/2 * * *", "2026-10-25T00:00", ["02:30", "04:30"]),
    ],
)
def test_hours_with_a_step_are_every_hour_when_they_begin_with_a_star(text: str, at: str, found: list[str]) -> None:
    plan = parse(text, "Europe/Berlin")
    assert [plan.local(one)[11:16] for one in islice(plan.ahead(moment(at)), 2)] == found
