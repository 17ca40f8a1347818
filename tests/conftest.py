"""What tests share: real daemons, and programs that a machine may lack."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_process import KalaProcess


@pytest.fixture
def start_kala(tmp_path: Path) -> Iterator[Callable[..., KalaProcess]]:
    """Starts real daemons: `start_kala("--drain", "1")`, each in a folder of its own unless `folder` is given.

    At the end each is stopped, must end with exit code 0, and leaves no process behind.
    """
    started: list[KalaProcess] = []

    def start(*flags: str, folder: Path | None = None, environment: dict[str, str] | None = None) -> KalaProcess:
        kala = KalaProcess(folder or tmp_path / f"kala{len(started)}", *flags, environment=environment)
        started.append(kala)
        return kala.start()

    yield start
    faults = []
    for kala in started:
        try:
            kala.__exit__(None, None, None)
        except AssertionError as fault:
            faults.append(fault)
    if faults:
        raise faults[0]


@pytest.fixture
def kala(start_kala: Callable[..., KalaProcess]) -> KalaProcess:
    """A real daemon."""
    return start_kala()


@pytest.fixture
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings come from this machine: an empty home folder, and no variables of ours."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("KALA_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def program() -> Callable[[str], str]:
    """The path of a program that a test needs. Where it is missing, the test is skipped, and fails when `CI` is set."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            because = f"{name} is not installed: scripts/services installs it"
            if os.environ.get("CI"):
                pytest.fail(because)
            pytest.skip(because)
        return path

    return find
