"""Cron expressions in plain words. They are made of what an expression names, not of how it is written; one whose
words would be longer than anyone reads stands for itself."""

from calendar import monthrange
from collections.abc import Sequence
from datetime import datetime

from cronsim import CronSim

from kala.clock import SECOND
from kala.schedule.cron import CronPlan, Pattern
from kala.schedule.durations import Interval
from kala.schedule.wording import MONTHS, MOST, WEEKDAYS, joined, length, named, nth, step_of, without_one
from kala.schedule.zones import time_of

FEW = 4
"""Times of day that are told one by one."""
IF_ANY = " (where there is one)"
_NTH = 1, 2, 3, 4, 5, CronSim.LAST
_WORDS = "first", "second", "third", "fourth", "fifth", "last"
_SOME_DAY = datetime(2000, 1, 1)
_HOUR, _DAY = 3_600, 86_400  # seconds


def in_words(plan: CronPlan) -> str:
    """What an expression names, by the clock of its zone."""
    pattern, zone = plan.pattern, plan.clock.zone.name if plan.clock is not None else ""
    months = f" in {joined(named(pattern.months, _month))}" if len(pattern.months) < 12 else ""
    times, has_hours, days = _few_times(pattern), True, _days(pattern, months)
    is_few = bool(times)
    if not is_few:
        # By a clock that leaves out hours or shows some twice, only `*` names them as they pass
        times, has_hours = _many_times(pattern, passing=plan.clock is None or pattern.is_every_hour)
    if not times or days is None:
        return f"{' '.join(plan.text.split())}, {zone or 'UTC'}"
    utc = " UTC" if has_hours and not zone else ""
    if days:
        words = f"{times}{utc} {days}"
    elif is_few:
        words = f"every day{months} {times}{utc}"
    elif has_hours:
        words = f"{times}{utc} every day{months}"
    else:
        words = f"{times}{months}"
    if zone:
        return f"{words}, {zone}"
    return f"{words}, UTC" if not has_hours and (days or months) else words


def _month(number: int) -> str:
    return MONTHS[number - 1]


# Times of day.


def _clock(second: int) -> str:
    return time_of(second * SECOND)


def _few_times(pattern: Pattern) -> str:
    if len(pattern.hours) * len(pattern.minutes) * len(pattern.seconds) > FEW:
        return ""
    return f"at {joined([_clock(one) for one in _times(pattern)])}"


def _times(pattern: Pattern) -> list[int]:
    """The times of day, in seconds."""
    return [h * _HOUR + m * 60 + s for h in pattern.hours for m in pattern.minutes for s in pattern.seconds]


def _step(pattern: Pattern) -> int | None:
    """The seconds between two times of day, where they are always the same."""
    hours, minutes, seconds = pattern.hours, pattern.minutes, pattern.seconds
    if len(seconds) > 1 and len(minutes) * len(hours) > 1:
        # Looked at first, since there may be a time in each second of the day
        step = step_of(seconds)
        if step is None or step * len(seconds) != 60 or (len(hours) > 1 and len(minutes) != 60):
            return None
    return step_of(_times(pattern))


def _many_times(pattern: Pattern, *, passing: bool) -> tuple[str, bool]:
    """Words for many times of day, empty when there are none, and whether they tell the hours."""
    if step := _step(pattern):
        times = _times(pattern)
        first, last = _clock(times[0]), _clock(times[-1])
        all_day = passing and step * len(times) == _DAY
        if all_day and step == _HOUR:
            return f"every hour at {first[2:]}", False
        if all_day and step < _HOUR and times[0] == 0:
            return _every(step), False
        return f"{_every(step)} from {first} to {last}", True
    fields = [
        _field("second", pattern.seconds, 60) if pattern.seconds != (0,) else "",
        _field("minute", pattern.minutes, 60),
        _field("hour", pattern.hours, 24),
    ]
    if None in fields:
        return "", False
    said = " of ".join(one for one in fields if one)
    return (said if said.startswith("every") else f"at {said}"), len(pattern.hours) < 24


def _every(seconds: int) -> str:
    return f"every {without_one(length(Interval(0, 0, seconds * SECOND)))}"


def _field(unit: str, values: Sequence[int], most: int) -> str | None:
    if len(values) == most:
        return f"every {unit}"
    step = step_of(values)
    if step is not None and step > 1 and len(values) > FEW:
        return f"every {nth(step)} {unit} from {values[0]} to {values[-1]}"
    texts = named(values, str)
    if len(texts) > MOST:
        return None
    return f"{unit}{'s' if len(values) > 1 else ''} {joined(texts)}"


# Days.


def _days(pattern: Pattern, in_months: str) -> str | None:
    """The days, with their months; empty for every day, and None when there are no good words."""
    of_month, of_week = pattern.days
    read = CronSim(f"0 0 {of_month} * {of_week}", _SOME_DAY)
    all_month = read.days.issuperset(range(1, 32))
    all_week = len({one % 7 for one in read.weekdays if isinstance(one, int)}) == 7
    of = f" of {in_months.removeprefix(' in ') or 'every month'}"
    if of_month.startswith("*") or of_week.startswith("*"):
        if all_week:
            return "" if all_month else _on(_month_days(read, pattern.months), of)
        week, has_nth = _week_days(read)
        if all_month:
            return f"on {week}{of if has_nth else in_months}"
        month = _month_days(read, pattern.months, "or")
        that = of if in_months else " of the month"
        return None if month is None or month.startswith("every") else f"on {week} if it is {month}{that}"
    if all_month or all_week:
        return ""
    week, has_nth = _week_days(read)
    month = _on(_month_days(read, pattern.months), of)
    return None if month is None else f"{month} and on {week}{of if has_nth else in_months}"


def _on(days: str | None, of: str) -> str | None:
    return None if days is None else f"on {days}{of}"


def _month_days(read: CronSim, months: Sequence[int], word: str = "and") -> str | None:
    days = sorted(day for day in read.days if day > 0)
    ends = [
        name
        for number, name in ((CronSim.LAST_WEEKDAY, "last weekday (Monday to Friday)"), (CronSim.LAST, "last day"))
        if number in read.days
    ]
    step = step_of(days)
    if step is not None and step > 1 and len(days) > FEW and not ends:
        return f"every {nth(step)} day from the {nth(days[0])} to the {nth(days[-1])}"
    texts = named(days, nth)
    if len(texts) + len(ends) > MOST:
        return None
    shortest = min(monthrange(2001, month)[1] for month in months)
    may_lack = days and days[-1] > shortest and texts[-1] == nth(days[-1])
    return f"the {joined(texts + ends, word)}{IF_ANY if may_lack else ''}"


def _week_days(read: CronSim) -> tuple[str, bool]:
    """The days of the week, and whether they are some of a month's."""
    plain = {(one + 6) % 7 for one in read.weekdays if isinstance(one, int)}
    some = {((day + 6) % 7, _NTH.index(number)) for day, number in _pairs(read) if (day + 6) % 7 not in plain}
    texts = named(sorted(plain), lambda day: WEEKDAYS[day])
    texts += [f"the {_WORDS[place]} {WEEKDAYS[day]}" for day, place in sorted(some)]
    lacks = IF_ANY if any(_NTH[place] == 5 for _, place in some) else ""
    return joined(texts) + lacks, bool(some)


def _pairs(read: CronSim) -> list[tuple[int, int]]:
    """The days of the week of which there is one in a month."""
    return [one for one in read.weekdays if isinstance(one, tuple)]
