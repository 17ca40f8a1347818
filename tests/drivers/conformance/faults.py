"""What a driver does when its server, or the way to it, fails: it says so in time, loses nothing, and finds back."""

import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from kala.drivers.contract import Conflict, Driver, Element, Stored
from kala.errors import StoreUnavailable
from kala.job import Output

from .database import done, drop, kept, printed, put, ran
from .faulty import FaultyDatabase, again, calls_of, patiently
from .races import at_once

FIRST = put("a", 1, b"one", runs=[ran(1)], outputs=[printed("run-1")])
ONE = Stored("job", "a", 1, b"one")


def check_a_server_that_was_stopped_is_found_again(database: FaultyDatabase) -> None:
    driver = database.connect()
    done(driver.commit([FIRST]))
    token = driver.changes("").token

    database.stop()
    every_call_fails(database, driver, put("a", 2, b"two"))
    database.start()

    assert driver.get("job", "a") == ONE
    assert driver.run("run-1") == ran(1)
    assert driver.output("run-1") == [printed("run-1")]
    done(driver.commit([put("a", 2, b"two")]))
    told = driver.changes(token)
    assert (told.stored, told.reset) == ([Stored("job", "a", 2, b"two")], False)


def every_call_fails(database: FaultyDatabase, driver: Driver, element: Element) -> None:
    """At once, for a driver may look for its server as long as the contract lets it, in each of them."""
    calls = calls_of(element).values()
    at_once(*[lambda call=call: database.unavailable(lambda: call(driver)) for call in calls])  # type: ignore[misc]


def check_what_was_answered_outlives_a_kill(database: FaultyDatabase) -> None:
    driver = database.connect()
    answered: list[Element] = []
    writing = threading.Event()

    def write() -> list[Element]:
        """The batch that was not answered."""
        for number in range(100_000):
            batch = [put(f"{number}:{n}", 1, b"v", runs=[ran(number * 5 + n)]) for n in range(1 + number % 5)]
            try:
                done(driver.commit(batch))
            except StoreUnavailable:
                return batch
            answered.extend(batch)
            if number == 20:
                writing.set()
        raise AssertionError("the server was killed, and commits went on")

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        assert writing.wait(60)
        database.kill()
        unanswered = written.result(60)
    database.start()

    done(patiently(lambda: driver.commit(unanswered)))
    stored = {each.key: each for each in driver.load("job")}
    for element in [*answered, *unanswered]:
        assert stored.pop(element.key, None) == Stored("job", element.key, 1, b"v")
    assert not stored
    assert sorted(kept(driver)) == sorted(run.id for element in [*answered, *unanswered] for run in element.runs)


def check_a_commit_that_is_cut_is_repeated_to_the_same_end(database: FaultyDatabase) -> None:
    """Wherever it is cut, on its way there or back: each element is whole or not there, and once in the end."""
    driver, watcher, aside = database.connect(), database.connect(), database.aside()
    batches: list[list[Element]] = []

    def attempt() -> list[Conflict | None]:
        turn = len(batches)
        done(aside.commit([put(f"{turn}:{place}", 1, b"old") for place in range(8)]))
        batches.append(batch_of(turn))
        again(lambda: driver.get("job", "a"))  # so that it has a connection
        return driver.commit(batches[-1])

    for point in database.cuts(attempt):
        answers: list[Conflict | None] | None = None
        try:
            answers = attempt()
        except StoreUnavailable as error:
            database.heard(error)
        database.heal()
        turn, batch = len(batches) - 1, batches[-1]
        for element in batch[:4] + batch[-2:]:
            assert_whole(aside, element)
        expected = [Conflict(Stored("job", each.key, 1, b"old")) if each.revision == 9 else None for each in batch]
        assert answers is None or answers == expected, point
        assert answers is None or set(kept(aside, f"job-{turn}")) == ids_of(batch), point
        assert again(lambda: driver.commit(batch)) == expected, point  # noqa: B023 - called at once
        assert again(lambda: watcher.commit(batch)) == expected, point  # noqa: B023
        for each in batch:
            value, revision = (b"old", 1) if each.revision == 9 else (each.value, each.revision)
            there = None if value is None else Stored("job", each.key, revision, value)
            assert aside.get("job", each.key) == there, point
        assert sorted(kept(aside, f"job-{turn}")) == sorted(ids_of(batch)), point
        assert all(aside.output(output.run_id) == [output] for each in batch for output in each.outputs), point


