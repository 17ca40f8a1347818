"""For tests that run real processes."""

import os
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import trio

from kala.clock import Clock
from kala.job import Attempt
from kala.processes import spawn
from kala.processes.command import run_command, substitute
from kala.processes.confinement import Confinement
from kala.processes.launch import new_launch, with_popen
from kala.processes.syscalls import Plain

ENVIRONMENT = dict(os.environ)
WAYS: dict[str, Callable[[], spawn.Spawner]] = {
    "best": lambda: spawn.Spawner(new_launch()),
    "popen": lambda: spawn.Spawner(with_popen, Plain()),
    "no pidfd": lambda: spawn.Spawner(new_launch(), pidfds=False),
    "confined": lambda: spawn.Spawner(new_launch()),
    "confined by popen": lambda: spawn.Spawner(with_popen, Plain()),
}
DEFAULTS: dict[str, Any] = {"confinement": None}  # of commands that say nothing of it
THREADS: dict[str, spawn.Spawner] = {}  # they stay, so each is made once


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with every way of starting and watching. Modules use it by `pytestmark`."""
    if request.param not in THREADS:
        THREADS[request.param] = WAYS[request.param]()
    monkeypatch.setattr(spawn, "_spawners", cycle([THREADS[request.param]]))
    if request.param.startswith("confined"):
        monkeypatch.setitem(DEFAULTS, "confinement", Confinement())
    return request.param


def run(*argv: str, **options: Any) -> tuple[Attempt, bytes]:
    async def main() -> tuple[Attempt, bytes]:
        return await command(*argv, **options)

    return trio.run(main)


async def command(*argv: str, **options: Any) -> tuple[Attempt, bytes]:
    return await run_command(argv, **{"number": 1, "environment": ENVIRONMENT, "clock": Clock(), **DEFAULTS, **options})


def printed(*argv: str) -> str:
    """What a command in backticks prints."""

    async def main() -> str:
        return await substitute(argv, ENVIRONMENT, None, DEFAULTS["confinement"])

    return trio.run(main)


def sh(script: str, **options: Any) -> tuple[Attempt, bytes]:
    return run("/bin/sh", "-c", script, **options)


async def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - nothing tells when
            await trio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether there is such a process, not counting one that only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False
