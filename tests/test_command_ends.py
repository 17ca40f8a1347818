"""Ending real processes: what they leave behind, timeouts, stopping, cancelling, and how backticks end."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from processes import alive, command, printed, run, sh, wait_for
from processes import way as way
from trio.testing import wait_all_tasks_blocked

from kala.errors import CommandError
from kala.job import Attempt
from kala.processes.spawn import GRACE
from kala.states import State
from kala.stop import Stop

pytestmark = pytest.mark.usefixtures("way")


def there(pid: int) -> bool:
    """Whether the process exists at all, if only to be reaped."""
    return os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize(
    "script",
    [
        "sleep 300 & echo $!",
        "on=$(mktemp -u); sh -c 'trap \"\" TERM HUP; sleep 300 & echo $!; : > $0; wait' $on &"
        " until [ -e $on ]; do sleep 0.02; done; rm $on",
    ],
    ids=["background", "deaf"],
)
def test_what_is_left_in_its_group_is_killed_when_it_has_ended(script: str) -> None:
    attempt, output = sh(script)
    assert attempt.state == State.SUCCEEDED
    assert attempt.ended - attempt.started < 5_000_000
    trio.run(wait_for, lambda: not alive(int(output)))


def test_a_daemonised_grandchild_that_holds_the_pipe_does_not_hold_up_the_run(tmp_path: Path) -> None:
    here, began = tmp_path / "pid", time.monotonic()
    left = f"setsid sh -c 'echo $$ > {here}; exec sleep 300'"
    attempt, output = sh(f"{left} & until [ -s {here} ]; do sleep 0.02; done; cat {here}")
    took = time.monotonic() - began
    pid = int(output)
    try:
        assert attempt.state == State.SUCCEEDED
        assert alive(pid)  # it has left our group on purpose
        assert GRACE <= took < GRACE + 10
        assert attempt.ended - attempt.started < (took - 0.8 * GRACE) * 1_000_000  # the leader's own time
    finally:
        os.kill(pid, signal.SIGKILL)


def test_what_a_grandchild_still_prints_is_read_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kala.processes.spawn.GRACE", 10.0)
    on = tmp_path / "on"
    late = f"setsid sh -c ': > {on}; sleep 0.2; echo late'"
    _, output = sh(f"echo early; {late} & until [ -e {on} ]; do sleep 0.02; done")
    assert output == b"early\nlate\n"


def test_timeout_ends_the_group_with_term() -> None:
    attempt, output = sh("trap 'echo bye; exit 5' TERM; sleep 300 & wait", timeout=2)
    assert (attempt.state, attempt.exit_code, output) == (State.TIMED_OUT, 5, b"bye\n")
    assert attempt.error == "timed out after 2 s"
    assert 2_000_000 <= attempt.ended - attempt.started < 12_000_000


def test_what_is_deaf_to_term_is_killed_after_a_while() -> None:
    attempt, output = sh("trap '' TERM; echo $$; while :; do sleep 1; done", timeout=2, kill_after=0.3)
    assert (attempt.state, attempt.signal) == (State.TIMED_OUT, signal.SIGKILL)
    assert attempt.error == "timed out after 2 s"
    assert 2_300_000 <= attempt.ended - attempt.started < 12_000_000
    assert not alive(int(output))


def test_what_ends_in_time_is_not_timed_out() -> None:
    assert sh("echo hi", timeout=30)[0].state == State.SUCCEEDED


@dataclass(frozen=True)
class Stopping:
    script: str
    requests: int
    signal: int
    kill_after: float


STOPPINGS = {
    "kind": Stopping("echo on; exec sleep 300", 1, signal.SIGTERM, 60),
    "deaf": Stopping("trap '' TERM; echo on; while :; do sleep 1; done", 1, signal.SIGKILL, 0.8),
    "hurried": Stopping("trap '' TERM; echo on; while :; do sleep 1; done", 2, signal.SIGKILL, 60),
}


@pytest.mark.parametrize("case", STOPPINGS.values(), ids=STOPPINGS)
def test_stop_gives_an_attempt_that_was_cancelled(case: Stopping, tmp_path: Path) -> None:
    async def main() -> None:
        stop, begun = Stop(), trio.Event()
        results: list[tuple[Attempt, bytes]] = []

        async def one() -> None:
            argv = "/bin/sh", "-c", case.script.replace("echo on;", f"touch {tmp_path}/on;")
            results.append(
                await command(*argv, stop=stop, kill_after=case.kill_after, on_start=lambda pid: begun.set())
            )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            await begun.wait()
            await wait_for((tmp_path / "on").exists)
            asked = trio.current_time()
            for _ in range(case.requests):
                stop.request()
                await trio.sleep(0.01)
        assert trio.current_time() - asked < 30
        [(attempt, _)] = results
        assert (attempt.state, attempt.signal) == (State.CANCELLED, case.signal)
        assert attempt.error == "cancelled"

    trio.run(main)


def test_stop_before_the_start_prevents_it(tmp_path: Path) -> None:
    stop = Stop()
    stop.request()
    attempt, _ = run("touch", str(tmp_path / "x"), stop=stop)
    assert (attempt.state, attempt.error) == (State.CANCELLED, "cancelled before its start")
    assert not (tmp_path / "x").exists()


def test_stop_while_it_waits_to_be_started_is_clean() -> None:
    async def main() -> None:
        stops = [Stop() for _ in range(200)]
        attempts = []

        async def one(stop: Stop) -> None:
            attempts.append((await command("sleep", "300", stop=stop))[0])

        async with trio.open_nursery() as nursery:
            for stop in stops:
                nursery.start_soon(one, stop)
            await wait_all_tasks_blocked()
            for stop in stops:
                stop.request()
        assert {attempt.state for attempt in attempts} == {State.CANCELLED}
        assert len(attempts) == 200
        # and a stop that comes when all is over does nothing
        stops[0].request()

    trio.run(main)


def test_cancelling_the_task_ends_the_group_first(tmp_path: Path) -> None:
    async def main() -> None:
        pids: list[int] = []
        with trio.CancelScope() as scope:

            def begun(pid: int) -> None:
                pids.append(pid)
                scope.cancel()

            await command("/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done", kill_after=0.3, on_start=begun)
        assert scope.cancelled_caught
        assert not there(pids[0])
        # before anything has started
        with trio.CancelScope() as scope:
            scope.cancel()
            await command("sleep", "300")
        assert scope.cancelled_caught

    trio.run(main)


def test_an_error_of_on_start_is_raised_and_leaves_no_process() -> None:
    pids = []

    def wrong(pid: int) -> None:
        pids.append(pid)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        run("sleep", "300", on_start=wrong)
    assert not there(pids[0])


SUBSTITUTES: dict[str, tuple[str, str | None, str]] = {
    "output": ("echo hi; echo no >&2", "hi\n", ""),
    "not text": ("printf '\\377'", "\udcff", ""),
    "failure": ("exit 3", None, "sh in backticks failed: exit code 3"),
    "too much": ("yes", None, "sh in backticks printed more than 1048576 bytes"),
    "left behind": ("sleep 300 & echo hi", "hi\n", ""),
}


@pytest.mark.parametrize(("script", "output", "error"), SUBSTITUTES.values(), ids=SUBSTITUTES)
def test_backticks_give_standard_output(script: str, output: str | None, error: str) -> None:
    def attempt() -> str:
        return printed("sh", "-c", script)

    if output is None:
        with pytest.raises(CommandError, match=error):
            attempt()
    else:
        assert attempt() == output


def test_backticks_without_their_program_or_end_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    for argv in (["no-such-thing"], ["/no/such/thing"]):
        with pytest.raises(CommandError, match=r"no such program: .*no"):
            printed(*argv)
    monkeypatch.setattr("kala.processes.command.SUBSTITUTE_TIMEOUT", 0.2)
    with pytest.raises(CommandError, match=r"has not ended within 0\.2 s"):
        printed("sleep", "300")
