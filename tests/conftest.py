"""What tests share: real daemons, and programs that a machine may lack."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_process import KalaProcess
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("servers.service", "servers.shared")

from missing import missing, require  # noqa: E402 - asserts are rewritten from here on
from servers.registry import SERVICES  # noqa: E402
from servers.service import Service, flags_of  # noqa: E402
from servers.shared import EngineServer, Shared  # noqa: E402

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

SERVERS = pytest.StashKey[Shared]()


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
            missing(f"{name} is not installed: scripts/services installs it")
        return path

    return find


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Shared]:
    """A server of each kind, which the whole session shares: whoever uses one leaves it well."""
    shared = pytestconfig.stash[SERVERS] = Shared(tmp_path_factory.mktemp("servers"))
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def started(servers: Shared) -> Callable[[str], Service]:
    """The shared server of a name, running. Where it is not installed, the test is skipped, and fails when `CI` is
    set."""

    def get(name: str) -> Service:
        require(SERVICES[name])
        return servers.get(name)

    return get


@pytest.fixture(params=SERVICES)
def engine_server(request: pytest.FixtureRequest, started: Callable[[str], Service]) -> EngineServer:
    """A new database on each kind of server in turn, for daemons."""
    service = started(request.param)
    server = service.fresh()
    return EngineServer(service.engine, server, service, flags_of(service.engine, server))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Which servers the tests ran on, and of which version."""
    if (shared := config.stash.get(SERVERS, None)) is not None:
        terminalreporter.write_line(shared.summary())
