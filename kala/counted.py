"""What has been told since the start, counted for `/metrics`: by words of which there are few, never by jobs."""

from collections import Counter
from collections.abc import Callable, Sequence

from kala import events, ledger
from kala.clock import SECOND
from kala.events import Event
from kala.histogram import Histogram
from kala.states import ENDED, State, Trigger

LATE = 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 3600
LASTED = 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 14400, 86400
"""Bounds of classes, in seconds."""
TYPES = LOCAL, REMOTE = "local", "remote"
OTHER = "other"
"""In place of a reason that is not known here."""
SKIPPED = ledger.OVERLAP, ledger.REPLACED, ledger.DISABLED, ledger.DELETED, ledger.EDITED, ledger.PAUSED
REASONS = frozenset({(State.MISSED.value, ledger.DOWN), *((State.SKIPPED.value, reason) for reason in SKIPPED)})
"""States and reasons of occurrences that did not run."""


class Counted:
    """Counts events, in less than a microsecond each. `is_remote` says of a job, by its id, whether it is an HTTP call.

    All that there may be is there from the start, as 0: who looks at increases then misses none.
    """

    def __init__(self, is_remote: Callable[[str], bool]) -> None:
        self._is_remote = is_remote
        self.claims = Counter({trigger.value: 0 for trigger in Trigger})
        self.runs = Counter({(state.value, trigger.value): 0 for state in sorted(ENDED) for trigger in Trigger})
        self.attempts, self.retries = Counter(dict.fromkeys(TYPES, 0)), Counter(dict.fromkeys(TYPES, 0))
        self.not_run: Counter[tuple[str, str]] = Counter(dict.fromkeys(sorted(REASONS), 0))
        self.lateness = {trigger.value: Histogram(LATE) for trigger in Trigger}  # of first attempts
        self.durations = {kind: Histogram(LASTED) for kind in TYPES}

    def count(self, told: Sequence[Event]) -> None:
        for event in told:
            kind = event.type
            if kind == events.RUN_CLAIMED:
                self.claims[event.trigger] += 1
            elif kind == events.RUN_STARTED:
                self._started(event)
            elif kind == events.RUN_FINISHED:
                self.runs[event.state, event.trigger] += 1
                if event.duration is not None:
                    self.durations[self._type(event)].add(event.duration / SECOND)
            elif kind in (events.OCCURRENCE_SKIPPED, events.OCCURRENCE_MISSED):
                reason = event.reason if (event.state, event.reason) in REASONS else OTHER
                self.not_run[event.state, reason] += event.added

    def _started(self, event: Event) -> None:
        kind = self._type(event)
        self.attempts[kind] += 1
        if event.attempt > 1:
            self.retries[kind] += 1
            return
        due = event.scheduled_for if event.due is None else event.due
        if due is not None:
            self.lateness[event.trigger].add(max(event.at - due, 0) / SECOND)

    def _type(self, event: Event) -> str:
        return REMOTE if self._is_remote(event.job) else LOCAL
