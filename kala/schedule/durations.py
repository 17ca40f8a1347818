"""Lengths of time as ISO 8601 writes them, `P[n]Y[n]M[n]DT[n]H[n]M[n]S` or `P[n]W`, and where the calendar ends.

A decimal in the last part, which the standard allows, is ours.
"""

import re
from calendar import monthrange
from datetime import MAXYEAR, date
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from kala.clock import DAY, SECOND, Moment
from kala.errors import ScheduleError

EPOCH_DAY = date(1970, 1, 1).toordinal()
EARLIEST: Moment = (date.min.toordinal() - EPOCH_DAY) * DAY
"""The first microsecond of the year 1, UTC."""
LATEST: Moment = (date.max.toordinal() + 1 - EPOCH_DAY) * DAY - 1
"""The last microsecond of the year 9999, UTC: no schedule names a moment after it."""
LONGEST = 9_998 * 366 * DAY  # no two moments of the years 1 to 9999 are further apart
MAX_TEXT = 256  # characters; the longest sensible schedule has about 80. Bounds what the caches hold

_NUMBER = r"([0-9]+(?:[.,][0-9]+)?)"
PATTERN = re.compile(
    "P(?:{0}W|(?:{0}Y)?(?:{0}M)?(?:{0}D)?(?:T(?=[0-9])(?:{0}H)?(?:{0}M)?(?:{0}S)?)?)".replace("{0}", _NUMBER)
)


class Interval(NamedTuple):
    """The length of an interval on the calendar.

    Days are apart from `time` (microseconds, what is shorter than days) because a day has not always 24 hours by the
    wall clock of a time zone; in UTC it has.
    """

    months: int
    days: int
    time: int


def months_later(moment: Moment, months: int) -> Moment | None:
    """The same day of the month and time of day `months` (>= 0) later, on the month's last day where it is too short.

    None when that is after the year 9999.
    """
    days, time = divmod(moment, DAY)
    day = date.fromordinal(days + EPOCH_DAY)
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if year > MAXYEAR:
        return None
    last = monthrange(year, month + 1)[1]
    return (date(year, month + 1, min(day.day, last)).toordinal() - EPOCH_DAY) * DAY + time


@lru_cache(maxsize=1_024)
def duration(text: str) -> int:
    """Microseconds of a duration such as PT5S, P1D, P1W or PT1.5H; what is finer than a microsecond is dropped.

    There is no date to count from, so a year (and twelve months) is 365 days and a month 30 days. May be 0 (PT0S).
    Raises `ScheduleError`.
    """
    limit_length(text)
    interval = read_interval(text)
    years, months = divmod(interval.months, 12)
    return (years * 365 + months * 30 + interval.days) * DAY + interval.time


def limit_length(text: str) -> None:
    """Raise `ScheduleError` for text that is longer than any that is taken."""
    if len(text) > MAX_TEXT:
        raise ScheduleError(text, f"longer than {MAX_TEXT} characters")


def read_interval(text: str) -> Interval:
    """The interval that a duration's text stands for. Raises `ScheduleError`."""
    match = PATTERN.fullmatch(text)
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
