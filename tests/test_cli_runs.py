"""`kala runs`, `kala jobs start --wait`, `kala pause` against a real daemon."""

import json
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from cli_process import Cli, Terminal
from daemon_process import KalaProcess

from kala.commands import phrases

TRICKY = b"\xff\x00\x1b[2Jend"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KalaProcess]:
    with KalaProcess(tmp_path_factory.mktemp("kala"), "--no-persist", "--drain", "0") as kala:
        yield kala


@pytest.fixture
def kala(daemon: KalaProcess) -> Cli:
    """The command line, for a daemon without jobs."""
    assert daemon.delete("/api/v1/job/all/").status == 204
    return Cli(daemon.url)


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        ("printf 'one\\ntwo'", 0, b"one\ntwo", b"succeeded (started by hand"),
        ("bash -c 'echo out; exit 3'", 1, b"out\n", b"exit code 3"),
        ("/no/such/program", 1, b"", b"failed (started by hand"),
    ],
)
def test_start_waits_and_exits_by_the_outcome(
    daemon: KalaProcess, kala: Cli, command: str, code: int, out: bytes, err: bytes
) -> None:
    daemon.create(name="one", command=command)
    ended = kala.process("jobs", "start", "one", "--wait")
    assert ended.returncode == code, ended
    assert ended.stdout.startswith(out)
    assert err in ended.stderr


def test_start_follows_all_attempts_and_tells_programs_the_run(daemon: KalaProcess, kala: Cli) -> None:
    daemon.create(name="one", command="bash -c 'echo try; exit 1'", retries=2)
    assert kala.process("jobs", "start", "one", "--wait").stdout == b"try\n" * 3
    run = kala.json("jobs", "start", "one", "--wait", code=1)["run"]
    assert (run["state"], len(run["attempts"])) == ("failed", 3)


def test_ctrl_c_ends_the_wait_and_not_the_run(daemon: KalaProcess, kala: Cli) -> None:
    daemon.create(name="one", command="bash -c 'echo begun; sleep 60'")
    with Terminal(kala.url, "jobs", "start", "one", "--wait", columns=300) as terminal:
        terminal.wait("begun")
        terminal.signal(signal.SIGINT)
        assert terminal.end() == 130
        assert "the run goes on: `kala runs output" in terminal.text
    (run,) = kala.json("runs", "list", "--job", "one")["runs"]
    assert run["state"] == "running"
    kala("runs", "cancel", run["id"])


def test_on_a_terminal_what_is_said_has_a_line_of_its_own(daemon: KalaProcess, kala: Cli) -> None:
    daemon.create(name="one", command="printf end")
    with Terminal(kala.url, "jobs", "start", "one", "--wait") as terminal:
        assert terminal.end() == 0
        assert re.search(r"end\s*\nrun ", terminal.text)


def test_start_does_not_wait_unless_it_is_told_to(daemon: KalaProcess, kala: Cli) -> None:
    daemon.create(name="one", command="sleep 60")
    run_id = kala("jobs", "start", "one").stdout.strip()
    daemon.wait_for(lambda: kala.json("runs", "show", run_id)["run"]["state"] == "running")
    assert "someone asked for that" in kala("runs", "cancel", run_id).stdout
    daemon.wait_for(lambda: kala.json("runs", "show", run_id)["run"]["state"] == "cancelled")
    assert "has ended: cancelled" in kala("runs", "cancel", run_id, code=5).stderr


def test_output_is_written_byte_by_byte(daemon: KalaProcess, kala: Cli) -> None:
    daemon.create(name="one", command="printf '\\377\\000\\033[2Jend'")
    run_id = kala.json("jobs", "start", "one", "--wait")["run"]["id"]
    for flags in ([], ["--follow"], ["--attempt", "1"]):
        assert kala.process("runs", "output", run_id, *flags).stdout == TRICKY
    assert kala.json("runs", "output", run_id)["output"] == "\ufffd\x00\x1b[2Jend"
    kala("runs", "output", run_id, "--attempt", "9", code=2)
    kala("runs", "output", "nobody", code=4)


