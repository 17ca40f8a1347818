"""Decisions about definitions, as pure functions: create, edit, disable, enable, delete, take over from the original.

They look at other jobs (`Others`) where a definition names them: parents, children, failure jobs.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from kala import events, ledger
from kala.clock import DAY, Moment
from kala.errors import Invalid, JobExists, JobNotFound, KeyUsed, Stale, VersionChanged, shortened
from kala.events import Event
from kala.job import Job, Record, replace
from kala.ledger import Change

TOMBSTONE = DAY
"""A deleted job's record is kept for so long, and while runs of it are open: other daemons hear of the deletion."""
TOLD = 50
"""Jobs of a way that are told."""


class Others(Protocol):
    """All jobs, as they will be when what was decided before has been written."""

    def get(self, job_id: str) -> Record | None:
        """A job that is not deleted."""

    def children(self, job_id: str) -> list[str]:
        """The jobs that name this one as a parent, in the order in which they were added."""


def create(
    job: Job, others: Others, *, job_id: str, now: Moment, disabled: bool, created: Moment | None = None
) -> Change:
    """A new job. A job without schedule and parents is due at once. A start that has passed since it was looked at is
    late, and runs. `created` (`now` when None) is its place in the order in which jobs were added."""
    if others.get(job_id) is not None:
        raise JobExists(job_id)
    check_links(job_id, job, others)
    start = ledger.plan_of(job).start if job.schedule else None
    just_past = start is not None and now - ledger.LATE <= start < now
    cursor, remaining = first_due(job, start if just_past and start is not None else now)
    created = now if created is None else created
    record = Record(job_id, job, created, disabled=disabled, cursor=cursor, remaining=remaining)
    return _saved(record, now)


def created_before(record: Record, job: Job, disabled: bool) -> Change:
    """A job is to be created that is there already, by the same idempotency key: the same job is no change.

    Raises `KeyUsed` when that was another, or has been deleted. One that was edited since is the answer all the same.
    """
    if record.deleted is not None:
        raise KeyUsed("the job that it made has been deleted")
    if record.version == 1 and (record.job, record.disabled) != (job, disabled):
        raise KeyUsed("it has made another job")
    return Change(record)


def first_due(job: Job, now: Moment) -> tuple[Moment | None, int | None]:
    """The first occurrence that is not past, and how many claims there are (None: without end)."""
    if job.parent_jobs:
        return None, 0
    if not job.schedule:
        return now, 1
    plan = ledger.plan_of(job)
    return plan.next_after(now - 1), None if plan.repetitions is None else plan.repetitions + 1


def edit(
    record: Record,
    job: Job,
    others: Others,
    *,
    disabled: bool,
    expected: str | None,
    now: Moment,
    instance: str,
    run_id: str,
) -> Change:
    """Another definition. A changed schedule takes effect at once; a run that is on goes on as it was started."""
    if expected is not None and expected != str(record.version):
        raise VersionChanged(record.id, expected, record.version)
    before = record.job
    check_links(record.id, job, others, known_failure_job=before.on_failure_job)
    change = Change(record)
    if timing(job) != timing(before):
        change = ledger.leave_schedule(record, now=now, run_id=run_id)
        cursor, remaining = first_due(job, now) if job.schedule or job.parent_jobs else (None, 0)
        record = replace(
            change.record, cursor=cursor, remaining=remaining, last_due=None, schedule_version=record.version + 1
        )
    record = ledger.still_owing(replace(record, job=job, version=record.version + 1))
    change = ledger.merged(change, _saved(record, now))
    if disabled == record.disabled:
        return change
    return ledger.merged(change, set_disabled(record, disabled, now=now, instance=instance, run_id=run_id))


def timing(job: Job) -> tuple[object, ...]:
    """What of a definition says when it runs: another one is another schedule."""
    return job.schedule, job.time_zone, job.dst_gap, job.dst_fold, job.parent_jobs


def set_disabled(record: Record, disabled: bool, *, now: Moment, instance: str, run_id: str) -> Change:
    """Disable or enable; no change when it is so already.

    Disabled, nothing more of it starts: what waits is dropped. Enabled, catch-up decides about what passed meanwhile.
    """
    if record.disabled == disabled:
        return Change(record)
    changed = _saved(replace(record, disabled=disabled, version=record.version + 1), now)
    if disabled:
        return ledger.merged(changed, ledger.drop_waiting(changed.record, ledger.DISABLED, now, instance))
    if record.cursor is None or ledger.expected(record, record.cursor) > now:
        return changed
    caught_up = ledger.catch_up(
        changed.record, now=now, run_id=run_id, instance=instance, slot=False, because=ledger.DISABLED
    )
    return ledger.merged(changed, caught_up)


