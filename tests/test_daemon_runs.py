"""Real processes of a real daemon: where they run and with what, how they are ended, and what takes their place."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kala.clock import rfc3339
from tests.daemon_process import API, KalaProcess

pytestmark = pytest.mark.slow
NEVER = "R/9000-01-01T00:00:00Z/P1D"


def soon(seconds: float) -> str:
    return rfc3339(round((time.time() + seconds) * 1_000_000))


def runs(kala: KalaProcess, job_id: str) -> list[dict[str, Any]]:
    answer = kala.get(f"{API}/run/?job={job_id}")
    assert answer.status == 200, answer
    return list(answer.json["runs"])


def started(kala: KalaProcess, **members: Any) -> tuple[str, str]:
    """A job that runs in the shell, started by hand: its id and its run's."""
    job_id = kala.create(**{"shell": True, **members})
    answer = kala.post(f"{API}/job/start/{job_id}/?wait=false")
    assert answer.status == 202, answer
    return job_id, str(answer.json["id"])


def ended(kala: KalaProcess, run_id: str) -> dict[str, Any]:
    """A run, when it has ended."""

    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = kala.get(f"{API}/run/{run_id}/").json["run"]
        return run if run["ended"] is not None else None

    run = kala.wait_for(look, "it does not end")
    assert run is not None
    return run


def printed(kala: KalaProcess, run_id: str) -> str:
    response, body = kala.request("GET", f"{API}/run/{run_id}/output/")
    assert response.status == 200, body
    return body.decode()


def pid_in(kala: KalaProcess, path: Path) -> int:
    """The process id that a run writes to a file."""
    kala.wait_for(lambda: path.exists() and path.read_text().endswith("\n"), f"nothing is written to {path}")
    return int(path.read_text())


def gone(pid: int) -> Callable[[], bool]:
    def look() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
        except FileNotFoundError:
            return True

    return look


def test_a_process_that_does_not_heed_term_is_killed_a_while_after_its_cancelling(
    kala: KalaProcess, tmp_path: Path
) -> None:
    here = tmp_path / "pid"
    command = f"trap '' TERM; echo on; echo $$ > {here}; while :; do sleep 0.05; done"
    job_id, run_id = started(kala, command=command, kill_after="PT1S", retries=3)
    pid = pid_in(kala, here)
    asked = time.monotonic()
    answer = kala.post(f"{API}/run/{run_id}/cancel/")
    assert answer.status == 202
    assert answer.json["run"]["id"] == run_id
    run = ended(kala, run_id)
    assert 0.9 < time.monotonic() - asked < 10
    assert (run["state"], run["reason"]) == ("cancelled", "cancelled")
    (attempt,) = run["attempts"]
    assert (attempt["state"], attempt["signal"]) == ("cancelled", signal.SIGKILL)
    assert printed(kala, run_id) == "on\n"
    assert gone(pid)()
    again = kala.post(f"{API}/run/{run_id}/cancel/")
    assert (again.status, again.json["state"]) == (409, "cancelled")
    assert [one["id"] for one in runs(kala, job_id)] == [run_id]


def test_a_process_that_heeds_term_has_its_time_to_tidy(kala: KalaProcess, tmp_path: Path) -> None:
    here = tmp_path / "pid"
    command = f"trap 'echo tidied; exit 0' TERM; echo $$ > {here}; while :; do sleep 0.05; done"
    _, run_id = started(kala, command=command)
    pid_in(kala, here)
    assert kala.post(f"{API}/run/{run_id}/cancel/").status == 202
    run = ended(kala, run_id)
    assert (run["state"], run["attempts"][0]["exit_code"]) == ("cancelled", 0)
    assert printed(kala, run_id).endswith("tidied\n")  # the shell says of `sleep` what ended it


def test_what_a_process_leaves_in_the_background_ends_with_it(kala: KalaProcess, tmp_path: Path) -> None:
    """Given a process that ends at once and leaves one that holds its output and does not heed TERM."""
    here = tmp_path / "pid"
    command = f"(trap '' TERM; exec sleep 1000) & echo $! > {here}; echo done"
    _, run_id = started(kala, command=command)
    run = ended(kala, run_id)
    assert (run["state"], run["attempts"][0]["exit_code"]) == ("succeeded", 0)
    assert run["duration"] < 10
    assert printed(kala, run_id) == "done\n"
    kala.wait_for(gone(pid_in(kala, here)), "what it left behind is still there")


