"""What every decision rests on: what it comes to, and what can be read off a record."""

from collections.abc import Sequence
from hashlib import blake2b
from uuid import NAMESPACE_OID, UUID, uuid5

from msgspec import Struct

from kala import schedule
from kala.clock import SECOND, Moment
from kala.events import Event
from kala.job import Job, Output, Record, Run, replace
from kala.schedule.plan import Plan
from kala.states import State

LEAD = SECOND // 10
"""So long before its moment an occurrence may be claimed: it is durable when the moment comes, and the run starts then,
not a commit later. A thousand claims take less. A run never starts early."""

OVERLAP, DISABLED, DELETED, EDITED, DOWN = "overlap", "disabled", "deleted", "edited", "down"
PAUSED = "paused"
LIMIT = "limit"  # of a waiting run: as many runs are on as may be
LABEL_LIMIT = "label limit: "  # of a waiting run: as many with a label are on as may be; the label follows
RETRY = "retry"  # of a waiting run: its next attempt
SHUTDOWN, CANCELLED, REPLACED = "shutdown", "cancelled", "replaced"


class Change(Struct, frozen=True, gc=False):
    """What a decision comes to. `answer` is the run that it is about, where there is one."""

    record: Record
    rows: tuple[Run, ...] = ()
    outputs: tuple[Output, ...] = ()
    events: tuple[Event, ...] = ()
    answer: Run | None = None
    purge: bool = False  # the record itself goes, with its history


def plan_of(job: Job) -> Plan:
    """What the job's schedule, which it must have, names."""
    return schedule.parse(job.schedule, job.time_zone, job.dst_gap, job.dst_fold)


def expected(record: Record, occurrence: Moment) -> Moment:
    """When an occurrence's run is to start: `jitter` puts it off, by the same time for the same job and occurrence.

    Never as far as the next occurrence, so that they come in their order.
    """
    job = record.job
    if not job.jitter:
        return occurrence
    spread = schedule.duration(job.jitter)
    if job.schedule and (following := plan_of(job).next_after(occurrence)) is not None:
        spread = min(spread, following - occurrence)
    return jittered(record.id, occurrence, spread)


def jittered(job_id: str, occurrence: Moment, spread: int) -> Moment:
    """An occurrence, put off by a part of `spread` microseconds, and never by all of it."""
    return occurrence + int(chance(f"{job_id} {occurrence}") * spread)


def chance(about: str) -> float:
    """From 0 to less than 1, always the same for the same text, and evenly spread over different ones."""
    return int.from_bytes(blake2b(about.encode(), digest_size=6).digest()) / (1 << 48)


def due(record: Record) -> Moment | None:
    """When the job's timer rings next."""
    if record.disabled or record.deleted is not None or record.cursor is None:
        return None
    return expected(record, record.cursor)


def claimable(record: Record) -> Moment | None:
    """When the next occurrence may be claimed: a little before its moment, while no run is on that it may meet."""
    moment = due(record)
    return moment if moment is None or is_on(record) else moment - LEAD


def label_limit(label: str, value: str) -> str:
    """The reason of a run that waits because as many runs of jobs with this label are on as may be."""
    return f"{LABEL_LIMIT}{label}={value}"


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


def find(record: Record, run_id: str) -> Run | None:
    """The open run with this id."""
    return next((run for run in record.open if run.id == run_id), None)


def has_not_begun(run: Run) -> bool:
    return run.state is State.WAITING and not run.attempts


def with_run(record: Record, run: Run) -> Change:
    others = tuple(run if other.id == run.id else other for other in record.open)
    return Change(replace(record, open=others), answer=run)


def merged(first: Change, then: Change) -> Change:
    """Two decisions on one record, the second made from the first's outcome, as one."""
    return replace(
        then,
        rows=first.rows + then.rows,
        outputs=first.outputs + then.outputs,
        events=first.events + then.events,
    )


def event_of(kind: str, at: Moment, run: Run, job: Job | None) -> Event:
    """`job` is the run's, None when that is gone."""
    return Event(
        kind,
        at,
        job=run.job_id,
        run=run.id,
        state=run.state.value,
        reason=run.reason,
        scheduled_for=run.scheduled_for,
        due=run.due,
        trigger=run.trigger.value,
        started=run.started,
        duration=run.duration if run.attempts else None,
        attempt=len(run.attempts),
        until=run.until,
        count=run.count,
        error=run.attempts[-1].error if run.attempts else "",
        job_name="" if job is None else job.name,
    )


def child_run_id(parent_run: str, child: str) -> str:
    """The id of the run that a finished run causes: always the same, so that delivering twice is delivering once."""
    return derived_id(parent_run, child)


def derived_id(run_id: str, name: str) -> str:
    """An id made from another's: always the same, so that a decision taken again after a conflict is the same one."""
    return str(uuid5(_namespace(run_id), name))


def _namespace(run_id: str) -> UUID:
    try:
        return UUID(run_id)
    except ValueError:
        return uuid5(NAMESPACE_OID, run_id)
