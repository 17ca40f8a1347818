"""The daemon as a whole, in a process of its own: how it starts, refuses to, stops, and bears what goes wrong."""

import os
import signal
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kala.clock import SECOND, rfc3339
from kala.drivers.contract import RunQuery
from kala.drivers.sqlite import SqliteDriver
from kala.job import Record, Run, decode_record
from kala.states import State
from tests.daemon_process import API, KalaProcess, until_there
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow
CLEAN, USAGE, REFUSED = 0, 2, 3


def soon(seconds: float) -> str:
    return rfc3339(round((time.time() + seconds) * 1_000_000))


def stored(folder: Path) -> tuple[dict[str, Record], dict[str, Run]]:
    """All records and the latest history of a daemon that is down."""
    driver = SqliteDriver(folder / "kala.db")
    driver.open()
    try:
        records = {one.key: decode_record(one.value) for one in driver.load("job")}
        return records, {run.id: run for run in driver.runs(RunQuery(limit=1000)).runs}
    finally:
        driver.close()


def output_of(folder: Path, run_id: str) -> bytes:
    driver = SqliteDriver(folder / "kala.db")
    driver.open()
    try:
        return b"".join(one.data for one in driver.output(run_id))
    finally:
        driver.close()


# Starting, and refusing to.


def test_two_daemons_on_one_file_are_refused_unless_shared(tmp_path: Path) -> None:
    with KalaProcess(tmp_path) as first:
        second = KalaProcess(tmp_path / "second")
        second.folder.mkdir()
        process = second.launch("--bolt-path", str(tmp_path))
        assert process.wait(30) == REFUSED
        assert "another daemon works on this database" in second.log()
        assert f"pid {first.pid}" in second.log()
        assert first.get("/readyz").status == 200


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda path: path.write_bytes(b"this is no database, but a text\n" * 200), "not a database"),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE other (x)").connection.commit(), "kala.db"),
        (lambda path: path.mkdir(), "kala.db"),
    ],
    ids=["a text", "another program's", "a folder"],
)
def test_what_is_not_our_database_is_refused(tmp_path: Path, make: object, fault: str) -> None:
    make(tmp_path / "kala.db")  # type: ignore[operator]
    before = (tmp_path / "kala.db").read_bytes() if (tmp_path / "kala.db").is_file() else None
    kala = KalaProcess(tmp_path)

    kala.launch()

    assert kala.wait() == REFUSED
    assert fault in kala.log()
    assert "Traceback" not in kala.log()
    assert before is None or (tmp_path / "kala.db").read_bytes() == before


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with KalaProcess(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "kala.db") as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version + 1}")
    connection.close()
    kala = KalaProcess(tmp_path)

    kala.launch()

    assert kala.wait() == REFUSED
    assert "newer" in kala.log()


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with KalaProcess(tmp_path / "one") as first:
        second = KalaProcess(tmp_path / "two")
        port = first.url.rpartition(":")[2]
        second.launch("--port", port)
        assert second.wait() == USAGE
        assert f"{port} is in use" in second.log()
        assert "Traceback" not in second.log()


def test_listening_for_everyone_needs_insecure(tmp_path: Path) -> None:
    kala = KalaProcess(tmp_path)
    kala.launch("--interface", "0.0.0.0")
    assert kala.wait() == USAGE
    assert "--insecure" in kala.log()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    with small_disk(folder, "1m", "ro"):
        kala = KalaProcess(tmp_path)
        kala.launch("--bolt-path", str(folder))
        assert kala.wait() == REFUSED
        assert str(folder) in kala.log()
        assert "Traceback" not in kala.log()


# Stopping.


def test_a_stop_lets_runs_finish_and_answers_meanwhile(tmp_path: Path) -> None:
    # given a long run, with a child, and a job that is due each second
    kala = KalaProcess(tmp_path).start()
    go = tmp_path / "go"
    long = kala.create(command=until_there(go), schedule="")
    child = kala.create(parent_jobs=[long], command="true")
    often = kala.create(schedule=f"R/{soon(3)}/PT1S")
    kala.wait_for(lambda: kala.get(f"{API}/run/?job={long}&state=running").json["runs"])
    kala.wait_for(lambda: kala.job(often)["metadata"]["success_count"])

    # when it is told to stop
    kala.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
    kala.wait_log("stopping")
    stopping = time.time()

    # then reads are answered, nothing new is started, and the run ends by itself
    assert kala.get(f"{API}/job/{long}/").status == 200
    refused = kala.post(f"{API}/job/start/{often}/")
    assert refused.status == 503
    assert kala.get("/readyz").status == 503
    kala.wait_for(lambda: time.time() > stopping + 1.5)  # another one would have come
    go.touch()
    assert kala.wait() == CLEAN
    _, runs = stored(tmp_path)
    assert [run.state for run in runs.values() if run.job_id == long] == [State.SUCCEEDED]
    starts = [attempt.started for run in runs.values() if run.job_id == often for attempt in run.attempts]
    assert 0 < max(starts) <= stopping * SECOND
    # and the child is still to come
    assert not [run for run in runs.values() if run.job_id == child]
    kala.start()
    kala.wait_for(lambda: kala.job(child)["metadata"]["success_count"] == 1)
    assert kala.job(child)["metadata"]["number_of_finished_runs"] == 1
    assert kala.stop() == CLEAN
    assert not kala.descendants()


