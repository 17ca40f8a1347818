"""`kala import` into a database: a recorded answer of the original, and what is broken."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from import_command import ORIGINAL, RECORDED, imported, into, job, moment, stored

from kala import schedule
from kala.cli import main
from kala.clock import SECOND, from_datetime
from kala.drivers.sqlite import SqliteDriver
from kala.errors import StoreUnavailable

pytestmark = pytest.mark.usefixtures("no_settings")


def test_what_the_original_answered(tmp_path: Path) -> None:
    # when it is imported into a database that is not there yet
    result = imported(RECORDED, "--bolt-path", str(tmp_path / "data"))
    assert result.exit_code == 0, result.output
    assert result.stdout == f"13 of 13 jobs taken into {tmp_path / 'data/kala.db'}\n"
    assert result.stderr == ""

    # then every job is there with its id, definition, counters and links
    records = stored(tmp_path / "data")
    assert records.keys() == ORIGINAL.keys()
    for job_id, theirs in ORIGINAL.items():
        ours, counters = records[job_id], theirs["metadata"]
        for member in ("name", "command", "owner", "schedule", "retries", "epsilon", "parent_jobs", "on_failure_job"):
            assert getattr(ours.job, member) == theirs[member], (theirs["name"], member)
        assert ours.job.resume_at_next_scheduled_time == theirs["resume_at_next_scheduled_time"]
        assert ours.job.template_delimiters == theirs["TemplateDelimiters"]
        assert (ours.job.type, ours.disabled) == (theirs["type"], theirs["disabled"])
        assert ours.successes == counters["success_count"]
        assert ours.errors == counters["error_count"]
        assert ours.finished == counters["number_of_finished_runs"]
        assert ours.last_success == moment(counters["last_success"])
        assert ours.last_error == moment(counters["last_error"])
        assert ours.last_attempted == moment(counters["last_attempted_run"])
        assert ours.is_done == theirs["is_done"]

    # and children come in the order in which the original runs them
    for job_id, theirs in ORIGINAL.items():
        children = [one for one in records.values() if job_id in (one.job.parent_jobs or ())]
        assert [one.id for one in sorted(children, key=lambda one: one.created)] == (theirs["dependent_jobs"] or [])
    assert sum(len(theirs["dependent_jobs"] or ()) for theirs in ORIGINAL.values()) == 4

    # and the remote job has its call
    [alert] = [one for one in records.values() if one.job.name == "alert"]
    assert alert.job.remote is not None
    assert msgspec.to_builtins(alert.job.remote) == ORIGINAL[alert.id]["remote_properties"]
    assert alert.job.remote.headers == {"X-Token": ["a", "b"], "Content-Type": ["application/json"]}


def test_next_runs_of_the_original_are_kept_on_the_grid(tmp_path: Path) -> None:
    # given that its next runs are a little after the grid's moments
    assert imported(RECORDED, "--bolt-path", str(tmp_path)).exit_code == 0
    records = {record.job.name: record for record in stored(tmp_path).values()}
    theirs = {one["name"]: moment(one["next_run_at"]) for one in ORIGINAL.values()}

    # then each next run is the occurrence that is meant, and not the one after it
    after_four = {name: schedule.parse(records[name].job.schedule).occurrence(4) for name in ("fetch", "failing")}
    expected = {
        "month end": moment("2030-01-31T08:00:00Z"),
        "greeting": moment("2030-01-01T00:00:00Z"),
        "daily": moment("2030-03-31T06:30:00Z"),
        "paused": moment("2031-05-05T03:05:05Z"),
        **after_four,
    }
    for name, record in records.items():
        assert record.cursor == expected.get(name), name
    for name, cursor in expected.items():
        due = theirs[name]
        assert cursor is not None
        assert due is not None
        assert 0 < due - cursor < SECOND // 10, "the recording shows what this test is about"

    # and so many are left of it as are left there: R10 has run 4 times of 11
    left = {name: record.remaining for name, record in records.items() if record.cursor is not None}
    endless = dict.fromkeys(("month end", "greeting", "daily", "fetch"))
    assert left == {**endless, "failing": 7, "paused": 6}


START = datetime.fromisoformat("2030-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("text", "late", "expected"),
    [
        pytest.param("R/{start}/P1D", timedelta(), timedelta(), id="on the grid"),
        pytest.param("R/{start}/P1D", timedelta(seconds=-5), timedelta(), id="before the start"),
        pytest.param("R/{start}/P1D", timedelta(days=3, seconds=9), timedelta(days=3), id="drifted"),
        pytest.param("R/{start}/P1D", timedelta(days=3, seconds=61), timedelta(days=4), id="more than drifted"),
        pytest.param("R/{start}/P1D", timedelta(days=4, seconds=-1), timedelta(days=4), id="early"),
        pytest.param("R/{start}/PT10S", timedelta(seconds=24), timedelta(seconds=20), id="short, drifted"),
        pytest.param("R/{start}/PT10S", timedelta(seconds=26), timedelta(seconds=30), id="short, nearer to next"),
        pytest.param("R0/{start}/PT0S", timedelta(microseconds=13), timedelta(), id="once, drifted"),
        pytest.param("R0/{start}/", timedelta(hours=1), timedelta(), id="once, and nothing follows"),
    ],
)
def test_the_occurrence_that_a_next_run_means(tmp_path: Path, text: str, late: timedelta, expected: timedelta) -> None:
    one = job(schedule=text.format(start=START.isoformat()), next_run_at=(START + late).isoformat())
    assert into(tmp_path, {"A": one}).exit_code == 0
    assert stored(tmp_path)["A"].cursor == from_datetime(START + expected)


def test_what_cannot_be_taken_is_named_with_its_faults(tmp_path: Path) -> None:
    # given sound jobs among broken ones
    jobs = {
        "sound": job(name="sound", dependent_jobs=["child"]),
        "child": job(name="child", parent_jobs=["sound"], schedule=""),
        "schedule": job(name="bad\x1b[2J\nnot taken: forged", schedule="every day", retries=-1),
        "orphan": job(name="orphan", parent_jobs=["gone"]),
        "grandchild": job(name="grandchild", parent_jobs=["schedule"]),
        "wrong": job(name="wrong", parent_jobs=5, metadata={"error_count": "many"}),
        "nothing": None,
        "ping": job(name="ping", on_failure_job="pong"),
        "pong": job(name="pong", on_failure_job="ping"),
    }
    result = into(tmp_path, jobs)

    # then the sound ones are there, and each of the others has a line
    assert result.exit_code == 1
    assert stored(tmp_path).keys() == {"sound", "child"}
    assert "2 of 9 jobs taken" in result.stdout
    lines = {line.split()[2].rstrip(":"): line for line in result.stderr.splitlines()}
    assert lines.keys() == jobs.keys() - {"sound", "child"}
    assert "retries: must be from 0" in lines["schedule"]
    assert "schedule: " in lines["schedule"]
    assert "(bad\\u001b[2J\\nnot taken: forged)" in lines["schedule"]
    assert lines["orphan"] == "not taken: orphan (orphan): parent_jobs[0]: there is no job 'gone'"
    assert "there is no job 'schedule'" in lines["grandchild"]
    assert "parent_jobs: must be a list" in lines["wrong"]
    assert "metadata.error_count: must be a whole number" in lines["wrong"]
    assert lines["nothing"] == "not taken: nothing: must be an object, not null"
    assert "ping → pong → ping" in lines["ping"]


def test_a_second_time_takes_nothing_twice(tmp_path: Path) -> None:
    assert into(tmp_path, {"A": job()}).exit_code == 0
    before = stored(tmp_path)
    result = into(tmp_path, {"A": job(name="other"), "B": job(parent_jobs=["A"])})
    assert result.exit_code == 1
    assert result.stderr == "not taken: A (other): id: there is a job with this id already\n"
    after = stored(tmp_path)
    assert after["A"] == before["A"]
    assert after["B"].job.parent_jobs == ["A"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"job": {}}', "jobs: must be an object of jobs by id"),
        (b'{"jobs": []}', "jobs: must be an object of jobs by id"),
        (b'{"jobs": {}, "next": "A"}', "one page of a list"),
        (b"<html>", "is not JSON"),
        (b'{"jobs": {"A": {"name": "a", "command": "true"}, "B": {"note": "\xff"}}}', "is not JSON"),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "file").write_bytes(text)
    result = imported(tmp_path / "file", "--bolt-path", str(tmp_path / "data"))
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/no/such/file",), "there is no file /no/such/file; the address of a server begins with http://"),
        (("/",), "/ cannot be read: Is a directory"),
        (("old:8000",), "the address of a server begins with http://"),
        (("http://127.0.0.1:1",), "http://127.0.0.1:1/api/v1/job/ cannot be read"),
        (("http://[::1",), "cannot be read"),
        ((), "Missing argument"),
        ((str(RECORDED), "--no-persist"), "there is nothing to import into"),
        ((str(RECORDED), "--jobdb", "postgres", "--jobdb-address", "here:there"), "'there' is not a port"),
        ((str(RECORDED), "--to", "new:8000"), "--to new:8000: the address of a daemon is like http://127.0.0.1:8000"),
        ((str(RECORDED), "--to", "http://127.0.0.1:1", "--bolt-path", "x"), "leave out bolt_path"),
        ((str(RECORDED), "--port", "1"), "No such option"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(main, ["import", *arguments])
    assert result.exit_code == 2
    assert said in result.output


def test_a_database_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "kala.db").write_bytes(b"this is not a database, but a text " * 100)
    result = imported(RECORDED, "--bolt-path", str(tmp_path))
    assert result.exit_code == 3
    assert "Error: " in result.stderr


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is not told as taken, and a further try goes on."""
    commit: Callable[..., Any] = SqliteDriver.commit
    written: list[str] = []

    def full(self: SqliteDriver, batch: Any) -> Any:
        written.extend(element.kind for element in batch)
        if "job" in written:
            raise StoreUnavailable("database or disk is full")
        return commit(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(SqliteDriver, "commit", full)
        result = imported(RECORDED, "--bolt-path", str(tmp_path))
    assert result.exit_code == 1
    assert "0 of 13 jobs taken" in result.stdout
    assert "the import stopped: database or disk is full" in result.stderr
    # the lease of the first try could not be given back, and its process, this one, lives
    assert imported(RECORDED, "--bolt-path", str(tmp_path), "--shared").exit_code == 0
