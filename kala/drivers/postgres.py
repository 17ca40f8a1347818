"""PostgreSQL 13 or later, by psycopg. A commit is one transaction in two round trips: it locks the records in the order
of their keys, looks which are as expected, and writes.

Transactions become visible in another order than that in which they took their numbers, so `changes` goes by snapshots:
a token is one, and what it did not see is what is new.
"""

import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from psycopg import errors
from psycopg.rows import TupleRow

from kala.clock import Moment
from kala.drivers.contract import (
    Changes,
    Conflict,
    Element,
    RunPage,
    RunQuery,
    Stored,
    refuse_larger,
)
from kala.drivers.postgres_arrays import Blobs
from kala.drivers.postgres_commit import Statement, decide, lock, writes
from kala.drivers.postgres_connection import Bounded, Lines, Way
from kala.drivers.postgres_faults import OURS, faults
from kala.drivers.postgres_pruning import (
    BEYOND,
    FOUND_AT_ONCE,
    OF_JOBS,
    OLDER,
    PRUNED_AT_ONCE,
    find,
    forget_deletions,
    remove,
    trim,
)
from kala.drivers.postgres_rows import CHANGES, is_dense, page, readable, records
from kala.drivers.postgres_schema import prepare, warn
from kala.drivers.rows import decoded
from kala.drivers.server import Server
from kala.errors import StoreRefused, StoreUnavailable
from kala.job import Output, Run

READERS = 4
SHARDS = 64
"""Rows among which the count of outputs is spread, so that daemons seldom meet on one."""
JOBS_AT_ONCE = 100  # whose history is looked through in one statement
PIPELINED = 4  # statements: updates, insertions, history and outputs, when none is split
AGAIN = 2.0
"""Seconds that a transaction which crossed another's must have left to be tried again: a deadlock takes one to find."""

_CROSSED = (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation)
_DATABASE = "select value from kala_meta where name = 'database'"
_TOKEN = re.compile(r"([0-9a-f]+):([0-9A-F]{8}):([0-9]+:[0-9]+:[0-9,]*)")
_NO_TOKEN = "", "", "1:1:"


