"""What listeners are told: facts that are durable already."""

from msgspec import Struct

from kala.clock import Moment

JOB_SAVED, JOB_DELETED = "job.saved", "job.deleted"
RUN_CLAIMED, RUN_STARTED, RUN_FINISHED = "run.claimed", "run.started", "run.finished"
OCCURRENCE_SKIPPED, OCCURRENCE_MISSED = "occurrence.skipped", "occurrence.missed"
STORE_DOWN, STORE_UP = "store.down", "store.up"


class Event(Struct, frozen=True, omit_defaults=True, gc=False):
    """One event. `state` and `reason` are those of the run, or of the occurrences that did not run."""

    type: str
    at: Moment
    job: str = ""
    run: str = ""
    state: str = ""
    reason: str = ""
