"""The embedded database: one SQLite file, in write-ahead mode, synced at every commit.

One connection writes and one reads, each under a lock of its own, so reads never wait for a write; `load` has a
connection to itself. A batch is a handful of statements, whatever its size: every step of one gives the interpreter's
lock away, and beside a busy event loop getting it back takes milliseconds.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from kala.clock import Clock, Moment
from kala.drivers import sqlite_outputs
from kala.drivers.contract import (
    TIMEOUT,
    Changes,
    Conflict,
    Element,
    RunPage,
    RunQuery,
    Stored,
    is_done,
    refuse_larger,
)
from kala.drivers.rows import decoded, run_row
from kala.drivers.sqlite_file import connect, create, faults, prepare, transaction
from kala.drivers.sqlite_rows import (
    ROWS_AT_ONCE,
    Row,
    differing,
    in_statements,
    is_dense,
    last_change,
    page,
    record_row,
    records,
)
from kala.errors import KalaError, StoreRefused, StoreUnavailable
from kala.job import Output, Run

KEPT_DELETIONS = 10_000
"""Deleted records that `changes` still tells of after `prune`. Above `max_batch`, which may share one number."""
LOCK_WAIT = 5.0
"""Seconds that a call waits for its turn on a connection; with `BUSY` below the contract's `TIMEOUT`."""
OUTPUTS_AT_ONCE = 64  # in one statement when they are large: a prepared one keeps what was bound to it last
PRUNED_AT_ONCE = 1_000  # rows in one transaction: some 50 ms, for which commits wait
JOBS_AT_ONCE = 500  # whose history is looked through in one statement

_log = logging.getLogger(__name__)


