"""`kala move` as people call it: what it says, what it ends with, and real daemons on both sides of it."""

import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cli_process import PROGRAM, Terminal, environment, heed_interrupts
from click.testing import CliRunner, Result
from daemon_process import API, DEADLINE, KalaProcess, wait_for
from moved import commit, fill, of, row

from kala.cli import main
from kala.drivers.sqlite import SqliteDriver
from kala.drivers.unfinished import MARK
from kala.errors import StoreUnavailable

pytestmark = pytest.mark.usefixtures("no_settings")


def moved(source: object, target: object, *, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["move", str(source), str(target)])
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The file of a database that holds something."""
    return filled(tmp_path / "old" / "kala.db")


def filled(path: Path, *, jobs: int = 20, rows: int = 100) -> Path:
    driver = SqliteDriver(path)
    driver.open()
    fill(driver, jobs=jobs, rows=rows)
    driver.close()
    return path


def test_what_it_says_when_all_is_well(source: Path, tmp_path: Path) -> None:
    before, target = of(source), tmp_path / "new" / "kala.db"
    result = moved(source.parent, target)
    assert of(target) == of(source) == before
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["WHAT", "SOURCE", "TARGET", "CHECKSUM"]
    assert [line.split("  ")[0] for line in lines[1:5]] == ["jobs, with deleted ones", "settings", "history", "outputs"]
    assert lines[3].split()[1:3] == ["100", "100"]
    assert all(line.endswith(" on both sides") for line in lines[1:5])
    assert lines[5:] == [f"All of {source} is in {target}."]
    told = [line.partition(":")[0] for line in result.stderr.splitlines()]
    assert list(dict.fromkeys(told)) == ["Warning", "reading", "copying", "comparing"]
    assert "Warning: instance long dead cannot be read: " in result.stderr


def test_what_is_refused_says_why(source: Path, tmp_path: Path) -> None:
    missing, new = tmp_path / "missing.db", tmp_path / "new.db"
    assert moved(missing, new, code=3).stderr == f"Error: {missing}: there is no such file. Nothing was written\n"
    assert not missing.exists()
    assert not new.exists()
    assert "are the same database. Nothing was written" in moved(source, source, code=3).stderr
    (tmp_path / "text.db").write_text("no database at all " * 100)
    assert "it is not a database" in moved(tmp_path / "text.db", new, code=3).stderr
    assert moved(source, "oracle://db", code=2).stderr.startswith("Error: a database's URL begins with ")
    assert moved("no.toml", new, code=2).stderr == "Error: no.toml cannot be read: No such file or directory\n"
    assert moved(source, "oracle://me:secret@db", code=2).stderr.startswith(
        "Warning: other users see the password in a command: set KALA_MOVE_TO_PASSWORD instead\n"
    )


def test_a_target_that_goes_away(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "new.db"
    done = SqliteDriver.commit

    def away(self: SqliteDriver, batch: list) -> list:  # type: ignore[type-arg]
        if batch[0].kind == "job":
            raise StoreUnavailable("the disk is full")
        return done(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(SqliteDriver, "commit", away)
        result = moved(source, target, code=3)
    assert result.stderr.splitlines()[-1] == (
        f"Error: the disk is full. {target} has only a part of it, and no daemon starts on it: the same command again "
        "goes on"
    )
    assert result.stdout == ""
    moved(source, target)
    assert of(target) == of(source)


def test_what_cannot_be_read_is_named_and_all_else_is_moved(source: Path, tmp_path: Path) -> None:
    # given a record and two rows that someone's hand has spoilt
    with sqlite3.connect(source) as connection:
        connection.execute("update kala_records set value = 5 where key = 'job-7'")
        connection.execute("update kala_history set run = 'nonsense' where id in ('run 40', 'run 99')")
    connection.close()
    target = tmp_path / "new.db"
    result = moved(source, target, code=1)
    lines = sorted(line for line in result.stderr.splitlines() if line.startswith("not moved:"))
    assert [line.split(": ")[1:3] for line in lines] == [
        ["job 'job-7' cannot be read and is left alone", "a column is not of its type"],
        ["run 'run 40' cannot be read and is left alone", "JSON is malformed"],
        ["run 'run 99' cannot be read and is left alone", "JSON is malformed"],
    ]
    assert "All that can be read of" in result.stdout
    found = of(target)
    assert len(found.history) == 98
    assert ("job", "job-7") not in found.records
    assert found == of(source)
    assert found.records["job", "broken"] == (12, b"\xff\0 not JSON")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A database that takes seconds to be moved."""
    path = filled(tmp_path / "large.db")
    driver = SqliteDriver(path)
    driver.open()
    for start in range(200, 15_000, 1_000):
        commit(driver, [row(number, 50) for number in range(start, start + 1_000)])
    driver.close()
    return path


