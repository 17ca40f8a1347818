"""Every decision about a job's runs, as pure functions: a record in; the next record, history rows and events out.

A decision that comes too late raises `Stale` and changes nothing. `register.py` has the decisions about definitions.
Policies are here and nowhere else; ARCHITECTURE.md, "Policies", has them in words.

Ids are given, never made, so that a decision taken again after a conflict is the same one.
"""

from collections.abc import Sequence
from uuid import NAMESPACE_OID, UUID, uuid5

from msgspec import Struct

from kala import events, schedule
from kala.clock import SECOND, Moment
from kala.errors import JobDisabled, JobNotFound, Stale
from kala.events import Event
from kala.job import Attempt, Delivery, Job, Output, Record, Run, packed, replace
from kala.states import COUNTED, State, Trigger

LATE = 60 * SECOND
"""An unclaimed occurrence is late, and runs, until so much time has passed; then catch-up decides."""

OVERLAP, DISABLED, DELETED, EDITED, DOWN = "overlap", "disabled", "deleted", "edited", "down"
LIMIT = "limit"  # of a waiting run: as many runs are on as may be
SHUTDOWN = "shutdown"
_RETRIED = frozenset({State.FAILED, State.TIMED_OUT})


class Change(Struct, frozen=True, gc=False):
    """What a decision comes to. `answer` is the run that it is about, where there is one. `record` None: unwritten."""

    record: Record
    rows: tuple[Run, ...] = ()
    outputs: tuple[Output, ...] = ()
    events: tuple[Event, ...] = ()
    answer: Run | None = None
    purge: bool = False  # the record itself goes, with its history


def due(record: Record) -> Moment | None:
    """When the job's timer rings next."""
    return None if record.disabled or record.deleted is not None else record.cursor


def overlap_of(record: Record) -> str:
    return "skip" if record.job.resume_at_next_scheduled_time else record.job.overlap


def is_on(record: Record) -> bool:
    """A run of it has not settled yet."""
    return bool(record.open or record.outbox)


def next_up(record: Record) -> Sequence[Run]:
    """The waiting runs whose turn it is. A run that waits for its retry keeps its place, and so do the rest behind."""
    if not record.open:
        return ()
    if overlap_of(record) == "allow":
        return [run for run in record.open if run.state is State.WAITING]
    if record.outbox or any(run.state is not State.WAITING for run in record.open):
        return ()
    return record.open[:1]


def child_run_id(parent_run: str, child: str) -> str:
    """The id of the run that a finished run causes: always the same, so that delivering twice is delivering once."""
    return str(uuid5(_namespace(parent_run), child))


def _namespace(run_id: str) -> UUID:
    try:
        return UUID(run_id)
    except ValueError:
        return uuid5(NAMESPACE_OID, run_id)


# Claims: an occurrence becomes a run, or a non-run.


def claim(
    record: Record, *, version: int, cursor: Moment, now: Moment, run_id: str, instance: str, slot: bool
) -> Change:
    """Take the occurrence at `cursor`, which has come. `slot`: one more run may be on now."""
    if record.version != version or record.cursor != cursor or due(record) is None:
        raise Stale(f"the occurrence of job {record.id} is not due any more")
    if now < cursor:
        raise Stale(f"the occurrence of job {record.id} is not due yet")
    if now - cursor > LATE:
        return catch_up(record, now=now, run_id=run_id, instance=instance, slot=slot)
    trigger = Trigger.SCHEDULE if record.job.schedule else Trigger.NOW
    return _take(record, cursor, trigger, now=now, run_id=run_id, instance=instance, slot=slot)


def _take(
    record: Record, occurrence: Moment, trigger: Trigger, *, now: Moment, run_id: str, instance: str, slot: bool
) -> Change:
    """Claim one occurrence by the overlap policy, and move the cursor past it."""
    on, policy, remaining = is_on(record), overlap_of(record), record.remaining
    if on and policy == "skip":
        skipped = _with_gap(record, State.SKIPPED, OVERLAP, occurrence, occurrence, 1, now, run_id)
        return replace(skipped, record=_moved(skipped.record, occurrence, remaining))
    rows: tuple[Run, ...] = ()
    told: tuple[Event, ...] = ()
    if on and policy == "queue":
        record, rows, told, remaining = _replaced_by_latest(record, now, run_id)
    run = Run(run_id, record.id, occurrence, trigger, State.WAITING, now)
    run = replace(run, reason=OVERLAP) if on and policy != "allow" else _admitted(run, instance, slot)
    if remaining is not None:
        remaining -= 1
    record = _moved(replace(record, open=(*record.open, run)), occurrence, remaining)
    return Change(record, rows, events=(*told, _event(events.RUN_CLAIMED, now, run)), answer=run)