def batch_of(turn: int) -> list[Element]:
    """Updates, conflicts, deletions and creations, small ones and a large one."""
    batch = []
    for place in range(10):
        key, number, job = f"{turn}:{place}", turn * 10_000 + place * 10, f"job-{turn}"
        runs = [ran(number, job), ran(number + 1, job)]
        batch.append(
            [
                put(key, 2, b"new" * 500, runs=runs, outputs=[printed(runs[0].id)]),
                put(key, 9, b"no", expected=8, runs=runs),
                drop(key, 1, runs=runs),
                put(key, 2, b"new", runs=runs),
            ][place % 4]
            if place < 8
            else put(key, 1, b"created", runs=runs)
        )
    many = [ran(turn * 10_000 + 1_000 + each, f"job-{turn}") for each in range(70)]
    outputs = [Output(run.id, 1, b"x" * 50_000, 50_000) for run in many[:3]]
    return [*batch, put(f"{turn}:large", 1, b"large", runs=many, outputs=outputs)]


def ids_of(batch: Sequence[Element]) -> set[str]:
    """The runs that are to be there when it is done."""
    return {run.id for each in batch if each.revision != 9 for run in each.runs}


def assert_whole(driver: Driver, element: Element) -> None:
    """Its record and its history are both there, or neither; also when it is just being written."""
    ids = [run.id for run in (element.runs[0], element.runs[-1])]
    before = [driver.run(each) is not None for each in ids]
    stored = driver.get(element.kind, element.key)
    after = [driver.run(each) is not None for each in ids]
    written = stored is None if element.value is None else stored is not None and stored.revision == element.revision
    assert written or not any(before), f"{element.key}: its history is there, without its record"
    assert all(after) or not written, f"{element.key}: its record is there, without its history"


@pytest.mark.slow
def check_a_silent_server_is_given_up_in_time(database: FaultyDatabase) -> None:
    """Every call ends, however many wait for one another; what was asked meanwhile and arrives late is harmless."""
    driver, aside, later = database.connect(), database.aside(), database.construct()
    done(driver.commit([FIRST, put("b", 1, b"one")]))
    keys = fill(driver)
    late = put("b", 2, b"late", runs=[ran(2)])
    loading = driver.load("job")
    next(loading)

    database.silence()
    calls = [*calls_of(put("a", 2, b"two", runs=[ran(3)])).values(), lambda driver: driver.commit([late])]
    waiting = [lambda call=call: database.unavailable(lambda: call(driver)) for call in calls]  # type: ignore[misc]

    def go_on_loading() -> None:
        with suppress(StoreUnavailable):
            assert len(list(loading)) == len(keys) + 1, "it ended early, and raised nothing"

    at_once(*waiting, lambda: database.unavailable(later.open), lambda: database.in_time(go_on_loading))
    done(aside.commit([put("b", 2, b"meanwhile")]))
    database.heal()

    meanwhile = Stored("job", "b", 2, b"meanwhile")
    assert driver.get("job", "a") is not None
    done(driver.commit([put("a", 2, b"two", runs=[ran(3)])]))
    assert driver.commit([late]) == [Conflict(meanwhile)]
    for revision in range(3, 30):
        done(driver.commit([put("a", revision, b"more")]))
        assert aside.get("job", "b") == meanwhile
    assert driver.get("job", "a") == Stored("job", "a", 29, b"more")
    assert kept(driver) == ["run-3", "run-1"]
    later.open()
    assert later.get("job", "b") == meanwhile
    later.close()


def check_connections_that_broke_while_nobody_asked(database: FaultyDatabase) -> None:
    """However many there are: one call may fail by them, not one for each."""
    driver = database.connect()
    done(driver.commit([FIRST]))
    at_once(*[lambda: [driver.get("job", "a") for _ in range(20)]] * 6)  # type: ignore[list-item]

    database.cut()
    assert again(lambda: driver.get("job", "a")) == ONE
    for call in calls_of(put("b", 1)).values():
        call(driver)
    database.cut()
    done(again(lambda: driver.commit([put("a", 2)])))
    assert driver.get("job", "a") == Stored("job", "a", 2, b"{}")


def check_a_way_that_is_refused(database: FaultyDatabase) -> None:
    driver = database.connect()
    done(driver.commit([FIRST]))
    database.refuse()
    every_call_fails(database, driver, put("a", 2, b"two"))
    database.heal()
    done(driver.commit([put("a", 2, b"two")]))


def check_a_load_that_is_cut_is_not_taken_for_a_short_one(database: FaultyDatabase) -> None:
    """It raises; or it goes on, and is complete."""
    driver = database.connect()
    keys = fill(driver)

    for title, fail in ("cut", database.cut), ("refused", database.refuse):
        seen: set[str] = set()
        try:
            for stored in driver.load("job"):
                seen.add(stored.key)
                if len(seen) == 10:
                    fail()
        except StoreUnavailable:
            pass
        else:
            assert seen == keys, f"{title}: {len(seen)} of {len(keys)} records, and no error"
        database.heal()
        assert {stored.key for stored in again(lambda: list(driver.load("job")))} == keys, title


