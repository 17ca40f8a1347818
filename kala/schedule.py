"""A schedule's text to a frozen `Schedule`: which moments it names. Pure: it knows no present, and not which
occurrences were run or how many are left.

The text is a repeating interval of ISO 8601, `R<n>/<start>/<interval>`, as the original Kala takes it: a start in the
extended format with its time, in UTC unless it has an offset; `P[n]Y[n]M[n]DT[n]H[n]M[n]S` or `P[n]W`. A decimal in
the interval's last part, which the standard allows, is ours.
"""

import re
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar

from kala.clock import DAY, SECOND, Moment
from kala.errors import ScheduleError

LATEST: Moment = (date.max.toordinal() + 1 - date(1970, 1, 1).toordinal()) * DAY - 1
"""The last microsecond of the year 9999, UTC: no schedule names a moment after it."""
LONGEST = 9_998 * 366 * DAY  # no two moments of the years 1 to 9999 are further apart
MAX_TEXT = 256  # characters; the longest sensible schedule has about 80. Bounds what the cache holds
MAX_REPETITIONS = 2**62  # so that n + 1 fits a signed 64-bit integer in every database
_EPOCH = date(1970, 1, 1).toordinal()

_NUMBER = r"([0-9]+(?:[.,][0-9]+)?)"
_DURATION = re.compile(
    "P(?:{0}W|(?:{0}Y)?(?:{0}M)?(?:{0}D)?(?:T(?=[0-9])(?:{0}H)?(?:{0}M)?(?:{0}S)?)?)".replace("{0}", _NUMBER)
)
_START = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))?"
)
_T = TypeVar("_T")


