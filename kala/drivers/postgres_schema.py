"""The tables of `postgres.py`, what leads to them, and whether a database is ours.

Keys, ids and JSON are bytea: they are any text, also with NUL, in a database of any encoding. People read them with
`convert_from(run, 'UTF8')`.
"""

import logging

import psycopg
from psycopg.errors import UndefinedColumn

from kala.drivers.postgres_connection import Bounded
from kala.drivers.postgres_faults import Where
from kala.errors import StoreRefused

LOCK = int.from_bytes(b"Kala", "big")
"""Of PostgreSQL's advisory locks: who makes or migrates the tables holds it."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        'create table kala_meta (name text collate "C" primary key, value text not null)',
        """insert into kala_meta values
           ('schema', '0'), ('database', replace(gen_random_uuid()::text, '-', '')), ('forgotten', '0')""",
        # A deleted record stays as a row without a value, which is what `changes` tells of. `changed` is the number of
        # the transaction that wrote the row.
        """create table kala_records (kind text collate "C" not null, key bytea not null, revision bigint not null,
           changed xid8 not null, value bytea, primary key (kind, key))""",
        "create index kala_records_changed on kala_records (changed)",
        "create index kala_records_gone on kala_records (changed) where value is null",
        # `at` is when it ended, or else was created; `ran` is 0 for ranges of occurrences that did not run.
        """create table kala_history (seq bigint generated always as identity primary key, id bytea not null unique,
           job_id bytea not null, ran smallint not null, state text collate "C" not null,
           scheduled_for bigint not null, at bigint not null, run bytea not null)""",
        "create index kala_history_job on kala_history (job_id, ran, seq)",
        "create index kala_history_state on kala_history (state, seq)",
        "create index kala_history_scheduled on kala_history (scheduled_for, state, seq)",
        "create index kala_history_at on kala_history (at)",
        """create table kala_outputs (run_id bytea not null, attempt int not null, size bigint not null,
           data bytea not null, number bigint generated always as identity unique, primary key (run_id, attempt))""",
        # The sum over all rows is the size of the data of all outputs. Each daemon adds to a row of its own, so that
        # none waits for another's.
        "create table kala_output_bytes (shard int primary key, bytes bigint not null)",
    ),
)
"""Statements that lead from each schema version to the next."""

_log = logging.getLogger(__name__)


def prepare(connection: Bounded, where: Where) -> str:
    """Make or migrate the tables, and return the id of the database. `StoreRefused` when they are not ours."""
    if _version(connection, where) < len(MIGRATIONS):
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
            version = _version(connection, where)  # again: another daemon may have done it meanwhile
            for number, statements in enumerate(MIGRATIONS[version:], version + 1):
                for statement in statements:
                    connection.execute(statement)
                connection.execute("update kala_meta set value = %s::text where name = 'schema'", (number,))
    _renumber(connection)
    return _meta(connection, "database") or ""


def warn(connection: Bounded, where: Where) -> None:
    """Log what the server's settings cost."""
    found = connection.execute(
        "select name from pg_settings where name in ('fsync', 'full_page_writes') and setting = 'off' order by name"
    ).fetchall()
    if found:
        names = " and ".join(name for (name,) in found)
        verb = "are" if len(found) > 1 else "is"
        _log.warning(
            "%s: %s %s off there: when its machine crashes or loses power, runs may be lost or run twice, and the"
            " database may be damaged. Set %s = on in postgresql.conf",
            where.place,
            names,
            verb,
            " = on and ".join(name for (name,) in found),
        )


def _version(connection: Bounded, where: Where) -> int:
    """The schema version of the database, 0 for none."""
    # By the catalogue and not by to_regclass, which does not see what was made while this transaction waited.
    if not _one(
        connection, "select exists (select 1 from pg_class where relname = 'kala_meta' and pg_table_is_visible(oid))"
    ):
        return 0
    try:
        text = _meta(connection, "schema")
    except UndefinedColumn as error:
        raise _foreign(where) from error
    if text is None or not text.isdecimal() or _meta(connection, "database") is None:
        raise _foreign(where)
    if int(text) > len(MIGRATIONS):
        raise StoreRefused(
            f"{where.place}: its schema is version {text}, and this program knows versions up to {len(MIGRATIONS)}:"
            " install the newer program that wrote it, or name another database"
        )
    return int(text)


def _renumber(connection: Bounded) -> None:
    """In a database that was restored from a dump, transactions' numbers are another server's: numbers to come."""
    later = "select 1 from kala_records where changed >= pg_snapshot_xmax(pg_current_snapshot())"
    if _one(connection, f"select exists ({later})"):
        with connection.transaction():
            connection.execute(
                "update kala_records set changed = pg_current_xact_id()"
                " where changed >= pg_snapshot_xmax(pg_current_snapshot())"
            )
            connection.execute("update kala_meta set value = pg_current_xact_id()::text where name = 'forgotten'")


def _foreign(where: Where) -> StoreRefused:
    return StoreRefused(f"{where.place}: its table kala_meta is another program's: name another database")


def _meta(connection: Bounded, name: str) -> str | None:
    found = _one(connection, "select value from kala_meta where name = %s", name)
    return None if found is None else str(found)


def _one(connection: psycopg.Connection, statement: str, *values: object) -> object:
    found = connection.execute(statement, values).fetchone()
    return None if found is None else found[0]
