"""Opening, closing, the clock, and reading everything."""

import threading
import time
import tracemalloc

import pytest

from kala.clock import SECOND
from kala.drivers.contract import Driver, RunQuery, Stored

from .database import Database, done, drop, kept, printed, put, ran
from .races import at_once


def check_it_says_what_it_takes(database: Database) -> None:
    driver = database.connect()
    assert driver.name
    assert driver.max_value >= 64 * 1024
    assert driver.max_output >= 64 * 1024
    assert driver.max_batch >= 1
    assert driver.max_batch_bytes >= driver.max_value


def check_it_says_where_it_is_and_what_answers(database: Database) -> None:
    """With a version where it has one; and never with a password."""
    driver = database.connect()
    assert driver.place
    assert driver.server
    assert driver.server == driver.name or any(character.isdecimal() for character in driver.server)
    for shown in driver.place, driver.server, repr(driver), str(driver):
        assert not database.password or database.password not in shown


def check_an_empty_database_is_empty(database: Database) -> None:
    driver = database.connect()
    assert list(driver.load("job")) == []
    assert driver.get("job", "a") is None
    assert driver.run("a") is None
    assert driver.output("a") == []
    page = driver.runs(RunQuery())
    assert (page.runs, page.next) == ([], None)
    assert driver.prune(["a"], keep=1, older_than=driver.now()) == 0
    assert driver.forget(["a"]) == 0


def check_the_clock_is_sane(database: Database) -> None:
    """Within a minute of this machine's, and it does not go back."""
    driver = database.connect()
    moments = [driver.now() for _ in range(50)]
    assert moments == sorted(moments)
    assert abs(moments[-1] - time.time() * SECOND) < 60 * SECOND


def check_close_and_open_keep_everything(database: Database) -> None:
    driver = database.connect()
    run = ran(1)
    done(driver.commit([put("a", 3, b"v", expected=0, runs=[run], outputs=[printed("run-1")]), put("b", 1)]))
    done(driver.commit([drop("b", 1)]))
    token = driver.changes("").token
    driver.close()
    driver.close()

    driver.open()
    again = [driver, database.connect()]
    for each in again:
        assert list(each.load("job")) == [Stored("job", "a", 3, b"v")]
        assert each.run("run-1") == run
        assert each.output("run-1") == [printed("run-1")]
        assert not each.changes(token).reset
    done(again[1].commit([put("a", 4)]))
    assert again[0].get("job", "a") == Stored("job", "a", 4, b"{}")


def check_several_open_an_empty_database_at_once(database: Database) -> None:
    """All succeed, and it is one database to all."""
    together = threading.Barrier(6, timeout=30)
    opened: list[Driver] = []

    def begin() -> None:
        together.wait()
        opened.append(database.connect())

    at_once(*[begin] * 6)
    for number, driver in enumerate(opened):
        done(driver.commit([put(f"{number}", 1, runs=[ran(number)])]))
    token = opened[0].changes("").token
    for driver in opened:
        assert len(list(driver.load("job"))) == len(kept(driver)) == 6
        assert not driver.changes(token).reset


def check_loading_goes_on_beside_other_calls(database: Database) -> None:
    driver = database.connect()
    size = 300
    done(driver.commit([put(f"k{number}", 1) for number in range(min(size, driver.max_batch))]))
    found = driver.load("job")
    keys = {next(found).key}
    done(driver.commit([put("k5", 2), drop("k6", 1), put("later", 1)]))
    assert driver.get("job", "k5") == Stored("job", "k5", 2, b"{}")
    keys |= {stored.key for stored in found}
    assert keys >= {f"k{number}" for number in range(min(size, driver.max_batch))} - {"k5", "k6"}
    next(driver.load("job"))  # one that is given up holds nothing
    done(driver.commit([put("k5", 3)]))


@pytest.mark.slow
def check_loading_streams_a_hundred_thousand(database: Database) -> None:
    driver = database.connect()
    total, value = database.sizes.records, b'{"text":"%s"}' % (b"x" * 487)
    step = min(driver.max_batch, driver.max_batch_bytes // 1_000)
    for start in range(0, total, step):
        done(driver.commit([put(f"{number:08}", 1, value) for number in range(start, min(start + step, total))]))
    seen = bytearray(total)
    tracemalloc.start()
    try:
        for stored in driver.load("job"):
            assert stored.value == value
            seen[int(stored.key)] += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(seen)
    assert peak < 20_000_000, "of 50 MB of records"
