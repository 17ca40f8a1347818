"""What is left behind: by instances that died, by jobs of which nothing more starts, by schedules that are replaced."""

from kala import events
from kala.clock import Moment
from kala.errors import Stale
from kala.job import Attempt, Record, Run, replace
from kala.ledger.change import DISABLED, EDITED, Change, derived_id, event_of, has_not_begun, merged, with_run
from kala.ledger.claims import moved, until_now
from kala.ledger.ends import RETRIED, finished
from kala.ledger.gaps import close_gap, with_gap
from kala.states import COUNTED, State


def take_over(record: Record, *, alive: frozenset[str], instance: str, now: Moment) -> Change:
    """Decide what dead instances left: a run they had claimed is lost, or waits again (`on_lost`), or is cancelled as
    it was to be; what they owed is owed by `instance`. Raises `Stale` when they left nothing."""
    left = [run for run in record.open if run.state is not State.WAITING and run.instance not in alive]
    owed = tuple(
        entry if entry.instance in alive else replace(entry, instance=instance, recovered=True)
        for entry in record.outbox
    )
    notices = tuple(one if one.instance in alive else replace(one, instance=instance) for one in record.notices)
    if not left and (owed, notices) == (record.outbox, record.notices):
        raise Stale(f"nothing of job {record.id} was left behind")
    change = Change(replace(record, outbox=owed, notices=notices))
    for run in left:
        if run.cancel:
            ended = replace(run, reason=run.cancel)
            change = merged(change, finished(change.record, ended, State.CANCELLED, now, (), instance))
            continue
        if run.not_before is not None and now < run.not_before:  # claimed, and not yet to be started
            change = merged(change, with_run(change.record, replace(run, state=State.WAITING, instance="")))
            continue
        dead = f"instance {run.instance} ended while it was on"
        if record.job.on_lost == "rerun" and record.deleted is None and not record.disabled:
            since = run.attempts[-1].ended if run.attempts else run.created
            cut_off = Attempt(len(run.attempts) + 1, since, now, State.LOST, error=dead)
            again = replace(run, state=State.WAITING, instance="", reason=dead, attempts=(*run.attempts, cut_off))
            change = merged(change, with_run(change.record, again))
        else:
            counted = replace(change.record, errors=change.record.errors + 1, last_error=now)
            change = merged(change, finished(counted, replace(run, reason=dead), State.LOST, now, (), instance))
    return change


def drop_waiting(record: Record, reason: str, now: Moment, instance: str) -> Change:
    """Nothing more of this job starts: what waits is skipped, or, after an attempt, ends as that left it."""
    change = Change(record)
    for run in record.open:
        if run.state is not State.WAITING:
            continue
        if run.attempts:
            record, last = change.record, run.attempts[-1].state
            if last not in RETRIED:  # cut off, and not to be made good any more
                record = replace(record, errors=record.errors + 1, last_error=now)
            ended = finished(record, replace(run, reason=reason), last, now, (), instance)
            change = merged(change, ended)
            continue
        dropped = skipped(change.record, run, reason, now)
        if reason == DISABLED and run.trigger in COUNTED and run.version >= record.schedule_version:
            dropped = _given_back(dropped, run.scheduled_for)
        change = merged(change, dropped)
    return change


def skipped(record: Record, run: Run, reason: str, now: Moment) -> Change:
    """A run that has not begun never will."""
    row = replace(run, state=State.SKIPPED, reason=reason, ended=now)
    record = replace(record, open=tuple(other for other in record.open if other is not run))
    return Change(record, (row,), events=(event_of(events.OCCURRENCE_SKIPPED, now, row, record.job),))


def _given_back(skipped: Change, occurrence: Moment) -> Change:
    """A claim that came to nothing uses up nothing: the schedule, if it is the claim's, goes on. An occurrence without
    a successor is not skipped, but still to come."""
    record = skipped.record
    remaining = None if record.remaining is None else record.remaining + 1
    if record.cursor is not None:
        return replace(skipped, record=replace(record, remaining=remaining))
    onward = moved(record, record.last_due if record.last_due is not None else occurrence, remaining)
    if onward.cursor is not None or occurrence != record.last_due:
        return replace(skipped, record=onward)
    return Change(replace(record, cursor=occurrence, last_due=None, remaining=remaining))


def leave_schedule(record: Record, *, now: Moment, run_id: str) -> Change:
    """Another schedule takes the place of the record's: of the old one nothing more starts.

    What waits of it is skipped, and so is what has passed and was not claimed.
    """
    change = Change(record)
    for run in record.open:
        if run.trigger in COUNTED and has_not_begun(run):
            change = merged(change, skipped(change.record, run, EDITED, now))
    if (first := record.cursor) is not None and first <= now:
        count, last = until_now(record.job, first, now)
        reason = DISABLED if record.disabled else EDITED
        gap_id = derived_id(run_id, "edited")
        change = merged(change, with_gap(change.record, State.SKIPPED, reason, first, last, count, now, gap_id))
    return merged(change, close_gap(change.record))  # a range is of one schedule
