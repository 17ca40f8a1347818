"""The engines, and the databases that tests are given."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from missing import require
from servers.registry import SERVICES
from servers.service import Service
from servers.shared import Shared

from kala.drivers.memory import MemoryDriver
from kala.drivers.sqlite import SqliteDriver

pytest.register_assert_rewrite(f"{__package__}.conformance", f"{__package__}.served", f"{__package__}.pretended")

from .conformance.database import Database  # noqa: E402 - its asserts are rewritten from here on
from .conformance.faulty import FaultyDatabase  # noqa: E402
from .pretended import PretendedDatabase  # noqa: E402
from .served import ServedDatabase, database_on  # noqa: E402

ENGINES = ["sqlite", "memory", *SERVICES]
"""What keeps the conformance suite: the embedded ones, and a driver on every server that tests can start."""


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each engine in turn."""
    if request.param == "sqlite":
        made = Database(lambda: SqliteDriver(tmp_path / "kala.db"))
    elif request.param == "memory":
        driver = MemoryDriver()
        made = Database(lambda: driver, lasting=False)
    else:
        made = database_on(request.getfixturevalue("started")(request.param))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module", params=["pretended", *SERVICES])
def faulty_server(
    request: pytest.FixtureRequest, servers: Shared, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service | None]:
    """A server of each kind in turn, for faults alone; None for one that is only pretended."""
    if request.param == "pretended":
        yield None
        return
    kind = SERVICES[request.param]
    require(kind)
    service = kind(tmp_path_factory.mktemp(request.param) / "server")
    try:
        servers.note(request.param, service.start())
        yield service
    finally:
        service.kill()


@pytest.fixture
def faulty_database(faulty_server: Service | None) -> Iterator[FaultyDatabase]:
    """An empty database on it."""
    made = PretendedDatabase() if faulty_server is None else ServedDatabase(faulty_server)
    try:
        yield made
    finally:
        made.close()
