"""Records and revisions: creating, updating, deleting, conflicts, batches."""

from kala.drivers.contract import Conflict, Stored

from .database import Database, done, drop, printed, put, ran


def check_a_record_is_created_updated_and_deleted(database: Database) -> None:
    driver = database.connect()
    assert driver.get("job", "a") is None

    done(driver.commit([put("a", 1, b'{"n":1}')]))
    assert driver.get("job", "a") == Stored("job", "a", 1, b'{"n":1}')
    done(driver.commit([put("a", 2, b'{"n":2}')]))
    assert driver.get("job", "a") == Stored("job", "a", 2, b'{"n":2}')
    done(driver.commit([drop("a", 2)]))
    assert driver.get("job", "a") is None
    assert list(driver.load("job")) == []

    done(driver.commit([put("a", 4, b'{"n":4}', expected=0)]))
    assert driver.get("job", "a") == Stored("job", "a", 4, b'{"n":4}')


def check_revisions_grow_by_any_step(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put("a", 7, expected=0)]))
    done(driver.commit([put("a", 1_000_000_000_000, expected=7)]))
    assert driver.get("job", "a") == Stored("job", "a", 1_000_000_000_000, b"{}")


def check_an_unexpected_revision_is_a_conflict_with_what_is_stored(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put("a", 5, b"five", expected=0)]))
    there = Conflict(Stored("job", "a", 5, b"five"))

    for title, element, answer in [
        ("creating what is there", put("a", 6, b"x", expected=0), there),
        ("updating from a revision that was", put("a", 6, b"x", expected=4), there),
        ("updating from a revision to come", put("a", 8, b"x", expected=7), there),
        ("updating what is not there", put("b", 2, b"x", expected=1), Conflict(None)),
        ("deleting from another revision", drop("a", 4), there),
        ("deleting what must not be there, and is", drop("a", 0), there),
        ("the same revision, other bytes", put("a", 5, b"other", expected=4), there),
        ("the same bytes, another revision", put("a", 6, b"five", expected=4), there),
    ]:
        assert driver.commit([element]) == [answer], title
        assert driver.get("job", "a") == there.current, title
        assert driver.get("job", "b") is None, title


def check_a_conflict_writes_no_history(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put("a", 5, expected=0)]))
    refused = put("a", 9, expected=8, runs=[ran(1)], outputs=[printed("run-1")])
    assert driver.commit([refused]) == [Conflict(Stored("job", "a", 5, b"{}"))]
    assert driver.run("run-1") is None
    assert driver.output("run-1") == []


def check_a_batch_is_answered_element_by_element(database: Database) -> None:
    """A conflict holds none of the others up, wherever it stands; sizes go around the powers of two, up to the most."""
    driver = database.connect()
    for size in sorted({1, 2, 3, 63, 64, 65, min(300, driver.max_batch), driver.max_batch}):
        done(driver.commit([put(f"{size}:{place}", 1, b"old", expected=0) for place in range(size)]))
        batch = [
            [
                put(f"{size}:{place}", 2, b"new", runs=[ran(size * 10_000 + place)]),
                put(f"{size}:{place}", 9, b"new", expected=8, runs=[ran(size * 10_000 + place)]),
                drop(f"{size}:{place}", 1, runs=[ran(size * 10_000 + place)]),
                put(f"{size}:{place}", 1, b"old", expected=0, runs=[ran(size * 10_000 + place)]),
            ][place % 4]
            for place in range(size)
        ]
        answers = driver.commit(batch)
        assert len(answers) == size
        stored = {each.key: each for each in driver.load("job")}
        for place, (element, answer) in enumerate(zip(batch, answers, strict=True)):
            key, number = element.key, size * 10_000 + place
            before = Stored("job", key, 1, b"old")
            assert answer == (Conflict(before) if place % 4 == 1 else None), (size, place)
            assert stored.get(key) == [Stored("job", key, 2, b"new"), before, None, before][place % 4], (size, place)
            if place < 8 or place > size - 8:
                assert (driver.run(f"run-{number}") is not None) == (place % 4 != 1), (size, place)


def check_an_empty_batch_is_nothing(database: Database) -> None:
    driver = database.connect()
    assert driver.commit([]) == []


def check_kinds_are_apart(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put("a", 1, b"job"), put("a", 1, b"instance", kind="instance"), put("b", 1, kind="setting")]))
    assert driver.get("job", "a") == Stored("job", "a", 1, b"job")
    assert driver.get("instance", "a") == Stored("instance", "a", 1, b"instance")
    assert driver.get("setting", "a") is None
    done(driver.commit([drop("a", 1)]))
    assert list(driver.load("job")) == []
    assert list(driver.load("instance")) == [Stored("instance", "a", 1, b"instance")]
