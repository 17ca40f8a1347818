"""All job records in memory, and what is derived from them: children, failure jobs' users, totals. Plain data,
changed by the store's writer alone."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from kala.agenda import Agenda
from kala.clock import Moment
from kala.job import Record, Run
from kala.ledger import due
from kala.states import State
from kala.store.texts import Texts


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
        self.changed: dict[str, bool] | None = None  # while jobs are looked for: see `_note`
        self._open: dict[str, str] = {}  # the job of every run that is not in the history: open ones, growing ranges
        self._coming = Agenda()  # the next occurrence of every enabled job
        self._dormant = Agenda()  # and of every disabled one
        self._children: dict[str, dict[str, Moment]] = {}
        self._failure_users: dict[str, int] = {}
        self._disabled = self._errors = self._successes = 0
        self._attempted = Agenda()  # the last attempted run of every job, negated: the latest comes first
        self._texts = Texts()

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """One with all of these, entered in turn: in a third of the time that `put` takes."""
        made = cls()
        for record in records:
            made._replace(record)
        jobs = made.jobs.values()
        made._coming.fill((at, record.id) for record in jobs if (at := due(record)) is not None)
        made._dormant.fill(
            (record.cursor, record.id) for record in jobs if record.disabled and record.cursor is not None
        )
        made._attempted.fill(
            (-record.last_attempted, record.id) for record in jobs if record.last_attempted is not None
        )
        return made

    def become(self, other: Self) -> None:
        """Take over all that another has, which is then used no more."""
        vars(self).update(vars(other))

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
        if self.changed is not None:
            self._note(record.id, is_new=record.deleted is None and record.id not in self.jobs)
        self._replace(record)
        self._coming.put(record.id, due(record))
        self._dormant.put(record.id, record.cursor if record.disabled else None)
        attempted = record.last_attempted if record.deleted is None else None
        self._attempted.put(record.id, None if attempted is None else -attempted)

    def drop(self, job_id: str) -> None:
        """Forget a record altogether."""
        if self.changed is not None:
            self._note(job_id, is_new=False)
        if (before := self.get(job_id)) is not None:
            self._leave(before)
        if not self._children.get(job_id):
            self._children.pop(job_id, None)
        self.jobs.pop(job_id, None)
        self.tombstones.pop(job_id, None)
        self._coming.put(job_id, None)
        self._dormant.put(job_id, None)
        self._attempted.put(job_id, None)

    def _note(self, job_id: str, *, is_new: bool) -> None:
        """For `finding/`: which jobs have changed, come or gone, and whether it has come anew, in the order of that."""
        assert self.changed is not None  # noqa: S101  # by who calls it
        if is_new:
            self.changed.pop(job_id, None)
            self.changed[job_id] = True
        else:
            self.changed.setdefault(job_id, False)

    def _replace(self, record: Record) -> None:
        """Enter a record in place of the one with its id, everywhere but in the agendas."""
        if (before := self.get(record.id)) is not None:
            self._leave(before)
        if record.open or record.outbox or record.notices:
            self.owed += len(record.notices)
            self.busy.add(record.id)
            for run in record.open:
                self._open[run.id] = record.id
                if run.state is State.WAITING:
                    self.waiting += 1
                    self.waits[run.reason] += 1
        if record.gap is not None:
            self.gapped.add(record.id)
            self._open[record.gap.id] = record.id
        if record.deleted is not None:
            self.jobs.pop(record.id, None)
            self.tombstones[record.id] = record
            return
        self.tombstones.pop(record.id, None)
        self.jobs[record.id] = record
        job = record.job
        if before is None or before.job is not job:
            self._texts.share(job)
        for parent in job.parent_jobs or ():
            self._children.setdefault(parent, {})[record.id] = record.created
        if job.on_failure_job:
            self._failure_users[job.on_failure_job] = self._failure_users.get(job.on_failure_job, 0) + 1
        self._disabled += record.disabled
        self._errors += record.errors
        self._successes += record.successes

    def _leave(self, record: Record) -> None:
        """Strike out a record that is here, everywhere but in the agendas and in its place among the others."""
        if record.open or record.outbox or record.notices:
            self.owed -= len(record.notices)
            self.busy.discard(record.id)
            for run in record.open:
                self._open.pop(run.id, None)
                if run.state is State.WAITING:
                    self.waiting -= 1
                    self.waits[run.reason] -= 1
                    if not self.waits[run.reason]:
                        del self.waits[run.reason]
        if record.gap is not None:
            self.gapped.discard(record.id)
            self._open.pop(record.gap.id, None)
        if record.deleted is not None:
            return
        for parent in record.job.parent_jobs or ():
            self._children.get(parent, {}).pop(record.id, None)
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
