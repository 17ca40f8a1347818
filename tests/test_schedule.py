"""Schedules and durations: what is read, what is refused and why. Their occurrences: `test_schedule_grid.py`."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kala.clock import DAY, SECOND, to_datetime
from kala.errors import ScheduleError
from kala.schedule import Interval, Schedule, duration, parse
from kala.schedule.durations import MAX_TEXT

HOUR = 3_600 * SECOND
unhurried = settings(deadline=None)  # a busy machine is no fault


@pytest.mark.parametrize(
    ("text", "repetitions", "start", "interval"),
    [
        ("R/2099-06-04T19:25:16/PT1H", None, "2099-06-04T19:25:16", (0, 0, HOUR)),
        ("R/2099-06-04T19:25:16Z/PT1H", None, "2099-06-04T19:25:16", (0, 0, HOUR)),
        ("R/2099-06-04T19:25:16.828696/PT1H", None, "2099-06-04T19:25:16.828696", (0, 0, HOUR)),
        ("R/2099-06-04T19:25:16.828696-07:00/PT1H", None, "2099-06-05T02:25:16.828696", (0, 0, HOUR)),
        ("R/2099-06-04T19:25:16+05:30/PT1H", None, "2099-06-04T13:55:16", (0, 0, HOUR)),
        ("R/2099-06-04T19:25:16,5Z/PT1H", None, "2099-06-04T19:25:16.500000", (0, 0, HOUR)),
        ("R/2099-06-04T19:25:16.1234567899Z/PT1H", None, "2099-06-04T19:25:16.123456", (0, 0, HOUR)),
        ("R/2016-02-29T00:00:00Z/P1Y", None, "2016-02-29", (12, 0, 0)),
        ("R/1969-12-31T23:59:59.5Z/PT1S", None, "1969-12-31T23:59:59.500000", (0, 0, SECOND)),
        ("R/0001-01-01T00:00:00Z/PT1S", None, "0001-01-01", (0, 0, SECOND)),
        ("R/2099-06-04T00:00:00Z/P1Y2M10DT2H30M15S", None, "2099-06-04", (14, 10, 2 * HOUR + 1815 * SECOND)),
        ("R/2099-06-04T00:00:00Z/P1DT1M", None, "2099-06-04", (0, 1, 60 * SECOND)),
        ("R231/2099-06-04T00:00:00Z/P2W", 231, "2099-06-04", (0, 14, 0)),
        ("R007/2099-06-04T00:00:00Z/P1M", 7, "2099-06-04", (1, 0, 0)),
        ("R1/2099-06-04T00:00:00Z/PT0.5S", 1, "2099-06-04", (0, 0, SECOND // 2)),
        ("R1/2099-06-04T00:00:00Z/PT0,1S", 1, "2099-06-04", (0, 0, SECOND // 10)),
        ("R1/2099-06-04T00:00:00Z/PT0.3333333333S", 1, "2099-06-04", (0, 0, 333_333)),
        ("R1/2099-06-04T00:00:00Z/PT1.5H", 1, "2099-06-04", (0, 0, HOUR + HOUR // 2)),
        ("R1/2099-06-04T00:00:00Z/P1.5D", 1, "2099-06-04", (0, 1, 12 * HOUR)),
        ("R1/2099-06-04T00:00:00Z/P0.5W", 1, "2099-06-04", (0, 3, 12 * HOUR)),
        ("R1/2099-06-04T00:00:00Z/P1DT0.5M", 1, "2099-06-04", (0, 1, 30 * SECOND)),
        ("R1/2099-06-04T00:00:00Z/P0.25Y", 1, "2099-06-04", (3, 0, 0)),
        ("R1/2099-06-04T00:00:00Z/P2.0M", 1, "2099-06-04", (2, 0, 0)),
        ("R0/2099-06-04T00:00:00Z/PT1H", 0, "2099-06-04", None),
        ("R0/2099-06-04T00:00:00Z/", 0, "2099-06-04", None),
        ("R0/2099-06-04T00:00:00Z/P", 0, "2099-06-04", None),
        ("R0/2099-06-04T00:00:00Z/PT0S", 0, "2099-06-04", None),
        ("R0/2099-06-04T00:00:00Z/whatever", 0, "2099-06-04", None),
    ],
)
def test_is_read(text: str, repetitions: int | None, start: str, interval: tuple[int, int, int] | None) -> None:
    schedule = parse(text)
    assert schedule == Schedule(text, repetitions, schedule.start, Interval(*interval) if interval else None)
    assert to_datetime(schedule.start).replace(tzinfo=None).isoformat().removesuffix("T00:00:00") == start


NOT_A_DURATION = "interval: not a duration"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not of the form"),
        ("nonsense", "not of the form"),
        ("R/", "not of the form"),
        ("R2/2099-06-04T00:00:00Z", "not of the form"),
        ("R2/2099-06-04T00:00:00Z/PT1H/x", "not of the form"),
        ("R/" + "9" * 5_000 + "/PT1H", f"longer than {MAX_TEXT} characters"),
        ("/2099-06-04T00:00:00Z/PT1H", "repetitions: must be R"),
        ("r/2099-06-04T00:00:00Z/PT1H", "repetitions: must be R"),
        (" R/2099-06-04T00:00:00Z/PT1H", "repetitions: must be R"),
        ("Rx/2099-06-04T00:00:00Z/PT1H", "repetitions: must be R"),
        ("R-1/2099-06-04T00:00:00Z/PT1H", "repetitions: must be R"),
        ("R٣/2099-06-04T00:00:00Z/PT1H", "repetitions: must be R"),
        ("R" + "9" * 100 + "/2099-06-04T00:00:00Z/PT1H", "repetitions: more than"),
        ("R2//PT1H", "start: not a date and time"),
        ("R/2099-06-04/PT1H", "start: not a date and time"),
        ("R/2099-06-04 00:00:00/PT1H", "start: not a date and time"),
        ("R/20990604T000000Z/PT1H", "start: not a date and time"),
        ("R/2099-06-04T00:00Z/PT1H", "start: not a date and time"),
        ("R/2099-06-04T00:00:00z/PT1H", "start: not a date and time"),
        ("R/2099-06-04T00:00:00.Z/PT1H", "start: not a date and time"),
        ("R/2099-06-04T00:00:00+0200/PT1H", "start: not a date and time"),
        ("R/2099-06-04T00:00:00Z\n/PT1H", "start: not a date and time"),
        ("R/٢٠٩٩-06-04T00:00:00Z/PT1H", "start: not a date and time"),
        ("R/12099-06-04T00:00:00Z/PT1H", "start: not a date and time"),
        ("R/2099-02-30T00:00:00Z/PT1H", "start: there is no date 2099-02-30"),
        ("R/2099-02-29T00:00:00Z/PT1H", "start: there is no date 2099-02-29"),
        ("R/2099-13-01T00:00:00Z/PT1H", "start: there is no date 2099-13-01"),
        ("R/2099-00-01T00:00:00Z/PT1H", "start: there is no date 2099-00-01"),
        ("R/2099-01-00T00:00:00Z/PT1H", "start: there is no date 2099-01-00"),
        ("R/0000-01-01T00:00:00Z/PT1H", "start: there is no date 0000-01-01"),
        ("R/2099-06-04T24:00:00Z/PT1H", "start: there is no hour 24"),
        ("R/2099-06-04T23:60:00Z/PT1H", "start: there is no time 23:60:00"),
        ("R/2099-06-30T23:59:60Z/PT1H", "start: there is no time 23:59:60"),
        ("R/2099-06-04T00:00:00+24:00/PT1H", "start: there is no offset +24:00"),
        ("R/2099-06-04T00:00:00-01:60/PT1H", "start: there is no offset -01:60"),
        ("R/9999-12-31T23:00:00-01:00/PT1H", "start: not in the years 1 to 9999"),
        ("R/0001-01-01T00:00:00+00:01/PT1H", "start: not in the years 1 to 9999"),
        ("R0/2099-02-30T00:00:00Z/", "start: there is no date"),
        ("R2/2099-06-04T00:00:00Z/", "interval: missing"),
        ("R2/2099-06-04T00:00:00Z/P", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/PT", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/P1DT", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/10S", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/P1S", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/pt1h", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/P1M1Y", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/P1W1D", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/P1Y1W", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/PT.5S", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/PT5.S", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/PT1e3S", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/PT1H ", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/PT1H\n", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/PT٣H", NOT_A_DURATION),
        ("R2/2099-06-04T00:00:00Z/-PT1H", "interval: must not be negative"),
        ("R2/2099-06-04T00:00:00Z/P-1D", "interval: must not be negative"),
        ("R/2099-06-04T00:00:00Z/PT0S", "interval: must be longer than nothing"),
        ("R1/2099-06-04T00:00:00Z/P0D", "interval: must be longer than nothing"),
        ("R1/2099-06-04T00:00:00Z/PT0.0000001S", "interval: must be longer than nothing"),
        ("R1/2099-06-04T00:00:00Z/P0.5DT1H", "interval: only the last number may have a decimal"),
        ("R1/2099-06-04T00:00:00Z/PT1,5H0.5M", "interval: only the last number may have a decimal"),
        ("R1/2099-06-04T00:00:00Z/P0.5M", "interval: a fraction of a month has no length"),
        ("R1/2099-06-04T00:00:00Z/P0.1Y", "interval: a fraction of a month has no length"),
        ("R1/2099-06-04T00:00:00Z/P999999999999Y", "interval: longer than the calendar"),
        ("R1/2099-06-04T00:00:00Z/PT" + "9" * 200 + "S", "interval: longer than the calendar"),
        ("R1/2099-06-04T00:00:00Z/PT0." + "9" * 200 + "S/", "not of the form"),
    ],
)
def test_is_refused_with_its_fault(text: str, fault: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        parse(text)
    assert fault in refusal.value.fault
    assert refusal.value.text == text  # the whole, also when a part is at fault


@example("0 0 1 1 0")  # which is cron's
@given(
    st.text()
    | st.text(alphabet="R/PTYMWDHS0123456789-:.,Z+ ٣", max_size=60)
    | st.builds(
        "R{}/2030-01-31T08:00:00Z/P{}".format,
        st.sampled_from(["", "1", "99999999999999999999"]),
        st.text(alphabet="0123456789.,YMWDTHS", max_size=20),
    )
)
@unhurried
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        schedule = parse(text)
    except ScheduleError:
        return
    if isinstance(schedule, Schedule):
        assert schedule.occurrence(0) == schedule.start
        after = schedule.occurrence(1)
        assert after is None or after > schedule.start
    else:
        after = schedule.next_after(0)
        assert after is None or after > 0


def test_the_same_text_is_read_once() -> None:
    assert parse("R/2031-01-31T08:00:00Z/P1M") is parse("R/2031-01-31T08:00:00Z/P1M")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT5S", 5 * SECOND),
        ("PT0S", 0),
        ("P1D", DAY),
        ("P1W", 7 * DAY),
        ("P1DT1H", 25 * HOUR),
        ("PT0.5S", SECOND // 2),
        ("PT1,5H", HOUR + HOUR // 2),
        ("PT0.0000019S", 1),
        ("P1M", 30 * DAY),
        ("P1Y", 365 * DAY),
        ("P12M", 365 * DAY),
        ("P1.5Y", (365 + 180) * DAY),
    ],
)
def test_durations(text: str, expected: int) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not a duration"),
        ("5s", "not a duration"),
        ("PTxS", "not a duration"),
        ("P", "not a duration"),
        ("PT٥S", "not a duration"),
        ("-PT5S", "must not be negative"),
        ("P0.5M", "a fraction of a month"),
        ("PT0.5M1S", "only the last number"),
        ("P999999999999Y", "longer than the calendar"),
        ("PT" + "9" * 5_000 + "S", f"longer than {MAX_TEXT} characters"),
    ],
)
def test_durations_refused(text: str, fault: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        duration(text)
    assert fault in refusal.value.fault
