"""Repeating intervals: `start + k × interval`, on the calendar of UTC, or by the wall clock of a zone."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from kala.clock import DAY, Moment
from kala.schedule.durations import EARLIEST, LATEST, Interval, months_later
from kala.schedule.plan import Plan
from kala.schedule.zones import Wall, WallClock

_MEAN_MONTH = 146_097 * DAY // 4_800  # the calendar repeats after 400 years, which have 146,097 days
_BEYOND = LATEST + 1


@dataclass(frozen=True, slots=True)
class Schedule(Plan):
    """Occurrences are `start + k × interval` on the calendar of UTC, for k from 0 to the end of the year 9999.

    Months are added to the start's date, and the day is the month's last where the month is too short: from 31 January
    by P1M come 28 or 29 February and then 31 March. Then k times the days and the time are added. The moments grow
    strictly with k. With a `clock` the interval has neither months nor days: what is shorter is the same everywhere.
    """

    text: str
    repetitions: int | None
    start: Moment
    interval: Interval | None  # None: `start` is the only occurrence (R0)
    clock: WallClock | None = None
    start_note: str = ""  # what a change of the zone's offset did to the start

    def occurrence(self, k: int) -> Moment | None:
        """Occurrence `k`, from 0. None when there is none: after the year 9999, or beside the only one."""
        if k <= 0 or self.interval is None:
            return self.start if k == 0 else None
        months, days, time = self.interval
        moment = months_later(self.start, k * months) if months else self.start
        if moment is None or (moment := moment + k * (days * DAY + time)) > LATEST:
            return None
        return moment

    def index_at(self, moment: Moment) -> int:
        """The greatest k whose occurrence is at or before `moment`; -1 when there is none. Never walks the grid."""
        if moment < self.start:
            return -1
        if self.interval is None:
            return 0
        months, days, time = self.interval
        fixed = days * DAY + time
        moment = min(moment, LATEST)
        past = moment - self.start
        if not months:
            return past // fixed
        # no month is shorter than 28 days, so k is at most this: some 130,000, hence 17 steps
        most = past // (months * 28 * DAY + fixed)
        return bisect_right(range(most + 1), moment, key=self._occurrence_or_beyond) - 1

    def next_after(self, moment: Moment) -> Moment | None:
        return self.occurrence(self.index_at(moment) + 1)

    def ahead(self, after: Moment) -> Iterator[Moment]:
        k = self.index_at(after) + 1
        while (moment := self.occurrence(k)) is not None:
            yield moment
            k += 1

    def back(self, until: Moment) -> Iterator[Moment]:
        for k in range(self.index_at(until), -1, -1):
            yield self._occurrence_or_beyond(k)

    def count_between(self, after: Moment, until: Moment) -> int:
        return max(self.index_at(until) - self.index_at(after), 0)

    def note(self, moment: Moment) -> str:
        return self.start_note if moment == self.start else ""

    def _occurrence_or_beyond(self, k: int) -> Moment:
        moment = self.occurrence(k)
        return _BEYOND if moment is None else moment


@dataclass(frozen=True, slots=True)
class WallSchedule(Plan):
    """Occurrences are `start + k × interval` by the wall clock of a zone, of an interval that has months or days.

    Months and days are added to the start's reading, as in UTC; `clock` says which moments a reading means; to those k
    times the time is added, which is the same everywhere. Readings that were left out and made good may fall on the
    next ones, where a whole day is left out: that is one occurrence.
    """

    text: str
    repetitions: int | None
    start: Moment
    interval: Interval
    clock: WallClock
    wall: Wall  # the start's reading, of the years 1 to 9999
    exact: Moment | None = None  # the start's moment, where the text says it

    def ahead(self, after: Moment) -> Iterator[Moment]:
        k = max(self._index_at(after), 0)
        last = after
        while (wall := self._wall(k)) is not None:
            for moment in self._moments(k, wall):
                if moment > last:
                    yield moment
                    last = moment
            k += 1

    def back(self, until: Moment) -> Iterator[Moment]:
        last = until + 1
        for k in range(self._index_at(until), -1, -1):
            wall = self._wall(k)
            for moment in reversed([] if wall is None else self._moments(k, wall)):
                if moment < last:
                    yield moment
                    last = moment

    def count_between(self, after: Moment, until: Moment) -> int:
        return sum(1 for _ in self.occurrences(after, until))  # they are a day apart, or more

    def note(self, moment: Moment) -> str:
        index = self._index_at(moment)
        for k in range(index, max(index - 2, -1), -1):
            wall = self._wall(k)
            if wall is None or moment not in self._moments(k, wall):
                continue
            if note := self.clock.note(wall, moment - k * self.interval.time):
                return note
        return ""

    def _wall(self, k: int) -> Wall | None:
        """The reading that is k intervals after the start, without the time; None when the calendar has ended."""
        wall = months_later(self.wall, k * self.interval.months) if self.interval.months else self.wall
        if wall is None or (wall := wall + k * self.interval.days * DAY) + k * self.interval.time > LATEST + DAY:
            return None
        return wall

    def _anchor(self, k: int) -> Moment:
        """The first moment that k can mean. It never falls with k."""
        if k == 0 and self.exact is not None:
            return self.exact
        wall = self._wall(k)
        return _BEYOND if wall is None else min(self.clock.anchor(wall) + k * self.interval.time, _BEYOND)

    def _moments(self, k: int, wall: Wall) -> list[Moment]:
        """The occurrences that k makes, of which `wall` is the reading."""
        if k == 0 and self.exact is not None:
            return [self.exact]
        moments = [moment + k * self.interval.time for moment in self.clock.moments(wall)]
        return [moment for moment in moments if EARLIEST <= moment <= LATEST]

    def _index_at(self, moment: Moment) -> int:
        """The greatest k whose anchor is at or before `moment`; -1 when there is none."""
        months, days, time = self.interval
        mean = months * _MEAN_MONTH + days * DAY + time
        # an anchor is within a day of its reading; k months within twelve days of k mean ones: seldom more than 2 steps
        slack = DAY + (12 * DAY if months else 0)
        past = min(moment, LATEST) - self.wall
        low, high = max((past - slack) // mean, 0), max((past + slack) // mean + 1, 0)
        return low + bisect_right(range(low, high), min(moment, LATEST), key=self._anchor) - 1
