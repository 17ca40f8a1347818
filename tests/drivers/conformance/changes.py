"""Listening: what was written to records since a token."""

import threading

from kala.drivers.contract import Driver, Stored

from .database import Database, done, drop, put, ran
from .races import at_once


def check_the_empty_token_begins(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put("a", 1)]))
    begun = driver.changes("")
    assert begun.reset
    again = driver.changes(begun.token)
    assert (again.stored, again.deleted, again.reset) == ([], [], False)


def check_writes_and_deletions_are_told(database: Database) -> None:
    driver, listener = database.connect(), database.connect()
    done(driver.commit([put("stays", 1), put("goes", 1), put("gone", 1), put("x", 1, kind="setting")]))
    done(driver.commit([drop("gone", 1)]))
    token = listener.changes("").token

    done(driver.commit([put("new", 1, b"n"), put("stays", 2, b"s"), drop("goes", 1), drop("never was", 0)]))
    done(driver.commit([put("x", 2, kind="setting"), put("gone", 5, b"back", expected=0, runs=[ran(1)])]))
    told = listener.changes(token)
    assert not told.reset
    assert Stored("job", "new", 1, b"n") in told.stored
    assert Stored("job", "stays", 2, b"s") in told.stored
    assert Stored("setting", "x", 2, b"{}") in told.stored
    assert Stored("job", "gone", 5, b"back") in told.stored
    assert ("job", "goes") in told.deleted
    assert ("job", "gone") not in told.deleted, "it is there again"

    done(driver.commit([drop("new", 1), drop("x", 2, kind="setting")]))
    later = listener.changes(told.token)
    assert {("job", "new"), ("setting", "x")} <= set(later.deleted)
    assert listener.changes(later.token).deleted == []


def check_a_conflict_and_a_repetition_change_nothing(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put("a", 1, b"v")]))
    token = driver.changes("").token
    assert driver.commit([put("a", 9, expected=8)]) != [None]
    done(driver.commit([put("a", 1, b"v")]))
    told = driver.changes(token)
    assert told.deleted == []
    assert all(stored == Stored("job", "a", 1, b"v") for stored in told.stored)


def check_a_strange_token_resets(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put("a", 1)]))
    token = driver.changes("").token
    for strange in "nonsense", "1", ":", f"x{token}", "another:1":
        told = driver.changes(strange)
        assert told.reset, strange
        assert (told.stored, told.deleted) == ([], [])
        assert not driver.changes(told.token).reset


def check_nothing_is_omitted_under_four_writers(database: Database) -> None:
    """A listener that follows the tokens while others write has in the end what is stored."""
    reader = database.connect()
    token = reader.changes("").token
    view: dict[str, Stored] = {}
    writers, left = [database.connect() for _ in range(4)], threading.Semaphore(0)
    looked = threading.Condition()
    looks = 0

    def wait_for_a_look() -> None:
        """The one under way may have begun before what was written: the next one has not."""
        with looked:
            before = looks
            assert looked.wait_for(lambda: looks >= before + 2, 60)

    def write(who: int, driver: Driver) -> None:
        try:
            for number in range(40):
                key = f"{who}:{number % 10}"
                if number % 10 == 9 and number > 10:
                    done(driver.commit([drop(key, number - 9)]))
                else:
                    expected = number - 9 if number >= 10 and number % 10 != 9 else 0
                    done(driver.commit([put(key, number + 1, b"%d" % number, expected=expected)]))
                if number % 5 == 4:
                    wait_for_a_look()
        finally:
            left.release()

    def follow() -> None:
        nonlocal token, looks
        ended = 0
        while True:
            ended += left.acquire(blocking=False)
            told = reader.changes(token)
            assert not told.reset
            for stored in told.stored:
                view[stored.key] = stored
            for _, key in told.deleted:
                view.pop(key, None)
            if told.token == token and ended == len(writers):
                return
            token = told.token
            with looked:
                looks += 1
                looked.notify_all()

    at_once(follow, *[lambda who=who: write(who, writers[who]) for who in range(4)])  # type: ignore[misc]
    assert view == {stored.key: stored for stored in reader.load("job")}
    assert len(view) == 36
