"""A database on a server, copied while daemons work on it.

First everything is read; then, again and again, what has changed meanwhile (`changes`), until that is little. The last
such reading is the moment that the backup is of: each record is whole, at one revision, and of the history that comes
to light around that moment those rows are kept that the records know of.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from kala.clock import Moment
from kala.drivers.contract import Driver, Element, RunQuery, Stored, in_parts
from kala.drivers.sqlite import SqliteDriver
from kala.errors import StoreUnavailable
from kala.job import Output, Record, Run, decode_record, encode, packed
from kala.moving import PORTION, Watcher
from kala.moving.reading import JOB, PAGE, SETTING, STAYS, open_runs, records, with_outputs
from kala.states import NOT_RUN

ROUNDS = 3
"""Readings of what has changed: the first is of all since the reading began, the last of milliseconds."""
MOST_ROUNDS = 10
"""As many when the database cannot tell any more what has changed, and everything is read again."""
APPENDS = ("setting", "rows")
"""A record that never is: to delete it appends to the history, and writes nothing else."""


class Live:
    """One copying from `source`, which is open, into `target`, which is open and empty."""

    def __init__(self, source: Driver, target: SqliteDriver, watcher: Watcher) -> None:
        self._source, self._target, self._watcher = source, target, watcher

    def run(self) -> Moment:
        """The moment that the copy is of, by the source's clock. Raises `StoreUnavailable`, `StoreRefused`."""
        self._watcher.stage("copying")
        token = self._source.changes("").token
        self._read_records()
        self._read_history()
        for number in range(1, MOST_ROUNDS + 1):
            self._append(self._newer())
            taken = self._source.now()
            changes = self._source.changes(token)
            token = changes.token
            if changes.reset:
                self._read_records()
                continue
            self._put(one for one in changes.stored if (one.kind, one.key) not in STAYS and one.kind in (JOB, SETTING))
            self._drop(changes.deleted)
            if number >= ROUNDS:
                break
        else:
            raise StoreUnavailable(f"{self._source.place}: it changes faster than it can be read: try again")
        self._append(self._known(self._newer()))
        self._append_open()
        return taken

    def _read_records(self) -> None:
        there = {(one.kind, one.key) for kind in (JOB, SETTING) for one in records(self._target, kind)}
        for kind in (JOB, SETTING):
            for part in _parts(records(self._source, kind)):
                self._put(part)
                there.difference_update((one.kind, one.key) for one in part)
        self._drop(there)

    def _put(self, some: Iterable[Stored]) -> None:
        elements = [Element(one.kind, one.key, 0, one.revision, one.value) for one in some]
        for part in in_parts(elements, self._target.max_batch, PORTION):
            again = [
                msgspec.structs.replace(element, expected=conflict.current.revision)
                for element, conflict in zip(part, self._target.commit(part), strict=True)
                if conflict is not None and conflict.current is not None
            ]
            if again:
                self._target.commit(again)
            self._watcher.advance(len(part))

    def _drop(self, names: Iterable[tuple[str, str]]) -> None:
        """Records that are gone, and with a job its history."""
        found = [stored for name in names if (stored := self._target.get(*name)) is not None]
        gone = [Element(one.kind, one.key, one.revision, one.revision + 1, None) for one in found]
        for part in in_parts(gone, self._target.max_batch, PORTION):
            self._target.commit(part)
        self._target.forget([one.key for one in found if one.kind == JOB])

    def _read_history(self) -> None:
        """All but the latest page, the oldest first: where pages begin stays as it is, whatever is appended."""
        tokens: list[str] = []
        token: str | None = None
        while (token := self._source.runs(RunQuery(after=token, limit=PAGE)).next) is not None:
            tokens.append(token)
        for token in reversed(tokens):
            self._append(self._source.runs(RunQuery(after=token, limit=PAGE)).runs[::-1])

    def _newer(self) -> list[Run]:
        """What the source has appended since, the oldest first.

        Rows of several daemons may come to light in another order than that of their places: so it is looked for until
        a whole page is here.
        """
        found: list[Run] = []
        token: str | None = None
        while True:
            page = self._source.runs(RunQuery(after=token, limit=PAGE))
            unknown = [run for run in page.runs if self._target.run(run.id) is None]
            found += unknown
            if page.next is None or not unknown:
                return found[::-1]
            token = page.next

    def _append(self, runs: Sequence[Run]) -> None:
        room = PORTION
        some: list[Run] = []
        printed: list[Output] = []
        for run, outputs in with_outputs(self._source, runs):
            some.append(run)
            printed += outputs
            room -= len(encode(run)) + sum(len(one.data) for one in outputs)
            if room <= 0:
                self._target.commit([Element(*APPENDS, 0, 1, None, some, printed)])
                self._watcher.advance(len(some))
                room, some, printed = PORTION, [], []
        self._target.commit([Element(*APPENDS, 0, 1, None, some, printed)])
        self._watcher.advance(len(some))

    def _known(self, rows: Sequence[Run]) -> list[Run]:
        """Those of these rows that the records here know of."""
        by_job: dict[str, list[Run]] = defaultdict(list)
        for run in rows:
            by_job[run.job_id].append(run)
        kept: set[str] = set()
        for job_id, some in by_job.items():
            stored = self._target.get(JOB, job_id)
            if stored is not None:
                kept.update(run.id for run in known(some, stored))
        return [run for run in rows if run.id in kept]

    def _append_open(self) -> None:
        """What the open runs' ended attempts have printed."""
        for stored in records(self._target, JOB):
            for run, outputs in with_outputs(self._source, open_runs(stored)):
                counted = {attempt.number for attempt in run.attempts}
                if ours := [one for one in outputs if one.attempt in counted]:
                    self._target.commit([Element(*APPENDS, 0, 1, None, (), ours)])


def known(rows: Sequence[Run], stored: Stored) -> list[Run]:
    """Those of a job's latest rows, the oldest first, that its record counts: later writes of it brought the others."""
    try:
        record = decode_record(stored.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return list(rows)  # it is kept as it is, and so are they
    pending = {run.id for run in (*record.open, record.gap) if run is not None}
    as_results = [packed(b"", run) for run in rows]
    size = len(as_results[0])
    results = {record.results[start : start + size] for start in range(0, len(record.results), size)}
    last = max((place for place, one in enumerate(as_results) if one in results), default=-1)
    return [
        run
        for place, run in enumerate(rows)
        if run.id not in pending and (place <= last or (run.state in NOT_RUN and _is_past(run, record)))
    ]


def _is_past(run: Run, record: Record) -> bool:
    return record.cursor is None or run.scheduled_for < record.cursor


def _parts(some: Iterator[Stored]) -> Iterator[list[Stored]]:
    part: list[Stored] = []
    size = 0
    for one in some:
        part.append(one)
        size += len(one.value)
        if size >= PORTION or len(part) == PAGE:
            yield part
            part, size = [], 0
    if part:
        yield part
