"""MariaDB, and MySQL: tables `kala_…` in a database that is there.

One connection writes, a few read, one removes what is old; `load` has one to itself. Every transaction is of a few
messages, whatever it writes, and `mysql_commit.py` says why none is passed over by `changes`.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC

from kala.clock import Moment, from_datetime
from kala.drivers import mysql_history, mysql_removal
from kala.drivers.contract import Changes, Conflict, Element, RunPage, RunQuery, Stored, refuse_larger
from kala.drivers.mysql_address import way_of
from kala.drivers.mysql_commit import commit
from kala.drivers.mysql_faults import EMPTIED
from kala.drivers.mysql_link import Line, Lines
from kala.drivers.mysql_load import records
from kala.drivers.mysql_rows import literal, name_of, portions, refuse_longer
from kala.drivers.mysql_schema import facts_of, prepare, warn
from kala.drivers.rows import decoded
from kala.drivers.server import Server
from kala.errors import StoreRefused
from kala.job import Output, Run

LEAST_PACKET = 256 * 1024  # of which the contract's 64 KiB are kept, when every byte has to be escaped
ASIDE = 16 * 1024  # bytes of a packet for what is beside the value: names of a kilobyte, escaped


class MysqlDriver:
    """`open` makes the tables when they are missing, and not the database. Raises `SettingsError` for what cannot be
    meant."""

    name = "mysql"
    max_batch = 1_000
    max_batch_bytes = 16 * 1024 * 1024

    def __init__(self, server: Server) -> None:
        way = way_of(server)
        self.place, self.server = way.place, ""
        self.max_value = self.max_output = 64 * 1024  # until it is open
        self._lines = Lines(way)
        self._database = ""  # an id of this one's

    def open(self) -> None:
        self.close()
        self._lines.open()
        try:
            with self._lines.turn(self._lines.writer) as session:
                facts = facts_of(session)
                if session.most < LEAST_PACKET:
                    raise StoreRefused(f"{self.place}: max_allowed_packet is {session.most}: set it to 16M or more")
                self._database = prepare(session, self._lines.way)
                self.max_value = self.max_output = min((session.most - ASIDE) // 2, self.max_batch_bytes)
        except BaseException:
            self.close()
            raise
        self.server = facts.server
        warn(facts, self._lines.way)

    def close(self) -> None:
        self._lines.close()

    def now(self) -> Moment:
        with self._lines.turn(self._lines.reader) as session:
            return from_datetime(session.ask(b"select utc_timestamp(6)")[0].rows[0][0].replace(tzinfo=UTC))

    def load(self, kind: str) -> Iterator[Stored]:
        line = Line(1)
        try:
            yield from records(self._lines, line, kind)
        finally:
            self._lines.leave(line)

    def get(self, kind: str, key: str) -> Stored | None:
        select = b"select revision, value from kala_records where name = %s and gone = 0"
        with self._lines.turn(self._lines.reader) as session:
            rows = session.ask(select % literal(name_of(kind, key)))[0].rows
        return Stored(kind, key, *rows[0]) if rows else None

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        refuse_larger(batch, self)
        refuse_longer(batch)
        with self._lines.turn(self._lines.writer) as session:
            return session.repeated(lambda: commit(session, self._database, batch))

    def run(self, run_id: str) -> Run | None:
        with self._lines.turn(self._lines.reader) as session:
            rows = session.ask(b"select run from kala_history where id = %s" % literal(run_id))[0].rows
        return decoded(run_id, rows[0][0]) if rows else None

    def runs(self, query: RunQuery) -> RunPage:
        with self._lines.turn(self._lines.reader) as session:
            dense = mysql_history.is_dense(session, query)
            rows = session.ask(mysql_history.page(query, dense=dense))[0].rows
        following = str(rows[query.limit - 1][0]) if len(rows) > query.limit else None
        runs = [decoded(run_id.decode(errors="replace"), text) for _, run_id, text in rows[: query.limit]]
        return RunPage([run for run in runs if run is not None], following)

    def output(self, run_id: str) -> list[Output]:
        select = b"select attempt, data, size from kala_outputs where run_id = %s order by attempt"
        with self._lines.turn(self._lines.reader) as session:
            return [Output(run_id, *row) for row in session.ask(select % literal(run_id))[0].rows]

    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: Moment | None) -> int:
        count = 0
        for some in portions(jobs or ()):
            with self._lines.turn(self._lines.keeper) as session:
                selects = list(mysql_history.beyond(session, some, keep))
            count += sum(map(self._remove, selects))
        if older_than is not None:
            count += self._remove(mysql_history.older(older_than))
        all_forgotten = False
        while not all_forgotten:
            with self._lines.turn(self._lines.keeper) as session:
                all_forgotten = mysql_removal.forget_deletions(session, self._database)
        return count

    def trim_outputs(self, limit: int) -> int:
        dropped = 0
        while True:
            with self._lines.turn(self._lines.keeper) as session:
                total, all_counted = mysql_removal.count_outputs(session, self._database)
                if total > limit:
                    dropped += mysql_removal.drop_oldest(session, self._database, total - limit)
                elif all_counted:
                    return dropped

    def forget(self, jobs: Sequence[str]) -> int:
        return sum(map(self._remove, mysql_history.of_jobs(jobs)))

    def _remove(self, select: bytes) -> int:
        count, all_removed = 0, False
        while not all_removed:
            with self._lines.turn(self._lines.keeper) as session:
                number, all_removed = mysql_removal.remove(session, self._database, select)
                count += number
        return count

    def changes(self, since: str) -> Changes:
        database, _, digits = since.partition(":")
        number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None
        # One after the other: the number before what it counts, and what is not told any more after it.
        with self._lines.turn(self._lines.reader) as session:
            last, *rest = session.ask(
                b"select text, number from kala_meta where name = 'changes'",
                *(
                    ()
                    if number is None or database != self._database
                    else (
                        b"select name, revision, value from kala_records force index (kala_records_changed)"
                        b" where gone in (0, 1) and changed > %d" % number,
                        b"select number from kala_meta where name = 'forgotten'",
                    )
                ),
            )
        if not last.rows:
            raise StoreRefused(f"{self.place}: {EMPTIED}")
        ((found, reached),) = last.rows
        token = f"{found.decode()}:{reached}"
        if number is None or not rest or found.decode() != database:
            return Changes([], [], token, reset=True)
        written, forgotten = rest
        if not forgotten.rows or not forgotten.rows[0][0] <= number <= reached:
            return Changes([], [], token, reset=True)
        stored, deleted = [], []
        for name, revision, value in written.rows:
            kind, _, key = name.decode().partition("/")
            if value is None:
                deleted.append((kind, key))
            else:
                stored.append(Stored(kind, key, revision, value))
        return Changes(stored, deleted, token)
