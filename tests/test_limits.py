"""Limits of real processes: set, inherited, hit, and refused."""

import errno
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import DEFAULTS, ENVIRONMENT, printed, run, sh
from processes import way as way
from switching import needs_root, other

from kala.errors import CommandError
from kala.job import Attempt, Limits
from kala.processes.confinement import Confinement
from kala.states import State

pytestmark = pytest.mark.usefixtures("way")
ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20


def limited(**limits: int) -> Confinement:
    return Confinement(limits=Limits(**limits))


def python(script: str, **options: Any) -> tuple[Attempt, bytes]:
    return run(sys.executable, "-I", "-S", "-c", script, **options)


def test_limits_hold_in_all_that_it_starts() -> None:
    nice = os.getpriority(os.PRIO_PROCESS, 0) + 3
    confinement = limited(memory=512 * MIB, cpu_time=100, open_files=77, nice=nice)
    look = "ulimit -Sv; ulimit -Hv; ulimit -St; ulimit -Ht; ulimit -Sn; ulimit -Hn; nice"
    _, output = sh(f"{look}; sh -c 'sh -c \"{look}\"'", confinement=confinement)
    mine = ["524288", "524288", "100", "105", "77", "77", str(nice)]
    assert output.decode().split() == mine + mine


def test_those_that_are_not_set_are_as_they_were() -> None:
    look = "ulimit -Sv; ulimit -Hv; ulimit -St; ulimit -Ht; ulimit -Sn; ulimit -Hn; nice"
    before = sh(look)[1].split()
    assert sh(look, confinement=limited())[1].split() == before
    assert sh(look, confinement=limited(open_files=64))[1].split() == [*before[:4], b"64", b"64", before[6]]


def test_memory_is_bounded() -> None:
    script = "try: x = bytes(200 << 20)\nexcept MemoryError: print('no more'); raise SystemExit(3)"
    attempt, output = python(script, confinement=limited(memory=128 * MIB))
    assert (attempt.exit_code, output) == (3, b"no more\n")
    assert python(script, confinement=limited(memory=512 * MIB))[0].state is State.SUCCEEDED


def test_open_files_are_bounded() -> None:
    script = (
        "import os\n"
        "try:\n while True: last = os.open('/dev/null', 0)\n"
        "except OSError as error: print(error.errno, last)"
    )
    _, output = python(script, confinement=limited(open_files=20))
    assert output == f"{errno.EMFILE} 19\n".encode()


@dataclass(frozen=True)
class Spent:
    argv: tuple[str, ...]
    signal: int | None
    exit_code: int | None
    error: str


BUSY = "while :; do :; done"
SPENT = {
    "itself": Spent(
        ("sh", "-c", BUSY),
        signal.SIGXCPU,
        None,
        "ended by signal 24 (SIGXCPU): the limit of processor time was reached, 1 s",
    ),
    "a child of a shell": Spent(
        ("sh", "-c", f"sh -c '{BUSY}'; exit $?"),
        None,
        152,
        "exit code 152: a process reached the limit of processor time, 1 s",
    ),
}


@pytest.mark.parametrize("way", ["best", "popen"], indirect=True)
@pytest.mark.parametrize("case", SPENT.values(), ids=SPENT)
def test_processor_time_is_bounded(case: Spent) -> None:
    attempt, _ = run(*case.argv, confinement=limited(cpu_time=1), timeout=120)
    assert (attempt.state, attempt.signal, attempt.exit_code, attempt.error) == (
        (State.FAILED, case.signal, case.exit_code, case.error)
    )
    assert 800_000 <= attempt.cpu < 2_500_000


@pytest.mark.slow
@pytest.mark.parametrize("way", ["best"], indirect=True)
def test_what_does_not_heed_xcpu_is_killed_some_seconds_later() -> None:
    attempt, output = sh(f"trap 'echo soon' XCPU; {BUSY}", confinement=limited(cpu_time=1), timeout=120)
    assert (attempt.signal, output[:5]) == (signal.SIGKILL, b"soon\n")
    assert attempt.error == "ended by signal 9 (SIGKILL), with more processor time used than the limit of 1 s"
    assert 5_000_000 < attempt.cpu < 8_000_000


def test_a_kill_or_a_code_that_has_nothing_to_do_with_it_is_told_as_it_is() -> None:
    assert sh("kill -9 $$", confinement=limited(cpu_time=1))[0].error == "ended by signal 9 (SIGKILL)"
    assert sh("exit 24", confinement=limited(cpu_time=1))[0].error == "exit code 24"
    assert sh("exit 152")[0].error == "exit code 152"
    assert sh("kill -XCPU $$")[0].error == "ended by signal 24 (SIGXCPU)"


def test_a_limit_that_cannot_be_set_is_named_and_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, output = run("true", confinement=limited(memory=512 * MIB, open_files=2**31))
    expected = "limits.open_files: cannot be set to 2147483648: this is more than the system allows"
    assert attempt.error.removesuffix(" anyone but root") == expected
    assert (attempt.state, attempt.exit_code, output) == (State.FAILED, None, attempt.error.encode())
    monkeypatch.setitem(DEFAULTS, "confinement", limited(open_files=2**31))
    with pytest.raises(CommandError, match=r"limits\.open_files: cannot be set"):
        printed("true")


RAISED = """
import os, resource, trio
from kala.clock import Clock
from kala.job import Limits
from kala.processes.command import run_command
from kala.processes.confinement import Confinement
from kala.processes.users import find_user
resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
confinement = Confinement(find_user("nobody"), Limits(open_files=600))
async def main():
    given = {"number": 1, "environment": os.environ, "clock": Clock(), "confinement": confinement}
    return await run_command(["sh", "-c", "id -un; ulimit -Hn"], **given)
print(trio.run(main)[1].decode().split("\\n"))
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 600))
except ValueError:
    print("not allowed")
"""


@needs_root
@pytest.mark.parametrize("way", ["best"], indirect=True)
def test_root_goes_beyond_its_own_limits_before_it_becomes_another_user(way: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", RAISED],
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    refused = "limits.open_files: cannot be set to 600: this is more than the system allows"
    came = found.stdout.splitlines()
    if came[1:] == ["not allowed"]:  # a container's root often has no CAP_SYS_RESOURCE
        assert came[0] == str([refused])
    else:
        assert came == [str(["nobody", "600", ""])], found.stderr


def test_without_its_interpreter_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kala.processes.spawn.COMMAND", [b"/no/interpreter", b"-c", b""])
    attempt, _ = run("true", confinement=limited())
    fault = f"{sys.executable}, which sets users and limits, cannot be started: No such file or directory"
    assert (attempt.state, attempt.error) == (State.FAILED, fault)


def test_too_little_memory_to_start_it_is_never_a_start_without_limit() -> None:
    attempt, _ = run("true", confinement=limited(memory=MIB))
    assert attempt.state is State.FAILED
    attempt, _ = run("true", environment={f"A{n}": "x" * 100_000 for n in range(15)}, confinement=limited(memory=MIB))
    assert attempt.error == "limits.memory: 1048576 is too little to start true"


@needs_root
def test_users_and_limits_go_together() -> None:
    confinement = Confinement(other(), Limits(memory=256 * MIB, open_files=33, nice=-3))
    _, output = sh("id -un; ulimit -Hv; ulimit -Hn; nice", confinement=confinement)
    assert output.decode().split() == ["nobody", "262144", "33", "-3"]
