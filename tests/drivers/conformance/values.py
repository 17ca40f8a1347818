"""Bytes come back as they went in."""

import pytest

from kala.drivers.contract import Conflict, Stored
from kala.errors import ValueTooLarge

from .database import Database, done, drop, printed, put, ran

VALUES = {
    "empty": b"",
    "JSON": b'{"a":[1,2.50,"x"],"a":1e400}',
    "not ASCII": "grün 漢字 🦆 e\u0301 \u202e".encode(),
    "NUL": b"\0",
    "NUL within": b"a\0b\0",
    "every byte": bytes(range(256)),
    "invalid UTF-8": b"\xff\xfe\x80",
    "a surrogate": b"\xed\xa0\x80",
    "spaces at the end": b"  x \r\n\t ",
    "what looks like a number": b"0012",
    "quotes": b"'\"\\%_?:$1{}",
}


def check_values_are_any_bytes(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put(title, 1, value) for title, value in VALUES.items()]))
    for title, value in VALUES.items():
        expected = Stored("job", title, 1, value)
        assert driver.get("job", title) == expected
        assert driver.commit([put(title, 9, b"x", expected=8)]) == [Conflict(expected)], title
        done(driver.commit([put(title, 1, value)]))
    assert {stored.key: stored.value for stored in driver.load("job")} == VALUES
    token = driver.changes("").token
    done(driver.commit([put(title, 2, value) for title, value in VALUES.items()]))
    assert {stored.key: stored.value for stored in driver.changes(token).stored} == VALUES


def check_keys_are_any_text(database: Database) -> None:
    """No two keys are one: not by case, by spaces, by a NUL, nor by Unicode's normal forms."""
    driver = database.connect()
    keys = [
        "",
        "a",
        "A",
        "a ",
        " a",
        "a\0",
        "a\0b",
        "é",
        "e\u0301",
        "🦆",
        "a/b",
        "a/",
        "..",
        "%",
        "_",
        "'\"",
        "x" * 255,
    ]
    done(driver.commit([put(key, 1, key.encode()) for key in keys]))
    for key in keys:
        assert driver.get("job", key) == Stored("job", key, 1, key.encode())
    assert sorted(stored.key for stored in driver.load("job")) == sorted(keys)
    done(driver.commit([drop(key, 1) for key in keys[1::2]]))
    assert sorted(stored.key for stored in driver.load("job")) == sorted(keys[::2])


def check_outputs_are_any_bytes(database: Database) -> None:
    driver = database.connect()
    for number, (title, value) in enumerate(VALUES.items()):
        done(driver.commit([put(title, 1, runs=[ran(number)], outputs=[printed(f"run-{number}", 1, value)])]))
        assert driver.output(f"run-{number}") == [printed(f"run-{number}", 1, value)], title


def check_a_value_at_the_limit_is_taken_and_one_above_refused(database: Database) -> None:
    driver = database.connect()
    largest = b"x" * driver.max_value
    done(driver.commit([put("largest", 1, largest)]))
    found = driver.get("job", "largest")
    assert found is not None
    assert found.value == largest
    with pytest.raises(ValueTooLarge, match=str(driver.max_value)):
        driver.commit([put("small", 1, runs=[ran(1)]), put("larger", 1, largest + b"x")])
    assert driver.get("job", "small") is None
    assert driver.get("job", "larger") is None
    assert driver.run("run-1") is None
