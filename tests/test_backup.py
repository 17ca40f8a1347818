"""`kala backup` and `kala restore`: files, what is refused, and which rows of a history belong to a copy."""

import json
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from daemon_process import KalaProcess
from moved import fill, holding, of
from records import MINUTE, T0, attempt, job, record, run
from small_disk import small_disk

from kala.backup.file import BackupFile
from kala.backup.live import Live, known
from kala.cli import main
from kala.drivers.contract import Changes, Element, RunPage, RunQuery, Stored
from kala.drivers.memory import MemoryDriver
from kala.drivers.sqlite import SqliteDriver
from kala.drivers.unfinished import BACKUP
from kala.job import Record, decode_record, encode, packed, replace
from kala.states import State

pytestmark = pytest.mark.usefixtures("no_settings")


def called(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """That of a database that holds something."""
    driver = SqliteDriver(tmp_path / "old" / "kala.db")
    driver.open()
    fill(driver, jobs=60, rows=300)
    driver.close()
    return tmp_path / "old"


@pytest.fixture
def file(folder: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    called("backup", tmp_path / "kala.backup", "--bolt-path", folder)
    return tmp_path / "kala.backup"


def test_there_and_back(folder: Path, file: Path, tmp_path: Path) -> None:
    # a backup is one file, its owner's alone, and is not written over
    assert sorted(os.listdir(tmp_path)) == ["kala.backup", "old"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = called("backup", file, "--bolt-path", folder, code=3)
    assert again.stderr.endswith(f"{file} is there already, and is not overwritten. Nothing was written\n")

    # it says what it holds
    told = called("backup", "--check", file).stdout.splitlines()
    assert [line.split("  ")[0] for line in told[1:5]] == ["jobs, with deleted ones", "settings", "history", "outputs"]
    assert told[3].split()[1] == "300"
    assert told[5].startswith(f"{file} ({file.stat().st_size:,} bytes) has all of {folder / 'kala.db'} as of 20")

    # to read it changes nothing, and what is restored is what was there
    before = file.read_bytes()
    result = called("restore", file, "--bolt-path", tmp_path / "new")
    assert result.stdout.endswith(f"All of {file} is in {tmp_path / 'new' / 'kala.db'}.\n")
    assert of(tmp_path / "new" / "kala.db") == of(folder / "kala.db")
    assert file.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["kala.backup", "new", "old"]

    # but it is another database
    identities = {identity(path) for path in (folder / "kala.db", tmp_path / "new" / "kala.db", file)}
    assert len(identities) == 3

    # into which nothing is restored a second time
    again = called("restore", file, "--bolt-path", tmp_path / "new", code=3)
    assert "is not empty" in again.stderr


def identity(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        found: str = connection.execute("select value from kala_meta where name = 'database'").fetchone()[0]
    connection.close()
    return found


def test_what_is_wrong_with_a_backup_is_said(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    bad = tmp_path / "bad"
    target = ("--bolt-path", tmp_path / "new")

    def told(data: bytes, code: int) -> str:
        bad.write_bytes(data)
        for words in (("backup", "--check", bad), ("restore", bad, *target)):
            result = called(*words, code=code)
            assert result.stdout == ""
        assert not (tmp_path / "new").exists()
        return result.stderr.splitlines()[-1]

    # cut off
    assert f"{bad} is damaged: " in told(whole[: len(whole) // 2], 1)
    assert f"{bad} is damaged: " in told(whole[:-4096], 1)
    assert "it is no backup that `kala backup` has made" in told(b"", 3)
    assert "it is not a database" in told(b"some text " * 1_000, 3)

    # a byte of a row of the history, which no structure of the file shows
    place = whole.index(b'"reason":"\xc3\xbc')
    assert "its history (their checksum is another)" in told(whole[:place] + whole[place:].replace(b"x", b"y", 1), 1)

    # rows that are gone
    bad.write_bytes(whole)
    with sqlite3.connect(bad) as connection:
        connection.execute("delete from kala_history where seq < 100")
    connection.close()
    assert "its history (201 of 300 can be read)" in told(bad.read_bytes(), 1)

    # of a later program
    bad.write_bytes(whole)
    with sqlite3.connect(bad) as connection:
        connection.execute("pragma user_version = 99")
    connection.close()
    assert "its schema is version 99, and this program knows versions up to" in told(bad.read_bytes(), 3)
    bad.write_bytes(whole)
    with sqlite3.connect(bad) as connection:
        (said,) = connection.execute("select value from kala_records where key = 'backup'").fetchone()
        later = json.dumps(json.loads(said) | {"format": 2, "kala": "7.1"})
        connection.execute("update kala_records set value = ? where key = 'backup'", (later,))
    connection.close()
    assert "install kala 7.1" in told(bad.read_bytes(), 3)


def test_what_cannot_be_backed_up(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "kala.backup"
    missing = called("backup", target, "--bolt-path", tmp_path / "missing", code=3)
    assert missing.stderr.endswith("there is no such file. Nothing was written\n")
    assert "there is no database" in called("backup", target, "--no-persist", code=2).stderr
    nowhere = called("backup", tmp_path / "no" / "file", "--bolt-path", folder, code=3)
    assert "cannot be written: No such file" in nowhere.stderr
    assert "leave out the flags" in called("backup", "--check", target, "--bolt-path", folder, code=2).stderr
    assert "there is no such file" in called("restore", target, "--bolt-path", tmp_path / "new", code=3).stderr
    with sqlite3.connect(folder / "kala.db") as connection:
        connection.execute("insert into kala_records values ('setting', 'move', 1, 1, '{}')")
    connection.close()
    unfinished = called("backup", target, "--bolt-path", folder, code=3).stderr
    assert f"the copy of {folder / 'kala.db'}: a `kala move` into this database is not finished" in unfinished
    assert not target.exists()


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "2m"):
        assert "the disk is full" in called("backup", disk / "kala.backup", "--bolt-path", folder, code=3).stderr
        assert os.listdir(disk) == []


@pytest.mark.slow
def test_no_daemon_works_on_a_backup_but_it_may_be_moved(folder: Path, file: Path, tmp_path: Path) -> None:
    place = tmp_path / "placed" / "kala.db"
    place.parent.mkdir()
    place.write_bytes(file.read_bytes())
    kala = KalaProcess(place.parent)
    kala.launch()
    assert kala.wait() == 3
    assert f"{place} is a backup, and stays as it is: `kala restore` makes a database" in kala.log()
    # what is moved from one is what it holds
    called("move", file, tmp_path / "other.db")
    assert of(tmp_path / "other.db") == of(folder / "kala.db")
    driver = SqliteDriver(tmp_path / "other.db")
    driver.open()
    assert driver.get(*BACKUP) is None
    driver.close()


# A server's database, while daemons write to it.


class Busy(MemoryDriver):
    """A database that changes at every reading of it: `happens` is done in between."""

    def __init__(self) -> None:
        super().__init__(lambda: T0)
        self.happens: Callable[[str], None] = lambda what: None

    def load(self, kind: str):  # type: ignore[no-untyped-def]
        for stored in super().load(kind):
            self.happens("load")
            yield stored

    def runs(self, query: RunQuery) -> RunPage:
        self.happens("runs")
        page = super().runs(query)
        self.happens("runs")
        return page

    def changes(self, since: str) -> Changes:
        self.happens("changes")
        changes = super().changes(since)
        self.happens("changes")
        return changes


class Nobody:
    def stage(self, title: str, total: int | None = None) -> None:
        pass

    def advance(self, number: int) -> None:
        pass


class Jobs:
    """Jobs that run in a database: each write ends a run, with its row, and claims the next occurrence."""

    def __init__(self, driver: MemoryDriver, number: int) -> None:
        self._driver = driver
        self._records: dict[str, Record] = {}
        self._made = 0
        for one in range(number):
            first = record(job(), id=f"job-{one}", revision=1, cursor=T0, successes=0)
            self._write(first, 0, ())

    def _write(self, made: Record, expected: int, rows: tuple) -> None:  # type: ignore[type-arg]
        element = Element("job", made.id, expected, made.revision, encode(made), rows)
        assert self._driver.commit([element]) == [None]
        self._records[made.id] = made

    def step(self) -> None:
        """One write of the next job in turn."""
        self._made += 1
        before = self._records[f"job-{self._made % len(self._records)}"]
        assert before.cursor is not None
        at, rows, results = before.cursor, (), before.results
        if before.open:
            tried = replace(attempt(State.SUCCEEDED), started=T0 + self._made, ended=T0 + self._made + 7)
            ended = replace(before.open[0], state=State.SUCCEEDED, ended=T0 + self._made, attempts=(tried,))
            rows, results = (ended,), packed(before.results, ended)
        claimed = run(f"run {self._made}", at, State.RUNNING, job_id=before.id)
        self._write(
            replace(
                before,
                revision=before.revision + 1,
                cursor=at + MINUTE,
                successes=before.successes + len(rows),
                open=(claimed,),
                results=results,
            ),
            before.revision,
            rows,
        )


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_a_copy_of_what_changes_meanwhile_is_consistent(tmp_path: Path, every: int) -> None:
    source = Busy()
    jobs = Jobs(source, 40)
    for _ in range(2_500):
        jobs.step()
    calls = 0

    def happens(what: str) -> None:
        nonlocal calls
        calls += 1
        if calls % every == 0:
            for _ in range(25 if what != "load" else 1):
                jobs.step()

    source.happens = happens
    target = SqliteDriver(tmp_path / "copy.db")
    target.open()
    Live(source, target, Nobody()).run()
    source.happens = lambda what: None

    # every record is whole, and has exactly the rows that it counts
    rows: dict[str, list[str]] = {}
    for one in holding(target).history[::-1]:
        rows.setdefault(one.job_id, []).append(one.id)
    originals = {one.id: one for one in holding(source).history}
    for one in target.load("job"):
        found = decode_record(one.value)
        assert len(rows[one.key]) == found.successes, one.key
        assert found.open[0].id not in rows[one.key]
        moments = [originals[name].scheduled_for for name in rows[one.key]]
        assert moments == [T0 + number * MINUTE for number in range(found.successes)]
        assert found.cursor == T0 + (found.successes + 1) * MINUTE
    assert calls > 40
    target.close()


def test_a_database_that_forgot_what_changed_is_read_again(tmp_path: Path) -> None:
    source = Busy()
    Jobs(source, 5)
    asked = 0
    real = source.changes

    def changes(since: str) -> Changes:
        nonlocal asked
        asked += 1
        if asked == 3:  # and a job has gone meanwhile
            source.commit([Element("job", "job-2", 1, 2, None)])
            return Changes([], [], real("").token, reset=True)
        return real(since)

    source.changes = changes  # type: ignore[method-assign]
    target = SqliteDriver(tmp_path / "copy.db")
    target.open()
    Live(source, target, Nobody()).run()
    assert {one.key for one in target.load("job")} == {"job-0", "job-1", "job-3", "job-4"}
    target.close()


def test_a_job_that_goes_meanwhile_is_not_there(tmp_path: Path) -> None:
    source = Busy()
    jobs = Jobs(source, 3)
    for _ in range(30):
        jobs.step()
    gone: list[str] = []

    def happens(what: str) -> None:
        if what == "runs" and not gone:  # the records have been read
            gone.append("job-1")
            stored = source.get("job", "job-1")
            assert stored is not None
            assert source.commit([Element("job", "job-1", stored.revision, stored.revision + 1, None)]) == [None]
        elif what == "changes" and len(gone) == 1:  # the history, too; then its history goes, as housekeeping does it
            gone.append("its history")
            assert source.forget(["job-1"]) > 0

    source.happens = happens
    target = SqliteDriver(tmp_path / "copy.db")
    target.open()
    Live(source, target, Nobody()).run()
    assert {one.key for one in target.load("job")} == {"job-0", "job-2"}
    assert {one.job_id for one in holding(target).history} == {"job-0", "job-2"}
    target.close()


def test_which_of_the_latest_rows_a_record_knows() -> None:
    at = [T0 + number * MINUTE for number in range(6)]
    first = replace(run("first", at[0], State.FAILED), ended=at[0] + 5, attempts=(attempt(State.FAILED),))
    later = replace(first, id="later", scheduled_for=at[3], attempts=(replace(attempt(State.FAILED), started=at[3]),))
    on = run("on", at[1], State.SUCCEEDED)
    gap, past = run("gap", at[2], State.MISSED), run("past", at[2], State.SKIPPED)
    to_come = run("to come", at[4], State.SKIPPED)
    made = record(
        job(), cursor=at[3], open=(replace(on, state=State.RUNNING),), gap=gap, results=packed(b"", first), revision=4
    )

    def kept(*rows, of: Record = made):  # type: ignore[no-untyped-def]
        return [one.id for one in known(rows, Stored("job", of.id, 4, encode(of)))]

    assert kept(first, on, gap, past, later, to_come) == ["first", "past"]
    assert kept(later, first) == ["later", "first"]  # what comes before one that is known is known
    assert kept(to_come, of=replace(made, cursor=None)) == ["to come"]
    assert [one.id for one in known([first], Stored("job", "x", 1, b"\xff"))] == ["first"]


def test_a_backup_is_read_without_a_trace(file: Path) -> None:
    before = sorted(os.listdir(file.parent))
    driver = BackupFile(file)
    driver.open()
    assert sum(1 for _ in driver.load("job")) == 61
    assert sum(1 for _ in driver.load("instance")) == 0
    assert sorted(os.listdir(file.parent)) == before
    driver.close()
