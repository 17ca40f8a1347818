"""Schedules by the clock of a zone, against an account on paper of what the clock shows, time by time."""

import calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from kala import schedule
from kala.clock import DAY, SECOND, from_datetime, to_datetime
from kala.schedule import Plan, parse, zones

POLICIES = [(gap, fold) for gap in schedule.GAPS for fold in schedule.FOLDS]
NAMES = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "Europe/Istanbul",
    "Africa/Casablanca", "Antarctica/Troll", "Asia/Tehran", "America/Juneau", "Pacific/Kwajalein", "Asia/Kolkata",
    "UTC",
]  # fmt: skip
YEARS = [1867, 1893, 1993, 2011, 2016, 2018, 2019, 2026, 2040]
EDGES = {name: [change for year in YEARS for change in zones.find(name).transitions(year)] for name in NAMES}
unhurried = settings(deadline=None)  # a busy machine is no fault
names = st.sampled_from(NAMES)


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, int, int]:
    """A zone, and from when until when: mostly around a change of its offset."""
    name = draw(names)
    edges = [change.moment for change in EDGES[name]] or [from_datetime(datetime(2026, 3, 29, 1, tzinfo=UTC))]
    middle = draw(st.sampled_from(edges))
    begin = middle - draw(st.integers(0, 3 * 24 * 60)) * 60 * SECOND
    return name, begin, begin + draw(st.integers(0, 6 * 24 * 60)) * 60 * SECOND


def means(wall: datetime, zone: ZoneInfo, gap: str, fold: str) -> list[int]:
    """The moments of a reading, by going there and back."""
    either = [wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    real = sorted(
        {from_datetime(one) for one in either if one.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall}
    )
    if not real:
        return [] if gap == "skip" else [from_datetime(either[0])]
    return {"first": real[:1], "second": real[-1:], "both": real}[fold]


def agrees(plan: Plan, begin: int, end: int, expected: list[int]) -> None:
    """Everything that a plan can be asked about a window says the same."""
    assert list(plan.occurrences(begin, end)) == expected
    assert plan.count_between(begin, end) == len(expected)
    assert plan.latest(len(expected) + 1, end, after=begin) == expected
    assert plan.latest(2, end, after=begin) == expected[-2:]
    at = begin
    for one in expected[:50]:
        assert plan.next_after(at) == one
        assert plan.next_after(one - 1) == one
        at = one
    at = end + 1
    for one in expected[:-50:-1]:
        assert plan.last_before(at) == one
        at = one
    if expected:
        middle = expected[len(expected) // 2]
        assert plan.count_between(begin, middle) + plan.count_between(middle, end) == len(expected)


CRON = [
    "30 2 * * *", "0,30 0-3 * * *", "*/7 1,2,3 * * *", "15 0-23 * * *", "45 23 * * *", "0 12 * * 1-5",
    "59 1-2,22-23 * * *", "0 0 * * *", "10 3 L * *", "30 1 29-31 * 5L", "0 3 * 3,10,11 SUN#1", "20 4 * * 0",
    "17,18,19 0/6 * * *",
]  # fmt: skip


def readings(expression: str, begin: int, end: int) -> Iterator[datetime]:
    """What cronsim itself finds, up to two days before and after."""
    for wall in CronSim(expression, to_datetime(begin).replace(tzinfo=None) - timedelta(days=2, seconds=1)):
        if wall > to_datetime(end).replace(tzinfo=None) + timedelta(days=2):
            return
        yield wall


@given(windows(), st.sampled_from(CRON), st.sampled_from(POLICIES))
@unhurried
def test_cron_by_a_clock_agrees_with_its_readings(
    window: tuple[str, int, int], expression: str, policy: tuple[str, str]
) -> None:
    name, begin, end = window
    found = {at for wall in readings(expression, begin, end) for at in means(wall, ZoneInfo(name), *policy)}
    agrees(parse(expression, name, *policy), begin, end, sorted(at for at in found if begin < at <= end))


@given(
    windows(), st.sampled_from(["30 * * * *", "*/20 */2 * * *", "0 */3 * * *", "5 * L * *"]), st.sampled_from(POLICIES)
)
@unhurried
def test_every_hour_agrees_with_looking_at_the_clock(
    window: tuple[str, int, int], expression: str, policy: tuple[str, str]
) -> None:
    name, begin, end = window
    walls = set(readings(expression, begin, end))
    minute, zone = 60 * SECOND, ZoneInfo(name)
    # offsets of long ago have seconds
    offset = zones.find(name).offset(begin) % minute, zones.find(name).offset(end) % minute
    minutes = {at - one for one in offset for at in range(begin - begin % minute, end + 2 * minute, minute)}
    found = {at for at in minutes if to_datetime(at).astimezone(zone).replace(tzinfo=None) in walls}
    agrees(parse(expression, name, *policy), begin, end, sorted(at for at in found if begin < at <= end))


@given(
    windows(),
    st.integers(-800, 0),
    st.integers(0, 24 * 60 - 1),
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.sampled_from([0, 0, 1, 90])).filter(
        lambda one: one[0] or one[1]
    ),
    st.sampled_from(POLICIES),
)
@unhurried
def test_intervals_by_a_clock_agree_with_a_calendar_on_paper(
    window: tuple[str, int, int], earlier: int, minute: int, interval: tuple[int, int, int], policy: tuple[str, str]
) -> None:
    # given a start some days before a change
    name, begin, end = window
    months, days, minutes = interval
    start = to_datetime(begin).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    start += timedelta(days=earlier, minutes=minute)
    text = f"R/{start.isoformat()}/P{months}M{days}DT{minutes}M"
    # then each k on paper is one, and nothing else
    found: set[int] = set()
    k = 0
    while (wall := stepped(start, k * months, k * days)) <= to_datetime(end).replace(tzinfo=None) + timedelta(days=2):
        found |= {at + k * minutes * 60 * SECOND for at in means(wall, ZoneInfo(name), *policy)}
        k += 1
    agrees(parse(text, name, *policy), begin, end, sorted(at for at in found if begin < at <= end))


def stepped(start: datetime, months: int, days: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day) + timedelta(days=days)


@given(
    st.integers(from_datetime(datetime(1900, 1, 1, tzinfo=UTC)), from_datetime(datetime(2200, 1, 1, tzinfo=UTC))),
    st.sampled_from(["PT7M", "P1D", "P1M", "P2M3DT1H", "P1Y", "PT36H"]),
    st.integers(0, 400 * DAY),
)
@unhurried
def test_the_zone_utc_is_utc(start: int, interval: str, past: int) -> None:
    text = f"R/{to_datetime(start).replace(tzinfo=None).isoformat()}/{interval}"
    for one in (text, "30 2 * * 1-5", "*/20 * * * *"):
        plain, zoned = parse(one), parse(one, "UTC", "skip", "both")
        at = start + past
        assert list(islice(plain.ahead(at), 5)) == list(islice(zoned.ahead(at), 5))
        assert list(islice(plain.back(at), 5)) == list(islice(zoned.back(at), 5))
        assert plain.count_between(at, at + 3 * DAY) == zoned.count_between(at, at + 3 * DAY)
        assert plain.start == zoned.start
