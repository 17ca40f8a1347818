"""Records and history in this process alone: for `--no-persist`, and for tests. It keeps the whole contract."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence

from kala.clock import Clock, Moment
from kala.drivers.contract import Changes, Conflict, Element, RunPage, RunQuery, Stored, is_done, refuse_larger
from kala.drivers.rows import position
from kala.job import Output, Run
from kala.states import NOT_RUN

KEPT_DELETIONS = 10_000
"""Deleted records that `changes` still tells of; a listener that is further behind loads everything."""

Name = tuple[str, str]  # kind and key
Printed = tuple[str, int]  # run and attempt


class MemoryDriver:
    """Everything in dicts under one lock. `clock` is the database's clock, the system's when it is None.

    `close` keeps what is there: `open` again finds it.
    """

    name = place = server = "memory"
    max_value = max_output = 16 * 1024 * 1024
    max_batch = 1_000
    max_batch_bytes = 64 * 1024 * 1024

    def __init__(self, clock: Callable[[], Moment] | None = None) -> None:
        self._now = clock if clock is not None else Clock().now
        self._lock = threading.RLock()
        self._records: dict[Name, Stored] = {}
        self._database = secrets.token_hex(8)
        self._changed: OrderedDict[Name, int] = OrderedDict()  # the number of each record's last write, in their order
        self._deleted: OrderedDict[Name, int] = OrderedDict()  # the same of records that are gone
        self._last = self._forgotten = 0  # numbers: of the latest write, and of the latest deletion no longer told of
        self._runs: dict[int, Run] = {}  # by number, in the order in which they were appended
        self._numbers: dict[str, int] = {}  # by the run's id
        self._of_job: dict[str, dict[int, None]] = {}  # each job's numbers, in order
        self._outputs: dict[str, dict[int, Output]] = {}
        self._printed: dict[Printed, int] = {}  # the bytes of each output, in the order in which they were appended
        self._total = 0  # of all outputs
        self._appended = 0

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def now(self) -> Moment:
        return self._now()

    def load(self, kind: str) -> Iterator[Stored]:
        with self._lock:
            found = [stored for name, stored in self._records.items() if name[0] == kind]
        yield from found

    def get(self, kind: str, key: str) -> Stored | None:
        with self._lock:
            return self._records.get((kind, key))

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        refuse_larger(batch, self)
        with self._lock:
            return [self._commit_one(element) for element in batch]

    def _commit_one(self, element: Element) -> Conflict | None:
        current = self.get(element.kind, element.key)
        if not is_done(element, current):
            if element.expected != (current.revision if current is not None else 0):
                return Conflict(current)
            self._write(element)
        for run in element.runs:
            self._append(run)
        for output in element.outputs:
            self._append_output(output)
        return None

    def _write(self, element: Element) -> None:
        name = (element.kind, element.key)
        self._last += 1
        self._changed.pop(name, None)
        self._deleted.pop(name, None)
        if element.value is not None:
            self._records[name] = Stored(element.kind, element.key, element.revision, element.value)
            self._changed[name] = self._last
            return
        del self._records[name]
        self._deleted[name] = self._last
        if len(self._deleted) > KEPT_DELETIONS:
            _, self._forgotten = self._deleted.popitem(last=False)

    def _append(self, run: Run) -> None:
        if run.id in self._numbers:
            return
        self._appended += 1
        self._runs[self._appended] = run
        self._numbers[run.id] = self._appended
        self._of_job.setdefault(run.job_id, {})[self._appended] = None

    def _append_output(self, output: Output) -> None:
        printed = (output.run_id, output.attempt)
        if printed not in self._printed:
            self._outputs.setdefault(output.run_id, {})[output.attempt] = output
            self._printed[printed] = len(output.data)
            self._total += len(output.data)

    def _drop_output(self, printed: Printed) -> int:
        """The bytes of it."""
        run_id, attempt = printed
        of_run = self._outputs[run_id]
        del of_run[attempt]
        if not of_run:
            del self._outputs[run_id]
        size = self._printed.pop(printed)
        self._total -= size
        return size

    def run(self, run_id: str) -> Run | None:
        with self._lock:
            number = self._numbers.get(run_id)
            return None if number is None else self._runs[number]

    def runs(self, query: RunQuery) -> RunPage:
        before = None if query.after is None else position(query.after)
        rows: list[tuple[int, Run]] = []
        with self._lock:
            numbers: dict[int, Run] | dict[int, None] = self._runs
            if query.job_id is not None:
                numbers = self._of_job.get(query.job_id, {})
            for number in reversed(numbers):
                run = self._runs[number]
                if (before is None or number < before) and query.fits(run.state, run.scheduled_for):
                    if len(rows) == query.limit:
                        return RunPage([run for _, run in rows], str(rows[-1][0]))
                    rows.append((number, run))
        return RunPage([run for _, run in rows], None)

    def output(self, run_id: str) -> list[Output]:
        with self._lock:
            return [output for _, output in sorted(self._outputs.get(run_id, {}).items())]

    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: Moment | None) -> int:
        with self._lock:
            beyond = {number for job in jobs or () for number in self._beyond(job, keep)}
            if older_than is not None:
                for number, run in self._runs.items():
                    if (run.ended if run.ended is not None else run.created) < older_than:
                        beyond.add(number)
            return self._remove(beyond)

    def _beyond(self, job: str, keep: int) -> Iterator[int]:
        """The numbers of what is beyond a job's latest `keep`, of its runs and of its ranges."""
        seen = {True: 0, False: 0}
        for number in reversed(self._of_job.get(job, {})):
            kind = self._runs[number].state in NOT_RUN
            seen[kind] += 1
            if seen[kind] > keep:
                yield number

    def trim_outputs(self, limit: int) -> int:
        with self._lock:
            dropped, excess = 0, self._total - limit
            for printed in list(self._printed):
                if dropped >= excess:
                    break
                dropped += self._drop_output(printed)
            return dropped

    def forget(self, jobs: Sequence[str]) -> int:
        with self._lock:
            return self._remove([number for job in set(jobs) for number in self._of_job.get(job, {})])

    def _remove(self, numbers: Iterable[int]) -> int:
        count = 0
        for number in numbers:
            run = self._runs.pop(number)
            del self._numbers[run.id]
            for attempt in list(self._outputs.get(run.id, ())):
                self._drop_output((run.id, attempt))
            of_job = self._of_job[run.job_id]
            del of_job[number]
            if not of_job:
                del self._of_job[run.job_id]
            count += 1
        return count

    def changes(self, since: str) -> Changes:
        with self._lock:
            token = f"{self._database}:{self._last}"
            database, _, digits = since.partition(":")
            number = int(digits) if digits.isdecimal() else -1
            if database != self._database or not self._forgotten <= number <= self._last:
                return Changes([], [], token, reset=True)
            stored = [self._records[name] for name in _later(self._changed, number)]
            return Changes(stored, list(_later(self._deleted, number)), token)


def _later(numbered: OrderedDict[Name, int], since: int) -> Iterator[Name]:
    for name, number in reversed(numbered.items()):
        if number <= since:
            return
        yield name
