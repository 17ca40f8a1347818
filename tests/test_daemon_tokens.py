"""A daemon with tokens, and the commands that talk to it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_process import ROOT, KalaProcess
from guarded import Guarded

from kala.roles import Role


def kala(guarded: Guarded, *args: str, role: Role | None, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command that talks to the daemon, with the token of a role, or with none."""
    token = {} if role is None else {"KALA_TOKEN": guarded.secret(role)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KALA_")}
    return subprocess.run(
        [sys.executable, "-m", "kala", *args],
        capture_output=True,
        text=True,
        timeout=60,
        env={**inherited, "PYTHONPATH": str(ROOT), "KALA_URL": guarded.url, **token, **environment},
        check=False,
    )


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as running:
        yield running


CREATE = ("jobs", "create", "--name", "j", "--command", "true", "--schedule", "R/2099-01-01T00:00:00Z/P1D")


def test_commands_take_their_token_from_a_variable(guarded: Guarded) -> None:
    refused = kala(guarded, *CREATE, role=None)
    assert (refused.returncode, refused.stderr) == (
        6,
        "Error: a token is needed: Authorization: Bearer … (KALA_TOKEN, or --token-file)\n",
    )
    denied = kala(guarded, *CREATE, role=Role.RUN)
    assert denied.returncode == 6
    assert "this needs the role admin, and the token the-run has the role run" in denied.stderr
    assert kala(guarded, *CREATE, role=Role.ADMIN).returncode == 0
    listed = kala(guarded, "jobs", "list", "--json", role=Role.READ)
    assert [job["name"] for job in json.loads(listed.stdout)["jobs"].values()] == ["j"]
    assert kala(guarded, "jobs", "start", "j", "--wait", role=Role.RUN).returncode == 0


def test_or_from_a_file(guarded: Guarded, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text(guarded.secret(Role.READ) + "\n")
    path.chmod(0o600)
    for given in (("--token-file", str(path)), ()):
        environment = {} if given else {"KALA_TOKEN_FILE": str(path)}
        assert kala(guarded, "jobs", "list", *given, role=None, **environment).returncode == 0
    path.chmod(0o644)
    told = kala(guarded, "jobs", "list", "--token-file", str(path), role=None)
    assert told.returncode == 2
    assert "others may read it" in told.stderr
    told = kala(guarded, "jobs", "list", "--token-file", str(tmp_path / "none"), role=None)
    assert (told.returncode, "cannot be read" in told.stderr) == (2, True)


def test_watch_and_import_bring_the_token(guarded: Guarded, tmp_path: Path) -> None:
    told = kala(guarded, "watch", "--lines", role=None)
    assert told.returncode == 6, told.stderr
    jobs = tmp_path / "jobs.json"
    job = {"id": "one", "name": "one", "command": "true", "schedule": "R/2099-01-01T00:00:00Z/P1D"}
    jobs.write_text(json.dumps({"jobs": {"one": job}}))
    exported = kala(guarded, "export", role=Role.READ)
    assert exported.returncode == 0, exported.stderr
    assert kala(guarded, "import", str(jobs), "--to", guarded.url, role=Role.READ).returncode != 0
    taken = kala(guarded, "import", str(jobs), "--to", guarded.url, role=Role.ADMIN)
    assert taken.returncode == 0, taken.stderr


def test_hup_reads_tokens_and_opens_the_audit_file_anew(guarded: Guarded, tmp_path: Path) -> None:
    assert guarded.process is not None
    assert kala(guarded, *CREATE, role=Role.ADMIN).returncode == 0
    audit = tmp_path / "audit.jsonl"
    assert [who for line in audit.read_text().splitlines() if (who := json.loads(line).get("who"))] == ["the-admin"]
    assert audit.stat().st_mode & 0o777 == 0o600
    audit.rename(tmp_path / "audit.old")
    guarded.write([Role.READ, Role.ADMIN])
    guarded.process.send_signal(signal.SIGHUP)
    guarded.wait_for(lambda: kala(guarded, "jobs", "list", role=Role.RUN).returncode == 6, "the token is known")
    assert kala(guarded, *CREATE, role=Role.ADMIN).returncode == 0
    assert [who for line in audit.read_text().splitlines() if (who := json.loads(line).get("who"))] == ["the-admin"]
    guarded.tokens.write_text("what is this\n")
    guarded.process.send_signal(signal.SIGHUP)
    guarded.wait_log("the tokens stay as they were")
    assert kala(guarded, "jobs", "list", role=Role.READ).returncode == 0


def test_no_token_is_in_the_log_or_a_list_of_processes(tmp_path: Path) -> None:
    with Guarded(tmp_path, "--verbose") as guarded:
        for role in Role:
            kala(guarded, "jobs", "list", role=role)
        kala(guarded, "jobs", "list", role=None, KALA_TOKEN="kala_" + "x" * 43)
        written = guarded.log() + (tmp_path / "audit.jsonl").read_text()
        for secret in (*map(guarded.secret, Role), "x" * 43):
            assert secret not in written


def test_jobs_do_not_get_the_daemons_tokens(tmp_path: Path) -> None:
    with KalaProcess(tmp_path, environment={"KALA_TOKEN": "mine", "KALA_SECRET_DB": "hush"}) as running:
        job_id = running.create(command="env")
        running.post(f"/api/v1/job/start/{job_id}/")
        run_id = running.get(f"/api/v1/run/?job={job_id}").json["runs"][0]["id"]
        printed = running.request("GET", f"/api/v1/run/{run_id}/output/")[1].decode()
        assert "KALA_JOB_ID" in printed
        assert "mine" not in printed
        assert "hush" not in printed


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "holds no token, so that nobody could come in"),
        ("ci run\n", "line 1: is not `name role sha256:hash`"),
    ],
)
def test_a_bad_file_stops_the_start(tmp_path: Path, lines: str, said: str) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(lines)
    refused = KalaProcess(tmp_path, "--tokens-file", str(path))
    refused.launch()
    assert refused.wait() == 2
    assert said in refused.log()
