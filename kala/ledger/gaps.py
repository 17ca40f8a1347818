"""Ranges of occurrences that did not run: the one that grows is in the record, and closed ones are in the history."""

from kala import events
from kala.clock import Moment
from kala.job import Job, Record, Run, replace
from kala.ledger.change import Change, event_of, plan_of
from kala.states import State, Trigger


def with_gap(
    record: Record,
    state: State,
    reason: str,
    first: Moment,
    last: Moment,
    count: int,
    now: Moment,
    gap_id: str,
    blocker: Moment | None = None,
) -> Change:
    """Note occurrences that did not run: they join the range that grows, or begin one and close the one before.

    `blocker` is the moment of the run that stood in the way.
    """
    gap = record.gap
    rows: tuple[Run, ...] = ()
    if gap is not None and gap.state is state and gap.reason == reason and _is_next(record.job, gap.until, first):
        gap = replace(gap, until=last, count=gap.count + count, ended=now)
    else:
        rows = (gap,) if gap is not None else ()
        gap = Run(
            gap_id,
            record.id,
            first,
            Trigger.SCHEDULE,
            state,
            now,
            ended=now,
            reason=reason,
            until=last,
            count=count,
            version=record.version,
            blocker=blocker,
        )
    kind = events.OCCURRENCE_SKIPPED if state is State.SKIPPED else events.OCCURRENCE_MISSED
    told = replace(event_of(kind, now, gap, record.job), added=count)
    return Change(replace(record, gap=gap), rows, events=(told,))


def _is_next(job: Job, before: Moment | None, occurrence: Moment) -> bool:
    return before is not None and bool(job.schedule) and plan_of(job).next_after(before) == occurrence


def close_gap(record: Record) -> Change:
    """The growing range becomes a row of the history."""
    return Change(replace(record, gap=None), (record.gap,)) if record.gap is not None else Change(record)
