"""Counting what became of runs, and keeping what is worth a look. Plain data."""

from collections import Counter
from collections.abc import Iterable

from kala.job import Run
from kala.states import State
from kala.wire.explain import NOTABLY, lateness

WORTH_A_LOOK = (State.MISSED, State.LOST, State.SKIPPED)
"""What did not run, or of which nobody knows; in the order in which it counts."""


class Counts:
    """Of one job, or of several. `skipped` and `missed` count occurrences by reason; `worst` is in microseconds."""

    def __init__(self) -> None:
        self.runs = self.failed = self.cancelled = self.lost = self.retried = self.late = 0
        self.worst = 0
        self.skipped: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()

    def add(self, run: Run) -> None:
        """A run that has ended, or a range that did not run."""
        if run.state is State.SKIPPED:
            self.skipped[run.reason] += run.count
            return
        if run.state is State.MISSED:
            self.missed[run.reason] += run.count
            return
        self.runs += 1
        self.failed += run.state in (State.FAILED, State.TIMED_OUT)
        self.cancelled += run.state is State.CANCELLED
        self.lost += run.state is State.LOST
        self.retried += run.retries
        late = lateness(run)
        if late is not None and late > NOTABLY:
            self.late += 1
            self.worst = max(self.worst, late)

    def join(self, other: "Counts") -> None:
        self.runs += other.runs
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.lost += other.lost
        self.retried += other.retried
        self.late += other.late
        self.worst = max(self.worst, other.worst)
        self.skipped += other.skipped
        self.missed += other.missed


class Tally:
    """Of all jobs, by id. `limit` bounds what is kept of each state that is worth a look."""

    def __init__(self, ids: Iterable[str], limit: int) -> None:
        self.jobs = {one: Counts() for one in ids}
        self._limit = limit
        self._kept: dict[State, list[Run]] = {state: [] for state in WORTH_A_LOOK}
        self._seen: Counter[State] = Counter()

    def add(self, run: Run) -> None:
        self.jobs[run.job_id].add(run)
        kept = self._kept.get(run.state)
        if kept is not None:
            self._seen[run.state] += 1
            if len(kept) < self._limit:
                kept.append(run)

    @property
    def total(self) -> Counts:
        total = Counts()
        for one in self.jobs.values():
            total.join(one)
        return total

    def worth_a_look(self) -> tuple[list[Run], int]:
        """At most `limit` runs and ranges, and how many there are besides."""
        found = [run for state in WORTH_A_LOOK for run in self._kept[state]][: self._limit]
        return sorted(found, key=lambda run: (run.scheduled_for, run.job_id)), self._seen.total() - len(found)
