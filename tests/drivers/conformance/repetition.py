"""A commit whose answer was lost is repeated, and answers as it did."""

from kala.drivers.contract import Conflict, Stored
from kala.job import Output

from .database import Database, done, drop, kept, printed, put, ran


def check_a_repeated_write_is_done(database: Database) -> None:
    driver = database.connect()
    for element in put("a", 1, b"one"), put("a", 5, b"two", expected=1), drop("a", 5):
        done(driver.commit([element]))
        done(driver.commit([element]))
        done(database.connect().commit([element]))


def check_a_repeated_batch_is_done_also_when_half_of_it_was_written(database: Database) -> None:
    driver = database.connect()
    batch = [put(f"k{n}", 1, b"v", runs=[ran(n)], outputs=[printed(f"run-{n}")]) for n in range(50)]
    done(driver.commit(batch[10:30]))
    done(driver.commit(batch))
    done(driver.commit(batch))
    assert len(list(driver.load("job"))) == 50
    assert sorted(kept(driver)) == sorted(f"run-{n}" for n in range(50))
    assert all(driver.output(f"run-{n}") == [printed(f"run-{n}")] for n in range(50))


def check_a_deletion_of_nothing_is_done_whatever_was_expected(database: Database) -> None:
    """Nothing is there, as it asks: also when it expected that. Its history is appended."""
    driver = database.connect()
    for number, expected in enumerate((0, 1, 77)):
        done(driver.commit([drop("never was", expected, runs=[ran(number)])]))
        assert driver.get("job", "never was") is None
        assert driver.run(f"run-{number}") == ran(number)
    done(driver.commit([put("never was", 1)]))


def check_history_with_a_known_id_is_left_as_it_is(database: Database) -> None:
    driver = database.connect()
    first, other = ran(1), ran(1, "job-b")
    done(driver.commit([put("a", 1, runs=[first], outputs=[printed("run-1", 1, b"first")])]))
    done(driver.commit([put("a", 2, runs=[other, ran(2), ran(2, "job-b")], outputs=[Output("run-1", 1, b"other", 9)])]))
    assert driver.run("run-1") == first
    assert driver.run("run-2") == ran(2)
    assert driver.output("run-1") == [printed("run-1", 1, b"first")]
    assert kept(driver) == ["run-2", "run-1"]
    assert kept(driver, "job-b") == []


def check_a_repetition_brings_the_history_that_is_missing(database: Database) -> None:
    """Done means that the history is there, whoever wrote the record."""
    driver = database.connect()
    done(driver.commit([put("a", 1, b"v")]))
    done(driver.commit([put("a", 1, b"v", runs=[ran(1)])]))
    assert driver.run("run-1") == ran(1)


def check_an_element_that_expects_what_nothing_has_asks_and_writes_no_record(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put("a", 1, b"one", runs=[ran(1)]), put("b", 5, b"two", expected=0), put("c", 1)]))
    done(driver.commit([drop("c", 1)]))
    asked = [
        put("a", 1, b"one", expected=-1, runs=[ran(1)]),
        put("b", 5, b"other", expected=-1, runs=[ran(2)]),
        put("new", 1, expected=-1, runs=[ran(3)]),
        drop("c", -1),
    ]
    current = Stored("job", "b", 5, b"two")
    assert driver.commit(asked) == [None, Conflict(current), Conflict(None), None]
    assert driver.commit([drop("b", -1)]) == [Conflict(current)]
    assert driver.get("job", "new") is None
    assert kept(driver) == ["run-1"]
