"""Schedules in plain words: how they read, and that they are true."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_cron import expressions
from words_read import read_cron, read_repeating

from kala.clock import from_datetime, to_datetime
from kala.errors import ScheduleError
from kala.schedule import parse
from kala.schedule.cron import NICKNAMES
from kala.schedule.durations import Interval, read_interval
from kala.schedule.spoken import in_words
from kala.schedule.wording import length

unhurried = settings(deadline=None)  # a busy machine is no fault
B = "Europe/Berlin"

CRON = [
    ("0 6 * * *", "", "every day at 06:00 UTC"),
    ("0 6,18 * * *", "", "every day at 06:00 and 18:00 UTC"),
    ("0 */6 * * *", B, "every day at 00:00, 06:00, 12:00 and 18:00, Europe/Berlin"),
    ("30 2 * * MON", B, "at 02:30 on Monday, Europe/Berlin"),
    ("30 5 6 * * *", "", "every day at 06:05:30 UTC"),
    ("*/15 * * * *", "", "every 15 minutes"),
    ("*/15 * * * *", B, "every 15 minutes, Europe/Berlin"),
    ("*/15 0-23 * * *", B, "every 15 minutes from 00:00 to 23:45 every day, Europe/Berlin"),
    ("5/15 * * * *", "", "every 15 minutes from 00:05 to 23:50 UTC every day"),
    ("*/15 9-17 * * 1-5", B, "every 15 minutes from 09:00 to 17:45 on Monday to Friday, Europe/Berlin"),
    ("*/15 * * 3 *", "", "every 15 minutes in March, UTC"),
    ("*/7 * * * *", "", "every 7th minute from 0 to 56 of every hour"),
    ("1,2,7 */12 * * *", "", "at minutes 1, 2 and 7 of hours 0 and 12 UTC every day"),
    ("0 */4 * * *", "", "every 4 hours from 00:00 to 20:00 UTC every day"),
    ("0 * * * *", "", "every hour at :00"),
    ("17 * * * *", "Asia/Kolkata", "every hour at :17, Asia/Kolkata"),
    ("17 0-23 * * *", "Asia/Kolkata", "every hour from 00:17 to 23:17 every day, Asia/Kolkata"),
    ("* * * * *", "", "every minute"),
    ("* 9 * * *", "", "every minute from 09:00 to 09:59 UTC every day"),
    ("* * * * * *", "", "every second"),
    ("*/10 * * * * *", "", "every 10 seconds"),
    ("*/10 5 * * * *", "", "every 10th second from 0 to 50 of minute 5 of every hour"),
    ("1-1/5 * * * *", "", "every 5 minutes from 00:01 to 23:56 UTC every day"),
    ("*/15 */2 * * *", "", "at minutes 0, 15, 30 and 45 of every 2nd hour from 0 to 22 UTC every day"),
    ("0 0 1,15 * *", "", "at 00:00 UTC on the 1st and 15th of every month"),
    ("0 0 1-7,15 * *", "", "at 00:00 UTC on the 1st to 7th and 15th of every month"),
    ("0 0 */2 * *", "", "at 00:00 UTC on every 2nd day from the 1st to the 31st of every month"),
    ("0 0 31 * *", "", "at 00:00 UTC on the 31st (where there is one) of every month"),
    ("0 0 29 2 *", "", "at 00:00 UTC on the 29th (where there is one) of February"),
    ("0 0 31 1,12 *", "", "at 00:00 UTC on the 31st of January and December"),
    ("0 0 1,L * *", "", "at 00:00 UTC on the 1st and last day of every month"),
    ("0 0 LW * *", B, "at 00:00 on the last weekday (Monday to Friday) of every month, Europe/Berlin"),
    ("0 0 * * 5L", "", "at 00:00 UTC on the last Friday of every month"),
    ("0 0 * 3 TUE#2", "", "at 00:00 UTC on the second Tuesday of March"),
    ("0 0 * 3 5#5,1#1", "", "at 00:00 UTC on the first Monday and the fifth Friday (where there is one) of March"),
    ("0 0 * * 0,6", "", "at 00:00 UTC on Saturday and Sunday"),
    ("0 0 * * 1,FRI,5L", "", "at 00:00 UTC on Monday and Friday"),
    ("0 0 13 * FRI", "", "at 00:00 UTC on the 13th of every month and on Friday"),
    ("0 0 15 6 0,6", "", "at 00:00 UTC on the 15th of June and on Saturday and Sunday in June"),
    ("0 0 */13 * FRI", "", "at 00:00 UTC on Friday if it is the 1st, 14th or 27th of the month"),
    ("0 0 1-31 * FRI", "", "every day at 00:00 UTC"),
    ("0 0 13 * 0-6", "", "every day at 00:00 UTC"),
    ("0 8 * jan-MAR,Jul 1-2", "", "at 08:00 UTC on Monday and Tuesday in January to March and July"),
    ("0 8 * 6-8 *", B, "every day in June to August at 08:00, Europe/Berlin"),
    ("@yearly", "", "at 00:00 UTC on the 1st of January"),
    ("@hourly", "", "every hour at :00"),
    ("1,3,5,8,10,12,15,17,19,22,24,26,29 * * * *", "", "1,3,5,8,10,12,15,17,19,22,24,26,29 * * * *, UTC"),
    ("0  0 */2 * MON", B, "0 0 */2 * MON, Europe/Berlin"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "zone", "words"), CRON)
def test_cron_expressions(text: str, zone: str, words: str) -> None:
    assert in_words(parse(text, zone)) == words


def days_named(expression: str, begin: date, until: date) -> set[date]:
    """By an expression with six fields."""
    plan = parse(" ".join(["0 0 0", *expression.split()[3:]]))
    first, last = (from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in (begin, until))
    return {to_datetime(one).date() for one in plan.occurrences(first - 1, last)}


@given(expressions, st.dates(date(1950, 1, 1), date(2150, 1, 1)))
@example("0 59 23 LW * *", date(2026, 1, 1))
@example("0 1-1/7 * * 2 MON#5", date(2044, 1, 1))
@unhurried
def test_cron_words_are_true(expression: str, begin: date) -> None:
    try:
        plan = parse(expression)
    except ScheduleError:
        return
    words = in_words(plan)
    if words == f"{expression}, UTC":
        return
    # given the words as someone reads them
    said = read_cron(words.replace(" UTC", "").removesuffix(","))
    # then they mean the days that are named, in some years
    days = [begin + timedelta(day) for day in range(5 * 366)]
    named = days_named(expression, begin, days[-1])
    assert {day for day in days if said.is_day(day)} == named, words
    # and the times of one of them
    for day in sorted(named)[:1]:
        first = from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC))
        of_day = [(one - first) // 1_000_000 for one in plan.occurrences(first - 1, first + 86_400 * 1_000_000 - 1)]
        assert said.times == of_day, words


def test_the_same_is_said_the_same_however_it_is_written() -> None:
    for name, meant in NICKNAMES.items():
        assert in_words(parse(name)) == in_words(parse(meant)) == in_words(parse(f"0 {meant}"))
    assert in_words(parse("0 0 * * mon,tue,WED,4-5")) == in_words(parse("0 0 * * 1-5"))
    assert in_words(parse("0 0 * * 7")) == in_words(parse("0 0 * * SUN"))


REPEATING = [
    ("R/2020-01-01T06:00:00Z/P1D", "", "every day at 06:00 UTC"),
    ("R/2020-01-01T06:00:00+02:00/P1D", "", "every day at 04:00 UTC"),
    ("R/2020-01-01T06:00:00Z/P1D", B, "every day at 07:00, Europe/Berlin"),
    ("R/2020-01-01T06:00:00[Europe/Berlin]/P1D", "", "every day at 06:00, Europe/Berlin"),
    ("R4/2020-01-01T06:00:00Z/P1D", "", "every day at 06:00 UTC, from 2020-01-01, 5 times"),
    ("R/2020-01-01T06:00:00Z/P3D", "", "every 3 days at 06:00 UTC, from 2020-01-01"),
    ("R/2020-01-01T06:00:00Z/P1W", "", "every week on Wednesday at 06:00 UTC"),
    ("R/2020-01-01T23:30:00Z/P7D", B, "every week on Thursday at 00:30, Europe/Berlin"),
    ("R/2020-01-01T06:00:00Z/P2W", "", "every 2 weeks on Wednesday at 06:00 UTC, from 2020-01-01"),
    ("R/2030-01-31T06:00:00/P1M", B, "every month on the 31st (or its last day) at 06:00, Europe/Berlin"),
    ("R/2030-01-15T06:00:00Z/P1M", "", "every month on the 15th at 06:00 UTC"),
    ("R/2030-01-02T06:00:00Z/P3M", "", "every 3 months on the 2nd at 06:00 UTC, from 2030-01-02"),
    ("R/2030-03-01T06:00:05.25Z/P1Y", "", "every year on 1 March at 06:00:05.25 UTC"),
    ("R/2028-02-29T06:00:00Z/P12M", "", "every year on 29 February (or the 28th) at 06:00 UTC"),
    ("R/2028-02-29T06:00:00Z/P2Y", "", "every 2 years on 29 February (or the 28th) at 06:00 UTC, from 2028-02-29"),
    ("R4/2030-01-01T00:00:00Z/PT15M", "", "every 15 minutes from 2030-01-01 00:00 UTC, 5 times"),
    ("R/2030-01-01T00:00:00/PT1H", B, "every hour from 2030-01-01 00:00, Europe/Berlin"),
    ("R/2030-01-01T00:00:00Z/PT24H", "", "every 24 hours from 2030-01-01 00:00 UTC"),
    ("R/2030-01-01T00:00:00Z/PT90M", "", "every 1 hour and 30 minutes from 2030-01-01 00:00 UTC"),
    ("R/2030-01-01T00:00:00Z/P1YT2H15S", "", "every 1 year, 2 hours and 15 seconds from 2030-01-01 00:00 UTC"),
    ("R/2030-01-01T00:00:00Z/PT0.5S", "", "every 0.5 seconds from 2030-01-01 00:00 UTC"),
    ("R/2030-01-01T00:00:00Z/PT1S", "", "every second from 2030-01-01 00:00 UTC"),
    ("R0/2030-01-31T08:00:00Z/", "", "once at 2030-01-31 08:00 UTC"),
    ("R0/2030-01-31T08:00:00/", B, "once at 2030-01-31 08:00, Europe/Berlin"),
    # where a change of the clock moves the first occurrence, what is said of all is what the clock is to show
    ("R/2026-03-29T02:30:00/P1D", B, "every day at 02:30, Europe/Berlin"),
    ("R/2026-03-29T02:30:00/PT1H", B, "every hour from 2026-03-29 03:30, Europe/Berlin"),
    ("R/9999-12-31T23:59:59Z/P1D", "", "every day at 23:59:59 UTC"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "zone", "words"), REPEATING)
def test_repeating_intervals(text: str, zone: str, words: str) -> None:
    assert in_words(parse(text, zone)) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("R/2099-01-01T06:00:00Z/P1D", "every day at 06:00 UTC, from 2099-01-01"),
        ("R/2099-01-01T06:00:00Z/PT1H", "every hour from 2099-01-01 06:00 UTC"),
        ("R0/2099-01-01T06:00:00Z/", "once at 2099-01-01 06:00 UTC"),
        ("@daily", "every day at 00:00 UTC"),
    ],
)
def test_a_start_that_is_to_come_is_told(text: str, words: str) -> None:
    assert in_words(parse(text), is_to_begin=True) == words


amounts = st.integers(1, 40)
calendar = st.builds("P{}{}".format, amounts, st.sampled_from("YMWD"))
of_time = st.builds("PT{}{}".format, amounts, st.sampled_from("HMS")) | st.just("PT1H0.25S")
mixed = st.builds("P{}M{}DT{}H{}M".format, *[amounts] * 4) | st.builds("P{}Y{}D".format, amounts, amounts)
starts = st.datetimes(datetime(1975, 1, 1), datetime(2050, 1, 1)).map(lambda at: at.replace(microsecond=0))


@given(starts, calendar | of_time | mixed, st.integers(1, 30))
@unhurried
def test_words_of_intervals_are_true(start: datetime, interval: str, repetitions: int) -> None:
    plan = parse(f"R{repetitions}/{start.isoformat()}Z/{interval}")
    words, times = in_words(plan).rsplit(", ", 1)
    assert times == f"{repetitions + 1} times"
    said = list(islice(read_repeating(words.replace(" UTC", "")), 12))
    named = [to_datetime(one).replace(tzinfo=None) for one in islice(plan.ahead(plan.start - 1), 12)]  # type: ignore[operator]
    assert said == named, words


@given(starts, calendar, st.sampled_from([B, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]))
@unhurried
def test_words_are_true_by_the_clock_of_a_zone(start: datetime, interval: str, zone: str) -> None:
    plan = parse(f"R/{start.isoformat()}/{interval}", zone)
    words = in_words(plan, is_to_begin=True)
    said = list(islice(read_repeating(words.replace(f", {zone}", "")), 40))
    named = [(one, plan.local(one)) for one in islice(plan.ahead(plan.start - 1), 40)]  # type: ignore[operator]
    # what a change of the clock moved is told of the occurrence; all others are as they are said
    differs = [one for (one, shown), at in zip(named, said, strict=True) if shown[:19] != at.isoformat()]
    assert all(plan.note(one) for one in differs), words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PT1M", "1 minute"),
        ("P1D", "1 day"),
        ("P2W", "14 days"),
        ("PT1M1.5S", "1 minute and 1.5 seconds"),
        ("PT3600S", "1 hour"),
        ("P1000D", "1,000 days"),
        ("PT0S", "0 seconds"),
    ],
)
def test_lengths(text: str, words: str) -> None:
    assert length(read_interval(text)) == words
    assert isinstance(read_interval(text), Interval)
