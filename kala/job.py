"""The facts: what a job is, what its record holds, what a run was. Plain records, frozen by habit: a decision
(`ledger/`) makes a new one with `replace`, and nobody changes one in place. So they are in no cycles, and are hidden
from the garbage collector (`gc=False`), which would walk all of a hundred thousand again and again.

Moments and durations are microseconds (`clock.py`); `None` is a moment that has not been.
"""

import struct
from typing import NamedTuple

import msgspec
from msgspec import Struct

from kala.clock import Moment
from kala.states import State, Trigger

LOCAL, REMOTE = 0, 1
MAX_RESULTS = 20
COLLECTION = 20_000, 20, 50
"""Thresholds of the garbage collector for a process that runs jobs. What lives long is records, which it does not look
at, and what is short-lived goes by its count: at the default of 700 a burst of runs pays a tenth of its time for it."""
_RESULT = struct.Struct("<qfHBB")  # started, duration in seconds, retries, state, trigger: 16 bytes
_STATES, _TRIGGERS = tuple(State), tuple(Trigger)

replace = msgspec.structs.replace


class Remote(Struct, frozen=True, omit_defaults=True, gc=False):
    """The HTTP call of a remote job, as it was given. Zero values mean the defaults, which `calls/remote.py` knows."""

    url: str = ""
    method: str = ""
    body: str = ""
    headers: dict[str, list[str]] | None = None
    timeout: int = 0  # seconds
    expected_response_codes: list[int] | None = None


class Notify(Struct, frozen=True, omit_defaults=True, gc=False):
    """Where to post what became of a job's runs, and which of it. Durations are ISO 8601 text."""

    url: str
    on: tuple[str, ...] = ("failure", "recovery", "lost", "missed")  # and "late"
    headers: dict[str, list[str]] | None = None
    every: str = "PT1M"  # at most one of a kind in so long; what comes in between is counted in the next
    late_after: str = "PT1M"


class Limits(Struct, frozen=True, omit_defaults=True, gc=False):
    """What each process of a command may use. None: as much as the daemon itself."""

    memory: int | None = None  # bytes of address space
    cpu_time: int | None = None  # seconds of processor time
    open_files: int | None = None
    nice: int | None = None  # -20 to 19


class Job(Struct, frozen=True, omit_defaults=True, gc=False):
    """A definition: what to run and when, and what to do when things go wrong. Durations are ISO 8601 text."""

    name: str
    command: str = ""
    owner: str = ""
    schedule: str = ""
    retries: int = 0
    epsilon: str = ""
    parent_jobs: list[str] | None = None
    on_failure_job: str = ""
    template_delimiters: str = ""
    resume_at_next_scheduled_time: bool = False
    type: int = LOCAL
    remote: Remote | None = None
    shell: bool = False
    overlap: str = "queue"  # queue, skip, allow, replace
    catch_up: str = "once"  # once, none, all
    catch_up_limit: int = 100
    catch_up_window: str = ""
    timeout: str = ""
    kill_after: str = "PT10S"
    on_lost: str = "record"  # record, rerun
    retry_delay: str = ""
    retry_backoff: float = 1.0
    retry_max_delay: str = "PT1H"
    jitter: str = ""
    time_zone: str = ""  # an IANA name
    dst_gap: str = "shift"  # shift, skip
    dst_fold: str = "first"  # first, second, both
    parents_mode: str = "any"  # any, all
    environment: dict[str, str] | None = None
    directory: str = ""
    output_limit: int | None = None  # bytes; None is the server's
    labels: dict[str, str] | None = None
    notify: list[Notify] | None = None
    run_as: str = ""  # user, or user:group
    limits: Limits | None = None


class Attempt(Struct, frozen=True, omit_defaults=True, gc=False):
    """One process or one HTTP call, ended."""

    number: int  # from 1
    started: Moment
    ended: Moment
    state: State
    exit_code: int | None = None
    signal: int | None = None  # the number of the signal that ended it
    status: int | None = None  # of the HTTP answer
    cpu: int = 0  # processor time of the process and those it waited for, microseconds
    memory: int = 0  # its peak resident memory, bytes
    output_size: int = 0  # bytes printed in all; what is kept is the tail
    error: str = ""  # one sentence, when it did not succeed


class OnNow(NamedTuple):
    """An attempt that is on here, or whose end is not durable yet."""

    started: Moment
    size: int  # bytes printed so far


class Run(Struct, frozen=True, omit_defaults=True, gc=False):
    """One execution, or, in state skipped or missed, a range of occurrences that had none.

    A record's open runs and the rows of the history are both of this shape.
    """

    id: str
    job_id: str
    scheduled_for: Moment
    trigger: Trigger
    state: State
    created: Moment
    instance: str = ""  # that claimed it
    attempts: tuple[Attempt, ...] = ()
    not_before: Moment | None = None  # of a waiting run: the next attempt's time
    ended: Moment | None = None
    reason: str = ""
    parent_job: str = ""
    parent_run: str = ""
    until: Moment | None = None  # of a range: its last occurrence
    count: int = 1
    version: int = 1  # of the job, when it was claimed
    due: Moment | None = None  # the scheduled moment and its jitter, where there is one
    blocker: Moment | None = None  # the moment of the run that was on, when it did not run because of that
    cancel: str = ""  # why it is to end: asked for, or replaced

    @property
    def expected(self) -> Moment:
        """When it was to start."""
        return self.scheduled_for if self.due is None else self.due

    @property
    def started(self) -> Moment | None:
        """When its first attempt started."""
        return self.attempts[0].started if self.attempts else None

    @property
    def duration(self) -> int:
        """From the start of its first attempt to the end of its last, microseconds."""
        return self.attempts[-1].ended - self.attempts[0].started if self.attempts else 0

    @property
    def retries(self) -> int:
        return self.attempts[-1].number - 1 if self.attempts else 0


