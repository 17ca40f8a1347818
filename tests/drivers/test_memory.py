"""What only the memory driver has, and the registry of engines."""

import sys

import pytest

from kala.drivers import ENGINES, driver_class, memory
from kala.drivers.memory import MemoryDriver
from kala.drivers.sqlite import SqliteDriver
from kala.errors import SettingsError

from .conformance.database import START, done, drop, put


def test_the_clock_may_be_given() -> None:
    moments = iter([START, START + 1])
    driver = MemoryDriver(lambda: next(moments))
    assert (driver.now(), driver.now()) == (START, START + 1)


def test_deletions_are_told_of_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEPT_DELETIONS", 3)
    driver = MemoryDriver()
    done(driver.commit([put(f"k{n}", 1) for n in range(5)]))
    tokens = [driver.changes("").token]
    for n in range(5):
        done(driver.commit([drop(f"k{n}", 1)]))
        tokens.append(driver.changes("").token)
    assert [driver.changes(token).reset for token in tokens] == [True, True, False, False, False, False]
    assert sorted(driver.changes(tokens[2]).deleted) == [("job", "k2"), ("job", "k3"), ("job", "k4")]


def test_an_engine_is_found_by_its_name() -> None:
    assert driver_class("memory") is MemoryDriver
    assert driver_class("sqlite") is SqliteDriver
    assert all(driver_class(engine).name for engine in ENGINES)
    with pytest.raises(SettingsError, match=r"'oracle'.*memory.*sqlite"):
        driver_class("oracle")


def test_a_missing_client_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "other", ("sqlite", "SqliteDriver"))
    monkeypatch.delitem(sys.modules, "kala.drivers.sqlite")
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    monkeypatch.delitem(sys.modules, "kala.drivers.sqlite_file")
    monkeypatch.delitem(sys.modules, "kala.drivers.sqlite_rows")
    with pytest.raises(SettingsError, match=r"'sqlite3'.*kala\[sqlite\]"):
        driver_class("other")
