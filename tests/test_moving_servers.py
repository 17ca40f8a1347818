"""Moves from one kind of database to the next, until all that there was is back where it came from."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from missing import missing
from moved import fill, holding
from servers.registry import SERVICES
from servers.service import Service, flags_of

from kala.cli import main
from kala.drivers.contract import Driver
from kala.drivers.sqlite import SqliteDriver
from kala.places import driver_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_settings")]


def settings_of(service: Service, file: Path) -> Path:
    """The settings file of a daemon that works on a new database of a server."""
    flags = (flag.removeprefix("--").split("=", 1) for flag in flags_of(service.engine, service.fresh()))
    file.write_text(json.dumps(dict(flags)))
    return file


def opened(place: str | Path) -> Driver:
    driver = driver_of(str(place))
    driver.open()
    return driver


SLOW = frozenset({"ferretdb"})
"""What looks through everything for each output: it is given little."""


@pytest.mark.parametrize(
    ("names", "jobs", "rows"),
    [
        pytest.param(SERVICES.keys() - SLOW, 600, 1_500, id="quick"),
        pytest.param(SERVICES.keys() & SLOW, 12, 24, id="slow"),
    ],
)
def test_a_ring_through_every_database(
    started: Callable[[str], Service], tmp_path: Path, names: frozenset[str], jobs: int, rows: int
) -> None:
    first, last = tmp_path / "first.db", tmp_path / "last.db"
    driver = SqliteDriver(first)
    driver.open()
    fill(driver, jobs=jobs, rows=rows)
    wanted = holding(driver)
    driver.close()

    ring, absent = [first], []
    for name in sorted(names):
        if lacking := SERVICES[name].missing():
            absent.append(f"{name} ({lacking} is missing)")
        else:
            ring.append(settings_of(started(name), tmp_path / f"{name}.json"))
    ring.append(last)
    for source, target in itertools.pairwise(ring):
        result = CliRunner().invoke(main, ["move", str(source), str(target)])
        assert result.exit_code == 0, (source.name, target.name, result.output, result.exception)
    driver = opened(last)
    try:
        assert holding(driver) == wanted
    finally:
        driver.close()
    if absent:
        missing(f"{', '.join(absent)}: scripts/services installs it")
