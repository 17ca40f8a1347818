"""What changes of a time zone's offset do to the occurrences of a job in a period. Pure."""

from collections.abc import Iterator

from kala import schedule
from kala.clock import DAY, SECOND, Moment, to_datetime
from kala.job import Record
from kala.ledger import plan_of
from kala.schedule.plan import Plan
from kala.schedule.repeating import WallSchedule


def clock_changes(record: Record, begin: Moment, end: Moment) -> Iterator[tuple[Moment, str]]:
    """The moments from `begin` until before `end` that are other than usual, or left out, each with a sentence."""
    job = record.job
    if not job.schedule or job.parent_jobs or record.disabled or record.cursor is None:
        return
    plan = plan_of(job)
    if plan.clock is None:
        return
    shifted = schedule.parse(job.schedule, job.time_zone, "shift", job.dst_fold)
    for low, high in windows(plan, begin, end):
        there = set(plan.occurrences(low - 1, high))
        for moment in sorted(there.union(shifted.occurrences(low - 1, high))):
            if not begin <= moment < end or not is_to_come(record, plan, moment):
                continue
            if moment not in there:
                yield moment, f"{shifted.note(moment).partition(': ')[0]}: left out, as dst_gap is skip"
            elif note := plan.note(moment):
                yield moment, note


def windows(plan: Plan, begin: Moment, end: Moment) -> Iterator[tuple[Moment, Moment]]:
    """Where such moments can be: as far from a change as the offset moves; of an interval of days and hours anywhere,
    as the hours are added to what the clock shows."""
    if plan.clock is None:
        return
    if isinstance(plan, WallSchedule) and plan.interval.time:
        yield begin, end
        return
    for year in range(to_datetime(begin - DAY).year, to_datetime(end + DAY).year + 1):
        for change in plan.clock.zone.transitions(year):
            reach = abs(change.after - change.before) + SECOND
            if begin - reach < change.moment < end + reach:
                yield change.moment - reach, change.moment + reach


def is_to_come(record: Record, plan: Plan, moment: Moment) -> bool:
    """Whether the occurrence at `moment` is among the claims that are left, should none be skipped or missed."""
    if record.cursor is None or record.remaining is None:
        return record.cursor is not None
    return plan.count_between(record.cursor - 1, moment) <= record.remaining
