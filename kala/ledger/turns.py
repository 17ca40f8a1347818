"""Turns: runs that somebody or another run asks for, and every waiting run's beginning."""

from kala import events
from kala.clock import Moment
from kala.errors import JobDisabled, JobNotFound, Stale
from kala.job import Arrival, Delivery, Record, Run, replace
from kala.ledger.change import (
    CANCELLED,
    DELETED,
    DISABLED,
    EDITED,
    LIMIT,
    OVERLAP,
    Change,
    child_run_id,
    event_of,
    find,
    is_on,
    merged,
    next_up,
    overlap_of,
    with_run,
)
from kala.ledger.claims import admitted, blocker_in
from kala.ledger.ends import RETRIED, finished, retries
from kala.ledger.gaps import close_gap
from kala.ledger.leaving import drop_waiting, skipped
from kala.ledger.notices import owing_late
from kala.states import State, Trigger


def start(record: Record, *, now: Moment, run_id: str, instance: str, slot: bool, limit: str = LIMIT) -> Change:
    """Someone asks for a run now. It waits its turn, and uses up nothing of the schedule."""
    _demand_live(record)
    if record.disabled:
        raise JobDisabled(record.id)
    if (again := find(record, run_id)) is not None:
        return Change(record, answer=again)
    run = Run(run_id, record.id, now, Trigger.MANUAL, State.WAITING, now, version=record.version)
    return _enqueue(record, run, instance, slot, limit)


def deliver(record: Record, *, delivery: Delivery, parent: str, now: Moment) -> Change:
    """A run that ended sets this job off. A disabled one does not run; one that has this run already keeps it."""
    _demand_live(record)
    run_id = child_run_id(delivery.run, record.id)
    if (again := find(record, run_id)) is not None:
        return Change(record, answer=again)
    if record.job.parents_mode == "all" and delivery.trigger is Trigger.PARENT:
        record, complete = _arrived(record, parent, delivery.run)
        if not complete:
            return Change(record)
    run = Run(run_id, record.id, now, delivery.trigger, State.WAITING, now, version=record.version)
    run = replace(run, parent_job=parent, parent_run=delivery.run)
    if record.disabled:
        row = replace(run, state=State.SKIPPED, reason=DISABLED, ended=now)
        return Change(record, (row,), events=(event_of(events.OCCURRENCE_SKIPPED, now, row, record.job),))
    return _enqueue(record, run, "", slot=False, limit=LIMIT)


def _arrived(record: Record, parent: str, run_id: str) -> tuple[Record, bool]:
    """Under `parents_mode: all`: the record that knows of a parent's success, and whether with it all have succeeded
    since its last run, which then follows from them. The same success twice is once; of a job that is no parent any
    more it is none."""
    parents = record.job.parent_jobs or ()
    if parent not in parents:
        return record, False
    arrivals = {one: arrival for one, arrival in (record.arrivals or {}).items() if one in parents}
    if parent not in arrivals or arrivals[parent].run != run_id:
        arrivals[parent] = Arrival(run_id)
    complete = all(one in arrivals and not arrivals[one].used for one in parents)
    if complete:
        arrivals = {one: replace(arrival, used=True) for one, arrival in arrivals.items()}
    return (record if arrivals == (record.arrivals or {}) else replace(record, arrivals=arrivals)), complete


def _enqueue(record: Record, run: Run, instance: str, slot: bool, limit: str) -> Change:
    on = is_on(record) and overlap_of(record) != "allow"
    run = replace(run, reason=OVERLAP, blocker=blocker_in(record)) if on else admitted(run, instance, slot, limit)
    record = replace(record, open=(*record.open, run))
    return Change(record, events=(event_of(events.RUN_CLAIMED, run.created, run, record.job),), answer=run)


def begin(record: Record, *, run_id: str, instance: str, now: Moment) -> Change:
    """A waiting run's turn has come: claim it. A retry that waited until epsilon had passed ends the run instead."""
    run = find(record, run_id)
    if run is None or all(run is not other for other in next_up(record)):
        raise Stale(f"run {run_id} does not wait any more")
    if run.not_before is not None and now < run.not_before:
        raise Stale(f"it is not time for run {run_id} yet")
    if run.attempts and (last := run.attempts[-1].state) in RETRIED and not retries(record, run, now):
        return finished(record, replace(run, reason=""), last, now, (), instance)
    run = replace(run, state=State.CLAIMED, instance=instance, not_before=None, reason="", blocker=None)
    return with_run(owing_late(record, run, now, instance), run)


def cancel(record: Record, *, run_id: str, now: Moment, instance: str) -> Change:
    """Someone wants a run to end, and not to be retried. One that waits has ended with it; a process or a call is ended
    by the instance that has it. Raises `Stale` when there is no such open run."""
    if (run := find(record, run_id)) is None:
        raise Stale(f"run {run_id} is not open")
    if run.state is State.WAITING:
        return finished(record, replace(run, reason=CANCELLED), State.CANCELLED, now, (), instance)
    return with_run(record, run if run.cancel else replace(run, cancel=CANCELLED))


def is_wanted(record: Record, run: Run) -> bool:
    """A claimed run is still to start: its job is neither disabled nor deleted, nobody has cancelled it or decided
    about it, and, when it was claimed before its moment, the job has not been rescheduled."""
    if record.deleted is not None or record.disabled:
        return False
    if run.not_before is not None and run.version < record.schedule_version:
        return False
    current = find(record, run.id)
    return current is not None and current.instance == run.instance and not current.cancel


def put_back(record: Record, *, run_id: str, instance: str, reason: str, now: Moment) -> Change:
    """A claimed run that was not started, and is not to be now, waits again. Of a disabled or deleted job it goes, and
    so it does before its moment when the job has another schedule since."""
    run = find(record, run_id)
    if run is None or run.state is not State.CLAIMED or run.instance != instance:
        raise Stale(f"run {run_id} is not ours any more")
    if run.cancel:
        return finished(record, replace(run, reason=run.cancel), State.CANCELLED, now, (), instance)
    change = with_run(record, replace(run, state=State.WAITING, instance="", reason=reason))
    if record.deleted is not None:
        change = merged(change, drop_waiting(change.record, DELETED, now, instance))
        return change if change.record.open else merged(change, close_gap(change.record))
    if run.not_before is not None and run.version < record.schedule_version:
        return skipped(record, run, EDITED, now)
    return merged(change, drop_waiting(change.record, DISABLED, now, instance)) if record.disabled else change


def _demand_live(record: Record) -> None:
    if record.deleted is not None:
        raise JobNotFound(record.id)