def _admitted(run: Run, instance: str, slot: bool) -> Run:
    if slot:
        return replace(run, state=State.CLAIMED, instance=instance)
    return replace(run, reason=LIMIT)


def _replaced_by_latest(
    record: Record, now: Moment, run_id: str
) -> tuple[Record, tuple[Run, ...], tuple[Event, ...], int | None]:
    """Under `queue` one occurrence waits, the latest: one that waits already is skipped, and gives back its count.

    Those that `catch_up: all` made good are wanted all.
    """
    alike = {Trigger.SCHEDULE} if record.job.catch_up == "all" else {Trigger.SCHEDULE, Trigger.CATCH_UP}
    waiting = [run for run in record.open if run.trigger in alike and _has_not_begun(run)]
    remaining = record.remaining
    rows: tuple[Run, ...] = ()
    told: tuple[Event, ...] = ()
    for run in waiting:
        record = replace(record, open=tuple(r for r in record.open if r is not run))
        change = _with_gap(record, State.SKIPPED, OVERLAP, run.scheduled_for, run.scheduled_for, 1, now, run.id)
        record, rows, told = change.record, rows + change.rows, told + change.events
        remaining = None if remaining is None else remaining + 1
    return record, rows, told, remaining


def _has_not_begun(run: Run) -> bool:
    return run.state is State.WAITING and not run.attempts


def _moved(record: Record, occurrence: Moment, remaining: int | None) -> Record:
    """The cursor past `occurrence`; nowhere when nothing remains."""
    text = record.job.schedule
    cursor = None if remaining == 0 or not text else schedule.parse(text).next_after(occurrence)
    return replace(record, cursor=cursor, last_due=occurrence, remaining=remaining)


def catch_up(record: Record, *, now: Moment, run_id: str, instance: str, slot: bool, because: str = DOWN) -> Change:
    """Decide about every occurrence from the cursor until now, which passed while nothing could claim them.

    `because` is `down` (they are missed) or `disabled` (skipped). An occurrence without a successor always runs,
    unless it is outside the window. What runs has trigger `catch-up`.
    """
    if (first := record.cursor) is None:
        raise Stale(f"no occurrence of job {record.id} is to come")
    state = State.SKIPPED if because == DISABLED else State.MISSED
    passed, count, last = _passed(record.job, record.remaining, first, now)
    window = schedule.duration(record.job.catch_up_window) if record.job.catch_up_window else None
    taken = [occurrence for occurrence in passed if window is None or now - occurrence <= window]
    missed = count - len(taken)
    rows: tuple[Run, ...] = ()
    told: tuple[Event, ...] = ()
    if missed:
        if taken:
            plan = schedule.parse(record.job.schedule)
            last = plan.occurrence(plan.index_at(taken[0]) - 1) or first
        gap_id = str(uuid5(_namespace(run_id), "gap"))
        change = _with_gap(record, state, because, first, last, missed, now, gap_id)
        record = _moved(change.record, last, record.remaining)
        rows, told = change.rows, change.events
    answer = None
    for number, occurrence in enumerate(taken):
        one_id = run_id if number == 0 else str(uuid5(_namespace(run_id), str(number)))
        trigger = Trigger.CATCH_UP if record.job.schedule else Trigger.NOW
        admitted = slot and number == 0
        change = _take(record, occurrence, trigger, now=now, run_id=one_id, instance=instance, slot=admitted)
        record, rows, told = change.record, rows + change.rows, told + change.events
        answer = answer or change.answer
    return Change(record, rows, events=told, answer=answer)