def test_what_is_not_kept_of_an_output_is_said(daemon: KalaProcess, kala: Cli) -> None:
    daemon.create(name="one", command="printf 0123456789", output_limit=4)
    run_id = kala.json("jobs", "start", "one", "--wait")["run"]["id"]
    ended = kala.process("runs", "output", run_id)
    assert (ended.stdout, ended.stderr) == (b"6789", b"The first 6 bytes of 10 are not kept.\n")


def test_lists_are_filtered_and_paged(daemon: KalaProcess, kala: Cli) -> None:
    for name, command in (("good", "true"), ("bad", "false")):
        daemon.create(name=name, command=command)
        for _ in range(2):
            kala("jobs", "start", name, "--wait", code=0 if name == "good" else 1)

    def listed(*flags: str) -> list[str]:
        jobs = {job["name"] for job in daemon.jobs().values()}
        return [run["job_name"] for run in kala.json("runs", "list", *flags)["runs"] if run["job_name"] in jobs]

    assert listed() == ["bad", "bad", "good", "good"]
    assert listed("--job", "good") == ["good", "good"]
    assert listed("--state", "failed,lost") == ["bad", "bad"]
    assert listed("--since", "1h") == listed("--all", "--limit", "1") == listed()
    assert listed("--since", "2100-01-01T00:00:00Z") == listed("--until", "1d") == []
    assert len(kala.json("runs", "list", "--limit", "1")["runs"]) == 1
    assert "There are more than these 1" in kala("runs", "list", "--limit", "1").stderr
    assert "is neither a moment" in kala("runs", "list", "--since", "yesterday", code=2).stderr
    assert "exit code 1" in kala("runs", "list", "--job", "bad").stdout


def test_show_explains_and_has_all_attempts(daemon: KalaProcess, kala: Cli) -> None:
    daemon.create(name="one", command="bash -c 'exit 7'", retries=1)
    run_id = kala.json("jobs", "start", "one", "--wait", code=1)["run"]["id"]
    shown = kala("runs", "show", run_id).stdout
    assert "at attempt 2: exit code 7" in shown
    assert shown.count("exit code 7") >= 3
    assert "there is no run" in kala("runs", "show", "nobody", code=4).stderr


def test_pause_and_resume(daemon: KalaProcess, kala: Cli) -> None:
    daemon.create(name="one")
    try:
        assert ": mending\n" in kala("pause", "--reason", "mending").stdout
        assert kala.json("pause")["paused"] is True
        assert "the daemon is paused" in kala("jobs", "start", "one", code=5).stderr
    finally:
        assert kala("resume").stdout == "not paused\n"
    assert kala.json("resume")["paused"] is False
    kala("jobs", "start", "one", "--wait")


def test_json_is_the_servers(daemon: KalaProcess, kala: Cli) -> None:
    daemon.create(name="one")
    run_id = kala("jobs", "start", "one").stdout.strip()
    daemon.wait_for(lambda: kala.json("runs", "show", run_id)["run"]["state"] == "succeeded")
    assert kala.json("runs", "show", run_id) == daemon.get(f"/api/v1/run/{run_id}/").json
    (listed,) = json.loads(kala("runs", "list", "--job", "one", "--json").stdout)["runs"]
    assert listed["id"] == run_id


NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (0.0004, "0ms"),
        (0.012, "12ms"),
        (0.9996, "1.0s"),
        (1.24, "1.2s"),
        (9.96, "10s"),
        (59.6, "1m 0s"),
        (184, "3m 4s"),
        (3_600 * 5 + 6 * 60, "5h 6m"),
        (7.34 * 86_400, "7d 8h"),
        (-2, "-2.0s"),
    ],
)
def test_lengths(seconds: float | None, said: str) -> None:
    assert phrases.length(seconds) == said


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", "2026-01-31T11:58:30Z"),
        ("2h", "2026-01-31T10:00:00Z"),
        ("1w", "2026-01-24T12:00:00Z"),
        ("2026-01-01T00:00:00+01:00", "2025-12-31T23:00:00Z"),
        ("2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.500000Z"),
    ],
)
def test_since(text: str, moment: str) -> None:
    assert phrases.since(text, NOW) == moment
