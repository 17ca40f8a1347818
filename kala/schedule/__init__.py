"""A schedule's text to a frozen `Plan`: which moments it names.

The text is a repeating interval of ISO 8601, `R<n>/<start>/<interval>`, as the original Kala takes it, or a cron
expression. The start is in the extended format with its time, in UTC unless it has an offset, or is what the clock of
a zone shows: of the one that is given beside the text, or in RFC 9557's brackets after the start. With a zone months,
weeks and days go by its clock, and cron expressions do.
"""

import re
from dataclasses import replace
from functools import lru_cache

from kala.errors import ScheduleError
from kala.schedule import cron, zones
from kala.schedule.durations import EARLIEST, LATEST, Interval, duration, limit_length, months_later, read_interval
from kala.schedule.plan import Plan
from kala.schedule.repeating import Schedule, WallSchedule
from kala.schedule.starts import Start, moment_of, read_start, reading_of
from kala.schedule.zones import WallClock

__all__ = ["LATEST", "Interval", "Plan", "Schedule", "WallSchedule", "duration", "months_later", "parse"]

GAPS = ("shift", "skip")
FOLDS = ("first", "second", "both")
MAX_REPETITIONS = 2**62  # so that n + 1 fits a signed 64-bit integer in every database
_PARTS = re.compile(r"([^/]*)/([^/\[]*(?:\[[^\]]*\][^/\[]*)*)/([^/]*)")  # a zone's name may have slashes


@lru_cache(maxsize=16_384)  # it is asked for at every claim
def parse(text: str, zone: str = "", gap: str = "shift", fold: str = "first") -> Plan:
    """Read a schedule. The interval of R0 is of no consequence and not looked at, as in Kala.

    `zone` is a name of the IANA database; `gap` (shift, skip) and `fold` (first, second, both) say what becomes of
    times that the zone's clock leaves out or shows twice. Raises `ZoneError` for a zone that there is not, and
    `ScheduleError` for all else that is not a schedule. Whether the start is past is not asked here.
    """
    limit_length(text)
    if gap not in GAPS or fold not in FOLDS:
        raise ScheduleError(text, f"there is no such way with a zone's changes: {gap!r}, {fold!r}")
    clock = WallClock(zones.find(zone), gap, fold) if zone else None
    if text.startswith("@") or (len(text.split()) > 1 and not re.match("R[^ ]*/", text)):
        return cron.read(text, clock)
    written = _PARTS.fullmatch(text)
    if not written:
        fault = "not of the form R<n>/<start>/<interval>, such as R/2030-01-31T08:00:00Z/P1D"
        raise ScheduleError(text, f"{fault}, and not a cron expression, such as 0 8 * * MON-FRI")
    part = "repetitions"
    try:
        repetitions = _read_repetitions(written[1])
        part = "start"
        start = read_start(written[2])
        if start.zone is not None:
            clock = _same(clock, WallClock(start.zone, gap, fold))
        part = "interval"
        interval = None if repetitions == 0 else _read_repeating(written[3])
        part = "start"
        if clock is None:
            return Schedule(text, repetitions, moment_of(start), interval)
        return _by_clock(text, repetitions, start, interval, clock)
    except ScheduleError as error:
        raise ScheduleError(text, f"{part}: {error.fault}") from None


def _same(given: WallClock | None, written: WallClock) -> WallClock:
    if given is not None and given.zone is not written.zone:
        name = written.zone.name
        raise ScheduleError(name, f"it is in {name}, and the time zone is {given.zone.name}")
    return written


def _by_clock(text: str, repetitions: int | None, start: Start, interval: Interval | None, clock: WallClock) -> Plan:
    """The plan whose start a zone's clock shows. Hours and what is shorter pass everywhere alike."""
    wall, exact = reading_of(start, clock)
    moments = clock.moments(wall) if exact is None else (exact,)
    if interval is not None and (interval.months or interval.days):
        plan = WallSchedule(text, repetitions, clock.anchor(wall), interval, clock, wall, exact)
        if (first := plan.next_after(EARLIEST - 1)) is not None:
            return replace(plan, start=first)
    elif moments:
        return Schedule(text, repetitions, moments[0], interval, clock, clock.note(wall, moments[0]))
    elif interval is not None and (second := clock.anchor(wall) + interval.time) <= LATEST:
        return Schedule(text, repetitions, second, interval, clock)
    raise ScheduleError(text, f"{clock.left_out(wall)}, and such times are skipped: it would never run")


def _read_repetitions(text: str) -> int | None:
    if text == "R":
        return None
    if not re.fullmatch("R[0-9]+", text):
        raise ScheduleError(text, "must be R, or R and a number such as R5")
    if (repetitions := int(text[1:])) > MAX_REPETITIONS:
        raise ScheduleError(text, f"more than {MAX_REPETITIONS}: R without a number repeats without end")
    return repetitions


def _read_repeating(text: str) -> Interval:
    if not text:
        raise ScheduleError(text, "missing: only R0 goes without")
    interval = read_interval(text)
    if interval == (0, 0, 0):
        raise ScheduleError(text, "must be longer than nothing, or all occurrences were at one moment")
    return interval