def _passed(job: Job, remaining: int | None, first: Moment, now: Moment) -> tuple[list[Moment], int, Moment]:
    """Of the occurrences from `first` until `now`: those that catch-up runs, in order; how many there are; the last."""
    if not job.schedule:
        return [first], 1, first
    plan = schedule.parse(job.schedule)
    following = plan.next_after(first)
    if plan.repetitions == 0 or following is None:
        return [first], 1, first
    start, end = plan.index_at(first), plan.index_at(now)
    count = end - start + 1
    policy = "none" if job.resume_at_next_scheduled_time else job.catch_up
    take = {"none": 0, "once": 1}.get(policy, min(count, job.catch_up_limit))
    if remaining is not None:
        take = min(take, remaining)
    moments = [plan.occurrence(index) for index in range(end - take + 1, end + 1)]
    return [moment for moment in moments if moment is not None], count, plan.occurrence(end) or first


# Starts and turns.


def start(record: Record, *, now: Moment, run_id: str, instance: str, slot: bool) -> Change:
    """Someone asks for a run now. It waits its turn, and uses up nothing of the schedule."""
    _demand_live(record)
    if record.disabled:
        raise JobDisabled(record.id)
    if (again := find(record, run_id)) is not None:
        return Change(record, answer=again)
    return _enqueue(record, Run(run_id, record.id, now, Trigger.MANUAL, State.WAITING, now), instance, slot)


def deliver(record: Record, *, delivery: Delivery, parent: str, now: Moment) -> Change:
    """A run that ended sets this job off. A disabled one does not run; one that has this run already keeps it."""
    _demand_live(record)
    run_id = child_run_id(delivery.run, record.id)
    if (again := find(record, run_id)) is not None:
        return Change(record, answer=again)
    run = Run(run_id, record.id, now, delivery.trigger, State.WAITING, now, parent_job=parent, parent_run=delivery.run)
    if record.disabled:
        row = replace(run, state=State.SKIPPED, reason=DISABLED, ended=now)
        return Change(record, (row,), events=(_event(events.OCCURRENCE_SKIPPED, now, row),))
    return _enqueue(record, run, "", slot=False)


def _enqueue(record: Record, run: Run, instance: str, slot: bool) -> Change:
    on = is_on(record) and overlap_of(record) != "allow"
    run = replace(run, reason=OVERLAP) if on else _admitted(run, instance, slot)
    record = replace(record, open=(*record.open, run))
    return Change(record, events=(_event(events.RUN_CLAIMED, run.created, run),), answer=run)


def begin(record: Record, *, run_id: str, instance: str, now: Moment) -> Change:
    """A waiting run's turn has come: claim it. A retry that waited until epsilon had passed ends the run instead."""
    run = find(record, run_id)
    if run is None or all(run is not other for other in next_up(record)):
        raise Stale(f"run {run_id} does not wait any more")
    if run.attempts and (last := run.attempts[-1].state) in _RETRIED and not retries(record, run, now):
        return _finished(record, replace(run, reason=""), last, now, (), instance)
    return _with_run(record, replace(run, state=State.CLAIMED, instance=instance, not_before=None, reason=""))


def put_back(record: Record, *, run_id: str, instance: str, reason: str, now: Moment) -> Change:
    """A claimed run that was not started, and is not to be now, waits again. Of a disabled or deleted job it goes."""
    run = find(record, run_id)
    if run is None or run.state is not State.CLAIMED or run.instance != instance:
        raise Stale(f"run {run_id} is not ours any more")
    change = _with_run(record, replace(run, state=State.WAITING, instance="", reason=reason))
    if record.deleted is not None:
        change = merged(change, drop_waiting(change.record, DELETED, now, instance))
        return change if change.record.open else merged(change, close_gap(change.record))
    return merged(change, drop_waiting(change.record, DISABLED, now, instance)) if record.disabled else change


def find(record: Record, run_id: str) -> Run | None:
    """The open run with this id."""
    return next((run for run in record.open if run.id == run_id), None)


def _with_run(record: Record, run: Run) -> Change:
    others = tuple(run if other.id == run.id else other for other in record.open)
    return Change(replace(record, open=others), answer=run)


# Ends.


