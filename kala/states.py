"""The words for runs: states, triggers and reasons, and which are which. DESIGN: `ARCHITECTURE.md`, "Words"."""

from enum import StrEnum


class State(StrEnum):
    """The state of a run, or of an occurrence that did not run."""

    WAITING = "waiting"  # durable, and certainly no process
    CLAIMED = "claimed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"  # the daemon died while it may have run
    SKIPPED = "skipped"
    MISSED = "missed"


OPEN = frozenset({State.WAITING, State.CLAIMED, State.RUNNING})
ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.LOST})
NOT_RUN = frozenset({State.SKIPPED, State.MISSED})


class Trigger(StrEnum):
    """Why a run is."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch-up"
    MANUAL = "manual"
    PARENT = "parent"
    FAILURE = "failure"
    NOW = "now"  # a job without schedule and parents runs once, at once


COUNTED = frozenset({Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.NOW})
"""Claims with these triggers use up one of `Rn`."""