def rows_there(target: Path) -> int:
    """How far a move is, by its mark."""
    if not target.exists():
        return 0
    driver = SqliteDriver(target)
    driver.open()
    try:
        stored = driver.get(*MARK)
        return 0 if stored is None else int(msgspec.json.decode(stored.value)["rows"])
    finally:
        driver.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_in_the_middle_and_given_again(large: Path, tmp_path: Path, number: signal.Signals) -> None:
    for attempt in range(10):  # a busy machine may look too late
        target = tmp_path / f"new{attempt}" / "kala.db"
        process = subprocess.Popen(
            [*PROGRAM, "move", str(large), str(target)],
            stderr=subprocess.PIPE,
            env=environment("", HOME=str(tmp_path)),
            preexec_fn=heed_interrupts,
        )
        wait_for(
            lambda target=target, process=process: rows_there(target) > 1_000 or process.poll() is not None,  # type: ignore[misc]
            lambda: "it does not begin",
        )
        process.send_signal(number)
        _, told = process.communicate(timeout=DEADLINE)
        if 1_000 < rows_there(target) < 15_000:
            break
    else:
        pytest.fail("it was never cut off in the middle")
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert told.decode().splitlines()[-1] == (
            f"Error: interrupted. {target} has only a part of it, and no daemon starts on it: the same command again "
            "goes on"
        )

    # then no daemon starts on it
    kala = KalaProcess(target.parent)
    kala.launch()
    assert kala.wait() == 3
    assert "a `kala move` into this database is not finished: run it again" in kala.log()

    # and the same command goes on
    moved(large, target)
    assert of(target) == of(large)


@pytest.mark.slow
def test_a_bar_on_a_terminal(large: Path, tmp_path: Path) -> None:
    with Terminal("", "move", str(large), str(tmp_path / "new.db")) as terminal:
        terminal.wait("copying: ")
        terminal.wait("#-")
        assert terminal.end() == 0
        assert "[##############################] 100%" in terminal.text
        assert "All of " in terminal.text


@pytest.mark.slow
def test_daemons_on_both_sides(start_kala: Callable[..., KalaProcess], tmp_path: Path) -> None:
    # given a daemon with runs on: it is not moved from, nor into
    old = start_kala(folder=tmp_path / "old")
    on = {
        policy: old.post(f"{API}/job/start/{old.create(command='sleep 600', on_lost=policy)}/?wait=false").json["id"]
        for policy in ("record", "rerun")
    }
    done = old.create(name="done", command="echo hello")
    old.post(f"{API}/job/start/{done}/")
    old.wait_for(lambda: len(old.descendants()) >= 2)
    assert "Stop it first. Nothing was written" in moved(old.folder, tmp_path / "new", code=3).stderr
    other = filled(tmp_path / "other.db")
    assert "Stop it first. Nothing was written" in moved(other, old.folder, code=3).stderr

    # when it dies, and what it left is moved
    old.kill()
    moved(old.folder, tmp_path / "new")

    # then a daemon there decides about its runs as one here would have
    new = start_kala(folder=tmp_path / "new")

    def state(policy: str) -> str:
        return str(new.get(f"{API}/run/{on[policy]}/").json["run"]["state"])

    new.wait_for(lambda: (state("record"), state("rerun")) == ("lost", "running"))
    [run] = new.get(f"{API}/run/?job={done}").json["runs"]
    assert run["state"] == "succeeded"
    assert new.request("GET", f"{API}/run/{run['id']}/output/")[1] == b"hello\n"
    assert new.job(done)["metadata"]["success_count"] == 1
    new.kill()