def test_the_environment_and_the_directory_reach_the_process(kala: KalaProcess, tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    members = {"environment": {"GREETING": "hello, you", "HOME": "/nowhere", "EMPTY": ""}, "directory": str(folder)}
    _, run_id = started(kala, command='pwd; echo "$GREETING $HOME [${EMPTY-unset}] $KALA_TRIGGER"', **members)
    assert ended(kala, run_id)["state"] == "succeeded"
    assert printed(kala, run_id) == f"{folder}\nhello, you /nowhere [] manual\n"
    # without a shell, in backticks, and by a path that is relative to it
    (folder / "say").write_text("#!/bin/sh\necho said: $*\n")
    (folder / "say").chmod(0o755)
    _, run_id = started(kala, command="./say `pwd` `./say $GREETING`", shell=False, **members)
    assert ended(kala, run_id)["state"] == "succeeded"
    assert printed(kala, run_id) == f"said: {folder} said: hello, you\n"


@pytest.mark.parametrize("command", ["true", "echo `true`"])
def test_a_directory_that_is_not_there_fails_the_run_and_says_so(
    kala: KalaProcess, tmp_path: Path, command: str
) -> None:
    missing = tmp_path / "missing"
    _, run_id = started(kala, command=command, shell=False, directory=str(missing))
    run = ended(kala, run_id)
    assert (run["state"], run["attempts"][0]["exit_code"]) == ("failed", None)
    assert run["attempts"][0]["error"] == f"no such directory: {missing}"
    missing.mkdir()
    answer = kala.post(f"{API}/job/start/{run['job_id']}/?wait=false")
    assert ended(kala, str(answer.json["id"]))["state"] == "succeeded"


def test_the_next_occurrence_ends_the_process_that_is_on_and_takes_its_place(kala: KalaProcess, tmp_path: Path) -> None:
    """Given three occurrences five seconds apart, the first of whose processes does not heed TERM."""
    pids = tmp_path / "pids"
    command = f'[ -e {pids} ] || trap "" TERM; echo $$ >> {pids}; while :; do sleep 0.05; done'
    members = {"schedule": f"R2/{soon(3)}/PT5S", "overlap": "replace", "kill_after": "PT0.5S"}
    job_id = kala.create(command=command, shell=True, **members)

    def look() -> list[dict[str, Any]] | None:
        found = runs(kala, job_id)
        states = sorted(run["state"] for run in found)
        return found if states == ["cancelled", "cancelled", "running"] else None

    found = kala.wait_for(look, "they do not follow each other")
    assert found is not None
    assert [(run["state"], run["reason"]) for run in sorted(found, key=lambda run: run["scheduled_for"])] == [
        ("cancelled", "replaced"),
        ("cancelled", "replaced"),
        ("running", ""),
    ]
    kala.wait_for(lambda: len(pids.read_text().split()) == 3, "the third has no process")
    numbers = [int(line) for line in pids.read_text().split()]
    assert [gone(pid)() for pid in numbers] == [True, True, False]
    (latest,) = [run for run in found if run["state"] == "running"]
    assert kala.post(f"{API}/run/{latest['id']}/cancel/").status == 202
    assert ended(kala, latest["id"])["reason"] == "cancelled"
    kala.wait_for(gone(numbers[-1]), "it is still there")


def test_paused_it_is_still_after_a_restart_and_what_was_on_goes_on(kala: KalaProcess, tmp_path: Path) -> None:
    here = tmp_path / "go-on"
    _, on = started(kala, command=f"until [ -e {here} ]; do sleep 0.05; done")
    other = kala.create(command="true")
    kala.wait_for(lambda: kala.get(f"{API}/run/{on}/").json["run"]["state"] == "running")
    assert kala.post(f"{API}/pause/", {"reason": "moving"}).json["paused"] is True
    here.touch()
    assert ended(kala, on)["state"] == "succeeded"
    assert kala.post(f"{API}/job/start/{other}/?wait=false").status == 409
    kala.restart()
    answer = kala.get(f"{API}/pause/").json
    assert (answer["paused"], answer["reason"]) == (True, "moving")
    assert kala.post(f"{API}/job/start/{other}/?wait=false").status == 409
    assert kala.post(f"{API}/resume/").json["paused"] is False
    answer = kala.post(f"{API}/job/start/{other}/?wait=false")
    assert ended(kala, str(answer.json["id"]))["state"] == "succeeded"