class PostgresDriver:
    """`server` names the servers of one database; one of them is the primary. Raises `SettingsError`."""

    name = "postgres"
    max_value = max_output = 16 * 1024 * 1024
    max_batch = 1_000
    max_batch_bytes = 32 * 1024 * 1024

    def __init__(self, server: Server) -> None:
        self._way = Way(server)
        self.place = self._way.where.place
        self.server = ""
        self._database = ""  # an id of this one's
        self._shard = secrets.randbelow(SHARDS)
        self._opened = False
        self._writer, self._readers = Lines(self._way, 1), Lines(self._way, READERS)

    def open(self) -> None:
        self.close()
        writer, readers = Lines(self._way, 1), Lines(self._way, READERS)
        try:
            with faults(self._way.where), writer.taken() as connection:
                self._database = prepare(connection, self._way.where)
                self.server = f"PostgreSQL {connection.info.parameter_status('server_version') or ''}".split(" (")[0]
                warn(connection, self._way.where)
        except BaseException:
            writer.close()
            raise
        self._writer, self._readers, self._opened = writer, readers, True

    def close(self) -> None:
        self._opened = False
        self._writer.close()
        self._readers.close()

    @contextmanager
    def _reading(self) -> Iterator[Bounded]:
        self._check_open()
        with faults(self._way.where), self._readers.taken() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Bounded]:
        """The writer's connection, in a transaction on our database."""
        self._check_open()
        with faults(self._way.where), self._writer.taken() as connection:
            self._begin(connection)
            yield connection
            connection.execute("commit")

    def _begin(self, connection: Bounded, *statements: Statement) -> list[list[TupleRow]]:
        """Begin a transaction, see that the database is ours, and answer what each statement gives."""
        with connection.pipeline():
            connection.execute("begin")
            database = connection.execute(_DATABASE, prepare=True)
            found = [connection.execute(one, values, prepare=True, binary=True) for one, values in statements]
        if database.fetchone() != (self._database,):
            raise self._replaced()
        return [one.fetchall() for one in found]

    def _check_open(self) -> None:
        if not self._opened:
            raise StoreUnavailable(f"{self.place}: it is not open")

    def _replaced(self) -> StoreRefused:
        return StoreRefused(f"{self.place}: it was emptied or replaced while in use: start again")

    def now(self) -> Moment:
        with self._reading() as connection:
            [(moment,)] = connection.execute(
                "select (extract(epoch from clock_timestamp()) * 1000000)::bigint", prepare=True
            ).fetchall()
        return int(moment)

    def load(self, kind: str) -> Iterator[Stored]:
        self._check_open()
        with faults(self._way.where):
            connection = self._way.connect(time.monotonic() + OURS)
            try:
                yield from records(connection, kind)
            finally:
                connection.close()

    def get(self, kind: str, key: str) -> Stored | None:
        with self._reading() as connection:
            found = connection.execute(
                "select revision, value from kala_records where kind = %s and key = %b and value is not null",
                (kind, key.encode()),
                prepare=True,
                binary=True,
            ).fetchone()
        return None if found is None else Stored(kind, key, *found)

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        refuse_larger(batch, self)
        self._check_open()
        if not batch:
            return []
        with faults(self._way.where), self._writer.taken() as connection:
            while True:
                try:
                    return self._commit(connection, batch)
                except _CROSSED:
                    # Nothing of it was kept, and what the other one wrote is seen now.
                    if time.monotonic() > connection.until - AGAIN:
                        raise
                    connection.execute("rollback")

    def _commit(self, connection: Bounded, batch: Sequence[Element]) -> list[Conflict | None]:
        [locked] = self._begin(connection, lock(batch))
        decided = decide(batch, locked)
        statements = writes(decided, self._shard)
        # In one round trip, unless there is so much that the connection should not hold it all.
        with connection.pipeline() if len(statements) <= PIPELINED else nullcontext():
            for statement, values in [*statements, ("commit", ())]:
                connection.execute(statement, values, prepare=True)
        return decided.answers

    def run(self, run_id: str) -> Run | None:
        with self._reading() as connection:
            found = connection.execute(
                "select run from kala_history where id = %b", (run_id.encode(),), prepare=True, binary=True
            ).fetchone()
        return None if found is None else decoded(run_id, found[0])

    def runs(self, query: RunQuery) -> RunPage:
        with self._reading() as connection:
            select, values = page(query, dense=is_dense(connection, query))
            rows = connection.execute(select, values, prepare=False, binary=True).fetchall()
        following = str(rows[query.limit - 1][0]) if len(rows) > query.limit else None
        runs = [decoded(run_id.decode(errors="replace"), run) for _, run_id, run in rows[: query.limit]]
        return RunPage([run for run in runs if run is not None], following)

    def output(self, run_id: str) -> list[Output]:
        with self._reading() as connection:
            rows = connection.execute(
                "select attempt, data, size from kala_outputs where run_id = %b order by attempt",
                (run_id.encode(),),
                prepare=True,
                binary=True,
            ).fetchall()
        return [Output(run_id, *row) for row in rows]

    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: Moment | None) -> int:
        count = sum(self._remove(BEYOND, {"jobs": some, "keep": keep}) for some in _portions(jobs or ()))
        if older_than is not None:
            count += self._remove(OLDER, {"older_than": older_than})
        more = True
        while more:
            with self._writing() as connection:
                more = forget_deletions(connection)
        return count

    def forget(self, jobs: Sequence[str]) -> int:
        return sum(self._remove(OF_JOBS, {"jobs": some}) for some in _portions(jobs))

    def _remove(self, select: str, values: dict[str, Any]) -> int:
        count = 0
        while True:
            with self._reading() as connection:
                found = find(connection, select, values)
            gone = 0
            for start in range(0, len(found), PRUNED_AT_ONCE):
                with self._writing() as connection:
                    gone += remove(connection, found[start : start + PRUNED_AT_ONCE], self._shard)
            count += gone
            if not gone or len(found) < FOUND_AT_ONCE:
                return count

    def trim_outputs(self, limit: int) -> int:
        dropped, more = 0, True
        while more:
            with self._writing() as connection:
                gone, more = trim(connection, limit, self._shard)
            dropped += gone
        return dropped

    def changes(self, since: str) -> Changes:
        told = _TOKEN.fullmatch(since)
        try:
            return self._changes(*told.groups()) if told else self._changes(*_NO_TOKEN)
        except errors.InvalidTextRepresentation:  # it looks like a snapshot, and is none
            return self._changes(*_NO_TOKEN)

    def _changes(self, database: str, timeline: str, snapshot: str) -> Changes:
        with self._reading() as connection:
            rows = connection.execute(
                CHANGES, {"snapshot": snapshot, "database": database, "timeline": timeline}, binary=True
            ).fetchall()
        token, reset = rows[0][:2] if rows else ("", True)
        if token.partition(":")[0] != self._database:
            raise self._replaced()
        if reset:
            return Changes([], [], token, reset=True)
        told = list(readable(row[2:] for row in rows if row[2] is not None))
        stored = [Stored(kind, key, revision, value) for kind, key, revision, value in told if value is not None]
        return Changes(stored, [(kind, key) for kind, key, _, value in told if value is None], token)


def _portions(jobs: Sequence[str]) -> Iterator[Blobs]:
    distinct = [job.encode() for job in dict.fromkeys(jobs)]
    for start in range(0, len(distinct), JOBS_AT_ONCE):
        yield Blobs(distinct[start : start + JOBS_AT_ONCE])
