"""Writing the wire format: what the API answers about jobs, with the original's members in the original's order.

`jobread.py` reads it; nothing else knows it. The order of the fields of these structs is the order on the wire.
`metadata`, `remote_properties`, rows of stats and `Stats` have exactly the original's members, since clients with
strict decoders exist; what is ours stands after `is_done`.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType

from kala.clock import Moment, rfc3339
from kala.job import Limits, Notify, Record, Remote, Run, unpacked
from kala.ledger import expected
from kala.states import NOT_RUN, State

ZERO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time: a moment that has not been."""

NANOSECONDS = 1_000  # in a microsecond
_encoder = msgspec.json.Encoder()


class Row(Struct, gc=False):
    """One ended run, as the original's `JobStat`."""

    job_id: str
    ran_at: str
    number_of_retries: int
    success: bool
    execution_duration: int  # nanoseconds


class Metadata(Struct, gc=False):
    """A job's counters."""

    success_count: int
    last_success: str
    error_count: int
    last_error: str
    last_attempted_run: str
    number_of_finished_runs: int


class RemoteProperties(Struct):
    """A remote job's call; of a local job all zero."""

    url: str = ""
    method: str = ""
    body: str = ""
    headers: dict[str, list[str]] | None = None
    timeout: int = 0  # seconds
    expected_response_codes: list[int] | None = None


class NotifyObject(Struct):
    """Where notifications go, with all its members."""

    url: str
    on: list[str]
    headers: dict[str, list[str]] | None
    every: str
    late_after: str


class JobObject(Struct, rename={"template_delimiters": "TemplateDelimiters"}):
    """A job as clients see it."""

    name: str
    id: str
    command: str
    owner: str
    disabled: bool
    dependent_jobs: Sequence[str] | None
    parent_jobs: list[str] | None
    on_failure_job: str
    schedule: str
    retries: int
    epsilon: str
    next_run_at: str
    template_delimiters: str
    resume_at_next_scheduled_time: bool
    metadata: Metadata
    type: int
    remote_properties: RemoteProperties
    stats: list[Row] | None
    is_done: bool
    shell: bool
    overlap: str
    catch_up: str
    catch_up_limit: int
    catch_up_window: str
    timeout: str
    kill_after: str
    on_lost: str
    retry_delay: str
    retry_backoff: float
    retry_max_delay: str
    jitter: str
    time_zone: str
    dst_gap: str
    dst_fold: str
    parents_mode: str
    environment: dict[str, str] | None
    directory: str
    output_limit: int | None
    labels: dict[str, str] | None
    notify: list[NotifyObject] | None
    version: int
    run_as: str | UnsetType = UNSET
    limits: Limits | UnsetType = UNSET


class Stats(Struct):
    """The totals of the whole server, as `GET /stats/` answers them."""

    active_jobs: int
    disabled_jobs: int
    jobs: int
    error_count: int
    success_count: int
    next_run_at: str
    last_attempted_run: str
    created: str


def encode(value: object) -> bytes:
    """JSON of anything made here, alone or within dicts and lists: `encode({"jobs": {id: job_object(…)}})`."""
    return _encoder.encode(value)


def go_time(moment: Moment | None) -> str:
    """A moment as the original writes it; None: `ZERO_TIME`."""
    return ZERO_TIME if moment is None else rfc3339(moment)


def rows_of_results(record: Record) -> list[Row] | None:
    """The rows of the results that a record carries, oldest first; None when nothing has run yet."""
    if not record.results:
        return None
    job_id, succeeded = record.id, State.SUCCEEDED
    return [
        Row(job_id, rfc3339(started), retries, state is succeeded, duration * NANOSECONDS)
        for started, duration, retries, state, _ in sorted(unpacked(record.results))
    ]


