"""Records for tests of decisions, and short words for what comes of them.

Moments are written as minutes, or minutes:seconds, after `T0`; schedules have an occurrence each minute from then.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from kala.clock import SECOND, Moment, from_datetime
from kala.job import Attempt, Job, Record, Run, decode_record, decode_run, encode, replace
from kala.ledger import Change
from kala.states import NOT_RUN, State, Trigger

MINUTE = 60 * SECOND
T0 = from_datetime(datetime(2030, 1, 1, tzinfo=UTC))
MINUTELY = "R/2030-01-01T00:00:00Z/PT1M"
ONCE = "R0/2030-01-01T00:00:00Z/"


def at(minutes: int, seconds: int = 0) -> Moment:
    return T0 + minutes * MINUTE + seconds * SECOND


def when(moment: Moment) -> str:
    minutes, rest = divmod(moment - T0, MINUTE)
    return f"{minutes}:{rest // SECOND:02}" if rest else str(minutes)


def job(schedule: str = MINUTELY, **more: object) -> Job:
    return Job("j", "true", schedule=schedule, **more)  # type: ignore[arg-type]


def record(definition: Job | None = None, *, id: str = "J", cursor: Moment | None = T0, **more: object) -> Record:
    definition = definition or job()
    more.setdefault("remaining", None if definition.schedule.startswith("R/") else 1)
    return Record(id, definition, T0 - MINUTE, cursor=cursor, **more)  # type: ignore[arg-type]


def run(
    id: str = "r",
    scheduled_for: Moment = T0,
    state: State = State.CLAIMED,
    trigger: Trigger = Trigger.SCHEDULE,
    **more: object,
) -> Run:
    instance = "i" if state is State.CLAIMED else ""
    made = Run(id, "J", scheduled_for, trigger, state, scheduled_for, instance=instance)
    return replace(made, **more)


def attempt(state: State = State.SUCCEEDED, *, number: int = 1, ended: Moment = T0 + 2 * SECOND) -> Attempt:
    return Attempt(number, ended - SECOND, ended, state, exit_code=0 if state is State.SUCCEEDED else 1)


def decided(decide: Callable[..., Change], before: Record, *arguments: object, **more: object) -> Change:
    """The change that a decision makes; whatever is decided leaves `before` as it was, and can be stored."""
    was = encode(before)
    try:
        change = decide(before, *arguments, **more)
    finally:
        assert encode(before) == was
    assert decode_record(encode(change.record)) == change.record
    assert [decode_run(encode(row)) for row in change.rows] == list(change.rows)
    return change


def line(run: Run) -> str:
    """A run as `trigger scheduled_for state reason`, a range that did not run as `state reason first..until ×count`."""
    if run.until is not None:
        assert run.state in NOT_RUN
        return f"{run.state} {run.reason} {when(run.scheduled_for)}..{when(run.until)} ×{run.count}"
    return f"{run.trigger} {when(run.scheduled_for)} {run.state} {run.reason}".rstrip()


def lines(runs: Iterable[Run]) -> list[str]:
    return [line(run) for run in runs]


def standing(record: Record) -> str:
    """Where the schedule of a record stands: `next cursor, remaining left`."""
    following = "-" if record.cursor is None else when(record.cursor)
    left = "∞" if record.remaining is None else record.remaining
    return f"next {following}, {left} left"


class Jobs:
    """Jobs by id, as `register.Others`."""

    def __init__(self, *records: Record) -> None:
        self.records = {record.id: record for record in records}

    def get(self, job_id: str) -> Record | None:
        record = self.records.get(job_id)
        return record if record is not None and record.deleted is None else None

    def children(self, job_id: str) -> list[str]:
        live = (record for record in self.records.values() if record.deleted is None)
        return [record.id for record in live if job_id in (record.job.parent_jobs or ())]
