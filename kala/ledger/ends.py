"""Ends: an attempt is retried, or its run ends, and sets off what follows from it."""

from collections.abc import Sequence

from kala import events, schedule
from kala.clock import Moment
from kala.errors import Stale
from kala.job import Attempt, Delivery, Job, Output, Record, Run, packed, replace
from kala.ledger.change import RETRY, SHUTDOWN, Change, chance, event_of, find, with_run
from kala.ledger.notices import owing_end
from kala.states import State, Trigger

RETRIED = frozenset({State.FAILED, State.TIMED_OUT})


def end_attempt(
    record: Record, *, run_id: str, attempt: Attempt, output: bytes, now: Moment, children: Sequence[str], instance: str
) -> Change:
    """An attempt of a claimed run has ended: it is retried, or the run ends, and sets off what follows from it. Nothing
    when that is recorded already, and a retry waits, or is on."""
    run = find(record, run_id)
    if run is not None and attempt in run.attempts:
        return Change(record, answer=run)
    if run is None or run.state is State.WAITING or run.instance != instance:
        raise Stale(f"run {run_id} is not ours any more")
    run = replace(run, attempts=(*run.attempts, attempt))
    outputs = (Output(run_id, attempt.number, output, attempt.output_size),) if output else ()
    if attempt.state in RETRIED:
        record = replace(record, errors=record.errors + 1, last_error=attempt.ended)
        again = now + retry_delay(record.job, run)
        if retries(record, run, again):
            change = with_run(record, replace(run, state=State.WAITING, not_before=again, reason=RETRY))
            return replace(change, outputs=outputs)
    elif attempt.state is State.CANCELLED and run.cancel:
        run = replace(run, reason=run.cancel)
    elif attempt.state is State.CANCELLED:
        if record.job.on_lost == "rerun" and record.deleted is None and not record.disabled:
            change = with_run(record, replace(run, state=State.WAITING, reason=SHUTDOWN))
            return replace(change, outputs=outputs)
        record = replace(record, errors=record.errors + 1, last_error=attempt.ended)
        run = replace(run, reason=SHUTDOWN)
    else:
        record = replace(record, successes=record.successes + 1, last_success=attempt.ended)
    change = finished(record, run, attempt.state, now, children, instance, ended=attempt.ended)
    return replace(change, outputs=outputs)


def retries(record: Record, run: Run, at: Moment) -> bool:
    """A further attempt may start at `at`: some are left, epsilon has not passed then, and nobody wants it off.

    Epsilon counts from the moment at which the run was to start, or from the trigger where nothing was scheduled; the
    original looks at it before retries only.
    """
    job = record.job
    if failures(run) > job.retries or run.cancel or record.disabled or record.deleted is not None:
        return False
    return not job.epsilon or at - run.expected <= schedule.duration(job.epsilon)


def failures(run: Run) -> int:
    """Attempts that failed. One that was cut off is no retry's cause."""
    return sum(attempt.state in RETRIED for attempt in run.attempts)


def retry_delay(job: Job, run: Run) -> int:
    """Microseconds until the attempt after those that failed: `retry_delay` × `retry_backoff` for each but the first,
    up to a tenth more or less so that what failed together is not retried together, at most `retry_max_delay`."""
    if not job.retry_delay:
        return 0
    most = schedule.duration(job.retry_max_delay)
    delay: float = schedule.duration(job.retry_delay)
    for _ in range(failures(run) - 1):
        if delay >= most or job.retry_backoff == 1:
            break
        delay *= job.retry_backoff
    return min(round(delay * (0.9 + 0.2 * chance(f"{run.id} {failures(run)}"))), most)


def finished(
    record: Record,
    run: Run,
    state: State,
    now: Moment,
    children: Sequence[str],
    instance: str,
    *,
    ended: Moment | None = None,
) -> Change:
    """The run is over, in `state`, since `ended` where that is not now: it leaves the open ones, counts, and sets off
    what follows from it."""
    run = replace(run, state=state, ended=now if ended is None else ended, not_before=None)
    outbox = record.outbox
    if record.deleted is None:
        if state is State.SUCCEEDED and children:
            outbox = (*outbox, Delivery(run.id, Trigger.PARENT, tuple(children), instance))
        elif state in RETRIED and record.job.on_failure_job:
            outbox = (*outbox, Delivery(run.id, Trigger.FAILURE, (record.job.on_failure_job,), instance))
    rows = (record.gap, run) if record.gap is not None else (run,)
    attempted = run.created if state is State.LOST and run.started is None else run.started
    record = replace(
        record,
        open=tuple(other for other in record.open if other.id != run.id),
        outbox=outbox,
        gap=None,
        finished=record.finished + 1,
        last_attempted=record.last_attempted if attempted is None else max(record.last_attempted or 0, attempted),
        results=packed(record.results, run),
    )
    record = owing_end(record, run, now, instance)
    return Change(record, rows, events=(event_of(events.RUN_FINISHED, now, run, record.job),), answer=run)


def advance(record: Record, *, run_id: str, job_id: str) -> Change:
    """The delivery to `job_id`, the first in the outbox entry of `run_id`, has settled."""
    entry = next((entry for entry in record.outbox if entry.run == run_id), None)
    if entry is None or entry.to[0] != job_id:
        raise Stale(f"nothing of run {run_id} is owed to job {job_id} any more")
    rest = replace(entry, to=entry.to[1:])
    outbox = tuple(rest if other is entry else other for other in record.outbox)
    return Change(replace(record, outbox=tuple(entry for entry in outbox if entry.to)))
