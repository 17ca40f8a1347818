"""Claims: an occurrence becomes a run, or a non-run, and the cursor moves past it."""

from kala import events, schedule
from kala.clock import SECOND, Moment
from kala.errors import Stale
from kala.job import Job, Record, Run, replace
from kala.ledger.change import (
    DISABLED,
    DOWN,
    LEAD,
    LIMIT,
    OVERLAP,
    REPLACED,
    Change,
    derived_id,
    due,
    event_of,
    expected,
    has_not_begun,
    is_on,
    merged,
    overlap_of,
    plan_of,
)
from kala.ledger.ends import finished
from kala.ledger.gaps import with_gap
from kala.ledger.notices import MISSED, owing, owing_late
from kala.states import State, Trigger

LATE = 60 * SECOND
"""An unclaimed occurrence is late, and runs, until so much time has passed; then catch-up decides."""


def claim(
    record: Record,
    *,
    version: int,
    cursor: Moment,
    now: Moment,
    run_id: str,
    instance: str,
    slot: bool,
    limit: str = LIMIT,
    because: str = DOWN,
) -> Change:
    """Take the occurrence at `cursor`, which comes now or in `LEAD`. `slot`: one more run may be on; `limit`: why not.
    `because` says why it, and what follows it, could not be claimed when it is too late (`catch_up`)."""
    ringing = due(record)
    if record.version != version or record.cursor != cursor or ringing is None:
        raise Stale(f"the occurrence of job {record.id} is not due any more")
    if now < ringing - (0 if is_on(record) else LEAD):
        raise Stale(f"the occurrence of job {record.id} is not due yet")
    if now - ringing > LATE:
        return catch_up(record, now=now, run_id=run_id, instance=instance, slot=slot, limit=limit, because=because)
    trigger = Trigger.SCHEDULE if record.job.schedule else Trigger.NOW
    return _take(record, cursor, trigger, now=now, run_id=run_id, instance=instance, slot=slot, limit=limit)


def _take(
    record: Record,
    occurrence: Moment,
    trigger: Trigger,
    *,
    now: Moment,
    run_id: str,
    instance: str,
    slot: bool,
    limit: str,
) -> Change:
    """Claim one occurrence by the overlap policy, and move the cursor past it."""
    on, policy = is_on(record), overlap_of(record)
    if on and policy == "skip":
        skipped = with_gap(record, State.SKIPPED, OVERLAP, occurrence, occurrence, 1, now, run_id, blocker_in(record))
        return replace(skipped, record=moved(skipped.record, occurrence, record.remaining))
    before = Change(record)
    if on and policy in ("queue", "replace"):
        before = _without_waiting(record, REPLACED if policy == "replace" else OVERLAP, now)
        if policy == "replace":
            before = _ending(before, now, instance)
            on = is_on(before.record)
        record = before.record
    moment = expected(record, occurrence)
    run = Run(run_id, record.id, occurrence, trigger, State.WAITING, now, version=record.version)
    run = replace(run, not_before=moment if now < moment else None, due=moment if moment != occurrence else None)
    if on and policy != "allow":
        run = replace(run, reason=OVERLAP, blocker=blocker_in(record))
    else:
        run = admitted(run, instance, slot, limit)
    remaining = None if record.remaining is None else record.remaining - 1
    record = moved(replace(record, open=(*record.open, run)), occurrence, remaining)
    record = owing_late(record, run, now, instance)
    return merged(before, Change(record, events=(event_of(events.RUN_CLAIMED, now, run, record.job),), answer=run))


def admitted(run: Run, instance: str, slot: bool, limit: str) -> Run:
    if slot:
        return replace(run, state=State.CLAIMED, instance=instance)
    return replace(run, reason=limit)


def blocker_in(record: Record) -> Moment | None:
    """The moment of the run that is on; None when it has ended, and what it set off is still on."""
    return next((run.scheduled_for for run in record.open if not has_not_begun(run)), None)


def _without_waiting(record: Record, reason: str, now: Moment) -> Change:
    """One occurrence waits, the latest: one that waits already is skipped, and gives back its count.

    Under `queue` those that `catch_up: all` made good are wanted all.
    """
    all_wanted = record.job.catch_up == "all" and reason == OVERLAP
    alike = {Trigger.SCHEDULE} if all_wanted else {Trigger.SCHEDULE, Trigger.CATCH_UP}
    waiting = [run for run in record.open if run.trigger in alike and has_not_begun(run)]
    blocker, change = blocker_in(record), Change(record)
    for run in waiting:
        record = replace(change.record, open=tuple(r for r in change.record.open if r is not run))
        if record.remaining is not None and run.version >= record.schedule_version:
            record = replace(record, remaining=record.remaining + 1)
        at = run.scheduled_for
        change = merged(change, with_gap(record, State.SKIPPED, reason, at, at, 1, now, run.id, blocker))
    return change


