"""How a job goes on from its next occurrence."""

from typing import Any, NamedTuple

from kala import schedule
from kala.clock import DAY, Moment
from kala.job import Job, Record
from kala.ledger import LATE, expected, jittered, plan_of
from kala.schedule.pace import is_calm, pace_of, zone_of

Key = tuple[Any, ...]


class Course(NamedTuple):
    """From `first` on, the occurrence that comes next, until so many claims are used up (None: without end).

    From each to the next it is `micros`; where that is 0, its plan knows. `days`: whole days by a zone's clock. Each is
    put off by a part of `jitter` microseconds.
    """

    first: Moment
    left: int | None
    micros: int
    days: int
    jitter: int


def course_of(record: Record, now: Moment, until: Moment) -> Course | None:
    """As far as it is to come before `until`; None when nothing does by itself."""
    first, left, job = record.cursor, record.remaining, record.job
    if record.disabled or record.deleted is not None or first is None or left == 0:
        return None
    jitter = schedule.duration(job.jitter) if job.jitter else 0
    if not job.schedule:
        return Course(first, 1, 0, 0, jitter)
    micros, days = pace_of(job.schedule, job.time_zone)
    first = first_in_time(record, now)
    if first is None or first >= until:
        return None
    if days and jitter <= days * DAY // 2 and is_calm(zone_of(job.schedule, job.time_zone), first, until):
        return Course(first, left, days * DAY, 0, jitter)  # its days have 24 hours
    return Course(first, left, micros, days, jitter)


def first_in_time(record: Record, now: Moment) -> Moment | None:
    """The first occurrence, of those that are to come of a schedule, that is not too late by now: those before are for
    catch-up to decide about. The only one of a schedule never is too late."""
    first, job, begin = record.cursor, record.job, now - LATE
    if first is None or first >= begin:
        return first
    if micros := pace_of(job.schedule, job.time_zone).micros:
        before = first + (begin - 1 - first) // micros * micros
        spread = min(schedule.duration(job.jitter), micros) if job.jitter else 0
        return before if spread and jittered(record.id, before, spread) >= begin else before + micros
    plan = plan_of(job)
    if plan.is_single:
        return first
    if job.jitter:
        last = plan.last_before(begin)
        if last is not None and last >= first and expected(record, last) >= begin:
            return last
    return plan.next_after(begin - 1)


def key_of(job: Job, course: Course) -> Key:
    """The same for jobs that go on alike from the same occurrence, though they began at different ones."""
    if course.days and is_calm(zone := zone_of(job.schedule, job.time_zone), course.first, course.first):
        return zone, job.dst_gap, job.dst_fold, course.days, course.first
    return job.schedule, job.time_zone, job.dst_gap, job.dst_fold
