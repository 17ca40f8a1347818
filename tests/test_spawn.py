"""Threads that start programs: starts go before ends, and take not all descriptors."""

import errno
import os
import resource
import sys
from itertools import cycle
from pathlib import Path

import pytest
import trio
import trio.testing
from processes import command

from kala.processes import spawn
from kala.processes.programs import SENTENCES

HELD = 60.0
"""Seconds that ends would wait: longer than this takes in any case."""


def is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_ends_wait_while_others_are_to_be_started_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "BUSY_LINGER", HELD)
    spawner = spawn.Spawner()
    monkeypatch.setattr(spawn, "_spawners", cycle([spawner]))
    monkeypatch.setattr(spawn, "_all", [spawner])
    file, ended = tmp_path / "pid", trio.Event()

    async def one() -> None:
        await command("/bin/sh", "-c", f"echo $$ > {file}.new && mv {file}.new {file}")
        ended.set()

    async def main() -> None:
        await command("/bin/true")  # which is told, so that the next one has to wait
        # given others that are to be started, and a process that ends meanwhile
        await spawn.wait_room(True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            with trio.fail_after(30):
                while not (file.exists() and is_dead(int(file.read_text()))):  # noqa: ASYNC110  # it is not ours to tell
                    await trio.sleep(0.01)
            # then nobody is told of it
            await trio.sleep(20 * spawn.LINGER)
            assert not ended.is_set()
            assert sys.getswitchinterval() == pytest.approx(spawn.HASTY)
            # until all have been started: then at once
            await spawn.wait_room(False)
            with trio.fail_after(HELD / 4):
                await ended.wait()
            assert sys.getswitchinterval() == pytest.approx(spawn.CALM)

    trio.run(main)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_descriptors_are_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []

    async def sleeper() -> None:
        await command("/bin/sleep", "600")

    async def main() -> None:
        # given a limit that leaves some for runs
        open_now = [int(name) for name in os.listdir("/proc/self/fd")]
        limit = max(open_now) + spawn.SPARED + 20
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        spawner = spawn.Spawner()
        monkeypatch.setattr(spawn, "_spawners", cycle([spawner]))
        monkeypatch.setattr(spawn, "_all", [spawner])
        async with trio.open_nursery() as nursery:
            # when there are more than it allows, each of which gets a second one later
            for _ in range(limit - len(open_now)):
                nursery.start_soon(sleeper)
            await trio.testing.wait_all_tasks_blocked()
            with trio.fail_after(30):
                attempt, _ = await command("/bin/sleep", "600")
                assert attempt.error == SENTENCES[errno.EMFILE]
                while spawner._young:  # noqa: ASYNC110  # it is not ours to tell
                    await trio.sleep(0.01)
            # then the database, say, can have what it needs
            opened.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(spawn.SPARED))
            nursery.cancel_scope.cancel()

    try:
        trio.run(main)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in opened:
            os.close(fd)
