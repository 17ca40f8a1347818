"""Several daemons on one database, and several threads on one driver."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kala.drivers.contract import Driver, Stored

from .database import Database, done, kept, put, ran


def check_of_two_claims_exactly_one_wins(database: Database) -> None:
    race(database, 60)


@pytest.mark.slow
def check_of_two_claims_exactly_one_wins_in_many_rounds(database: Database) -> None:
    race(database, 1_000)


def race(database: Database, rounds: int) -> None:
    drivers = [database.connect(), database.connect()]
    done(drivers[0].commit([put("a", 1, b"start")]))
    together = threading.Barrier(2, timeout=30)

    def claim(who: int, revision: int) -> bool:
        mine = put("a", revision + 1, f"claimed by {who}".encode(), runs=[ran(revision * 2 + who)])
        together.wait()
        (answer,) = drivers[who].commit([mine])
        assert answer is None or answer.current == Stored("job", "a", revision + 1, f"claimed by {1 - who}".encode())
        return answer is None

    winners = []
    with ThreadPoolExecutor(2) as pool:
        for revision in range(1, rounds + 1):
            first, second = pool.map(claim, (0, 1), (revision, revision))
            assert first != second, f"in round {revision} {'both' if first else 'neither'} won"
            winners.append(f"run-{revision * 2 + (0 if first else 1)}")
    assert kept(drivers[0]) == winners[::-1]


def check_batches_that_overlap_leave_nothing_out(database: Database) -> None:
    """Four writers on the same records, each repeating what conflicted: every increment is there in the end."""
    keys, writers, rounds = [f"k{n}" for n in range(5)], 4, 10

    def count(who: int) -> None:
        driver = database.connect()
        known = dict.fromkeys(keys, 0)
        values = dict.fromkeys(keys, 0)
        left = dict.fromkeys(keys, rounds)
        while asked := [key for key in (keys if who % 2 else keys[::-1]) if left[key]]:
            answers = driver.commit([put(key, known[key] + 1, b"%d by %d" % (values[key] + 1, who)) for key in asked])
            for key, answer in zip(asked, answers, strict=True):
                if answer is None:
                    known[key] += 1
                    values[key] += 1
                    left[key] -= 1
                else:
                    assert answer.current is not None
                    known[key] = answer.current.revision
                    values[key] = int(answer.current.value.split()[0])

    at_once(*[lambda who=who: count(who) for who in range(writers)])  # type: ignore[misc]
    for stored in database.connect().load("job"):
        assert (stored.revision, int(stored.value.split()[0])) == (writers * rounds, writers * rounds)


def check_reads_during_writes_see_an_element_whole(database: Database) -> None:
    writer, reader = database.connect(), database.connect()
    writing = threading.Event()
    ended = threading.Event()

    def write() -> None:
        try:
            for revision in range(1, 41):
                batch = [put(f"k{n}", revision, b"%d" % revision, runs=[ran(revision * 50 + n)]) for n in range(50)]
                done(writer.commit(batch))
                writing.set()
        finally:
            ended.set()

    def read() -> None:
        assert writing.wait(30)
        looks = 0
        while not ended.is_set() or looks < 20:
            number = looks % 50
            stored = reader.get("job", f"k{number}")
            assert stored is not None
            assert stored.value == b"%d" % stored.revision
            # The record was at this revision when it was read, so the run that came with it is there.
            assert reader.run(f"run-{stored.revision * 50 + number}") is not None
            looks += 1

    at_once(write, read)


def check_one_driver_serves_many_threads(database: Database) -> None:
    driver = database.connect()

    def work(who: int, driver: Driver) -> None:
        for n in range(1, 16):
            done(driver.commit([put(f"t{who}", n, b"%d" % n, runs=[ran(who * 1_000 + n, f"job-{who}")])]))
            assert driver.get("job", f"t{who}") == Stored("job", f"t{who}", n, b"%d" % n)
            assert len(kept(driver, f"job-{who}")) == n
            assert len(list(driver.load("job"))) >= 1
            assert driver.now() > 0

    at_once(*[lambda who=who: work(who, driver) for who in range(6)])  # type: ignore[misc]
    assert len(kept(driver)) == 6 * 15


def at_once(*works: Callable[[], None]) -> None:
    """Do these in a thread each, and raise what one of them raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result(timeout=120)