def test_a_run_that_outlasts_the_drain_is_ended_and_recorded(tmp_path: Path) -> None:
    kala = KalaProcess(tmp_path, "--drain", "0.3").start()
    job_id = kala.create(command="sleep 60", schedule="")
    kala.wait_for(kala.descendants)

    assert kala.stop() == CLEAN

    _, runs = stored(tmp_path)
    (run,) = [run for run in runs.values() if run.job_id == job_id]
    assert (run.state, run.reason) == (State.CANCELLED, "shutdown")
    assert not kala.descendants()


def test_a_second_signal_hurries_and_leaves_nothing(tmp_path: Path) -> None:
    kala = KalaProcess(tmp_path, "--drain", "60").start()
    job_id = kala.create(command="bash -c \"trap '' TERM; while :; do sleep 0.1; done\"", schedule="")
    kala.wait_for(kala.descendants)
    kala.process.send_signal(signal.SIGINT)  # type: ignore[union-attr]
    kala.wait_log("stopping")

    began = time.monotonic()
    assert kala.stop(number=signal.SIGINT) == CLEAN

    assert time.monotonic() - began < 10
    _, runs = stored(tmp_path)
    assert [run.state for run in runs.values() if run.job_id == job_id] == [State.CANCELLED]
    kala.wait_for(lambda: not kala.descendants())


def test_hup_reopens_the_log(tmp_path: Path) -> None:
    log = tmp_path / "own.log"
    kala = KalaProcess(tmp_path)
    kala.launch("--log-file", str(log))
    kala.wait_for(lambda: log.exists() and "jobs loaded" in log.read_text())
    log.rename(tmp_path / "old.log")

    kala.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]

    kala.wait_for(lambda: log.exists() and "reopened" in log.read_text())
    assert kala.stop() == CLEAN


# Being killed.


def test_a_killed_daemon_leaves_no_process_and_no_doubt(tmp_path: Path) -> None:
    # given one run of each kind of job, on
    kala = KalaProcess(tmp_path).start()
    once = kala.create(command="sleep 61", schedule="")
    first = f"bash -c '[ -e {tmp_path}/on ] || {{ touch {tmp_path}/on; exec sleep 60; }}'"
    again = kala.create(command=first, schedule="", on_lost="rerun")
    kala.wait_for(lambda: (tmp_path / "on").exists() and len(kala.descendants()) >= 2)

    # when the daemon is killed and started again
    kala.kill()
    assert kala.descendants()
    kala.start()

    # then the processes are gone, the one run is lost, the other runs again
    kala.wait_for(lambda: kala.job(again)["metadata"]["number_of_finished_runs"] == 1)
    assert kala.job(again)["metadata"]["success_count"] == 1
    assert kala.job(once)["stats"][0]["success"] is False
    assert not kala.descendants()
    assert "a run was cut off" in kala.log()
    assert kala.stop() == CLEAN
    _, runs = stored(tmp_path)
    assert [run.state for run in runs.values() if run.job_id == once] == [State.LOST]


def test_what_was_missed_while_down_is_made_good_once(tmp_path: Path) -> None:
    kala = KalaProcess(tmp_path).start()
    job_id = kala.create(schedule=f"R/{soon(3)}/PT1H", command="true")
    kala.kill()
    time.sleep(3.2)  # the moment passes

    kala.start()

    kala.wait_for(lambda: kala.job(job_id)["metadata"]["number_of_finished_runs"] == 1)
    assert kala.stop() == CLEAN


def test_a_done_job_does_not_run_again_after_a_restart(tmp_path: Path) -> None:
    with KalaProcess(tmp_path) as kala:
        job_id = kala.create(schedule=f"R0/{soon(3)}/PT1H")
        kala.wait_for(lambda: kala.job(job_id)["is_done"])
        kala.restart()
        assert kala.job(job_id)["is_done"]
        assert kala.job(job_id)["metadata"]["number_of_finished_runs"] == 1


# What goes wrong.


def test_a_program_that_is_not_there_is_named_in_the_output(tmp_path: Path) -> None:
    with KalaProcess(tmp_path) as kala:
        job_id = kala.create(command="/no/such/program", schedule="")
        kala.wait_for(lambda: kala.job(job_id)["metadata"]["error_count"] == 1)
    _, runs = stored(tmp_path)
    (run,) = [run for run in runs.values() if run.job_id == job_id]
    assert run.attempts[0].error == "no such program: /no/such/program"
    assert output_of(tmp_path, run.id) == b"no such program: /no/such/program"


