"""Writing a job in brief, as a list shows it: what it is, when it runs, what is on, and what became of its last runs.

The order of the fields of these structs is the order on the wire. Moments are RFC 3339 in UTC, durations seconds.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from kala.clock import SECOND, Moment, rfc3339, rfc3339_or_none
from kala.job import REMOTE, Job, Record, Run, unpacked
from kala.ledger import due
from kala.states import State, Trigger
from kala.wire.explain import when
from kala.wire.runjson import Seconds, Time

COMMAND = 200
"""Characters of a command that are told."""
OPEN_RUNS = 20


class OpenRun(Struct, gc=False):
    """A run that has not ended. `started`: its first attempt; null before that."""

    id: str
    state: State
    started: Time | None


class ResultObject(Struct, gc=False):
    """An ended run. One that ended before its first attempt has its end as `started`."""

    started: Time
    duration: Seconds
    state: State
    trigger: Trigger
    retries: int


class Brief(Struct, gc=False):
    """A job in brief. `next_run_at` is null when nothing comes, also because it is disabled. A child is never done."""

    id: str
    name: str
    owner: str
    type: int
    command: str  # its first 200 characters; of a remote job method and URL
    schedule: str
    words: str  # the schedule in plain words
    time_zone: str
    disabled: bool
    is_done: bool
    parent_jobs: list[str] | None
    dependent_jobs: Sequence[str] | None
    on_failure_job: str
    labels: dict[str, str] | None
    next_run_at: Time | None
    version: int
    success_count: int
    error_count: int
    open: list[OpenRun]  # at most 20
    results: list[ResultObject]  # the last 20, in the order in which they ended


def brief(record: Record, children: Sequence[str] | None, runs: Iterable[OpenRun], now: Moment) -> Brief:
    """A job for clients. `children` as for `job_object`; `runs` are its first open ones, as they are now."""
    job = record.job
    # By position, as `job_object`
    return Brief(
        record.id,
        job.name,
        job.owner,
        job.type,
        _what(job)[:COMMAND],
        job.schedule,
        when(job, now),
        job.time_zone,
        record.disabled,
        record.is_over,
        job.parent_jobs,
        children,
        job.on_failure_job,
        job.labels,
        rfc3339_or_none(due(record)),
        record.version,
        record.successes,
        record.errors,
        list(runs),
        [
            ResultObject(rfc3339(started), duration / SECOND, state, trigger, retries)
            for started, duration, retries, state, trigger in unpacked(record.results)
        ],
    )


def open_run(run: Run, started: Moment | None) -> OpenRun:
    """An open run as it is now; `started`, while its first attempt is on."""
    return OpenRun(run.id, run.state, rfc3339_or_none(started if run.started is None else run.started))


def _what(job: Job) -> str:
    if job.type == REMOTE and job.remote is not None:
        return f"{job.remote.method.upper() or 'GET'} {job.remote.url}"
    return job.command
