"""The database file of `sqlite.py`: whether it is ours, its tables, its transactions, and what its faults mean.

`application_id` in the file's header says that it is Kala's, `user_version` which of `MIGRATIONS` it has seen.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kala.errors import KalaError, StoreRefused, StoreUnavailable

APPLICATION = int.from_bytes(b"Kala", "big")
BUSY = 4.0
"""Seconds that a statement waits for another process's write: with the wait for our own lock it stays in `TIMEOUT`."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "create table kala_meta (name text primary key, value) without rowid",
        "insert into kala_meta values ('database', lower(hex(randomblob(8)))), ('forgotten', 0)",
        # A deleted record stays as a row without a value, which is what `changes` tells of. `changed` is the number of
        # the commit that wrote the row. The value comes last: what is before it is read without its overflow pages.
        """create table kala_records (kind text not null, key text not null, revision integer not null,
           changed integer not null, value, primary key (kind, key))""",
        "create index kala_records_changed on kala_records (changed)",
        "create index kala_records_gone on kala_records (changed) where value is null",
        # `at` is when it ended, or else was created; `ran` is 0 for ranges of occurrences that did not run.
        """create table kala_history (seq integer primary key autoincrement, id text not null unique,
           job_id text not null, ran integer not null, state text not null, scheduled_for integer not null,
           at integer not null, run text not null)""",
        # Every index ends in `seq`, so a page is read from one without sorting. All but the first grow at their end.
        "create index kala_history_job on kala_history (job_id, ran)",
        "create index kala_history_state on kala_history (state)",
        "create index kala_history_scheduled on kala_history (scheduled_for, state)",
        "create index kala_history_at on kala_history (at)",
        """create table kala_outputs (run_id text not null, attempt integer not null, size integer not null,
           data blob not null, primary key (run_id, attempt))""",
    ),
    (
        "insert into kala_meta values ('outputs', 0), ('outputs_counted', 0)",  # `sqlite_outputs.py`
    ),
)
"""Statements that lead from each schema version to the next; the first makes an empty file version 1."""

_AWAY = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written",
    sqlite3.SQLITE_BUSY: f"another process has held it locked for {BUSY:g} s",
    sqlite3.SQLITE_LOCKED: "another connection holds it locked",
    sqlite3.SQLITE_PROTOCOL: "another process has held it locked",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_INTERRUPT: "reading took too long",
}
_CLOSED = {
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_PERM: "its permissions forbid it",
    sqlite3.SQLITE_AUTH: "its permissions forbid it",
}
_BROKEN = {
    sqlite3.SQLITE_NOTADB: "it is not a database",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it from a copy, or save what is left with sqlite3's .recover",
}


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 when the fault is not the database's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def store_error(error: sqlite3.Error, path: Path, *, opening: bool = False) -> KalaError | None:
    """What a fault of SQLite means to the store; None when it is none of the file, but a bug of ours.

    What hinders opening needs a person; what hinders a file that was open before may pass.
    """
    code = code_of(error)
    if code in _BROKEN:
        return StoreRefused(f"{path}: {_BROKEN[code]} ({error})")
    if code in _CLOSED:
        return (StoreRefused if opening else StoreUnavailable)(f"{path}: {_CLOSED[code]} ({error})")
    if code in _AWAY:
        return StoreUnavailable(f"{path}: {_AWAY[code]} ({error})")
    return None


@contextmanager
def faults(path: Path, *, opening: bool = False) -> Iterator[None]:
    """The one place where SQLite's errors become the store's."""
    try:
        yield
    except sqlite3.Error as error:
        meant = store_error(error, path, opening=opening)
        if meant is None:
            raise
        raise meant from error


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "immediate") -> Iterator[None]:
    """Commit what the body did, or nothing of it. A full disk may have rolled it back already."""
    connection.execute(f"begin {kind}")
    try:
        yield
        connection.execute("commit")
    finally:
        if connection.in_transaction:
            connection.execute("rollback")


def connect(path: Path, *, cache: int, reading: bool = False) -> sqlite3.Connection:
    """A connection for any thread that holds its lock, with a page cache of `cache` KiB."""
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    connection.execute("pragma synchronous = full")
    connection.execute(f"pragma cache_size = -{cache}")
    # With a checkpoint every 16 MiB, pages that are written again and again reach the file once.
    connection.execute("pragma wal_autocheckpoint = 4000")
    connection.execute("pragma journal_size_limit = 67108864")
    if reading:
        connection.execute("pragma query_only = on")
    return connection


def create(path: Path) -> sqlite3.Connection:
    """The connection that writes, with folder and file made when they are missing.

    A new file is its owner's alone, as commands hold secrets. The mode is set by path: to open the file by other means
    than SQLite's, and close it, would take away the locks that this process has on it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
    except OSError as error:
        raise StoreRefused(f"{path}: its folder cannot be made or read ({error.strerror})") from error
    connection = connect(path, cache=32_768)
    # What a statement would undo, should it fail, goes to a temporary file otherwise, several in a second: that takes a
    # descriptor and room on a disk which is not the database's.
    connection.execute("pragma temp_store = memory")
    if new:
        path.chmod(0o600)
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """See that the file is ours and writable, and bring it to our schema. Raises `StoreRefused` before any change."""
    with transaction(connection, "deferred"):  # one view of the file, which another process may be making just now
        _version(connection, path)
    mode = _write_ahead(connection)
    if mode != "wal":
        raise StoreRefused(f"{path}: its file system cannot hold a write-ahead log (the journal mode stays {mode!r})")
    with transaction(connection):
        version = _version(connection, path)  # again: another process may have done it meanwhile
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"pragma user_version = {number}")
            connection.execute(f"pragma application_id = {APPLICATION}")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of the file, 0 for an empty one."""
    application = _pragma(connection, "application_id")
    tables = connection.execute("select count(*) from sqlite_master").fetchone()[0]
    if application != APPLICATION and (application or tables):
        raise StoreRefused(f"{path}: it is the database of another program: name another file")
    version = int(_pragma(connection, "user_version"))
    if version > len(MIGRATIONS):
        raise StoreRefused(
            f"{path}: its schema is version {version}, and this program knows versions up to {len(MIGRATIONS)}:"
            " install the newer program that wrote it, or name another file"
        )
    return version


def _write_ahead(connection: sqlite3.Connection) -> str:
    """Switch to the write-ahead log. SQLite answers "locked" at once when another process does the same just now."""
    deadline = time.monotonic() + BUSY
    while True:
        try:
            return str(_pragma(connection, "journal_mode = wal"))
        except sqlite3.OperationalError as error:
            if code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _pragma(connection: sqlite3.Connection, text: str) -> str | int:
    found: str | int = connection.execute(f"pragma {text}").fetchone()[0]
    return found
