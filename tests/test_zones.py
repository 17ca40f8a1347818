"""Time zones: their names and changes, what is said of them, and what schedules with a zone are refused."""

from datetime import UTC, datetime
from time import perf_counter

import pytest

from kala.clock import DAY, SECOND, from_datetime, to_datetime
from kala.errors import ScheduleError, ZoneError
from kala.schedule import parse, zones
from kala.schedule.durations import EARLIEST, LATEST


def moment(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def shown(at: int) -> str:
    return to_datetime(at).replace(tzinfo=None).isoformat().removesuffix(":00")


@pytest.mark.parametrize(
    ("zone", "year", "expected"),
    [
        ("Europe/Berlin", 2026, [("2026-03-29T01:00", 60, 120), ("2026-10-25T01:00", 120, 60)]),
        ("Europe/Berlin", 2500, [("2500-03-28T01:00", 60, 120), ("2500-10-31T01:00", 120, 60)]),
        ("America/New_York", 2026, [("2026-03-08T07:00", -300, -240), ("2026-11-01T06:00", -240, -300)]),
        ("Australia/Lord_Howe", 2026, [("2026-04-04T15:00", 660, 630), ("2026-10-03T15:30", 630, 660)]),
        ("Pacific/Apia", 2011, [("2011-04-02T14:00", -600, -660), ("2011-09-24T14:00", -660, -600),
                                ("2011-12-30T10:00", -600, 840)]),
        ("Europe/Istanbul", 2016, [("2016-03-27T01:00", 120, 180)]),  # and it stayed so
        ("Europe/Istanbul", 2017, []),
        ("America/Sao_Paulo", 2019, [("2019-02-17T02:00", -120, -180)]),  # and that was the last
        ("America/Sao_Paulo", 2026, []),
        ("Asia/Kolkata", 2026, []),
        ("UTC", 2026, []),
        ("Europe/Berlin", 1, []),
        ("Europe/Berlin", 9999, [("9999-03-28T01:00", 60, 120), ("9999-10-31T01:00", 120, 60)]),
    ],
)  # fmt: skip
def test_changes_of_a_year(zone: str, year: int, expected: list[tuple[str, int, int]]) -> None:
    found = zones.find(zone).transitions(year)
    minute = 60 * SECOND
    assert [(shown(one.moment), one.before // minute, one.after // minute) for one in found] == expected


@pytest.mark.parametrize(
    ("text", "zone", "gap", "at", "local", "note"),
    [
        (
            "30 2 * * *", "Europe/Berlin", "shift", "2026-03-29T01:30", "2026-03-29T03:30:00+02:00",
            "02:30 does not exist on 2026-03-29 in Europe/Berlin: an hour later",
        ),
        (
            "R/2026-10-04T02:15:20.5/P1D", "Australia/Lord_Howe", "shift", "2026-10-03T15:45:20.5",
            "2026-10-04T02:45:20.5+11:00",
            "02:15:20.5 does not exist on 2026-10-04 in Australia/Lord_Howe: half an hour later",
        ),
        (
            "R/2011-12-30T08:00:00/P1W", "Pacific/Apia", "shift", "2011-12-30T18:00", "2011-12-31T08:00:00+14:00",
            "08:00 does not exist on 2011-12-30 in Pacific/Apia: a day later",
        ),
        (
            "R/2011-12-28T08:00:00/P1D", "Pacific/Apia", "shift", "2011-12-30T18:00", "2011-12-31T08:00:00+14:00",
            "08:00 does not exist on 2011-12-30 in Pacific/Apia: a day later",
        ),
        (
            "0 8 * * *", "Pacific/Apia", "shift", "2011-12-30T18:00", "2011-12-31T08:00:00+14:00",
            "08:00 does not exist on 2011-12-30 in Pacific/Apia: a day later",
        ),
        (
            "30 1 * * *", "Antarctica/Troll", "shift", "2026-03-29T01:30", "2026-03-29T03:30:00+02:00",
            "01:30 does not exist on 2026-03-29 in Antarctica/Troll: 2 hours later",
        ),
        (
            "R/1893-03-31T23:57:00/P1D", "Europe/Berlin", "shift", "1893-03-31T23:03:32", "1893-03-31T23:56:32+00:53",
            "",
        ),
        (
            "R/1893-04-01T00:03:00/P1W", "Europe/Berlin", "shift", "1893-03-31T23:09:32", "1893-04-01T00:09:32+01:00",
            "00:03 does not exist on 1893-04-01 in Europe/Berlin: 392 seconds later",
        ),
        (
            "30 2 * * *", "Europe/Berlin", "skip", "2026-10-25T00:30", "2026-10-25T02:30:00+02:00",
            "02:30 comes twice on 2026-10-25 in Europe/Berlin: the first",
        ),
        (
            "*/30 * * * *", "Europe/Berlin", "skip", "2026-10-25T01:30", "2026-10-25T02:30:00+01:00",
            "02:30 comes twice on 2026-10-25 in Europe/Berlin: the second",
        ),
        ("30 3 * * *", "Europe/Berlin", "shift", "2026-03-29T01:30", "2026-03-29T03:30:00+02:00", ""),
        ("30 * * * *", "Europe/Berlin", "shift", "2026-03-29T01:30", "2026-03-29T03:30:00+02:00", ""),
        ("R/2026-03-28T01:30:00Z/PT1H", "Europe/Berlin", "shift", "2026-03-29T01:30", "2026-03-29T03:30:00+02:00", ""),
        ("R/2026-03-28T01:30:00Z/P1D", "", "shift", "2026-03-29T01:30", "2026-03-29T01:30:00Z", ""),
        ("30 1 * * *", "", "shift", "2026-03-29T01:30", "2026-03-29T01:30:00Z", ""),
    ],
)  # fmt: skip
def test_what_is_said_of_an_occurrence(text: str, zone: str, gap: str, at: str, local: str, note: str) -> None:
    plan = parse(text, zone, gap)
    assert plan.next_after(moment(at) - 1) == moment(at)
    assert plan.local(moment(at)) == local
    assert datetime.fromisoformat(local) == to_datetime(moment(at))
    assert plan.note(moment(at)) == note


@pytest.mark.parametrize(
    ("zone", "fault"),
    [
        ("Europe/Berln", "there is no time zone 'Europe/Berln': did you mean Europe/Berlin?"),
        ("europe/berlin", "there is no time zone 'europe/berlin': did you mean Europe/Berlin?"),
        ("New York", "there is no time zone 'New York': did you mean America/New_York?"),
        ("utc", "there is no time zone 'utc': did you mean UTC?"),
        ("buenos aires", "there is no time zone 'buenos aires': did you mean America/Argentina/Buenos_Aires?"),
        ("America", "there is no time zone 'America'"),
        ("Germany", "there is no time zone 'Germany'"),
        (
            "right/Europe/Berlin",
            "there is no time zone 'right/Europe/Berlin': did you mean Europe/Berlin?",
        ),  # with leap seconds, which are not counted
        ("../etc/passwd", "there is no time zone '../etc/passwd'"),
        ("/etc/localtime", "there is no time zone '/etc/localtime'"),
        ("+01:00", "there is no time zone '+01:00'"),
        ("\0", "there is no time zone '\\x00'"),
        ("Z" * 5_000, f"there is no time zone '{'Z' * 79}…'"),
    ],
)
def test_zones_that_there_are_not(zone: str, fault: str) -> None:
    with pytest.raises(ZoneError) as refusal:
        parse("0 8 * * *", zone)
    assert refusal.value.fault == fault
    assert refusal.value.text == zone


@pytest.mark.parametrize(
    ("text", "zone", "gap", "fault"),
    [
        ("R/2026-01-31T08:00:00[Europe/Berln]/P1D", "", "shift", "start: there is no time zone 'Europe/Berln'"),
        ("R/2026-01-31T08:00:00[]/P1D", "", "shift", "start: there is no time zone ''"),
        ("R/2026-01-31T08:00:00[Europe/Berlin][u-ca=hebrew]/P1D", "", "shift", "start: not a date and time"),
        ("R/2026-01-31T08:00:00[Europe/Berlin/P1D", "", "shift", "not of the form"),
        (
            "R/2026-01-31T08:00:00[Europe/Berlin]/P1D", "Europe/Paris", "shift",
            "start: it is in Europe/Berlin, and the time zone is Europe/Paris",
        ),
        (
            "R/2026-01-31T08:00:00+02:00[Europe/Berlin]/P1D", "", "shift",
            "start: its offset +02:00 is not that of Europe/Berlin, where it is 2026-01-31T07:00:00+01:00 then",
        ),
        (
            "R/2026-03-29T02:30:00+01:00[Europe/Berlin]/P1D", "", "shift",
            "start: its offset +01:00 is not that of Europe/Berlin, where it is 2026-03-29T03:30:00+02:00 then",
        ),
        (
            "R0/2026-03-29T02:30:00/", "Europe/Berlin", "skip",
            "start: 02:30 does not exist on 2026-03-29 in Europe/Berlin, and such times are skipped: it would never",
        ),
        ("R/2026-03-29T02:30:00/P9998Y", "Europe/Berlin", "skip", "start: 02:30 does not exist on 2026-03-29"),
        ("R/0001-01-01T00:00:00/P1D", "Europe/Berlin", "shift", "start: not in the years 1 to 9999 in UTC"),
        ("R/0001-01-01T00:00:00Z/P1D", "America/New_York", "shift", "start: not in the years 1 to 9999 in America/"),
        ("R/9999-12-31T23:30:00Z/P1D", "Europe/Berlin", "shift", "start: not in the years 1 to 9999 in Europe/Berlin"),
        ("R/9999-12-31T23:30:00/P1D", "America/New_York", "shift", "start: not in the years 1 to 9999 in UTC"),
        ("0 8 * * *", "UTC", "sometimes", "there is no such way"),
    ],
)  # fmt: skip
def test_faults_of_a_schedule_with_a_zone(text: str, zone: str, gap: str, fault: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        parse(text, zone, gap)
    assert refusal.value.fault.startswith(fault)
    assert not isinstance(refusal.value, ZoneError)  # it is the schedule's
    assert refusal.value.text == text


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Pacific/Apia", "UTC"])
@pytest.mark.parametrize(
    "text",
    [
        "R/9999-11-30T12:00:00/P1D",
        "R/9998-01-31T12:00:00/P1M",
        "R/9999-01-01T00:00:00/P1MT1H",
        "0 12 * * *",
        "*/30 * * * *",
    ],
)
def test_the_calendar_ends_with_the_year_9999(name: str, text: str) -> None:
    plan = parse(text, name)
    last = plan.last_before(10**30)
    assert last is not None
    assert LATEST - 40 * DAY < last <= LATEST
    assert plan.next_after(last) is plan.next_after(LATEST) is plan.next_after(10**30) is None
    assert plan.next_after(last - 1) == last
    assert plan.count_between(last - 1, 10**30) == 1
    assert list(plan.occurrences(LATEST, 10**30)) == []
    # and begins with the year 1, whatever is asked before
    first = plan.next_after(-(10**30))
    assert first is not None
    assert first >= EARLIEST
    assert plan.last_before(first) is None
    assert plan.count_between(-(10**30), first) == 1
    assert plan.local(LATEST)
    assert plan.local(EARLIEST)


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("R/2020-01-31T08:00:00/PT1S", 0.000_5),
        ("R/2020-01-31T08:00:00/P1D", 0.000_5),
        ("R/1920-01-31T08:00:00/P1M", 0.000_5),
        ("* * * * * *", 0.000_5),
        ("30 2 * * *", 0.000_5),
        ("0 0 1 1 *", 0.000_5),
        ("0 0 * 2 MON#5", 0.010),  # in 2044: three stretches a year until then
    ],
)
def test_no_question_takes_long(text: str, most: float) -> None:
    plan = parse(text, "Europe/Berlin")
    now = moment("2026-07-01T12:00")
    took, counted = [], []
    for _ in range(20):
        began = perf_counter()
        plan.next_after(now)
        took.append(perf_counter() - began)
        began = perf_counter()
        plan.count_between(now - 366 * DAY, now)
        counted.append(perf_counter() - began)
    assert min(took) < most  # some 20 µs
    assert min(counted) < 0.05  # 31 million occurrences and 366 days alike