def end_attempt(
    record: Record, *, run_id: str, attempt: Attempt, output: bytes, now: Moment, children: Sequence[str], instance: str
) -> Change:
    """An attempt of a claimed run has ended: it is retried, or the run ends, and sets off what follows from it."""
    run = find(record, run_id)
    if run is None or run.state is State.WAITING or run.instance != instance:
        raise Stale(f"run {run_id} is not ours any more")
    run = replace(run, attempts=(*run.attempts, attempt))
    outputs = (Output(run_id, attempt.number, output, attempt.output_size),) if output else ()
    if attempt.state in _RETRIED:
        record = replace(record, errors=record.errors + 1, last_error=attempt.ended)
        if retries(record, run, now):
            change = _with_run(record, replace(run, state=State.WAITING, not_before=now, reason="retry"))
            return replace(change, outputs=outputs)
    elif attempt.state is State.CANCELLED:
        if record.job.on_lost == "rerun" and record.deleted is None and not record.disabled:
            change = _with_run(record, replace(run, state=State.WAITING, reason=SHUTDOWN))
            return replace(change, outputs=outputs)
        record = replace(record, errors=record.errors + 1, last_error=attempt.ended)
        run = replace(run, reason=SHUTDOWN)
    else:
        record = replace(record, successes=record.successes + 1, last_success=attempt.ended)
    change = _finished(record, run, attempt.state, now, children, instance)
    return replace(change, outputs=outputs)


def retries(record: Record, run: Run, now: Moment) -> bool:
    """A further attempt follows: some are left, epsilon has not passed, and nobody wants it off.

    Epsilon counts from the scheduled moment, or from the trigger where nothing was scheduled; the original looks at
    it before retries only.
    """
    job = record.job
    failed = sum(attempt.state in _RETRIED for attempt in run.attempts)  # one that was cut off is no retry's cause
    if failed > job.retries or record.disabled or record.deleted is not None:
        return False
    return not job.epsilon or now - run.scheduled_for <= schedule.duration(job.epsilon)


def _finished(record: Record, run: Run, state: State, now: Moment, children: Sequence[str], instance: str) -> Change:
    run = replace(run, state=state, ended=now, not_before=None)
    outbox = record.outbox
    if record.deleted is None:
        if state is State.SUCCEEDED and children:
            outbox = (*outbox, Delivery(run.id, Trigger.PARENT, tuple(children), instance))
        elif state in _RETRIED and record.job.on_failure_job:
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
    return Change(record, rows, events=(_event(events.RUN_FINISHED, now, run),), answer=run)


def advance(record: Record, *, run_id: str, job_id: str) -> Change:
    """The delivery to `job_id`, the first in the outbox entry of `run_id`, has settled."""
    entry = next((entry for entry in record.outbox if entry.run == run_id), None)
    if entry is None or entry.to[0] != job_id:
        raise Stale(f"nothing of run {run_id} is owed to job {job_id} any more")
    rest = replace(entry, to=entry.to[1:])
    outbox = tuple(rest if other is entry else other for other in record.outbox)
    return Change(replace(record, outbox=tuple(entry for entry in outbox if entry.to)))


def take_over(record: Record, *, alive: frozenset[str], instance: str, now: Moment) -> Change:
    """Decide what dead instances left: a run they had claimed is lost, or waits again (`on_lost`); what they owed is
    owed by `instance`. Raises `Stale` when they left nothing."""
    left = [run for run in record.open if run.state is not State.WAITING and run.instance not in alive]
    owed = tuple(
        entry if entry.instance in alive else replace(entry, instance=instance, recovered=True)
        for entry in record.outbox
    )
    if not left and owed == record.outbox:
        raise Stale(f"nothing of job {record.id} was left behind")
    change = Change(replace(record, outbox=owed))
    for run in left:
        dead = f"instance {run.instance} ended while it was on"
        if record.job.on_lost == "rerun" and record.deleted is None and not record.disabled:
            since = run.attempts[-1].ended if run.attempts else run.created
            cut_off = Attempt(len(run.attempts) + 1, since, now, State.LOST, error=dead)
            again = replace(run, state=State.WAITING, instance="", reason=dead, attempts=(*run.attempts, cut_off))
            change = merged(change, _with_run(change.record, again))
        else:
            counted = replace(change.record, errors=change.record.errors + 1, last_error=now)
            change = merged(change, _finished(counted, replace(run, reason=dead), State.LOST, now, (), instance))
    return change


