"""Claims: an occurrence becomes a run, or a non-run, and the cursor moves past it."""

from kala import events, schedule
from kala.clock import SECOND, Moment
from kala.errors import Stale
from kala.events import Event
from kala.job import Job, Record, Run, replace
from kala.ledger.change import (
    DISABLED,
    DOWN,
    LEAD,
    LIMIT,
    OVERLAP,
    Change,
    derived_id,
    due,
    event_of,
    has_not_begun,
    is_on,
    overlap_of,
)
from kala.ledger.gaps import with_gap
from kala.states import State, Trigger

LATE = 60 * SECOND
"""An unclaimed occurrence is late, and runs, until so much time has passed; then catch-up decides."""


def claim(
    record: Record, *, version: int, cursor: Moment, now: Moment, run_id: str, instance: str, slot: bool
) -> Change:
    """Take the occurrence at `cursor`, which comes now or in `LEAD`. `slot`: one more run may be on."""
    if record.version != version or record.cursor != cursor or due(record) is None:
        raise Stale(f"the occurrence of job {record.id} is not due any more")
    if now < cursor - (0 if is_on(record) else LEAD):
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
        skipped = with_gap(record, State.SKIPPED, OVERLAP, occurrence, occurrence, 1, now, run_id)
        return replace(skipped, record=moved(skipped.record, occurrence, remaining))
    rows: tuple[Run, ...] = ()
    told: tuple[Event, ...] = ()
    if on and policy == "queue":
        record, rows, told, remaining = _replaced_by_latest(record, now, run_id)
    early = occurrence if now < occurrence else None
    run = Run(run_id, record.id, occurrence, trigger, State.WAITING, now, not_before=early, version=record.version)
    run = replace(run, reason=OVERLAP) if on and policy != "allow" else admitted(run, instance, slot)
    if remaining is not None:
        remaining -= 1
    record = moved(replace(record, open=(*record.open, run)), occurrence, remaining)
    return Change(record, rows, events=(*told, event_of(events.RUN_CLAIMED, now, run)), answer=run)


def admitted(run: Run, instance: str, slot: bool) -> Run:
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
    waiting = [run for run in record.open if run.trigger in alike and has_not_begun(run)]
    remaining = record.remaining
    rows: tuple[Run, ...] = ()
    told: tuple[Event, ...] = ()
    for run in waiting:
        record = replace(record, open=tuple(r for r in record.open if r is not run))
        change = with_gap(record, State.SKIPPED, OVERLAP, run.scheduled_for, run.scheduled_for, 1, now, run.id)
        record, rows, told = change.record, rows + change.rows, told + change.events
        if remaining is not None and run.version >= record.schedule_version:
            remaining += 1
    return record, rows, told, remaining


def moved(record: Record, occurrence: Moment, remaining: int | None) -> Record:
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
    latest, count, last = passed(record.job, record.remaining, first, now)
    window = schedule.duration(record.job.catch_up_window) if record.job.catch_up_window else None
    taken = [occurrence for occurrence in latest if window is None or now - occurrence <= window]
    missed = count - len(taken)
    rows: tuple[Run, ...] = ()
    told: tuple[Event, ...] = ()
    if missed:
        if taken:
            plan = schedule.parse(record.job.schedule)
            last = plan.occurrence(plan.index_at(taken[0]) - 1) or first
        gap_id = derived_id(run_id, "gap")
        change = with_gap(record, state, because, first, last, missed, now, gap_id)
        record = moved(change.record, last, record.remaining)
        rows, told = change.rows, change.events
    answer = None
    for number, occurrence in enumerate(taken):
        one_id = run_id if number == 0 else derived_id(run_id, str(number))
        trigger = Trigger.CATCH_UP if record.job.schedule else Trigger.NOW
        free = slot and number == 0
        change = _take(record, occurrence, trigger, now=now, run_id=one_id, instance=instance, slot=free)
        record, rows, told = change.record, rows + change.rows, told + change.events
        answer = answer or change.answer
    return Change(record, rows, events=told, answer=answer)


def passed(job: Job, remaining: int | None, first: Moment, now: Moment) -> tuple[list[Moment], int, Moment]:
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
