"""What only the embedded database has: a file, its faults, its schema, and the number of its statements."""

import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

import kala
from kala.drivers import sqlite, sqlite_file, sqlite_outputs, sqlite_rows
from kala.drivers.contract import Conflict, Driver, Element, RunQuery, Stored
from kala.drivers.sqlite import SqliteDriver
from kala.drivers.sqlite_file import MIGRATIONS
from kala.drivers.sqlite_rows import page
from kala.errors import Invalid, StoreRefused, StoreUnavailable
from kala.states import State

from .conformance.database import append, done, drop, kept, pages, printed, put, ran


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "kala.db"


@pytest.fixture
def driver(path: Path) -> Iterator[SqliteDriver]:
    """An open one, with one job in it."""
    made = SqliteDriver(path)
    made.open()
    done(made.commit([put("a", 1, b"{}", runs=[ran(1)])]))
    yield made
    made.close()


def shell(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """What somebody does with the file in the sqlite3 shell; the rows of the last statement."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process with `code`, which can import kala."""
    root = Path(kala.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


# The file


def test_the_folder_and_the_file_are_made_for_their_owner_alone(driver: SqliteDriver, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert shell(path, "pragma application_id") == [(0x4B616C61,)]
    assert shell(path, "pragma user_version") == [(len(MIGRATIONS),)]
    assert shell(path, "pragma journal_mode") == [("wal",)]


def test_closing_moves_the_log_into_the_file(driver: SqliteDriver, path: Path) -> None:
    assert path.with_name("kala.db-wal").stat().st_size > 0
    driver.close()
    assert not path.with_name("kala.db-wal").exists()
    with pytest.raises(StoreUnavailable, match="not open"):
        driver.get("job", "a")
    with pytest.raises(StoreUnavailable, match="not open"):
        list(driver.load("job"))


def garbage(path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\necho this is not a database\n" * 100)


def of_another(path: Path) -> None:
    shell(path, "create table jobs (id)", "insert into jobs values (1)")


def marked_by_another(path: Path) -> None:
    shell(path, "pragma application_id = 77", "create table kala_jobs (id)")


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (garbage, "not a database"),
        (of_another, "another program"),
        (marked_by_another, "another program"),
        (a_folder, "cannot be opened"),
    ],
)
def test_what_is_not_ours_is_refused_and_left_alone(path: Path, make: Callable[[Path], None], says: str) -> None:
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    driver = SqliteDriver(path)
    for _ in range(2):
        with pytest.raises(StoreRefused, match=says) as refused:
            driver.open()
        assert str(path) in str(refused.value)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert sorted(path.parent.iterdir()) == [path]

    if path.is_file():  # given an end to the fault, opening again succeeds
        path.unlink()
        driver.open()
        done(driver.commit([put("a", 1)]))
        driver.close()


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefused, match=r"file/kala\.db: its folder cannot be made or read .File exists"):
        SqliteDriver(tmp_path / "file" / "kala.db").open()


def test_an_empty_file_is_made_ours(tmp_path: Path) -> None:
    (tmp_path / "kala.db").touch()
    driver = SqliteDriver(tmp_path / "kala.db")
    driver.open()
    done(driver.commit([put("a", 1)]))
    driver.close()


def test_processes_that_open_a_new_file_at_once_all_succeed(path: Path) -> None:
    code = """if True:
        import sys
        from kala.drivers.sqlite import SqliteDriver
        from kala.drivers.contract import Element
        driver = SqliteDriver(sys.argv[1])
        driver.open()
        print(driver.commit([Element("job", sys.argv[2], 0, 1, b"{}")]))
        driver.close()
    """
    for round_ in range(3):
        file = path.with_name(f"{round_}.db")
        processes = [python(code, file, number) for number in range(4)]
        assert [process.communicate(timeout=60)[0] for process in processes] == ["[None]\n"] * 4
        assert shell(file, "select count(*) from kala_records") == [(4,)]


def test_opening_again_in_one_process_keeps_its_locks(driver: SqliteDriver, path: Path) -> None:
    """A process that closes any descriptor of a file loses its locks on it: another would then remove the log."""
    again = SqliteDriver(path)
    again.open()
    again.close()
    look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('select * from kala_records').fetchall()"
    assert python(look, path).wait(60) == 0
    assert path.with_name("kala.db-wal").exists()
    done(driver.commit([put("b", 1)]))
    assert driver.get("job", "b") is not None


# The schema


def test_a_newer_schema_is_refused_with_both_versions(driver: SqliteDriver, path: Path) -> None:
    driver.close()
    shell(path, "pragma user_version = 93")
    with pytest.raises(StoreRefused, match=rf"version 93.* up to {len(MIGRATIONS)}.*newer program"):
        driver.open()
    assert shell(path, "pragma user_version") == [(93,)]


def test_an_older_schema_is_migrated_and_keeps_what_is_there(
    driver: SqliteDriver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.close()
    later = (("alter table kala_history add column node text", "update kala_history set node = 'here'"),)
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", MIGRATIONS + later)
    driver.open()
    assert shell(path, "pragma user_version") == [(len(MIGRATIONS) + 1,)]
    assert shell(path, "select node from kala_history") == [("here",)]
    assert driver.run("run-1") == ran(1)
    driver.close()
    driver.open()  # and only once


def test_a_migration_that_fails_leaves_all_as_it_was(
    driver: SqliteDriver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.close()
    broken = (("create table kala_new (a)",), ("delete from kala_records", "this is not SQL"))
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", MIGRATIONS + broken)
    with pytest.raises(sqlite3.OperationalError, match="syntax"):
        driver.open()
    assert shell(path, "select count(*) from sqlite_master where name = 'kala_new'") == [(0,)]
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", MIGRATIONS)
    driver.open()
    assert driver.get("job", "a") is not None


def test_outputs_of_the_first_schema_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = SqliteDriver(path)
    with monkeypatch.context() as older:
        older.setattr(sqlite_file, "MIGRATIONS", MIGRATIONS[:1])
        driver.open()
        for number in range(5):
            append(driver, [ran(number)], [printed(f"run-{number}", data=b"1234567890")])
        driver.close()
    driver.open()
    assert driver.trim_outputs(25) == 30
    assert [len(driver.output(f"run-{number}")) for number in range(5)] == [0, 0, 0, 1, 1]
    driver.close()


# What is kept of outputs


@pytest.mark.parametrize(("counted", "rows", "size"), [(1, 1, 1), (2, 1_000, 1), (7, 3, 1 << 20), (1_000, 3, 25)])
def test_outputs_are_trimmed_in_portions(
    driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch, counted: int, rows: int, size: int
) -> None:
    monkeypatch.setattr(sqlite_outputs, "COUNTED_AT_ONCE", counted)
    monkeypatch.setattr(sqlite_outputs, "DROPPED_AT_ONCE", rows)
    monkeypatch.setattr(sqlite_outputs, "BYTES_AT_ONCE", size)
    for number in range(20):
        append(driver, [], [printed(f"run-{number}", data=b"" if number == 3 else b"1234567890")])
    assert driver.trim_outputs(190) == 0
    assert driver.trim_outputs(55) == 140
    assert [number for number in range(20) if driver.output(f"run-{number}")] == [15, 16, 17, 18, 19]


def test_outputs_that_somebody_deleted_do_not_hold_up_trimming(driver: SqliteDriver, path: Path) -> None:
    append(driver, [], [printed("run-1", data=b"1234567890")])
    assert driver.trim_outputs(10) == 0
    shell(path, "delete from kala_outputs")
    assert driver.trim_outputs(5) == 0
    append(driver, [], [printed("run-2", data=b"12345")])
    assert driver.trim_outputs(5) == 0
    assert driver.trim_outputs(4) == 5


# What it costs


def test_a_batch_is_a_handful_of_statements(driver: SqliteDriver) -> None:
    """Each one gives the interpreter's lock away, and a busy event loop is slow to give it back."""
    connection = driver._writer.connection
    assert connection is not None
    counted: list[str] = []
    for size, most in [(1, 7), (999, 7), (1_000, 7)]:
        connection.set_trace_callback(counted.append)
        done(
            driver.commit(
                [
                    put(f"{size}:{n}", 1, b"{}", runs=[ran(size * 1_000 + n)], outputs=[printed(f"run-{size}{n}")])
                    for n in range(size)
                ]
            )
        )
        connection.set_trace_callback(None)
        assert 4 <= len(counted) <= most, [text[:60] for text in counted]
        counted.clear()


@pytest.mark.parametrize(
    ("query", "sorted_"),
    [
        (RunQuery(), False),
        (RunQuery(job_id="a"), False),
        (RunQuery(job_id="a", states=frozenset({State.FAILED, State.SKIPPED}), since=1, until=2, after="9"), False),
        (RunQuery(states=frozenset({State.FAILED, State.LOST})), False),
        (RunQuery(since=1, until=2, states=frozenset({State.FAILED})), True),
    ],
)
def test_a_page_is_read_from_an_index(driver: SqliteDriver, query: RunQuery, sorted_: bool) -> None:
    select, values = page(query)
    assert driver._reader.connection is not None
    plan = [row[3] for row in driver._reader.connection.execute("explain query plan " + select, values)]
    assert any("TEMP B-TREE" in step for step in plan) == sorted_, plan
    assert not any(step.startswith("SCAN kala_history") for step in plan) or query == RunQuery(), plan


def test_a_span_with_many_rows_is_paged_as_one_with_few(driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    append(driver, [ran(number, state=(State.SUCCEEDED, State.FAILED)[number % 2]) for number in range(2, 60)])
    queries = [
        RunQuery(since=ran(20).scheduled_for, states=some, limit=9) for some in (None, frozenset({State.FAILED}))
    ]
    few = [pages(driver, query) for query in queries]
    monkeypatch.setattr(sqlite_rows, "DENSE", 10)
    assert [pages(driver, query) for query in queries] == few
    assert [sum(len(each.runs) for each in found) for found in few] == [40, 20]


def test_json_is_text_in_the_shell_and_other_bytes_are_blobs(driver: SqliteDriver, path: Path) -> None:
    done(driver.commit([put("b", 1, b'{"name":"\xc3\xbc"}'), put("c", 1, b"\xff"), put("d", 1, b"a\0b")]))
    rows = shell(path, "select key, typeof(value) from kala_records order by key")
    assert rows == [("a", "text"), ("b", "text"), ("c", "blob"), ("d", "blob")]
    assert shell(path, "select value ->> 'name' from kala_records where key = 'b'") == [("ü",)]
    assert shell(path, "select run ->> 'job_id' from kala_history") == [("job-a",)]


def test_a_page_token_of_any_length_is_no_overflow(driver: SqliteDriver) -> None:
    with pytest.raises(Invalid):
        driver.runs(RunQuery(after="9" * 40))


# Faults while it is open


def test_a_full_database_is_unavailable_and_recovers(driver: SqliteDriver) -> None:
    connection = driver._writer.connection
    assert connection is not None
    pages = connection.execute("pragma page_count").fetchone()[0]
    connection.execute(f"pragma max_page_count = {pages + 20}")
    fills_the_disk(driver, lambda: connection.execute("pragma max_page_count = 100000"), 20_000)


def test_a_full_disk_is_unavailable_and_recovers(tmp_path: Path) -> None:
    """On a file system of one megabyte, which takes root to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        driver = SqliteDriver(disk / "kala.db")
        driver.open()
        done(driver.commit([put("a", 1)]))
        try:
            fills_the_disk(
                driver, lambda: subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True), 50_000
            )
        finally:
            driver.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fills_the_disk(driver: Driver, make_room: Callable[[], object], size: int) -> None:
    """Write until it is full; then nothing is lost, reading goes on, and with room so does writing."""
    written, fault = 0, None
    while written < 100 and fault is None:
        large = put(f"fill {written}", 1, b"%d" % written + b"x" * size, runs=[ran(1_000 + written)])
        try:
            done(driver.commit([large]))
            written += 1
        except StoreUnavailable as error:
            fault = error
    assert "kala.db: the disk is full" in str(fault)
    assert 0 < written < 100
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        driver.commit([large])
    assert driver.get("job", "a") is not None
    assert driver.get("job", large.key) is None
    assert driver.run(f"run-{1_000 + written}") is None

    make_room()
    done(driver.commit([large]))
    stored = {each.key for each in driver.load("job")}
    assert stored == {"a", *(f"fill {number}" for number in range(written + 1))}
    assert len(kept(driver)) >= written + 1


def test_a_batch_needs_no_further_descriptor(driver: SqliteDriver) -> None:
    # given batches whose pages are more than SQLite would undo in memory
    for first in 0, 1_000:
        done(driver.commit([put(f"{first + number:05}", 1, b"x" * 500) for number in range(1_000)]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    filled: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        with suppress(OSError):  # the limit
            while True:
                filled.append(os.open("/dev/null", os.O_RDONLY))
        # when no descriptor is left, then one is committed as ever
        done(driver.commit([put(f"{number:05}", 2, b"y" * 600) for number in range(0, 2_000, 2)]))
    finally:
        for fd in filled:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_lock_of_another_process_is_unavailable_for_writes_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY", 0.05)
    driver = SqliteDriver(path)
    driver.open()
    done(driver.commit([put("a", 1)]))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(StoreUnavailable, match="another process"):
            driver.commit([put("b", 1)])
        assert driver.get("job", "a") is not None
        other.execute("rollback")
    done(driver.commit([put("b", 1)]))
    driver.close()


def test_reads_do_not_wait_for_a_write(driver: SqliteDriver) -> None:
    with driver._writer.lock:
        assert driver.get("job", "a") is not None
        assert driver.runs(RunQuery()).runs == [ran(1)]
        assert len(list(driver.load("job"))) == 1


def test_a_read_only_database_is_unavailable(driver: SqliteDriver) -> None:
    connection = driver._writer.connection
    assert connection is not None
    connection.execute("pragma query_only = on")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        driver.commit([put("b", 1)])
    connection.execute("pragma query_only = off")
    done(driver.commit([put("b", 1)]))


def test_a_file_that_was_removed_or_replaced_is_refused(driver: SqliteDriver, path: Path) -> None:
    """SQLite itself would go on, and lose everything at the end."""
    path.rename(path.with_name("elsewhere.db"))
    with pytest.raises(StoreRefused, match="removed or replaced"):
        driver.commit([put("b", 1)])
    path.touch()
    with pytest.raises(StoreRefused, match="removed or replaced"):
        driver.commit([put("b", 1)])


def test_a_read_that_takes_too_long_is_given_up(driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "TIMEOUT", sqlite.LOCK_WAIT - 1)
    endless = "with recursive n (i) as (values (1) union all select i + 1 from n) select count(*) from n"
    with pytest.raises(StoreUnavailable, match="too long"), driver._turn(driver._reader) as connection:
        connection.execute(endless).fetchone()


def test_a_call_does_not_wait_for_its_turn_for_ever(driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT", 0.02)
    with driver._writer.lock, pytest.raises(StoreUnavailable, match="another call"):
        driver.commit([put("b", 1)])


# Loading


def test_few_records_are_read_without_looking_at_the_many_of_another_kind(driver: SqliteDriver, path: Path) -> None:
    """A lease looks at all instances every few seconds, beside a million jobs."""
    done(driver.commit([put(f"k{number}", 1) for number in range(1_000)]))
    done(driver.commit([put(f"l{number}", 1) for number in range(1_000)]))
    put_setting = Element("setting", "one", 0, 1, b"{}")
    done(driver.commit([put_setting]))
    assert list(driver.load("setting")) == [Stored("setting", "one", 1, b"{}")]

    def steps(kind: str) -> int:
        """Hundreds of SQLite's instructions that it takes."""
        taken = list[None]()
        with closing(sqlite_file.connect(path, cache=1_024, reading=True)) as connection:
            connection.set_progress_handler(lambda: taken.append(None), 100)
            list(sqlite_rows.records(connection, kind))
        return len(taken)

    assert steps("setting") <= 2
    assert steps("job") > 100


# Damage


@pytest.fixture(params=["few", "many"])
def load_as(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are loaded as if they were few, by their keys, or many, as they lie in the file."""
    monkeypatch.setattr(sqlite_rows, "FEW", {"few": 1_000, "many": 0}[request.param])


@pytest.mark.usefixtures("load_as")
def test_records_that_cannot_be_read_are_named_and_passed_over(
    driver: SqliteDriver, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done(driver.commit([put(key, 1) for key in ("b", "c", "d")]))
    append(driver, [ran(2)])
    shell(
        path,
        "update kala_records set value = 5 where key = 'b'",
        "update kala_records set key = cast(x'ff63' as text) where key = 'c'",
        "update kala_history set run = '{\"id\": 5}' where id = 'run-1'",
    )
    with caplog.at_level(logging.ERROR):
        assert [stored.key for stored in driver.load("job")] == ["a", "d"]
        assert kept(driver) == ["run-2"]
        assert driver.run("run-1") is None
    for name in "job 'b'", "job '\ufffdc'", "run 'run-1'":
        assert name in caplog.text


@pytest.mark.usefixtures("load_as")
def test_a_damaged_page_costs_its_records_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    driver = SqliteDriver(path)
    driver.open()
    done(driver.commit([put(f"k{number:03}", 1, b"<%03d>" % number * 100) for number in range(200)]))
    driver.close()
    data = path.read_bytes()
    start = data.index(b"<100><100>") // 4096 * 4096
    lost = {f"k{number:03}" for number in range(200) if b"<%03d>" % number * 100 in data[start : start + 4096]}
    path.write_bytes(data[:start] + b"\xee" * 4096 + data[start + 4096 :])

    driver.open()
    with caplog.at_level(logging.ERROR):
        loaded = {stored.key for stored in driver.load("job")}
    assert loaded == {f"k{number:03}" for number in range(200)} - lost
    assert 0 < len(lost) < 20
    assert all(f"job {key!r}" in caplog.text for key in lost)
    with pytest.raises(StoreRefused, match="damaged"):
        driver.get("job", "k100")
    done(driver.commit([put("k000", 2)]))
    driver.close()


# Changes


def test_deletions_are_told_of_until_they_are_pruned(driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "KEPT_DELETIONS", 3)
    done(driver.commit([put(f"k{n}", 1) for n in range(5)]))
    tokens = [driver.changes("").token]
    for n in range(5):
        done(driver.commit([drop(f"k{n}", 1)]))
        tokens.append(driver.changes("").token)
    assert len(driver.changes(tokens[0]).deleted) == 5
    driver.prune(None, keep=0, older_than=None)
    assert [driver.changes(token).reset for token in tokens] == [True, True, False, False, False, False]
    assert sorted(driver.changes(tokens[2]).deleted) == [("job", "k2"), ("job", "k3"), ("job", "k4")]

    monkeypatch.setattr(sqlite, "KEPT_DELETIONS", 0)
    driver.prune(None, keep=0, older_than=None)
    token = driver.changes("").token
    assert token == tokens[-1], "it does not go back"
    done(driver.commit([put("new", 1)]))
    assert driver.changes(token).stored == [Stored("job", "new", 1, b"{}")]


def test_an_older_copy_of_the_file_resets(driver: SqliteDriver, path: Path) -> None:
    driver.close()
    copy = path.read_bytes()
    driver.open()
    done(driver.commit([put("b", 1)]))
    token = driver.changes("").token
    driver.close()
    path.write_bytes(copy)
    driver.open()
    assert driver.changes(token).reset


# Death


KILLED = """if True:
    import sys
    from kala.drivers.contract import Element
    from kala.drivers.sqlite import SqliteDriver
    from kala.job import Output, Run
    from kala.states import State, Trigger
    driver = SqliteDriver(sys.argv[1])
    driver.open()
    for commit in range(100_000):
        batch = []
        for number in range([1, 7, 100][commit % 3]):
            key = f"{sys.argv[2]}-{commit}-{number}"
            run = Run(key, "job", 1, Trigger.MANUAL, State.FAILED, 1)
            batch.append(Element("job", key, 0, 1, key.encode() * 9, [run], [Output(key, 1, b"x", 1)]))
        assert driver.commit(batch) == [None] * len(batch)
        print(*[element.key for element in batch], flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_committed(path: Path) -> None:
    acknowledged: set[str] = set()
    for life in range(5):
        process = python(KILLED, path, life)
        assert process.stdout is not None
        for _ in range(5 + life * 7):
            acknowledged |= set(process.stdout.readline().split())
        os.kill(process.pid, signal.SIGKILL)
        acknowledged |= {key for line in process.stdout if line.endswith("\n") for key in line.split()}
        process.wait()
        process.stdout.close()

        driver = SqliteDriver(path)
        driver.open()
        stored = {record.key: record.value for record in driver.load("job")}
        assert acknowledged <= set(stored)
        assert set(kept(driver)) == set(stored)
        for key, value in stored.items():
            assert value == key.encode() * 9
            assert len(driver.output(key)) == 1
        driver.close()
    assert len(acknowledged) > 1_000


def test_a_commit_while_another_thread_closes_is_done_or_unavailable(driver: SqliteDriver) -> None:
    begun = threading.Event()
    ends: list[BaseException | list[Conflict | None]] = []

    def work() -> None:
        for revision in range(2, 1_000_000):
            try:
                ends.append(driver.commit([put("a", revision)]))
            except StoreUnavailable as error:
                ends.append(error)
                return
            begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(30)
    driver.close()
    thread.join(30)
    assert isinstance(ends[-1], StoreUnavailable)
    assert all(end == [None] for end in ends[:-1])
    driver.open()
    assert driver.get("job", "a") == Stored("job", "a", len(ends), b"{}")
