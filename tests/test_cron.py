"""Cron expressions: what is read and refused, and what they name. By the clocks of zones: `test_zones.py` and on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.clock import DAY, SECOND, from_datetime, to_datetime
from kala.errors import ScheduleError
from kala.schedule import parse
from kala.schedule.durations import MAX_TEXT

unhurried = settings(deadline=None)  # a busy machine is no fault


def moment(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "expected"),  # from 2026-01-01, a Thursday
    [
        ("*/15 * * * *", ["2026-01-01T00:15", "2026-01-01T00:30", "2026-01-01T00:45", "2026-01-01T01:00"]),
        ("30 8 * * *", ["2026-01-01T08:30", "2026-01-02T08:30"]),
        ("0 0 8 * * *", ["2026-01-01T08:00", "2026-01-02T08:00"]),  # six fields: the second first
        ("*/30 59 23 31 12 *", ["2026-12-31T23:59", "2026-12-31T23:59:30", "2027-12-31T23:59"]),
        ("0 8 * * MON-FRI", ["2026-01-01T08:00", "2026-01-02T08:00", "2026-01-05T08:00"]),
        ("0 8 * jan,Jul 1-2", ["2026-01-05T08:00", "2026-01-06T08:00", "2026-01-12T08:00"]),
        ("0 0 1 feb/3 *", ["2026-02-01T00:00", "2026-05-01T00:00", "2026-08-01T00:00", "2026-11-01T00:00"]),
        ("5/20 0 1,15 * *", ["2026-01-01T00:05", "2026-01-01T00:25", "2026-01-01T00:45", "2026-01-15T00:05"]),
        ("0 0 L * *", ["2026-01-31T00:00", "2026-02-28T00:00", "2026-03-31T00:00"]),
        ("0 0 LW * *", ["2026-01-30T00:00", "2026-02-27T00:00", "2026-03-31T00:00"]),
        ("0 0 * * 5L", ["2026-01-30T00:00", "2026-02-27T00:00"]),
        ("0 0 * * TUE#2", ["2026-01-13T00:00", "2026-02-10T00:00"]),
        ("0 0 13 * FRI", ["2026-01-02T00:00", "2026-01-09T00:00", "2026-01-13T00:00"]),  # either will do
        ("0 0 */13 * FRI", ["2026-02-27T00:00", "2026-03-27T00:00", "2026-05-01T00:00"]),  # a star: both must hold
        ("0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 * 2 MON#5", ["2044-02-29T00:00", "2072-02-29T00:00", "2112-02-29T00:00"]),
        ("0 0 29 2 0", ["2026-02-01T00:00", "2026-02-08T00:00"]),
        ("@yearly", ["2027-01-01T00:00"]),
        ("@annually", ["2027-01-01T00:00"]),
        ("@monthly", ["2026-02-01T00:00"]),
        ("@weekly", ["2026-01-04T00:00", "2026-01-11T00:00"]),
        ("@daily", ["2026-01-02T00:00"]),
        ("@midnight", ["2026-01-02T00:00"]),
        ("@Hourly", ["2026-01-01T01:00", "2026-01-01T02:00"]),
        ("  0\t8  * * * ", ["2026-01-01T08:00"]),
    ],
)  # fmt: skip
def test_what_is_named(text: str, expected: list[str]) -> None:
    plan = parse(text)
    begin = moment("2026-01-01T00:00")
    end = moment(expected[-1])
    assert list(islice(plan.ahead(begin), len(expected))) == [moment(one) for one in expected]
    assert list(plan.occurrences(begin, end)) == [moment(one) for one in expected]
    assert plan.count_between(begin, end) == len(expected)
    assert plan.latest(len(expected), end) == [moment(one) for one in expected]
    assert plan.text == text
    assert (plan.repetitions, plan.start, plan.is_single) == (None, None, False)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("60 * * * *", "minute: '60' cannot be read: write *, 0 to 59, or lists (1,2), ranges (1-5) or steps (*/2)"),
        ("60 * * * * *", "second: '60' cannot be read"),
        ("* 24 * * *", "hour: '24' cannot be read: write *, 0 to 23"),
        ("* * 0 * *", "day-of-month: '0' cannot be read"),
        ("* * 32 * *", "day-of-month: '32' cannot be read"),
        ("* * 15W * *", "day-of-month: '15W' cannot be read"),
        ("* * ? * *", "day-of-month: '?' cannot be read"),
        ("* * * 13 *", "month: '13' cannot be read"),
        ("* * * JANUARY *", "month: 'JANUARY' cannot be read"),
        ("* * * * 8", "day-of-week: '8' cannot be read"),
        ("* * * * FRI-MON", "day-of-week: 'FRI-MON' cannot be read"),
        ("* * * * MON#6", "day-of-week: 'MON#6' cannot be read"),
        ("*/0 * * * *", "minute: '*/0' cannot be read"),
        ("1,,2 * * * *", "minute: '1,,2' cannot be read"),
        ("-5 * * * *", "minute: '-5' cannot be read"),
        ("9" * 200 + " * * * *", "minute: '999"),
        ("* * * *", "a cron expression has five fields (minute hour day-of-month month day-of-week), or six with the"),
        ("0 0 * * * * 2026", "a cron expression has five fields"),
        ("hello world", "a cron expression has five fields"),
        ("٣ * * * *", "a cron expression is of digits"),
        ("0 8 * * *\n", "a cron expression is of digits"),
        ("0 8 * * \0", "a cron expression is of digits"),
        ("* " * MAX_TEXT, f"longer than {MAX_TEXT} characters"),
        ("@", "there is no such word: there are @yearly"),
        ("@fortnightly", "there is no such word: there are @yearly"),
        ("@daily 5", "there is no such word: there are @yearly"),
        ("@every 5m", "there is no such word: there are @yearly"),
        ("@reboot", "@reboot is not a schedule: a job without one runs once, at once"),
        ("0 0 30 2 *", "day-of-month: no month of '2' has a day '30': it would never run"),
        ("0 0 31 4,6,9,11 *", "day-of-month: no month of '4,6,9,11' has a day '31': it would never run"),
        ("0 0 30-31 FEB */2", "day-of-month: no month of 'FEB' has a day '30-31': it would never run"),
        ("* * */20 * 1L", "day-of-month: no day '*/20' is a day-of-week '1L': it would never run"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        parse(text)
    assert refusal.value.fault.startswith(fault)
    assert refusal.value.text == text


@given(st.text(max_size=20) | st.text(alphabet="0123456789*,-/#LW @JANSUN", max_size=40))
@unhurried
def test_any_text_is_read_or_refused(text: str) -> None:
    for one in (text, f"{text} * * * *", f"0 0 {text} 2 *", f"0 0 * * {text}", f"@{text}"):
        try:
            plan = parse(one)
        except ScheduleError:
            continue
        assert plan.next_after(0) is not None


def field(low: int, high: int, *more: str) -> st.SearchStrategy[str]:
    """Any of the forms that a field has, over a range."""
    number = st.integers(low, high)
    span = st.tuples(number, number).map(sorted).map(lambda two: f"{two[0]}-{two[1]}")
    stepped = st.builds("{}/{}".format, st.just("*") | number.map(str) | span, st.integers(1, 9))
    one = st.just("*") | number.map(str) | span | stepped
    listed = st.lists(number.map(str) | span, min_size=2, max_size=4).map(",".join)
    return one | listed | st.sampled_from(more) if more else one | listed


expressions = st.builds(
    "{} {} {} {} {} {}".format,
    field(0, 59) | st.just("0"),
    field(0, 59),
    field(0, 23),
    field(1, 31, "L", "LW", "*"),
    field(1, 12, "*", "FEB"),
    field(0, 7, "*", "1L", "FRI#2", "MON#5"),
)


@given(expressions, st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1)))
@unhurried
def test_it_names_what_cronsim_finds(expression: str, at: datetime) -> None:
    try:
        plan = parse(expression)
    except ScheduleError as error:
        assert "it would never run" in error.fault  # noqa: PT017
        assert list(islice(tried(expression, at), 1)) == []
        return
    # given what cronsim finds from some moment on, forward and back
    begin = from_datetime(at.replace(tzinfo=UTC))
    ahead, back = list(islice(tried(expression, at), 20)), list(islice(CronSim(expression, at, reverse=True), 20))
    following = [from_datetime(one.replace(tzinfo=UTC)) for one in ahead]
    before = [from_datetime(one.replace(tzinfo=UTC)) for one in back]
    # then the plan finds the same (and more, where cronsim gives up after fifty years)
    assert list(islice(plan.ahead(begin), len(following))) == following
    assert list(islice(plan.back(begin - 1), len(before))) == before
    if following:
        assert plan.count_between(begin, following[-1]) == len(following)
        assert list(plan.occurrences(begin, following[-1])) == following
        assert plan.latest(20, following[-1], after=begin) == following
    if before:
        assert plan.count_between(before[-1] - 1, begin - 1) == len(before)
        assert plan.last_before(begin) == before[0]


def tried(expression: str, at: datetime) -> Iterator[datetime]:
    """What cronsim finds; nothing where it sees at once that there is nothing."""
    try:
        yield from CronSim(expression, at)
    except CronSimError as error:
        assert str(error) == "Bad day-of-month"  # noqa: PT017


@given(expressions, st.integers(0, 100 * 365), st.integers(0, 3 * DAY), st.integers(0, 3 * DAY))
@unhurried
def test_counting_parts_is_counting_the_whole(expression: str, day: int, length: int, cut: int) -> None:
    try:
        plan = parse(expression)
    except ScheduleError:
        return
    begin = day * DAY + cut // 2
    end = begin + length
    middle = min(begin + cut, end)
    assert plan.count_between(begin, middle) + plan.count_between(middle, end) == plan.count_between(begin, end)
    assert plan.count_between(begin, begin + min(length, 3_600 * SECOND)) == len(
        list(plan.occurrences(begin, begin + min(length, 3_600 * SECOND)))
    )
    assert plan.count_between(end, begin) == 0 or begin == end


def test_a_year_of_seconds_is_counted_at_once() -> None:
    plan = parse("* * * * * *")
    begin = moment("2025-01-01T00:00")
    assert plan.count_between(begin - 1, begin + 365 * DAY - 1) == 365 * 86_400
    assert plan.latest(3, begin + 500) == [begin - 2 * SECOND, begin - SECOND, begin]
    assert to_datetime(plan.next_after(begin) or 0) == to_datetime(begin) + timedelta(seconds=1)
