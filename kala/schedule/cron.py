"""Cron expressions: which readings of a wall clock they name, and as a plan, which moments.

The fields are those of Vixie's cron as Debian has it, read by cronsim, which also knows what `L`, `LW` and `#` name in
a month. Six fields begin with seconds. Where the days of the month and of the week are both given, either will do;
where one of the two begins with `*`, both must hold.
"""

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from heapq import merge
from itertools import groupby

from cronsim import CronSim, CronSimError

from kala.clock import DAY, SECOND, Moment
from kala.errors import ScheduleError
from kala.schedule.durations import EARLIEST, EPOCH_DAY, LATEST
from kala.schedule.plan import Plan
from kala.schedule.zones import ALL_UTC, Stretch, Wall, WallClock

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
VALUES = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L (the last day), LW (the last one from Monday to Friday)",
    "month": "1 to 12, JAN to DEC",
    "day-of-week": "0 to 7 (Sunday is both), SUN to SAT, 5L (the last Friday), FRI#2 (the second Friday)",
}
"""What each field takes beside `*`, lists (1,15), ranges (1-5) and steps (*/10)."""
NEVER = "it would never run"
_SOME_DAY = datetime(2000, 1, 1)  # cronsim wants one; only its calendar is used
_SAMPLES = {monthrange(year, month): (year, month) for year in range(2000, 2028) for month in range(1, 13)}
"""A month of each shape that there is: 7 weekdays on which it begins × 4 lengths."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """The readings that an expression names, each a whole second."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    days: tuple[str, str]  # the fields for days of the month and of the week
    is_every_hour: bool
    """The field for hours begins with `*`: it names every hour that there is, also one that comes twice, and knows
    nothing of one that is left out."""

    def readings(self, begin: Wall, end: Wall, *, backwards: bool = False) -> Iterator[Wall]:
        """Those from `begin` until before `end`, in order or in reverse."""
        first, low, last, high = _bounds(begin, end)
        for day in self._days(first, last, backwards=backwards):
            indexes = range(self._rank(low) if day == first else 0, self._rank(high) if day == last else self._in_a_day)
            for index in reversed(indexes) if backwards else indexes:
                yield (day - EPOCH_DAY) * DAY + self._time(index) * SECOND

    def count(self, begin: Wall, end: Wall) -> int:
        """How many there are from `begin` until before `end`. Walks months."""
        first, low, last, high = _bounds(begin, end)
        count = 0
        for month, days in self._by_month(first, last):
            here = bisect_left(days, last + 1 - month + 1) - bisect_left(days, first - month + 1)
            count += here * self._in_a_day
        if any(self._days(first, first)):
            count -= self._rank(low)
        if any(self._days(last, last)):
            count -= self._in_a_day - self._rank(high)
        return max(count, 0)

    def names(self, wall: Wall) -> bool:
        """Whether it names this reading."""
        return any(True for _ in self.readings(wall, wall + 1))

    def is_empty(self) -> bool:
        """Whether no month has a day that it names."""
        lengths = {monthrange(year, month)[1] for year in (2000, 2001) for month in self.months}
        return not any(_days_of(*self.days, *shape) for shape in _SAMPLES if shape[1] in lengths)

    @property
    def _in_a_day(self) -> int:
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    def _rank(self, time: int) -> int:
        """How many times of day (in seconds) it names before this one."""
        minute, second = divmod(time, 60)
        hour, minute = divmod(minute, 60)
        rank = bisect_left(self.hours, hour)
        if hour not in self.hours:
            return rank * len(self.minutes) * len(self.seconds)
        rank = rank * len(self.minutes) + bisect_left(self.minutes, minute)
        if minute not in self.minutes:
            return rank * len(self.seconds)
        return rank * len(self.seconds) + bisect_left(self.seconds, second)

    def _time(self, index: int) -> int:
        """The time of day at a rank, in seconds."""
        rest, second = divmod(index, len(self.seconds))
        hour, minute = divmod(rest, len(self.minutes))
        return self.hours[hour] * 3_600 + self.minutes[minute] * 60 + self.seconds[second]

    def _days(self, first: int, last: int, *, backwards: bool = False) -> Iterator[int]:
        """The days that it names, as ordinals, from `first` to `last`."""
        for month, days in self._by_month(first, last, backwards=backwards):
            for day in reversed(days) if backwards else days:
                if first <= month + day - 1 <= last:
                    yield month + day - 1

    def _by_month(self, first: int, last: int, *, backwards: bool = False) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The months that it names and that meet the days from `first` to `last`: the first day, and the days named."""
        if first > last:
            return
        begin, end = date.fromordinal(first), date.fromordinal(last)
        years = range(begin.year, end.year + 1)
        for year in reversed(years) if backwards else years:
            for month in reversed(self.months) if backwards else self.months:
                if (begin.year, begin.month) <= (year, month) <= (end.year, end.month):
                    yield date(year, month, 1).toordinal(), _days_of(*self.days, *monthrange(year, month))


def _bounds(begin: Wall, end: Wall) -> tuple[int, int, int, int]:
    """The first day (an ordinal) and the second in it, the last day and the second before which it ends."""
    first, low = divmod(-(-max(begin, EARLIEST) // SECOND), 86_400)
    last, high = divmod(-(-min(end, LATEST + 1) // SECOND), 86_400)
    if high == 0:
        last, high = last - 1, 86_400
    return first + EPOCH_DAY, low, last + EPOCH_DAY, high


@lru_cache(maxsize=4_096)  # most expressions say `* *`, and a month has one of 28 shapes
def _days_of(of_month: str, of_week: str, weekday: int, length: int) -> tuple[int, ...]:
    """The days that the two fields name in a month that begins on `weekday` and has `length` days."""
    simulation = CronSim(f"0 0 {of_month} * {of_week}", _SOME_DAY)
    year, month = _SAMPLES[weekday, length]
    return tuple(day for day in range(1, length + 1) if simulation.match_day(date(year, month, day)))


@dataclass(frozen=True, slots=True)
class CronPlan(Plan):
    """The moments at which the clock shows what an expression names. Without end, and without a first one."""

    text: str
    pattern: Pattern
    clock: WallClock | None
    repetitions: int | None = None
    start: Moment | None = None

    def ahead(self, after: Moment) -> Iterator[Moment]:
        begin = max(after + 1, EARLIEST)
        for stretch in [ALL_UTC] if self.clock is None else self.clock.ahead(begin):
            yield from self._moments(stretch._replace(begin=max(stretch.begin, begin)))

    def back(self, until: Moment) -> Iterator[Moment]:
        end = min(until, LATEST) + 1
        for stretch in [ALL_UTC] if self.clock is None else self.clock.back(end - 1):
            yield from self._moments(stretch._replace(end=min(stretch.end, end)), backwards=True)

    def occurrences(self, after: Moment, until: Moment) -> Iterator[Moment]:
        # Without a look at what comes after `until`, which may be decades away
        begin, end = max(after + 1, EARLIEST), min(until, LATEST) + 1
        for stretch in [ALL_UTC] if self.clock is None else self.clock.ahead(begin):
            if stretch.begin >= end:
                return
            yield from self._moments(stretch._replace(begin=max(stretch.begin, begin), end=min(stretch.end, end)))

    def count_between(self, after: Moment, until: Moment) -> int:
        begin, end = max(after + 1, EARLIEST), min(until, LATEST) + 1
        count = 0
        for stretch in [ALL_UTC] if self.clock is None else self.clock.ahead(begin):
            if stretch.begin >= end:
                break
            part = stretch._replace(begin=max(stretch.begin, begin), end=min(stretch.end, end))
            if len(part.offsets) == 1:
                (offset,) = part.offsets
                count += self.pattern.count(part.begin + offset, part.end + offset)
            else:
                count += sum(1 for _ in self._moments(part))
        return count

    def note(self, moment: Moment) -> str:
        if self.clock is None or (stretch := next(self.clock.ahead(moment), None)) is None:
            return ""
        for offset in stretch.offsets:
            wall = moment + offset
            if self.pattern.names(wall) and (note := self.clock.note(wall, moment)):
                return note
        return ""

    def _moments(self, stretch: Stretch, *, backwards: bool = False) -> Iterator[Moment]:
        by_offset = [self._read_with(offset, stretch, backwards) for offset in stretch.offsets]
        if len(by_offset) == 1:
            return by_offset[0]
        return (moment for moment, _ in groupby(merge(*by_offset, reverse=backwards)))

    def _read_with(self, offset: int, stretch: Stretch, backwards: bool) -> Iterator[Moment]:
        for wall in self.pattern.readings(stretch.begin + offset, stretch.end + offset, backwards=backwards):
            yield wall - offset


def read(text: str, clock: WallClock | None) -> CronPlan:
    """The plan of an expression. Raises `ScheduleError`, which names the field."""
    pattern = _read_pattern(text)
    if clock is not None and pattern.is_every_hour:
        clock = WallClock(clock.zone, "skip", "both")
    return CronPlan(text, pattern, clock)


def _read_pattern(text: str) -> Pattern:
    fields = _fields(text)
    names = list(VALUES)
    try:
        read = CronSim(" ".join(fields), _SOME_DAY)
    except CronSimError as error:
        at = next((at for at, name in enumerate(names) if str(error) == f"Bad {name}"), None)
        if at is None:
            raise ScheduleError(text, f"not a cron expression: {error}") from None
        if at == names.index("day-of-month") and _is_read([*fields[:4], "*", fields[5]]):
            fault = f"day-of-month: no month of {fields[4]!r} has a day {fields[at]!r}: {NEVER}"
        else:
            fault = f"{names[at]}: {fields[at]!r} cannot be read: write *, {VALUES[names[at]]}, or lists (1,2), "
            fault += "ranges (1-5) or steps (*/2) of these"
        raise ScheduleError(text, fault) from None
    pattern = Pattern(
        seconds=tuple(sorted(read.seconds)),
        minutes=tuple(sorted(read.minutes)),
        hours=tuple(sorted(read.hours)),
        months=tuple(sorted(read.months)),
        days=(fields[3], fields[5]),
        is_every_hour=fields[2].startswith("*"),
    )
    if pattern.is_empty():
        raise ScheduleError(text, f"day-of-month: no day {fields[3]!r} is a day-of-week {fields[5]!r}: {NEVER}")
    return pattern


def _fields(text: str) -> list[str]:
    """The six fields, seconds first, in capitals."""
    if text.startswith("@"):
        name = text.rstrip().lower()
        if name == "@reboot":
            fault = (
                "@reboot is not a schedule: a job without one runs once, at once; what is to run whenever the machine "
                "starts is a matter for its service manager"
            )
            raise ScheduleError(text, fault)
        if name not in NICKNAMES:
            raise ScheduleError(text, f"there is no such word: there are {', '.join(NICKNAMES)}")
        text = NICKNAMES[name]
    if not re.fullmatch(r"[\x20-\x7e\t]*", text):
        raise ScheduleError(text, "a cron expression is of digits, letters and *,-/# alone, with blanks between fields")
    fields = text.upper().split()
    if len(fields) not in (5, 6):
        fault = f"a cron expression has five fields ({' '.join(list(VALUES)[1:])}), or six with the second first"
        raise ScheduleError(text, f"{fault}: here are {len(fields)}")
    return fields if len(fields) == 6 else ["0", *fields]


def _is_read(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), _SOME_DAY)
    except CronSimError:
        return False
    return True
