"""Runs on the wire, and occurrences that did not run: `docs/api.md`, "Runs". Nothing else knows this format.

The order of the fields of these structs is the order on the wire. Moments are RFC 3339 in UTC, null when there is none;
durations are seconds.
"""

from typing import Annotated

from msgspec import Meta, Struct

from kala.clock import SECOND, rfc3339, rfc3339_or_none
from kala.job import Attempt, OnNow, Record, Run
from kala.states import State, Trigger
from kala.wire.explain import explain, lateness

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Seconds = Annotated[float, Meta(ge=0, description="seconds")]


class AttemptObject(Struct, gc=False):
    """One process, or one HTTP call. Of one that is on, `state` is `running`, and what its end brings is null."""

    number: int  # from 1
    state: State
    started: Time
    ended: Time | None
    duration: Seconds | None
    exit_code: int | None
    signal: int | None
    status: int | None  # of the HTTP answer
    cpu: Seconds | None
    memory: int | None  # bytes at its peak; null when that is not known
    output_size: int  # bytes printed in all
    error: str


class RunObject(Struct, gc=False):
    """A run, or a range of occurrences that did not run: `count` of them, from `scheduled_for` to `until`."""

    id: str
    job_id: str
    job_name: str  # empty when the job is gone
    job_version: int
    state: State
    trigger: Trigger
    scheduled_for: Time
    due: Time  # when it was to start: `scheduled_for`, put off by the job's jitter
    until: Time | None
    count: int
    created: Time
    not_before: Time | None
    started: Time | None
    ended: Time | None
    duration: Seconds | None
    lateness: Seconds | None
    retries: int
    instance: str
    reason: str
    explanation: str
    parent_job: str
    parent_run: str
    attempts: list[AttemptObject]


def run_object(run: Run, record: Record | None, on_now: OnNow | None = None, *, paused: bool = False) -> RunObject:
    """A run for clients. `record` is its job's, None when that is gone; `on_now` its attempt that is on."""
    attempts = [attempt_object(attempt) for attempt in run.attempts]
    started = run.started
    if on_now is not None:
        attempts.append(_of_now(len(attempts) + 1, on_now))
        started = on_now.started if started is None else started
    late = lateness(run, started)
    by = record.job if record is not None and record.version == run.version else None
    return RunObject(
        id=run.id,
        job_id=run.job_id,
        job_name="" if record is None else record.job.name,
        job_version=run.version,
        state=run.state,
        trigger=run.trigger,
        scheduled_for=rfc3339(run.scheduled_for),
        due=rfc3339(run.expected),
        until=rfc3339_or_none(run.until),
        count=run.count,
        created=rfc3339(run.created),
        not_before=rfc3339_or_none(run.not_before),
        started=rfc3339_or_none(started),
        ended=rfc3339_or_none(run.ended),
        duration=run.duration / SECOND if run.attempts and run.ended is not None else None,
        lateness=None if late is None else late / SECOND,
        retries=run.retries,
        instance=run.instance,
        reason=run.reason,
        explanation=explain(run, by, paused=paused),
        parent_job=run.parent_job,
        parent_run=run.parent_run,
        attempts=attempts,
    )


def attempt_object(attempt: Attempt) -> AttemptObject:
    return AttemptObject(
        number=attempt.number,
        state=attempt.state,
        started=rfc3339(attempt.started),
        ended=rfc3339(attempt.ended),
        duration=max(attempt.ended - attempt.started, 0) / SECOND,
        exit_code=attempt.exit_code,
        signal=attempt.signal,
        status=attempt.status,
        cpu=attempt.cpu / SECOND,
        memory=attempt.memory or None,
        output_size=attempt.output_size,
        error=attempt.error,
    )


def _of_now(number: int, on_now: OnNow) -> AttemptObject:
    return AttemptObject(
        number=number,
        state=State.RUNNING,
        started=rfc3339(on_now.started),
        ended=None,
        duration=None,
        exit_code=None,
        signal=None,
        status=None,
        cpu=None,
        memory=None,
        output_size=on_now.size,
        error="",
    )