class Output(Struct, frozen=True, gc=False):
    """What one attempt printed (its tail), or the body of an HTTP answer (its beginning)."""

    run_id: str
    attempt: int
    data: bytes
    size: int  # bytes in all


class Delivery(Struct, frozen=True, omit_defaults=True, gc=False):
    """An entry of an outbox: jobs to be run because `run` has ended, in order. The first is the one under way."""

    run: str
    trigger: Trigger  # parent or failure
    to: tuple[str, ...]
    instance: str = ""  # that delivers
    recovered: bool = False  # taken over: the first may have been delivered already


class Arrival(Struct, frozen=True, omit_defaults=True, gc=False):
    """The latest success of a parent of a job that waits for all of them."""

    run: str
    used: bool = False  # a run of the job has followed from it


class Notice(Struct, frozen=True, omit_defaults=True, gc=False):
    """A notification that is owed. Its id stays the same however often it is sent."""

    id: str
    kind: str  # failure, recovery, lost, late, missed
    at: Moment
    url: str
    run: Run
    tries: int = 0  # that were not taken
    refused: Moment = 0  # since when
    not_before: Moment = 0
    more: int = 0  # of the same kind that it stands for besides, since `every` forbids one each
    instance: str = ""  # that sends it


class Record(Struct, frozen=True, omit_defaults=True, gc=False):
    """A job and its state in one piece: the unit of every write."""

    id: str
    job: Job
    created: Moment
    version: int = 1  # grows with the definition, and with disabling and enabling: the ETag
    schedule_version: int = 1  # the version that brought its schedule
    revision: int = 0  # grows with every write
    disabled: bool = False
    deleted: Moment | None = None  # a tombstone since then
    cursor: Moment | None = None  # next occurrence not yet claimed, skipped or missed
    last_due: Moment | None = None  # the occurrence before the cursor: shown when nothing follows
    remaining: int | None = 0  # claims left; None is without end
    successes: int = 0
    errors: int = 0
    finished: int = 0
    last_success: Moment | None = None
    last_error: Moment | None = None
    last_attempted: Moment | None = None
    open: tuple[Run, ...] = ()
    outbox: tuple[Delivery, ...] = ()
    gap: Run | None = None  # the latest range of occurrences that did not run, still growing
    arrivals: dict[str, Arrival] | None = None  # by parent, under `parents_mode: all`
    notices: tuple[Notice, ...] = ()
    noticed: dict[str, Moment] | None = None  # by kind and address: when one was last taken
    failing: bool = False  # its last run failed: the next success is a recovery
    results: bytes = b""  # the last `MAX_RESULTS` ended runs, packed

    @property
    def is_child(self) -> bool:
        return bool(self.job.parent_jobs)

    @property
    def is_done(self) -> bool:
        """Nothing of it is to come by itself. For a child: it has run once (display only, as in Kala)."""
        if self.is_child:
            return self.finished > 0
        return self.cursor is None and not self.open

    @property
    def is_over(self) -> bool:
        """The same, but for a child, which runs again whenever its parents succeed."""
        return self.is_done and not self.is_child


class Result(NamedTuple):
    """One of the packed results."""

    started: Moment
    duration: int  # microseconds
    retries: int
    state: State
    trigger: Trigger


def packed(results: bytes, run: Run) -> bytes:
    """`results` with an ended run added, and the oldest dropped when there are more than `MAX_RESULTS`."""
    row = _RESULT.pack(
        run.started if run.started is not None else run.ended or run.created,
        run.duration / 1e6,
        min(run.retries, 0xFFFF),
        _STATES.index(run.state),
        _TRIGGERS.index(run.trigger),
    )
    return results[-(MAX_RESULTS - 1) * _RESULT.size :] + row


def unpacked(results: bytes) -> list[Result]:
    """The packed results, in the order in which the runs ended."""
    return [
        Result(started, round(duration * 1e6), retries, _STATES[state], _TRIGGERS[trigger])
        for started, duration, retries, state, trigger in _RESULT.iter_unpack(results)
    ]


def last_state(results: bytes) -> State | None:
    """The state of the run that ended last; None when there is none."""
    return _STATES[_RESULT.unpack_from(results, len(results) - _RESULT.size)[3]] if results else None


_encoder = msgspec.json.Encoder()
_record_decoder = msgspec.json.Decoder(Record)
_run_decoder = msgspec.json.Decoder(Run)


def encode(value: Record | Run) -> bytes:
    """A record or a run as it is stored: JSON without the members that have their default."""
    return _encoder.encode(value)


def decode_record(data: bytes) -> Record:
    """The record in `data`. Raises `msgspec.DecodeError` when it is not one."""
    return _record_decoder.decode(data)


def decode_run(data: bytes | str) -> Run:
    """The run in `data`. Raises `msgspec.DecodeError` when it is not one."""
    return _run_decoder.decode(data)
