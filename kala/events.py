"""What listeners are told: facts that are durable already."""

from msgspec import Struct

from kala.clock import Moment

JOB_SAVED, JOB_DELETED = "job.saved", "job.deleted"
RUN_CLAIMED, RUN_STARTED, RUN_OUTPUT, RUN_FINISHED = "run.claimed", "run.started", "run.output", "run.finished"
OCCURRENCE_SKIPPED, OCCURRENCE_MISSED = "occurrence.skipped", "occurrence.missed"
STORE_DOWN, STORE_UP = "store.down", "store.up"
DAEMON_PAUSED, DAEMON_RESUMED = "daemon.paused", "daemon.resumed"
HELLO, RELOAD = "hello", "reload"
"""The first on each stream: go on from here, or read afresh, since too much was missed."""

TYPES = frozenset(
    {
        JOB_SAVED,
        JOB_DELETED,
        RUN_CLAIMED,
        RUN_STARTED,
        RUN_OUTPUT,
        RUN_FINISHED,
        OCCURRENCE_SKIPPED,
        OCCURRENCE_MISSED,
        STORE_DOWN,
        STORE_UP,
        DAEMON_PAUSED,
        DAEMON_RESUMED,
    }
)
"""What is published, and may be asked for: `HELLO` and `RELOAD` are each stream's own."""


class Event(Struct, frozen=True, omit_defaults=True, gc=False):
    """One event. What does not apply has its default. Durations in microseconds.

    `state`, `reason`, `scheduled_for`, `trigger`, `started`, `duration` are those of the run, or of the occurrences
    that did not run: then `count` of them, up to `until`, of which `added` have not been told before. `due`: when the
    run was to start, where jitter has put it off. `attempt`: counted from 1. `size`: the bytes printed so far.
    `version`: the job's. `error`: what was wrong with the run's last attempt. `job_name`: of runs and occurrences.
    """

    type: str
    at: Moment
    job: str = ""
    run: str = ""
    state: str = ""
    reason: str = ""
    scheduled_for: Moment | None = None
    trigger: str = ""
    started: Moment | None = None
    duration: int | None = None
    attempt: int = 0
    until: Moment | None = None
    count: int = 1
    size: int = 0
    version: int = 0
    error: str = ""
    job_name: str = ""
    due: Moment | None = None
    added: int = 1
