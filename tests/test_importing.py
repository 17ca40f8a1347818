"""`kala import`: a recorded answer of the original, sound and broken, into a database and into a daemon that runs."""

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from daemon_process import ROOT, KalaProcess

from kala import schedule
from kala.cli import main
from kala.clock import SECOND, from_datetime
from kala.drivers.sqlite import SqliteDriver
from kala.importing import api_of
from kala.job import Record, decode_record

RECORDED = ROOT / "tests/data/original_jobs.json"
ORIGINAL: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text())["jobs"]
FAR = "R/2100-01-01T00:00:00Z/P1D"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("KALA_")]:
        monkeypatch.delenv(name)


def imported(source: object, *flags: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["import", str(source), *flags], input=stdin)


def into(folder: Path, jobs: dict[str, Any]) -> Result:
    """Imports `jobs`, by id, into the database in `folder`."""
    return imported("-", "--bolt-path", str(folder), stdin=json.dumps({"jobs": jobs}).encode())


def stored(folder: Path) -> dict[str, Record]:
    """What is in the database in `folder`."""
    driver = SqliteDriver(folder / "kala.db")
    driver.open()
    try:
        return {one.key: decode_record(one.value) for one in driver.load("job")}
    finally:
        driver.close()


def moment(text: str) -> int | None:
    """A time of the original, which has nanoseconds; None for one that has not been."""
    read = datetime.fromisoformat(text)
    return from_datetime(read) if read.year > 1 else None


def job(**members: Any) -> dict[str, Any]:
    return {"name": "j", "command": "true", "schedule": FAR, **members}


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
        ((str(RECORDED), "--jobdb", "redis"), "embedded database only"),
        ((str(RECORDED), "--to", "new:8000"), "the address of a daemon begins with http://"),
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


@pytest.mark.parametrize(
    "url",
    ["http://old:8000", "http://old:8000/", "http://old:8000/api/v1", "http://old:8000/api/v1/job/"],
)
def test_addresses(url: str) -> None:
    assert api_of(url) == "http://old:8000/api/v1/job/"


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "kala", "import", str(RECORDED), "--bolt-path", str(tmp_path / "data")]
    try:
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
        )
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(terminal)
    assert result.returncode == 0
    assert b"13 of 13 jobs taken" in result.stdout
    assert "Importing" in shown
    assert "100%" in shown


def tree(children: int) -> dict[str, Any]:
    """A parent whose children are named in descending order, and three times as many jobs beside it."""
    names = [f"child {number:03d}" for number in range(children, 0, -1)]
    return (
        {f"single {number:03d}": job(on_failure_job="alert") for number in range(3 * children)}
        | {name: job(parent_jobs=["parent"]) for name in reversed(names)}
        | {"parent": job(dependent_jobs=names), "alert": job()}
    )


@pytest.mark.slow
def test_into_a_daemon_that_runs(tmp_path: Path, kala: KalaProcess) -> None:
    # given more jobs than one portion holds, and some that are broken
    jobs = tree(300) | {"bad": job(schedule="nonsense")}
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": jobs}))

    # when they are imported into its database, that is refused, and says what to do
    result = imported(tmp_path / "jobs.json", "--bolt-path", str(kala.folder))
    assert result.exit_code == 3
    assert "another daemon works on this database" in result.stderr
    assert "--to" in result.stderr
    assert kala.jobs() == {}

    # when they are imported into the daemon
    result = imported(tmp_path / "jobs.json", "--to", kala.url)

    # then all that can be are there, children in their order
    assert result.exit_code == 1
    assert result.stdout == f"1,202 of 1,203 jobs taken into {kala.url}\n"
    [line] = result.stderr.splitlines()
    assert line.startswith("not taken: bad (j): schedule: ")
    found = kala.jobs()
    assert found.keys() == jobs.keys() - {"bad"}
    assert found["parent"]["dependent_jobs"] == jobs["parent"]["dependent_jobs"]


@pytest.mark.slow
def test_from_a_server(tmp_path: Path, kala: KalaProcess) -> None:
    # given a daemon with a parent that has run, and a child
    parent = kala.create(name="parent", command="false")
    child = kala.create(name="child", parent_jobs=[parent])
    assert kala.post(f"/api/v1/job/start/{parent}/").status == 204

    # when its jobs are taken over by another
    result = imported(kala.url, "--bolt-path", str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    with KalaProcess(tmp_path / "new") as new:
        # then they are the same there, but for the rows of what has run, which stay behind
        before, after = kala.jobs(), new.jobs()
        assert before.keys() == after.keys() == {parent, child}
        for job_id in before:
            assert after[job_id] == before[job_id] | {"stats": None, "version": 1}
        assert after[parent]["metadata"]["error_count"] == 1


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[str]:
    """The address of a server that gives these answers, one after the other, whatever it is asked."""
    waiting = iter(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = next(waiting)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  # the name that http.server looks for

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_does_not_know_the_way() -> None:
    with answering((404, b"404 page not found")) as url:
        result = imported(url)
    assert result.exit_code == 2
    assert f"{url}/api/v1/job/ answered 404: 404 page not found" in result.output


TAKEN = json.dumps({"imported": [f"{number}" for number in range(500)], "refused": {}}).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, b'{"error": "the daemon is stopping"}'), "answered 503: the daemon is stopping"),
        ((405, b"<html>"), "answered 405: <html>"),
        ((200, b'{"jobs": {}}'), "does not answer as a daemon of this program"),
    ],
)
def test_an_import_that_stops_says_how_far_it_came(answer: tuple[int, bytes], said: str) -> None:
    jobs = {f"{number}": job() for number in range(700)}
    with answering((200, TAKEN), answer) as url:
        result = imported("-", "--to", url, stdin=json.dumps({"jobs": jobs}).encode())
    assert result.exit_code == 1
    assert f"500 of 700 jobs taken into {url}" in result.stdout
    assert "the import stopped: " in result.stderr
    assert said in result.stderr


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is not told as taken, and a further try goes on."""
    from kala.errors import StoreUnavailable

    commit: Callable[..., Any] = SqliteDriver.commit

    def full(self: SqliteDriver, batch: Any) -> Any:
        if any(element.kind == "job" for element in batch):
            raise StoreUnavailable("database or disk is full")
        return commit(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(SqliteDriver, "commit", full)
        result = imported(RECORDED, "--bolt-path", str(tmp_path))
    assert result.exit_code == 1
    assert "0 of 13 jobs taken" in result.stdout
    assert "the import stopped: database or disk is full" in result.stderr
    assert imported(RECORDED, "--bolt-path", str(tmp_path)).exit_code == 0