def drop_waiting(record: Record, reason: str, now: Moment, instance: str) -> Change:
    """Nothing more of this job starts: what waits is skipped, or, after an attempt, ends as that left it."""
    change = Change(record)
    for run in record.open:
        if run.state is not State.WAITING:
            continue
        if run.attempts:
            record, last = change.record, run.attempts[-1].state
            if last not in _RETRIED:  # cut off, and not to be made good any more
                record = replace(record, errors=record.errors + 1, last_error=now)
            ended = _finished(record, replace(run, reason=reason), last, now, (), instance)
            change = merged(change, ended)
            continue
        skipped = _skipped(change.record, run, reason, now)
        if reason == DISABLED and run.trigger in COUNTED:
            skipped = _given_back(skipped, run.scheduled_for)
        change = merged(change, skipped)
    return change


def _skipped(record: Record, run: Run, reason: str, now: Moment) -> Change:
    """A run that has not begun never will."""
    row = replace(run, state=State.SKIPPED, reason=reason, ended=now)
    record = replace(record, open=tuple(other for other in record.open if other is not run))
    return Change(record, (row,), events=(_event(events.OCCURRENCE_SKIPPED, now, row),))


def _given_back(skipped: Change, occurrence: Moment) -> Change:
    """A claim that came to nothing uses up nothing: the schedule goes on. An occurrence without a successor is not
    skipped, but still to come."""
    record = skipped.record
    remaining = None if record.remaining is None else record.remaining + 1
    if record.cursor is not None:
        return replace(skipped, record=replace(record, remaining=remaining))
    moved = _moved(record, record.last_due if record.last_due is not None else occurrence, remaining)
    if moved.cursor is not None or occurrence != record.last_due:
        return replace(skipped, record=moved)
    return Change(replace(record, cursor=occurrence, last_due=None, remaining=remaining))


def leave_schedule(record: Record, *, now: Moment, run_id: str) -> Change:
    """Another schedule takes the place of the record's: of the old one nothing more starts.

    What waits of it is skipped, and so is what has passed and was not claimed.
    """
    change = Change(record)
    for run in record.open:
        if run.trigger in COUNTED and _has_not_begun(run):
            change = merged(change, _skipped(change.record, run, EDITED, now))
    if (first := record.cursor) is not None and first <= now:
        _, count, last = _passed(record.job, record.remaining, first, now)
        reason = DISABLED if record.disabled else EDITED
        gap_id = str(uuid5(_namespace(run_id), "edited"))
        change = merged(change, _with_gap(change.record, State.SKIPPED, reason, first, last, count, now, gap_id))
    return merged(change, close_gap(change.record))  # a range is of one schedule


# Ranges of occurrences that did not run.


def _with_gap(
    record: Record, state: State, reason: str, first: Moment, last: Moment, count: int, now: Moment, gap_id: str
) -> Change:
    """Note occurrences that did not run: they join the range that grows, or begin one and close the one before."""
    gap = record.gap
    rows: tuple[Run, ...] = ()
    if gap is not None and gap.state is state and gap.reason == reason and _is_next(record.job, gap.until, first):
        gap = replace(gap, until=last, count=gap.count + count, ended=now)
    else:
        rows = (gap,) if gap is not None else ()
        gap = Run(
            gap_id, record.id, first, Trigger.SCHEDULE, state, now, ended=now, reason=reason, until=last, count=count
        )
    kind = events.OCCURRENCE_SKIPPED if state is State.SKIPPED else events.OCCURRENCE_MISSED
    return Change(replace(record, gap=gap), rows, events=(_event(kind, now, gap),))


def _is_next(job: Job, before: Moment | None, occurrence: Moment) -> bool:
    return before is not None and bool(job.schedule) and schedule.parse(job.schedule).next_after(before) == occurrence


def close_gap(record: Record) -> Change:
    """The growing range becomes a row of the history."""
    return Change(replace(record, gap=None), (record.gap,)) if record.gap is not None else Change(record)


def merged(first: Change, then: Change) -> Change:
    """Two decisions on one record, the second made from the first's outcome, as one."""
    return replace(
        then,
        rows=first.rows + then.rows,
        outputs=first.outputs + then.outputs,
        events=first.events + then.events,
    )


def _demand_live(record: Record) -> None:
    if record.deleted is not None:
        raise JobNotFound(record.id)


def _event(kind: str, at: Moment, run: Run) -> Event:
    return Event(kind, at, run.job_id, run.id, run.state.value, run.reason)
