"""A real daemon whose commands run as other users, and within limits."""

import grp
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from switching import WITHOUT_ROOT, needs_root, needs_setpriv, other
from switching import open_folder as open_folder
from test_daemon_runs import ended, gone, pid_in, printed, started

from kala.processes.users import find_user
from tests.daemon_process import API, KalaProcess

pytestmark = [pytest.mark.slow, needs_root]
USAGE = 2


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KalaProcess]:
    with KalaProcess(tmp_path_factory.mktemp("kala"), "--no-persist", "--run-as", "nobody") as kala:
        yield kala


def outcome(kala: KalaProcess, command: str, **members: Any) -> tuple[str, str, str]:
    """The state of a run, what its process printed, and its error."""
    _, run_id = started(kala, command=command, **members)
    run = ended(kala, run_id)
    return run["state"], printed(kala, run_id), run["attempts"][-1]["error"]


def test_commands_run_as_the_default_with_its_environment(daemon: KalaProcess) -> None:
    state, output, error = outcome(daemon, "id -un; id -gn; echo $HOME $USER $LOGNAME $SHELL $KALA_TRIGGER")
    me = other()
    assert (state, error) == ("succeeded", "")
    assert output.split() == ["nobody", grp.getgrgid(me.gid).gr_name, me.home, "nobody", "nobody", me.shell, "manual"]


def test_words_and_backticks_are_that_users(daemon: KalaProcess) -> None:
    command = "echo $HOME `id -un` `echo $USER`"
    assert outcome(daemon, command, shell=False, run_as="daemon")[1] == f"{find_user('daemon').home} daemon daemon\n"
    state, _, error = outcome(daemon, "echo `cat /etc/shadow`", shell=False)
    assert (state, error) == ("failed", "cat in backticks failed: exit code 1")


def test_what_the_jobs_environment_names_is_as_it_says(daemon: KalaProcess) -> None:
    environment = {"HOME": "/tmp", "USER": "me"}
    assert outcome(daemon, "echo $HOME $USER $LOGNAME", environment=environment)[1] == "/tmp me nobody\n"


@pytest.mark.parametrize(
    ("run_as", "error"),
    [
        ("root", "run_as: root is refused to commands, as this daemon has --run-as"),
        ("0:daemon", "run_as: root is refused to commands, as this daemon has --run-as"),
        ("nobody:root", "run_as: nobody is not in group 0, and this daemon has --run-as"),
        ("no-such-user", "run_as: there is no user no-such-user on this host"),
    ],
)
def test_who_cannot_be_had_is_a_failed_attempt(daemon: KalaProcess, run_as: str, error: str) -> None:
    assert outcome(daemon, "id", run_as=run_as) == ("failed", error, error)


def test_limits_reach_the_process_and_the_backticks(daemon: KalaProcess) -> None:
    limits = {"open_files": 32, "nice": 7}
    state, output, _ = outcome(daemon, "ulimit -n; nice; id -un", limits=limits)
    assert (state, output.split()) == ("succeeded", ["32", "7", "nobody"])
    assert outcome(daemon, "echo `nice`", shell=False, limits=limits)[1] == "7\n"
    job_id = daemon.create(run_as="daemon", limits=limits)
    job = daemon.job(job_id)
    assert (job["run_as"], job["limits"]) == ("daemon", limits)
    refused = daemon.post(f"{API}/job/", {"name": "j", "command": "true", "run_as": "a:", "limits": {"nice": 99}})
    assert (refused.status, sorted(refused.json["fields"])) == (400, ["limits.nice", "run_as"])


def test_a_run_of_another_user_is_cancelled(daemon: KalaProcess, open_folder: Path) -> None:
    open_folder.chmod(0o777)
    here = open_folder / "pid"
    command = f"trap '' TERM; echo $$ > {here}; while :; do sleep 0.05; done"
    _, run_id = started(daemon, command=command, kill_after="PT0.3S")
    pid = pid_in(daemon, here)
    assert os.stat(f"/proc/{pid}").st_uid == other().uid
    assert daemon.post(f"{API}/run/{run_id}/cancel/").status == 202
    run = ended(daemon, run_id)
    assert (run["state"], run["attempts"][0]["signal"]) == ("cancelled", signal.SIGKILL)
    assert gone(pid)()


def test_what_a_killed_daemon_left_of_another_user_is_ended_by_the_next(tmp_path: Path, open_folder: Path) -> None:
    open_folder.chmod(0o777)
    here = open_folder / "pid"
    with KalaProcess(tmp_path) as kala:
        command = f"echo $$ > {here}; while :; do sleep 0.05; done"
        _, run_id = started(kala, command=command, run_as="nobody")
        pid = pid_in(kala, here)
        kala.kill()
        assert not gone(pid)()
        kala.start()
        assert gone(pid)()
        assert ended(kala, run_id)["state"] == "lost"


def test_without_a_default_commands_are_roots_unless_they_name_somebody(tmp_path: Path) -> None:
    with KalaProcess(tmp_path, "--no-persist") as kala:
        assert outcome(kala, "id -un; echo $HOME")[1] == f"root\n{tmp_path}\n"
        strange = outcome(kala, "id -un; id -g; echo $HOME", run_as=f"daemon:{other().gid}")[1]
        assert strange.split() == ["daemon", str(other().gid), find_user("daemon").home]
        assert outcome(kala, "id -un; echo $HOME", run_as="root")[1].split()[0] == "root"


@pytest.mark.parametrize(
    ("run_as", "fault"),
    [
        ("no-such-user", "--run-as: there is no user no-such-user on this host"),
        ("nobody:no-such-group", "--run-as: there is no group no-such-group on this host"),
        ("a b", "--run-as: must be a user, or user:group, by name or number, not 'a b'"),
    ],
)
def test_a_default_that_is_not_there_refuses_the_start(tmp_path: Path, run_as: str, fault: str) -> None:
    kala = KalaProcess(tmp_path, "--no-persist", "--run-as", run_as)
    kala.launch()
    assert kala.wait() == USAGE
    assert fault in kala.log()
    assert "Traceback" not in kala.log()


@needs_setpriv
def test_a_daemon_that_is_not_root_cannot_have_another_default(tmp_path: Path) -> None:
    command = [*WITHOUT_ROOT, sys.executable, "-m", "kala", "serve"]
    kala = KalaProcess(tmp_path, "--no-persist", "--run-as", "daemon", command=command)
    kala.launch()
    assert kala.wait() == USAGE
    assert "--run-as: only a daemon that runs as root can start commands as daemon" in kala.log()
    with KalaProcess(tmp_path, "--no-persist", "--run-as", "nobody", command=command) as kala:
        assert outcome(kala, "id -un; echo $HOME")[1] == f"nobody\n{other().home}\n"
        state, _, error = outcome(kala, "id", run_as="daemon")
        assert (state, error[:52]) == ("failed", "run_as: only a daemon that runs as root can start co")