def fill(driver: Driver) -> set[str]:
    """Write so many records that no buffer on the way holds them all; their keys."""
    keys = [f"k{number}" for number in range(1_500)]
    step = min(driver.max_batch, driver.max_batch_bytes // 8_192)
    for start in range(0, len(keys), step):
        done(driver.commit([put(key, 1, b"x" * 8_000) for key in keys[start : start + step]]))
    return set(keys)


def check_opening_waits_for_no_server(database: FaultyDatabase) -> None:
    done(database.connect().commit([FIRST]))
    driver = database.construct()
    database.stop()
    database.unavailable(driver.open)
    driver.close()
    database.start()
    driver.open()
    assert driver.get("job", "a") == ONE
    driver.close()


def check_a_server_that_takes_no_writes(database: FaultyDatabase) -> None:
    driver = database.connect()
    done(driver.commit([FIRST]))
    batch = [put("a", 2, b"two", runs=[ran(2)]), put("b", 1, runs=[ran(3)])]

    database.read_only(True)
    try:
        database.unavailable(lambda: driver.commit(batch))
        assert again(lambda: driver.get("job", "a")) == ONE
        assert list(driver.load("job")) == [ONE]
        assert kept(driver) == ["run-1"]
        database.unavailable(lambda: driver.commit(batch))
    finally:
        database.read_only(False)

    done(again(lambda: driver.commit(batch)))
    assert driver.get("job", "a") == Stored("job", "a", 2, b"two")
    assert sorted(kept(driver)) == ["run-1", "run-2", "run-3"]


def check_a_server_without_room(database: FaultyDatabase) -> None:
    driver = database.connect()
    done(driver.commit([FIRST]))
    answered: list[Element] = []
    refused: list[Element] = []

    def go_on() -> None:
        for number in range(2, 1_000):
            element = put(f"k{number}", 1, b"x" * 60_000, runs=[ran(number)])
            refused.append(element)
            done(database.in_time(partial(driver.commit, [element])))
            answered.append(refused.pop())

    database.full(True)
    try:
        try:
            go_on()
        except StoreUnavailable as error:
            database.heard(error)
        else:
            raise AssertionError("it did not fail")
        with suppress(StoreUnavailable):  # it may have given up altogether
            assert again(lambda: driver.get("job", "a")) == ONE
    finally:
        database.full(False)

    (element,) = refused
    patiently(lambda: assert_whole(driver, element))
    done(patiently(lambda: driver.commit([element])))
    stored = {each.key for each in driver.load("job")}
    assert stored == {"a", element.key, *(each.key for each in answered)}
    assert len(kept(driver)) == len(stored)


def check_a_password_that_is_wrong_from_now_on(database: FaultyDatabase) -> None:
    """It is said as such, also to a driver that was in before; and without the password."""
    driver = database.connect()
    done(driver.commit([FIRST]))
    later = database.construct()
    database.change_password()
    database.stop()
    database.start()

    database.in_vain(lambda: driver.commit([put("a", 2, b"two")]))  # perhaps by the connection, which is gone
    said = [database.in_vain(lambda: driver.commit([put("a", 2, b"two")]))]
    said.append(database.in_vain(lambda: driver.get("job", "a")))
    database.refused(later.open)
    assert all(re.search(r"passw|credential|user|token|log ?in", each, re.IGNORECASE) for each in said), said


def check_a_database_that_was_emptied_is_not_written(database: FaultyDatabase) -> None:
    driver = database.connect()
    done(driver.commit([FIRST, put("b", 1)]))
    token = driver.changes("").token

    database.wipe()
    for element in put("a", 2, runs=[ran(2)]), put("new", 1, runs=[ran(3)]), drop("b", 1), drop("none", 0):
        database.refused(lambda element=element: driver.commit([element]))  # type: ignore[misc]

    # when another daemon has made it anew
    another = database.connect()
    assert list(another.load("job")) == []
    assert kept(another) == []
    done(another.commit([put("a", 1, b"another's")]))
    for element in put("a", 2, runs=[ran(2)]), put("new", 1, runs=[ran(3)]):
        database.refused(lambda element=element: driver.commit([element]))  # type: ignore[misc]
    assert list(another.load("job")) == [Stored("job", "a", 1, b"another's")]
    assert kept(another) == []
    assert another.changes(token).reset

    # when it is opened again it takes what is there
    driver.open()
    assert driver.get("job", "a") == Stored("job", "a", 1, b"another's")
    done(driver.commit([put("a", 2)]))