def test_cycles_and_unknown_parents_are_refused_and_nothing_is_stored(tmp_path: Path) -> None:
    with KalaProcess(tmp_path) as kala:
        first = kala.create(name="first")
        second = kala.create(name="second", parent_jobs=[first])

        own = kala.patch(f"{API}/job/{first}/", {"parent_jobs": [second]})
        failing = kala.patch(f"{API}/job/{second}/", {"on_failure_job": first})
        unknown = kala.post(f"{API}/job/", {"name": "x", "command": "true", "parent_jobs": ["nobody"]})

        assert own.status == failing.status == unknown.status == 400
        assert "parent_jobs" in own.json["fields"]
        assert failing.json["fields"]
        assert list(unknown.json["fields"]) == ["parent_jobs[0]"]
        assert set(kala.jobs()) == {first, second}
        assert kala.job(first)["parent_jobs"] is None


def test_open_files_run_out(tmp_path: Path) -> None:
    """With few descriptors, few runs are on at once; all run, in time."""
    code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (560, 560)); from kala.cli import main; main()"
    kala = KalaProcess(tmp_path, command=(sys.executable, "-c", code, "serve"))
    with kala:
        assert "max_runs=12" in kala.log()
        at = soon(10)
        jobs = [kala.create(command="sleep 0.2", schedule=f"R0/{at}/PT1H") for _ in range(60)]
        kala.wait_for(lambda: kala.get(f"{API}/stats/").json["Stats"]["success_count"] == len(jobs))
        assert kala.get(f"{API}/stats/").json["Stats"]["error_count"] == 0


def test_a_full_disk_refuses_writes_and_recovers_by_itself(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "3m"):
        kala = KalaProcess(tmp_path)
        kala.launch("--bolt-path", str(disk))
        kala._url = kala.wait_for(kala._address)
        kala.wait_for(lambda: kala.get("/readyz").status == 200)
        go = tmp_path / "go"
        job_id = kala.create(command=until_there(go), schedule="")
        kala.wait_for(kala.descendants)

        # when the disk is full
        filler = disk / "filler"
        descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
        with suppress(OSError):
            while os.write(descriptor, b"x" * 4096):
                pass
        os.close(descriptor)
        answer = kala.wait_for(
            lambda: (a := kala.post(f"{API}/job/", {"name": "n", "command": "true" + "x" * 9000})).status != 201 and a
        )

        # then writes are refused with the reason, reads go on, and the run's result waits
        assert answer.status == 503
        assert "full" in answer.json["error"]
        assert kala.get(f"{API}/job/{job_id}/").status == 200
        go.touch()
        kala.wait_for(lambda: not kala.descendants())

        # when there is room again, all goes on by itself
        filler.unlink()
        kala.wait_for(lambda: kala.get("/readyz").status == 200)
        kala.wait_for(lambda: kala.job(job_id)["metadata"]["success_count"] == 1)
        assert kala.post(f"{API}/job/", {"name": "n", "command": "true"}).status == 201
        assert kala.log().count("the database is away") == 1
        assert kala.stop() == CLEAN


def test_two_daemons_share_a_file_and_run_nothing_twice(tmp_path: Path) -> None:
    # given two daemons on one file, and jobs that are due each second
    first = KalaProcess(tmp_path, "--shared").start()
    second = KalaProcess(tmp_path / "second", "--shared", "--bolt-path", str(tmp_path)).start()
    ran = tmp_path / "ran"
    ran.touch()
    command = f"bash -c 'echo $KALA_JOB_ID $KALA_SCHEDULED_FOR >> {ran}'"
    members = {"command": command, "overlap": "allow"}  # a busy machine may be behind
    jobs = [first.create(**members, schedule=f"R4/{soon(3)}/PT1S") for _ in range(20)]
    jobs += [second.create(**members, schedule=f"R4/{soon(3)}/PT1S") for _ in range(20)]

    # when all have run
    done = lambda: len(ran.read_text().splitlines()) >= 200  # noqa: E731
    first.wait_for(done, seconds=60)
    first.wait_for(lambda: all(job["is_done"] for job in first.jobs().values()))

    # then each occurrence has run once, and neither has taken the other for dead
    lines = ran.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 200
    for one in (first, second):
        assert "cut off" not in one.log()
        assert "taken for dead" not in one.log()
    assert set(second.jobs()) == set(jobs)

    # and when one is killed, the other goes on with all
    mine = second.create(command="sleep 30", schedule="")
    second.wait_for(second.descendants)
    second.kill()
    first.wait_for(lambda: mine in first.jobs() and first.job(mine)["metadata"]["number_of_finished_runs"] == 1)
    assert first.stop() == CLEAN
    _, runs = stored(tmp_path)
    assert [run.state for run in runs.values() if run.job_id == mine] == [State.LOST]
    second.close()
