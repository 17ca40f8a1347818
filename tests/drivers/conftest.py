"""The engines, and the database that a test is given."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from kala.drivers.memory import MemoryDriver
from kala.drivers.sqlite import SqliteDriver

pytest.register_assert_rewrite(f"{__package__}.conformance")

from .conformance.database import Database  # noqa: E402 - its asserts are rewritten from here on


@contextmanager
def sqlite(folder: Path) -> Iterator[Database]:
    yield Database(lambda: SqliteDriver(folder / "kala.db"))


@contextmanager
def memory(folder: Path) -> Iterator[Database]:
    driver = MemoryDriver()
    yield Database(lambda: driver, lasting=False)


ENGINES: dict[str, Callable[[Path], AbstractContextManager[Database]]] = {"sqlite": sqlite, "memory": memory}
"""A driver joins the conformance suite here: what gives an empty database, and takes it away again. One that needs a
server skips, with the reason, where there is none."""


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each engine in turn."""
    with ENGINES[request.param](tmp_path) as made:
        try:
            yield made
        finally:
            made.close()