class Interval(NamedTuple):
    """The length of an interval on the calendar.

    Days are apart from `time` (microseconds, what is shorter than days) because a day has not always 24 hours by the
    wall clock of a time zone; in UTC it has.
    """

    months: int
    days: int
    time: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Occurrences are `start + k × interval` on the calendar of UTC, for k from 0 to the end of the year 9999.

    Months are added to the start's date, and the day is the month's last where the month is too short: from 31 January
    by P1M come 28 or 29 February and then 31 March. Then k times the days and the time are added. The moments grow
    strictly with k. `repetitions` (n of `Rn`; None is without end) bounds none of the methods: who claims counts.
    """

    text: str
    repetitions: int | None
    start: Moment
    interval: Interval | None  # None: `start` is the only occurrence (R0)

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
        """The first occurrence later than `moment`; None when there is none."""
        return self.occurrence(self.index_at(moment) + 1)

    def count_between(self, after: Moment, until: Moment) -> int:
        """How many occurrences are later than `after` and not later than `until`."""
        return max(self.index_at(until) - self.index_at(after), 0)

    def occurrences(self, after: Moment, until: Moment) -> Iterator[Moment]:
        """The occurrences later than `after` and not later than `until`, in order."""
        k = self.index_at(after) + 1
        while (moment := self.occurrence(k)) is not None and moment <= until:
            yield moment
            k += 1

    def _occurrence_or_beyond(self, k: int) -> Moment:
        moment = self.occurrence(k)
        return LATEST + 1 if moment is None else moment


def months_later(moment: Moment, months: int) -> Moment | None:
    """The same day of the month and time of day `months` (>= 0) later, on the month's last day where it is too short.

    None when that is after the year 9999.
    """
    days, time = divmod(moment, DAY)
    day = date.fromordinal(days + _EPOCH)
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if year > MAXYEAR:
        return None
    last = monthrange(year, month + 1)[1]
    return (date(year, month + 1, min(day.day, last)).toordinal() - _EPOCH) * DAY + time


@lru_cache(maxsize=16_384)  # it is asked for at every claim
def parse(text: str) -> Schedule:
    """Read `R<n>/<start>/<interval>`. The interval of R0 is of no consequence and not looked at, as in Kala.

    Raises `ScheduleError` for anything that is not a schedule. Whether the start is past is not asked here.
    """
    _limit_length(text)
    parts = text.split("/")
    if len(parts) != 3:
        raise ScheduleError(text, "not of the form R<n>/<start>/<interval>, such as R/2030-01-31T08:00:00Z/P1D")
    repetitions = _part(text, "repetitions", _read_repetitions, parts[0])
    start = _part(text, "start", _read_start, parts[1])
    interval = None if repetitions == 0 else _part(text, "interval", _read_repeating, parts[2])
    return Schedule(text, repetitions, start, interval)


@lru_cache(maxsize=1_024)
def duration(text: str) -> int:
    """Microseconds of a duration such as PT5S, P1D, P1W or PT1.5H; what is finer than a microsecond is dropped.

    There is no date to count from, so a year (and twelve months) is 365 days and a month 30 days. May be 0 (PT0S).
    Raises `ScheduleError`.
    """
    _limit_length(text)
    interval = _read_interval(text)
    years, months = divmod(interval.months, 12)
    return (years * 365 + months * 30 + interval.days) * DAY + interval.time


def _limit_length(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ScheduleError(text, f"longer than {MAX_TEXT} characters")


def _part(text: str, name: str, read: Callable[[str], _T], part: str) -> _T:
    """Read one part, with the fault put down to it and the whole text."""
    try:
        return read(part)
    except ScheduleError as error:
        raise ScheduleError(text, f"{name}: {error.fault}") from None


def _read_repetitions(text: str) -> int | None:
    if text == "R":
        return None
    if not re.fullmatch("R[0-9]+", text):
        raise ScheduleError(text, "must be R, or R and a number such as R5")
    if (repetitions := int(text[1:])) > MAX_REPETITIONS:
        raise ScheduleError(text, f"more than {MAX_REPETITIONS}: R without a number repeats without end")
    return repetitions


def _read_start(text: str) -> Moment:
    match = _START.fullmatch(text)
    if not match:
        raise ScheduleError(
            text, "not a date and time such as 2030-01-31T08:00:00Z, 2030-01-31T08:00:00.5+02:00 or 2030-01-31T08:00:00"
        )
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    decimals, sign, offset_hours, offset_minutes = match.group(7, 8, 9, 10)
    if year < MINYEAR or not 1 <= month <= 12 or not 1 <= day <= monthrange(year, month)[1]:
        raise ScheduleError(text, f"there is no date {text[:10]}")
    if hour > 23:
        raise ScheduleError(text, f"there is no hour {hour}: midnight is 00:00:00 of the day that begins")
    if minute > 59 or second > 59:
        raise ScheduleError(text, f"there is no time {text[11:19]} (leap seconds are not counted)")
    offset = int(offset_hours or 0) * 60 + int(offset_minutes or 0)
    if offset > 23 * 60 + 59 or int(offset_minutes or 0) > 59:
        raise ScheduleError(text, f"there is no offset {text[-6:]}: they go to ±23:59")
    seconds = (hour * 60 + minute - (-offset if sign == "-" else offset)) * 60 + second
    micros = int((decimals or "0")[:6].ljust(6, "0"))
    moment = (date(year, month, day).toordinal() - _EPOCH) * DAY + seconds * SECOND + micros
    if not (date.min.toordinal() - _EPOCH) * DAY <= moment <= LATEST:
        raise ScheduleError(text, "not in the years 1 to 9999 in UTC")
    return moment


def _read_repeating(text: str) -> Interval:
    if not text:
        raise ScheduleError(text, "missing: only R0 goes without")
    interval = _read_interval(text)
    if interval == (0, 0, 0):
        raise ScheduleError(text, "must be longer than nothing, or all occurrences were at one moment")
    return interval


def _read_interval(text: str) -> Interval:
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        fault = "must not be negative" if re.match("-P|P.*-[0-9]", text) else "not a duration"
        raise ScheduleError(text, f"{fault}: write it as PT30S, PT1H, P1D, P2W or P1Y2M10DT2H30M15S")
    numbers = [_read_number(number) for number in match.groups("0")]
    if re.search("[.,].*[0-9][A-Z]+[0-9]", text):
        raise ScheduleError(text, "only the last number may have a decimal")
    weeks, years, months, days, hours, minutes, seconds = numbers
    all_months = years * 12 + months
    if all_months.denominator != 1:
        raise ScheduleError(text, "a fraction of a month has no length: write days or hours")
    whole, rest = divmod(weeks * 7 + days, 1)
    time = int((hours * 3_600 + minutes * 60 + seconds) * SECOND + rest * DAY)
    if (int(all_months) * 28 + whole) * DAY + time > LONGEST:
        raise ScheduleError(text, "longer than the calendar, which ends with the year 9999")
    return Interval(int(all_months), whole, time)


def _read_number(text: str) -> int | Fraction:
    return int(text) if text.isdigit() else Fraction(text.replace(",", "."))