def delete(job_id: str, others: Others, now: Moment) -> Iterator[Change]:
    """Delete a job, and each child that has no other parent, and theirs. Runs that are on go on to their end.

    A child that has other parents keeps those. Yields a change for each job touched, each once.
    """
    if others.get(job_id) is None and not others.children(job_id):  # decided again, what is left are the children
        raise JobNotFound(job_id)
    doomed = {job_id: None}
    orphaned: dict[str, Record] = {}
    for one in (queue := [job_id]):
        for child_id in others.children(one):
            child = orphaned.get(child_id) or others.get(child_id)
            if child is None or child_id in doomed:
                continue
            rest = [parent for parent in child.job.parent_jobs or () if parent != one]
            if rest:
                job = replace(child.job, parent_jobs=rest)
                orphaned[child_id] = replace(child, job=job, version=child.version + 1)
            else:
                orphaned.pop(child_id, None)
                doomed[child_id] = None
                queue.append(child_id)
    for one in doomed:
        if (record := others.get(one)) is not None:
            yield _buried(record, now)
    for child in orphaned.values():
        yield _saved(child, now)


def delete_all(ids: Iterable[str], others: Others, now: Moment) -> Iterator[Change]:
    """Delete all these jobs, which are all that there are."""
    for one in ids:
        if (record := others.get(one)) is not None:
            yield _buried(record, now)


def _buried(record: Record, now: Moment) -> Change:
    tombstone = replace(record, deleted=now, cursor=None, remaining=0, outbox=(), version=record.version + 1)
    change = ledger.drop_waiting(tombstone, ledger.DELETED, now, "")
    if not change.record.open:
        change = ledger.merged(change, ledger.close_gap(change.record))
    return replace(change, events=(*change.events, Event(events.JOB_DELETED, now, job=record.id)))


def purge(record: Record, now: Moment) -> Change:
    """A tombstone's end."""
    if record.deleted is None or record.open or record.notices or now - record.deleted < TOMBSTONE:
        raise Stale(f"job {record.id} is not to be forgotten yet")
    return Change(record, purge=True)


def adopted(record: Record, now: Moment) -> Change:
    """A job from elsewhere, with the id, counters and links that it has there, which have been checked."""
    return _saved(record, now)


def check_links(job_id: str, job: Job, others: Others, known_failure_job: str = "") -> None:
    """Raise `Invalid` where parents or the failure job are not there, or would make a cycle."""
    if not (job.parent_jobs or job.on_failure_job or others.children(job_id)):
        return
    faults = missing_links(job_id, job, others, known_failure_job)
    if not faults and (cycle := _cycle(job_id, job, others)):
        way = cycle if len(cycle) <= TOLD else [*cycle[: TOLD - 2], "…", *cycle[-2:]]
        faults = would_set_itself_off(job, f": {' → '.join(way)}")
    if faults:
        raise Invalid(faults)


def missing_links(job_id: str, job: Job, others: Others, known_failure_job: str = "") -> dict[str, str]:
    """The faults of parents and of a failure job that are not there."""
    faults: dict[str, str] = {}
    for number, parent in enumerate(job.parent_jobs or ()):
        if parent != job_id and others.get(parent) is None:
            faults[f"parent_jobs[{number}]"] = f"there is no job {shortened(parent)!r}"
    failure = job.on_failure_job
    if failure and failure not in (known_failure_job, job_id) and others.get(failure) is None:
        faults["on_failure_job"] = f"there is no job {shortened(failure)!r}"
    return faults


def would_set_itself_off(job: Job, how: str) -> dict[str, str]:
    """The fault of a job that is in a cycle."""
    return {"parent_jobs" if job.parent_jobs else "on_failure_job": f"the job would set itself off{how}"}


def _cycle(job_id: str, job: Job, others: Others) -> list[str]:
    """The way from a job back to itself over children and failure jobs; empty when there is none."""
    parents = set(job.parent_jobs or ())
    came_from: dict[str, str] = {}
    stack = [job_id]
    while stack:
        one = stack.pop()
        definition = job if one == job_id else record.job if (record := others.get(one)) else None
        following = [child for child in others.children(one) if child != job_id]
        if definition is not None and definition.on_failure_job:
            following.append(definition.on_failure_job)
        if one in parents:
            following.append(job_id)
        for other in following:
            if other == job_id:
                way = [job_id, one]
                while way[-1] != job_id:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if other not in came_from:
                came_from[other] = one
                stack.append(other)
    return []


def _saved(record: Record, now: Moment) -> Change:
    return Change(record, events=(Event(events.JOB_SAVED, now, job=record.id, version=record.version),))
