"""Ends: an attempt is retried, or its run ends, and sets off what follows from it."""

from collections.abc import Sequence

from kala import events, schedule
from kala.clock import Moment
from kala.errors import Stale
from kala.job import Attempt, Delivery, Output, Record, Run, packed, replace
from kala.ledger.change import SHUTDOWN, Change, event_of, find, with_run
from kala.states import State, Trigger

RETRIED = frozenset({State.FAILED, State.TIMED_OUT})


def end_attempt(
    record: Record, *, run_id: str, attempt: Attempt, output: bytes, now: Moment, children: Sequence[str], instance: str
) -> Change:
    """An attempt of a claimed run has ended: it is retried, or the run ends, and sets off what follows from it."""
    run = find(record, run_id)
    if run is None or run.state is State.WAITING or run.instance != instance:
        raise Stale(f"run {run_id} is not ours any more")
    run = replace(run, attempts=(*run.attempts, attempt))
    outputs = (Output(run_id, attempt.number, output, attempt.output_size),) if output else ()
    if attempt.state in RETRIED:
        record = replace(record, errors=record.errors + 1, last_error=attempt.ended)
        if retries(record, run, now):
            change = with_run(record, replace(run, state=State.WAITING, not_before=now, reason="retry"))
            return replace(change, outputs=outputs)
    elif attempt.state is State.CANCELLED:
        if record.job.on_lost == "rerun" and record.deleted is None and not record.disabled:
            change = with_run(record, replace(run, state=State.WAITING, reason=SHUTDOWN))
            return replace(change, outputs=outputs)
        record = replace(record, errors=record.errors + 1, last_error=attempt.ended)
        run = replace(run, reason=SHUTDOWN)
    else:
        record = replace(record, successes=record.successes + 1, last_success=attempt.ended)
    change = finished(record, run, attempt.state, now, children, instance)
    return replace(change, outputs=outputs)


def retries(record: Record, run: Run, now: Moment) -> bool:
    """A further attempt follows: some are left, epsilon has not passed, and nobody wants it off.

    Epsilon counts from the scheduled moment, or from the trigger where nothing was scheduled; the original looks at
    it before retries only.
    """
    job = record.job
    failed = sum(attempt.state in RETRIED for attempt in run.attempts)  # one that was cut off is no retry's cause
    if failed > job.retries or record.disabled or record.deleted is not None:
        return False
    return not job.epsilon or now - run.scheduled_for <= schedule.duration(job.epsilon)


def finished(record: Record, run: Run, state: State, now: Moment, children: Sequence[str], instance: str) -> Change:
    run = replace(run, state=state, ended=now, not_before=None)
    outbox = record.outbox
    if record.deleted is None:
        if state is State.SUCCEEDED and children:
            outbox = (*outbox, Delivery(run.id, Trigger.PARENT, tuple(children), instance))
        elif state in RETRIED and record.job.on_failure_job:
            outbox = (*outbox, Delivery(run.id, Trigger.FAILURE, (record.job.on_failure_job,), instance))
    rows = (record.gap, run) if record.gap is not None else (run,)
    record = replace(
        record,
        open=tuple(other for other in record.open if other.id != run.id),
        outbox=outbox,
        gap=None,
        finished=record.finished + 1,
        last_attempted=max(record.last_attempted or 0, run.started if run.started is not None else run.created),
        results=packed(record.results, run),
    )
    return Change(record, rows, events=(event_of(events.RUN_FINISHED, now, run),), answer=run)


def advance(record: Record, *, run_id: str, job_id: str) -> Change:
    """The delivery to `job_id`, the first in the outbox entry of `run_id`, has settled."""
    entry = next((entry for entry in record.outbox if entry.run == run_id), None)
    if entry is None or entry.to[0] != job_id:
        raise Stale(f"nothing of run {run_id} is owed to job {job_id} any more")
    rest = replace(entry, to=entry.to[1:])
    outbox = tuple(rest if other is entry else other for other in record.outbox)
    return Change(replace(record, outbox=tuple(entry for entry in outbox if entry.to)))
