"""Plans in plain words: "every day at 06:00 UTC". They say when occurrences are by the schedule's own clock; what a
change of a zone's offset does to some of them is told of each (`Plan.note`)."""

from datetime import date

from kala.clock import DAY
from kala.schedule import cronspoken
from kala.schedule.cron import CronPlan
from kala.schedule.durations import EARLIEST, EPOCH_DAY, LATEST, Interval
from kala.schedule.plan import Plan
from kala.schedule.repeating import Schedule, WallSchedule
from kala.schedule.wording import MONTHS, WEEKDAYS, length, nth, several, without_one
from kala.schedule.zones import Wall, day_of, time_of

SHORTEST = 28  # days that every month has


def in_words(plan: Plan, *, is_to_begin: bool = False) -> str:
    """What a plan names, in words. With `is_to_begin` its start is told, also where the words say each occurrence."""
    if isinstance(plan, CronPlan):
        return cronspoken.in_words(plan)
    if not isinstance(plan, Schedule | WallSchedule):
        return plan.text
    first, zone = _reading(plan)
    where = f", {zone}" if zone else " UTC"
    if plan.interval is None:
        return f"once at {day_of(first)} {time_of(first)}{where}"
    times = "" if plan.repetitions is None else f", {plan.repetitions + 1:,} times"
    wall = plan.wall if isinstance(plan, WallSchedule) else first
    if not (days := _days(plan.interval, wall)):
        return f"every {without_one(length(plan.interval))} from {day_of(first)} {time_of(first)}{where}{times}"
    is_told = is_to_begin or times or plan.interval not in _ALONE
    since = f", from {day_of(first)}" if is_told else ""
    return f"{days} at {time_of(wall)}{where}{since}{times}"


_ALONE = frozenset({Interval(0, 1, 0), Interval(0, 7, 0), Interval(1, 0, 0), Interval(12, 0, 0)})
"""Of these the words say each occurrence, whenever the first one was."""


def _reading(plan: Schedule | WallSchedule) -> tuple[Wall, str]:
    """What the clock shows at the first occurrence, and whose clock it is: a zone's, or "" for UTC."""
    if plan.clock is not None:
        wall = plan.start + plan.clock.zone.offset(plan.start)
        if EARLIEST <= wall <= LATEST:
            return wall, plan.clock.zone.name
    return plan.start, ""


def _days(interval: Interval, wall: Wall) -> str:
    """The days of an interval that always comes to the same time of day; empty for others."""
    day = date.fromordinal(wall // DAY + EPOCH_DAY)
    months, days, time = interval
    if time or (months and days):
        return ""
    if days % 7 == 0 and days:
        return f"every {without_one(several(days // 7, 'week'))} on {WEEKDAYS[day.weekday()]}"
    if days:
        return f"every {without_one(several(days, 'day'))}"
    if months % 12 == 0:
        short = " (or the 28th)" if (day.month, day.day) == (2, 29) else ""
        return f"every {without_one(several(months // 12, 'year'))} on {day.day} {MONTHS[day.month - 1]}{short}"
    short = " (or its last day)" if day.day > SHORTEST else ""
    return f"every {without_one(several(months, 'month'))} on the {nth(day.day)}{short}"