def _ending(change: Change, now: Moment, instance: str) -> Change:
    """Under `replace` what is on ends: a process by TERM and KILL, and what waits for its retry at once."""
    for run in change.record.open:
        if run.state is not State.WAITING and not run.cancel:
            others = tuple(replace(run, cancel=REPLACED) if one is run else one for one in change.record.open)
            change = replace(change, record=replace(change.record, open=others))
        elif run.state is State.WAITING and run.attempts:
            change = merged(
                change, finished(change.record, replace(run, reason=REPLACED), State.CANCELLED, now, (), instance)
            )
    return change


def moved(record: Record, occurrence: Moment, remaining: int | None) -> Record:
    """The cursor past `occurrence`; nowhere when nothing remains."""
    ended = remaining == 0 or not record.job.schedule
    cursor = None if ended else plan_of(record.job).next_after(occurrence)
    return replace(record, cursor=cursor, last_due=occurrence, remaining=remaining)


def catch_up(
    record: Record,
    *,
    now: Moment,
    run_id: str,
    instance: str,
    slot: bool,
    limit: str = LIMIT,
    because: str = DOWN,
) -> Change:
    """Decide about every occurrence from the cursor until now, which passed while nothing could claim them.

    `because` is `down` (they are missed), or `disabled` or `paused` (skipped). An occurrence without a successor always
    runs, unless it is outside the window. What runs has trigger `catch-up`; but where the policy takes none, the latest
    runs as ever when it is only late, unless the job was disabled.
    """
    if (first := record.cursor) is None:
        raise Stale(f"no occurrence of job {record.id} is to come")
    state = State.MISSED if because == DOWN else State.SKIPPED
    latest, count, last = passed(record, first, now)
    window = schedule.duration(record.job.catch_up_window) if record.job.catch_up_window else None
    taken = [occurrence for occurrence in latest if window is None or now - occurrence <= window]
    trigger = Trigger.CATCH_UP if record.job.schedule else Trigger.NOW
    if not taken and because != DISABLED and now - expected(record, last) <= LATE:
        taken, trigger = [last], Trigger.SCHEDULE
    change, answer = Change(record), None
    if missed := count - len(taken):
        if taken:
            last = plan_of(record.job).last_before(taken[0]) or first
        change = with_gap(record, state, because, first, last, missed, now, derived_id(run_id, "gap"))
        record = moved(change.record, last, record.remaining)
        if state is State.MISSED and record.gap is not None:
            record = owing(record, MISSED, record.gap, now, instance)
        change = replace(change, record=record)
    begins = len(taken) - 1 if overlap_of(record) == "replace" else 0  # the one that starts, when nothing is on
    for number, occurrence in enumerate(taken):
        one_id = run_id if number == begins else derived_id(run_id, str(number))
        free, before = slot and number == begins, change.record
        one = _take(before, occurrence, trigger, now=now, run_id=one_id, instance=instance, slot=free, limit=limit)
        change = merged(change, one)
        answer = one.answer if number == begins else answer
    return replace(change, answer=answer)


def passed(record: Record, first: Moment, now: Moment) -> tuple[list[Moment], int, Moment]:
    """Of the occurrences from `first` until `now`: those that catch-up runs, in order; how many there are; the last."""
    job = record.job
    count, last = until_now(job, first, now)
    if count > 1 and expected(record, last) > now:  # its jitter has not passed: it is still to come
        count, last = count - 1, plan_of(job).last_before(last) or first
    if not _has_successor(job, first):
        return [first], 1, first
    policy = "none" if job.resume_at_next_scheduled_time else job.catch_up
    take = {"none": 0, "once": 1}.get(policy, min(count, job.catch_up_limit))
    if record.remaining is not None:
        take = min(take, record.remaining)
    return plan_of(job).latest(take, last, after=first - 1), count, last


def until_now(job: Job, first: Moment, now: Moment) -> tuple[int, Moment]:
    """How many occurrences there are from `first` until `now`, and the last of them. `first` is one in any case."""
    if not _has_successor(job, first):
        return 1, first
    plan = plan_of(job)
    last = (plan.latest(1, now, after=first) or [first])[0]
    return plan.count_between(first, last) + 1, last


def _has_successor(job: Job, occurrence: Moment) -> bool:
    if not job.schedule or (plan := plan_of(job)).is_single:
        return False
    return plan.next_after(occurrence) is not None
