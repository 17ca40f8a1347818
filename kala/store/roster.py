"""All job records in memory, and what is derived from them: children, failure jobs' users, totals. Plain data,
changed by the store's writer alone."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from kala.agenda import Agenda
from kala.clock import Moment
from kala.job import Record, Run
from kala.ledger import due
from kala.states import State


class Totals(NamedTuple):
    """Of all jobs that are there; counters are of attempts."""

    active: int
    disabled: int
    jobs: int
    errors: int
    successes: int
    next_run_at: Moment | None
    last_attempted: Moment | None


class Roster:
    """Records by id. `tombstones` are deleted ones that are still remembered."""

    def __init__(self) -> None:
        self.jobs: dict[str, Record] = {}
        self.tombstones: dict[str, Record] = {}
        self.busy: set[str] = set()  # whose records have open runs, or owe something
        self.gapped: set[str] = set()  # whose records have a range that grows
        self.waiting = 0  # runs that wait
        self.waits: Counter[str] = Counter()  # the same, by their reasons; of those that there are
        self.owed = 0  # notifications
        self._open: dict[str, str] = {}  # the job of every run that is not in the history: open ones, growing ranges
        self._coming = Agenda()  # the next occurrence of every enabled job
        self._dormant = Agenda()  # and of every disabled one
        self._children: dict[str, dict[str, Moment]] = {}
        self._failure_users: dict[str, int] = {}
        self._disabled = self._errors = self._successes = 0
        self._attempted = Agenda()  # the last attempted run of every job, negated: the latest comes first

    def get(self, job_id: str) -> Record | None:
        """A record, deleted or not."""
        return self.jobs.get(job_id) or self.tombstones.get(job_id)

    def __iter__(self) -> Iterator[Record]:
        yield from list(self.jobs.values())
        yield from list(self.tombstones.values())

    def children(self, job_id: str) -> list[str] | None:
        """The jobs with this parent, in the order in which they were added; None when it never had any."""
        known = self._children.get(job_id)
        return None if known is None else sorted(known, key=lambda child: (known[child], child))

    def run(self, run_id: str) -> tuple[Record, Run] | None:
        """A run that is not in the history yet: an open one, or a range that grows; and its job's record."""
        record = self.get(self._open.get(run_id, ""))
        if record is None:
            return None
        run = next((run for run in record.open if run.id == run_id), record.gap)
        return None if run is None or run.id != run_id else (record, run)

    def unfinished(self) -> list[str]:
        """The jobs that have runs, or ranges, that are not in the history yet, in no order; and some that have none."""
        return list(self.busy | self.gapped)

    def runs(self, job_id: str) -> list[Run]:
        """The runs of a job that are not in the history yet, in no order."""
        if (record := self.get(job_id)) is None:
            return []
        return [*record.open] if record.gap is None else [*record.open, record.gap]

    def is_failure_job(self, job_id: str) -> bool:
        return self._failure_users.get(job_id, 0) > 0

    def put(self, record: Record) -> None:
        """Enter a record in place of the one with its id."""
        self._leave(record.id)
        self.owed += len(record.notices)
        if record.open or record.outbox or record.notices:
            self.busy.add(record.id)
        else:
            self.busy.discard(record.id)
        if record.gap is not None:
            self.gapped.add(record.id)
        else:
            self.gapped.discard(record.id)
        for run in record.open:
            self._open[run.id] = record.id
            if run.state is State.WAITING:
                self.waiting += 1
                self.waits[run.reason] += 1
        if record.gap is not None:
            self._open[record.gap.id] = record.id
        if record.deleted is not None:
            self.jobs.pop(record.id, None)
            self.tombstones[record.id] = record
        else:
            self.tombstones.pop(record.id, None)
            self.jobs[record.id] = record
            self._enter(record)
        self._coming.put(record.id, due(record))
        self._dormant.put(record.id, record.cursor if record.disabled else None)
        attempted = record.last_attempted if record.deleted is None else None
        self._attempted.put(record.id, None if attempted is None else -attempted)

    def drop(self, job_id: str) -> None:
        """Forget a record altogether."""
        self._leave(job_id)
        self.busy.discard(job_id)
        self.gapped.discard(job_id)
        if not self._children.get(job_id):
            self._children.pop(job_id, None)
        self.jobs.pop(job_id, None)
        self.tombstones.pop(job_id, None)
        self._coming.put(job_id, None)
        self._dormant.put(job_id, None)
        self._attempted.put(job_id, None)

    def _enter(self, record: Record) -> None:
        job = record.job
        for parent in job.parent_jobs or ():
            self._children.setdefault(parent, {})[record.id] = record.created
        if job.on_failure_job:
            self._failure_users[job.on_failure_job] = self._failure_users.get(job.on_failure_job, 0) + 1
        self._disabled += record.disabled
        self._errors += record.errors
        self._successes += record.successes

    def _leave(self, job_id: str) -> None:
        record = self.get(job_id)
        if record is not None:
            self.owed -= len(record.notices)
        if record is not None and self._open:
            for run in record.open:
                self._open.pop(run.id, None)
                if run.state is State.WAITING:
                    self.waiting -= 1
                    self.waits[run.reason] -= 1
                    if not self.waits[run.reason]:
                        del self.waits[run.reason]
            if record.gap is not None:
                self._open.pop(record.gap.id, None)
        record = self.jobs.get(job_id)
        if record is None:
            return
        for parent in record.job.parent_jobs or ():
            self._children.get(parent, {}).pop(job_id, None)
        if failure := record.job.on_failure_job:
            self._failure_users[failure] -= 1
            if not self._failure_users[failure]:
                del self._failure_users[failure]
        self._disabled -= record.disabled
        self._errors -= record.errors
        self._successes -= record.successes

    def coming(self, count: int) -> list[tuple[Moment, Record]]:
        """The enabled jobs that are due next, and when, in order."""
        return [(at, self.jobs[job_id]) for at, job_id in self._coming.first(count)]

    def first_due(self) -> Moment | None:
        """The earliest moment for which an enabled job has no claim yet, be it past."""
        return self._coming.head()

    def totals(self) -> Totals:
        """In constant time, however many jobs there are."""
        jobs, attempted = len(self.jobs), self._attempted.head()
        return Totals(
            active=jobs - self._disabled,
            disabled=self._disabled,
            jobs=jobs,
            errors=self._errors,
            successes=self._successes,
            next_run_at=self._coming.head() or self._dormant.head(),
            last_attempted=None if attempted is None else -attempted,
        )