class Line:
    """A connection and whose turn it is."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        self.until = 0.0  # by the monotonic clock: when whose turn it is must be done

    def is_over(self) -> bool:
        return time.monotonic() > self.until


class SqliteDriver:
    """`path` is the database's file; `open` makes it, and its folder, when they are missing."""

    name = "sqlite"
    server = f"SQLite {sqlite3.sqlite_version}"
    max_value = max_output = 16 * 1024 * 1024
    max_batch = 1_000
    max_batch_bytes = 64 * 1024 * 1024

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self.place = str(self.path)
        self._writer, self._reader = Line(), Line()
        self._database = ""  # an id of this one's
        self._inode = (0, 0)

    def open(self) -> None:
        self.close()
        with faults(self.path, opening=True):
            try:
                self._writer.connection = writer = create(self.path)
                prepare(writer, self.path)
                self._database = writer.execute("select value from kala_meta where name = 'database'").fetchone()[0]
                self._reader.connection = reader = connect(self.path, cache=8_192, reading=True)
                reader.set_progress_handler(self._reader.is_over, 1_000_000)  # instructions: some 50 ms
                self._inode = self._found_inode()
            except (sqlite3.Error, KalaError):
                self.close()
                raise

    def close(self) -> None:
        for line in self._reader, self._writer:
            if not line.lock.acquire(timeout=LOCK_WAIT):
                _log.error("%s: a call is under way still, and its connection is left open", self.path)
                continue
            connection, line.connection = line.connection, None
            try:
                if connection is not None:
                    with closing(connection):
                        if line is self._writer:
                            connection.execute("pragma wal_checkpoint")  # does what it can beside other processes
            except sqlite3.Error:
                _log.exception("%s: closing failed; what was committed is safe", self.path)
            finally:
                line.lock.release()

    @contextmanager
    def _turn(self, line: Line) -> Iterator[sqlite3.Connection]:
        if not line.lock.acquire(timeout=LOCK_WAIT):
            raise StoreUnavailable(f"{self.path}: another call has been under way for {LOCK_WAIT:g} s")
        try:
            if line.connection is None:
                raise StoreUnavailable(f"{self.path}: it is not open")
            line.until = time.monotonic() + TIMEOUT - LOCK_WAIT
            with faults(self.path):
                yield line.connection
        finally:
            line.lock.release()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._turn(self._writer) as connection:
            # SQLite would go on writing to a file that was removed, and everything would be lost at the end.
            if self._found_inode() != self._inode:
                raise StoreRefused(f"{self.path}: it was removed or replaced while in use: start again")
            with transaction(connection):
                yield connection

    def _found_inode(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)
        except OSError:
            return (0, 0)
        return (found.st_dev, found.st_ino)

    def now(self) -> Moment:
        return Clock().now()

    def load(self, kind: str) -> Iterator[Stored]:
        if self._reader.connection is None:
            raise StoreUnavailable(f"{self.path}: it is not open")
        with faults(self.path), closing(connect(self.path, cache=2_048, reading=True)) as connection:
            yield from records(connection, kind)

    def get(self, kind: str, key: str) -> Stored | None:
        with self._turn(self._reader) as connection:
            found = connection.execute(
                "select revision, cast(value as blob) from kala_records"
                " where kind = ? and key = ? and value is not null",
                (kind, key),
            ).fetchone()
        return None if found is None else Stored(kind, key, *found)

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        refuse_larger(batch, self)
        answers: list[Conflict | None] = [None] * len(batch)
        written: list[Row] = []
        runs: list[Row] = []
        outputs: list[Row] = []
        with self._writing() as connection:
            changed = last_change(connection) + 1
            others = differing(connection, batch)
            for place, element in enumerate(batch):
                if place in others:
                    if not is_done(element, others[place]):
                        answers[place] = Conflict(others[place])
                        continue
                elif element.value is not None or element.expected:
                    written.append(record_row(element, changed))
                runs += [run_row(run) for run in element.runs]
                outputs += [(output.run_id, output.attempt, output.size, output.data) for output in element.outputs]
            for these, rows in in_statements(written):
                connection.execute(
                    f"insert into kala_records (kind, key, revision, changed, value) {these} on conflict (kind, key)"
                    " do update set revision = excluded.revision, changed = excluded.changed, value = excluded.value",
                    rows,
                )
            for these, rows in in_statements(runs):
                connection.execute(
                    "insert into kala_history (id, job_id, ran, state, scheduled_for, at, run)"
                    f" {these} on conflict (id) do nothing",
                    rows,
                )
            large = sum(len(output.data) for element in batch for output in element.outputs) > 1_000_000
            for these, rows in in_statements(outputs, OUTPUTS_AT_ONCE if large else ROWS_AT_ONCE):
                connection.execute(
                    f"insert into kala_outputs (run_id, attempt, size, data) {these}"
                    " on conflict (run_id, attempt) do nothing",
                    rows,
                )
        return answers

    def run(self, run_id: str) -> Run | None:
        with self._turn(self._reader) as connection:
            found = connection.execute("select run from kala_history where id = ?", (run_id,)).fetchone()
        return None if found is None else decoded(run_id, found[0])

    def runs(self, query: RunQuery) -> RunPage:
        with self._turn(self._reader) as connection:
            select, values = page(query, dense=is_dense(connection, query))
            rows = connection.execute(select, values).fetchall()
        following = str(rows[query.limit - 1][0]) if len(rows) > query.limit else None
        runs = [decoded(run_id, text) for _, run_id, text in rows[: query.limit]]
        return RunPage([run for run in runs if run is not None], following)

    def output(self, run_id: str) -> list[Output]:
        with self._turn(self._reader) as connection:
            rows = connection.execute(
                "select run_id, attempt, data, size from kala_outputs where run_id = ? order by attempt", (run_id,)
            ).fetchall()
        return [Output(*row) for row in rows]

    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: Moment | None) -> int:
        count = 0
        for some in _portions(jobs or ()):
            given = ", ".join(["(?)"] * len(some))
            count += self._remove(
                f"""with jobs (job_id) as (values {given}), sides (ran) as (values (0), (1))
                select seq from jobs cross join sides cross join kala_history using (job_id, ran)
                where seq <= (select seq from kala_history where job_id = jobs.job_id and ran = sides.ran
                              order by seq desc limit 1 offset ?)""",
                (*some, keep),
            )
        if older_than is not None:
            count += self._remove("select seq from kala_history where at < ?", (older_than,))
        self._forget_deletions()
        return count

    def trim_outputs(self, limit: int) -> int:
        dropped = 0
        while True:
            with self._writing() as connection:
                total, all_counted = sqlite_outputs.count(connection)
                if total > limit:
                    dropped += sqlite_outputs.drop_oldest(connection, total - limit)
                elif all_counted:
                    return dropped

    def forget(self, jobs: Sequence[str]) -> int:
        select = "with jobs (job_id) as (values {}) select seq from jobs cross join kala_history using (job_id)"
        return sum(self._remove(select.format(", ".join(["(?)"] * len(some))), some) for some in _portions(jobs))

    def _remove(self, select: str, values: Sequence[object]) -> int:
        """Remove the rows whose numbers `select` gives, in bounded transactions. They are looked up beside writes."""
        count = 0
        while True:
            with self._turn(self._reader) as connection:
                number, found = connection.execute(
                    f"select count(*), json_group_array(seq) from ({select} limit {PRUNED_AT_ONCE})", values
                ).fetchone()
            if number:
                these = "(select value from json_each(?))"
                with self._writing() as connection:
                    sqlite_outputs.drop(
                        connection, f"run_id in (select id from kala_history where seq in {these})", (found,)
                    )
                    count += connection.execute(f"delete from kala_history where seq in {these}", (found,)).rowcount
            if number < PRUNED_AT_ONCE:
                return count

    def _forget_deletions(self) -> None:
        with self._writing() as connection:
            bound = connection.execute(
                "select changed from kala_records where value is null order by changed desc limit 1 offset ?",
                (KEPT_DELETIONS,),
            ).fetchone()
            if bound is not None:
                connection.execute("delete from kala_records where value is null and changed <= ?", bound)
                connection.execute("update kala_meta set value = ? where name = 'forgotten'", bound)

    def changes(self, since: str) -> Changes:
        database, _, digits = since.partition(":")
        number = int(digits) if digits.isdecimal() else -1
        with self._turn(self._reader) as connection, transaction(connection, "deferred"):
            last = last_change(connection)
            token = f"{self._database}:{last}"
            forgotten = connection.execute("select value from kala_meta where name = 'forgotten'").fetchone()[0]
            if database != self._database or not forgotten <= number <= last:
                return Changes([], [], token, reset=True)
            rows = connection.execute(
                "select kind, key, revision, cast(value as blob) from kala_records where changed > ?", (number,)
            ).fetchall()
        stored = [Stored(*row) for row in rows if row[3] is not None]
        return Changes(stored, [(kind, key) for kind, key, _, value in rows if value is None], token)


def _portions(jobs: Sequence[str]) -> Iterator[Sequence[str]]:
    distinct = list(dict.fromkeys(jobs))
    for start in range(0, len(distinct), JOBS_AT_ONCE):
        yield distinct[start : start + JOBS_AT_ONCE]