def rows_of_runs(runs: Iterable[Run]) -> list[Row] | None:
    """The rows of runs of the history, oldest first; ranges that did not run have none. None when there is no row.

    A run that ended before its first attempt (cancelled while it waited) stands at its end.
    """
    ended = [
        (run.started if run.started is not None else run.ended or run.created, run)
        for run in runs
        if run.state not in NOT_RUN
    ]
    ended.sort(key=lambda pair: pair[0])
    return [
        Row(run.job_id, rfc3339(at), run.retries, run.state is State.SUCCEEDED, run.duration * NANOSECONDS)
        for at, run in ended
    ] or None


def next_run_at(record: Record) -> Moment | None:
    """The next occurrence, or the last one when the job is done. A child and a job without schedule have none."""
    if record.is_child or not record.job.schedule:
        return None
    return record.last_due if record.cursor is None else expected(record, record.cursor)


def job_object(record: Record, children: Sequence[str] | None, rows: list[Row] | None) -> JobObject:
    """A job for clients. `children` are the ids of its dependent jobs in order: None when it never had one, empty
    when it has none any more. `rows` come from `rows_of_results` or `rows_of_runs`."""
    job = record.job
    # By position: the names would take half of the time
    return JobObject(
        job.name,
        record.id,
        job.command,
        job.owner,
        record.disabled,
        children,
        job.parent_jobs,
        job.on_failure_job,
        job.schedule,
        job.retries,
        job.epsilon,
        go_time(next_run_at(record)),
        job.template_delimiters,
        job.resume_at_next_scheduled_time,
        Metadata(
            record.successes,
            go_time(record.last_success),
            record.errors,
            go_time(record.last_error),
            go_time(record.last_attempted),
            record.finished,
        ),
        job.type,
        remote_object(job.remote, record.finished > 0),
        rows,
        record.is_done,
        job.shell,
        job.overlap,
        job.catch_up,
        job.catch_up_limit,
        job.catch_up_window,
        job.timeout,
        job.kill_after,
        job.on_lost,
        job.retry_delay,
        job.retry_backoff,
        job.retry_max_delay,
        job.jitter,
        job.time_zone,
        job.dst_gap,
        job.dst_fold,
        job.parents_mode,
        job.environment,
        job.directory,
        job.output_limit,
        job.labels,
        notify_objects(job.notify),
        record.version,
        job.run_as or UNSET,
        job.limits or UNSET,
    )


def notify_objects(notify: Sequence[Notify] | None) -> list[NotifyObject] | None:
    if notify is None:
        return None
    return [NotifyObject(one.url, list(one.on), one.headers, one.every, one.late_after) for one in notify]


_NO_REMOTE = RemoteProperties()


def remote_object(remote: Remote | None, has_run: bool = False) -> RemoteProperties:
    """The call with all its members, in their order. As in the original, the first run fills in what was not given."""
    if remote is None:
        return _NO_REMOTE
    headers, codes = remote.headers, remote.expected_response_codes
    if has_run:
        codes = codes or [200]
        if not any(name.lower() == "content-type" for name in headers or ()):
            headers = {**(headers or {}), "Content-Type": ["application/json"]}
    return RemoteProperties(
        url=remote.url,
        method=remote.method,
        body=remote.body,
        headers=headers,
        timeout=remote.timeout,
        expected_response_codes=codes,
    )


def stats_object(
    *,
    active_jobs: int,
    disabled_jobs: int,
    jobs: int,
    error_count: int,
    success_count: int,
    next_run_at: Moment | None,
    last_attempted_run: Moment | None,
    created: Moment,
) -> dict[str, Stats]:
    """The answer of `GET /stats/`, for `encode`. `created` is when it is made."""
    return {
        "Stats": Stats(
            active_jobs=active_jobs,
            disabled_jobs=disabled_jobs,
            jobs=jobs,
            error_count=error_count,
            success_count=success_count,
            next_run_at=go_time(next_run_at),
            last_attempted_run=go_time(last_attempted_run),
            created=rfc3339(created),
        )
    }
