"""The grid of a schedule's occurrences."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.clock import DAY, SECOND, from_datetime, to_datetime
from kala.schedule import LATEST, Interval, Schedule, parse

HOUR = 3_600 * SECOND
unhurried = settings(deadline=None)  # a busy machine is no fault


def moment(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def shown(at: int | None) -> str | None:
    """A moment, readable: without its time when that is midnight."""
    return None if at is None else to_datetime(at).replace(tzinfo=None).isoformat().removesuffix("T00:00:00")


@pytest.mark.parametrize(
    ("start", "interval", "expected"),
    [
        ("2099-01-31T00:00:00Z", "P1M", ["2099-01-31", "2099-02-28", "2099-03-31", "2099-04-30", "2099-05-31"]),
        ("2096-01-31T00:00:00Z", "P1M", ["2096-01-31", "2096-02-29", "2096-03-31"]),
        ("2100-01-30T00:00:00Z", "P1M", ["2100-01-30", "2100-02-28", "2100-03-30"]),  # 2100 is no leap year
        ("2096-02-29T00:00:00Z", "P1Y", ["2096-02-29", "2097-02-28", "2098-02-28", "2099-02-28", "2100-02-28"]),
        ("2396-02-29T00:00:00Z", "P4Y", ["2396-02-29", "2400-02-29", "2404-02-29"]),
        ("2096-10-31T00:00:00Z", "P4M", ["2096-10-31", "2097-02-28", "2097-06-30", "2097-10-31"]),
        ("2099-11-30T12:00:00Z", "P1Y3M", ["2099-11-30T12:00:00", "2101-02-28T12:00:00", "2102-05-30T12:00:00"]),
        ("2099-01-31T00:00:00Z", "P1M1D", ["2099-01-31", "2099-03-01", "2099-04-02", "2099-05-03"]),
        ("2099-12-31T23:00:00Z", "PT1H", ["2099-12-31T23:00:00", "2100-01-01", "2100-01-01T01:00:00"]),
        ("2096-02-28T00:00:00Z", "P1D", ["2096-02-28", "2096-02-29", "2096-03-01"]),
        ("2099-02-01T01:00:00+02:00", "P1M", ["2099-01-31T23:00:00", "2099-02-28T23:00:00", "2099-03-31T23:00:00"]),
        ("1968-12-31T00:00:00Z", "P2M", ["1968-12-31", "1969-02-28", "1969-04-30"]),
        ("2099-06-04T00:00:00.75Z", "PT0.5S", ["2099-06-04T00:00:00.750000", "2099-06-04T00:00:01.250000"]),
        ("9999-11-30T00:00:00Z", "P1M", ["9999-11-30", "9999-12-30", None, None]),
        ("9999-12-31T23:59:59Z", "PT0.6S", ["9999-12-31T23:59:59", "9999-12-31T23:59:59.600000", None]),
        ("9999-12-31T00:00:00Z", "P1Y", ["9999-12-31", None]),
        ("9999-12-31T23:59:59.999999Z", "P1D", ["9999-12-31T23:59:59.999999", None]),
        ("9999-12-01T00:00:00Z", "P1MT1H", ["9999-12-01", None]),
    ],
)
def test_occurrences(start: str, interval: str, expected: list[str | None]) -> None:
    schedule = parse(f"R/{start}/{interval}")
    assert [shown(schedule.occurrence(k)) for k in range(len(expected))] == expected
    # and one after the other, from before the start
    there = [at for at in expected if at]
    assert [shown(at) for at in schedule.occurrences(schedule.start - 1, moment(there[-1]))] == there
    if expected[-1] is None:
        assert schedule.next_after(moment(there[-1])) is None


def test_an_occurrence_without_an_interval_is_the_only_one() -> None:
    schedule = parse("R0/2099-06-04T00:00:00Z/PT1H")
    start = schedule.start
    assert [schedule.occurrence(k) for k in (-1, 0, 1, 10**30)] == [None, start, None, None]
    assert [schedule.index_at(at) for at in (start - 1, start, start + 1, LATEST)] == [-1, 0, 0, 0]
    assert [schedule.next_after(at) for at in (start - 1, start, LATEST)] == [start, None, None]
    assert schedule.count_between(start - 1, LATEST) == 1
    assert schedule.count_between(start, LATEST) == 0
    assert list(schedule.occurrences(start - 1, LATEST)) == [start]


def test_repetitions_bound_nothing_here() -> None:
    assert shown(parse("R1/2099-06-04T00:00:00Z/P1D").occurrence(365)) == "2100-06-04"


def test_a_range_that_ends_before_it_begins_is_empty() -> None:
    schedule = parse("R/2099-06-04T00:00:00Z/P1D")
    at = schedule.start + 10 * DAY
    assert schedule.count_between(at, at - 5 * DAY) == 0
    assert list(schedule.occurrences(at, at - 5 * DAY)) == []


intervals = st.builds(
    Interval, st.integers(0, 30), st.integers(0, 70), st.sampled_from([0, 1, HOUR, 25 * HOUR])
).filter(any)
starts = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda at: from_datetime(at.replace(tzinfo=UTC)))
schedules = st.builds(Schedule, st.just(""), st.none(), starts, intervals)


@given(schedules, st.integers(0, 10**6), st.integers(-DAY, DAY))
@unhurried
def test_index_is_the_inverse_of_occurrence(schedule: Schedule, k: int, away: int) -> None:
    occurrence = schedule.occurrence(k)
    if occurrence is None:
        last = schedule.index_at(LATEST)
        assert last < k
        assert schedule.occurrence(last) is not None
        assert schedule.occurrence(last + 1) is None
        assert schedule.index_at(LATEST + 1) == schedule.index_at(10**30) == last
        return
    assert schedule.index_at(occurrence) == k
    assert schedule.index_at(occurrence - 1) == k - 1
    near = occurrence + away
    index, following = schedule.index_at(near), schedule.next_after(near)
    assert following == schedule.occurrence(index + 1)
    assert following is None or following > near
    if index >= 0:
        at = schedule.occurrence(index)
        assert at is not None
        assert at <= near
    else:
        assert near < schedule.start


@given(schedules, st.integers(0, 10**9), st.integers(1, 40))
@unhurried
def test_walking_agrees_with_counting(schedule: Schedule, ahead: int, steps: int) -> None:
    # given some moment after the start, and the walk from there by next_after
    after = min(schedule.start + ahead * SECOND, LATEST)
    walk, at = [], after
    while len(walk) < steps and (following := schedule.next_after(at)) is not None:
        assert following > at
        walk.append(following)
        at = following
    # then each is on the grid, one index after the other, and the ranges name and count the same ones
    first = schedule.index_at(after) + 1
    assert walk == [schedule.occurrence(k) for k in range(first, first + len(walk))]
    assert walk == list(schedule.occurrences(after, at))
    assert len(walk) == schedule.count_between(after, at)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), st.integers(1, 40), st.integers(0, 400))
@unhurried
def test_months_agree_with_a_calendar_on_paper(start: datetime, months: int, k: int) -> None:
    year, month = divmod(start.year * 12 + start.month - 1 + k * months, 12)
    day = start.day
    while True:
        try:
            expected = start.replace(year=year, month=month + 1, day=day)
            break
        except ValueError:
            day -= 1
    schedule = Schedule("", None, from_datetime(start.replace(tzinfo=UTC)), Interval(months, 0, 0))
    assert schedule.occurrence(k) == from_datetime(expected.replace(tzinfo=UTC))


@given(starts, st.timedeltas(timedelta(microseconds=1), timedelta(days=4_000_000)), st.integers(0, 10**12))
@unhurried
def test_huge_steps_end_with_the_calendar(start: int, step: timedelta, k: int) -> None:
    micros = step // timedelta(microseconds=1)
    schedule = Schedule("", None, start, Interval(0, 0, micros))
    assert schedule.occurrence(k) == (start + k * micros if start + k * micros <= LATEST else None)


@pytest.mark.parametrize(
    ("text", "k"),
    [
        ("R/2000-01-01T00:00:00Z/PT1S", 10**9),
        ("R/2000-01-01T00:00:00Z/PT1M", 10**6),
        ("R/0001-01-31T00:00:00Z/P1D", 10**6),
        ("R/0001-01-31T00:00:00Z/P1M", 10**5),
        ("R/0001-01-31T00:00:00Z/P1MT1S", 10**5),
    ],
)
def test_far_occurrences_take_no_longer(text: str, k: int) -> None:
    schedule = parse(text)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        occurrence = schedule.occurrence(k)
        assert occurrence is not None
        following = schedule.next_after(occurrence)
        took.append(time.perf_counter() - began)
        assert following == schedule.occurrence(k + 1)
    assert min(took) < 0.000_5  # walking would take seconds; this takes 2 to 50 µs
