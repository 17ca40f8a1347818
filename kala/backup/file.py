"""The file of a backup: an embedded database that no daemon starts on, with a record in it that says what it holds.

It has a rollback journal, not a write-ahead log: it is one file, and is read where nothing can be written.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from kala.clock import Moment
from kala.drivers.sqlite import SqliteDriver
from kala.drivers.sqlite_file import MIGRATIONS, code_of, connect, faults, transaction
from kala.drivers.unfinished import BACKUP
from kala.durable import synced
from kala.errors import KalaError, StoreRefused, StoreUnavailable
from kala.moving import Watcher
from kala.moving.reading import JOB, SETTING
from kala.moving.sums import Content, Sum

FORMAT = 1
HISTORY, OUTPUTS = "history", "outputs"
TITLES = {JOB: "jobs, with deleted ones", SETTING: "settings", HISTORY: "history", OUTPUTS: "outputs"}


class Damaged(KalaError):
    """A backup that is not what was written."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path} is damaged: {fault}. Take another backup, or save what is left in it by `kala move`")


class Manifest(Struct, frozen=True):
    """What a backup says of itself."""

    format: int
    kala: str  # the version of the program that made it
    engine: str
    server: str
    place: str
    taken: Moment  # by the database's clock: it holds no less than what was durable then
    content: dict[str, Sum]  # under the keys of `TITLES`


class BackupFile(SqliteDriver):
    """A backup as a driver that only reads: `open` changes nothing, and makes no file beside it. It raises `Damaged`,
    too."""

    def open(self) -> None:
        self.close()
        if not self.path.is_file():
            raise StoreRefused(f"{self.path}: there is no such file")
        try:
            with faults(self.path, opening=True):
                try:
                    self._reader.connection = connect(self.path, cache=8_192, reading=True)
                    self._refuse_other(self._reader.connection)
                except sqlite3.Error as error:
                    if code_of(error) == sqlite3.SQLITE_CORRUPT:
                        raise Damaged(self.path, str(error)) from error
                    raise
        except KalaError:
            self.close()
            raise

    def _refuse_other(self, connection: sqlite3.Connection) -> None:
        tables = connection.execute("select count(*) from sqlite_master where name = 'kala_records'").fetchone()[0]
        version = connection.execute("pragma user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreRefused(
                f"{self.path}: its schema is version {version}, and this program knows versions up to"
                f" {len(MIGRATIONS)}: install the newer program that made it"
            )
        if not tables or self.get(*BACKUP) is None:
            raise StoreRefused(f"{self.path}: it is no backup that `kala backup` has made, or its end is missing")

    def manifest(self) -> Manifest:
        """Raises `Damaged`, and `StoreRefused` for one of a later program."""
        stored = self.get(*BACKUP)
        try:
            found = msgspec.json.decode(b"" if stored is None else stored.value, type=Manifest)
        except msgspec.DecodeError as error:
            raise Damaged(self.path, f"what it says of itself cannot be read ({error})") from None
        if found.format > FORMAT:
            raise StoreRefused(f"{self.path}: it is of a later kind than this program knows: install kala {found.kala}")
        return found

    def broken_pages(self) -> str:
        """What SQLite finds wrong with the file; empty when nothing."""
        with self._turn(self._reader) as connection:
            told = [str(row[0]) for row in connection.execute("pragma integrity_check(3)")]
        return "" if told == ["ok"] else "; ".join(told).replace("\n", " ")


def check(path: Path, watcher: Watcher) -> Manifest:
    """Read all of a backup, and compare it with what it says of itself. Raises `Damaged`; `StoreRefused` for what is no
    backup."""
    driver = BackupFile(path)
    driver.open()
    try:
        manifest = driver.manifest()
        watcher.stage("checking", sum(one.count for name, one in manifest.content.items() if name != OUTPUTS))
        try:
            if found := driver.broken_pages():
                raise Damaged(path, found)
            content = summed(driver, watcher)
        except (StoreRefused, StoreUnavailable) as fault:
            raise Damaged(path, str(fault).removeprefix(f"{path}: ")) from fault
    finally:
        driver.close()
    wrong = [
        f"{title} ({content[name].count:,} of {wanted.count:,} can be read)"
        if content[name].count != wanted.count
        else f"{title} (their checksum is another)"
        for name, title in TITLES.items()
        if content[name] != (wanted := manifest.content.get(name, Sum(0, "")))
    ]
    if wrong:
        raise Damaged(path, f"its {', '.join(wrong)}")
    return manifest


def summed(driver: SqliteDriver, watcher: Watcher) -> Mapping[str, Sum]:
    """What is in a file, by the keys of `TITLES`."""
    content = Content(driver, driver.max_output)
    for steps in content.read():
        watcher.advance(steps)
    return {
        JOB: content.records[JOB],
        SETTING: content.records[SETTING],
        HISTORY: content.history,
        OUTPUTS: content.outputs,
    }


def seal(path: Path) -> None:
    """Make a database that is closed the file of a backup, durably: with an identity of its own, and without the leases
    of the daemons that worked on the one it is of. Commands may hold secrets: it is its owner's alone."""
    with faults(path), closing(connect(path, cache=8_192)) as connection:
        with transaction(connection):
            connection.execute("delete from kala_records where kind = 'instance'")
            connection.execute("update kala_meta set value = lower(hex(randomblob(8))) where name = 'database'")
        mode = connection.execute("pragma journal_mode = delete").fetchone()[0]
        if mode != "delete":
            raise StoreUnavailable(f"{path}: its journal mode stays {mode!r}")
    path.chmod(0o600)
    synced(path)


def publish(made: Path, path: Path) -> None:
    """Give a sealed file its name, unless there is a file of that name. Raises `StoreRefused`."""
    with disk_faults(path):
        try:
            os.link(made, path)
        except FileExistsError:
            raise StoreRefused(f"{path} is there already, and is not overwritten") from None
        except OSError:  # a file system without links
            refuse_existing(path)
            made.rename(path)
        synced(path.parent)


def refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise StoreRefused(f"{path} is there already, and is not overwritten")


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """What a folder's faults mean: a person must act."""
    try:
        yield
    except OSError as error:
        raise StoreRefused(f"{path} cannot be written: {error.strerror}") from error


def snapshot(source: Path, target: Path) -> None:
    """Copy an embedded database as it is at one moment, whoever works on it; nothing is held up by it."""
    with suppress(FileNotFoundError):
        target.unlink()
    with closing(connect(source, cache=8_192, reading=True)) as one, closing(connect(target, cache=8_192)) as other:
        try:
            one.backup(other)
        except sqlite3.Error as error:
            full = code_of(error) == sqlite3.SQLITE_FULL
            with faults(target if full else source, opening=not full):
                raise
