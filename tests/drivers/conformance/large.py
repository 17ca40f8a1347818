"""Much at once: outputs up to what a driver takes, elements with very many rows, batches up to their bytes."""

import threading

import pytest

from kala.drivers.contract import Conflict, Driver, RunQuery, Stored
from kala.errors import ValueTooLarge
from kala.job import Output

from .database import Database, done, kept, printed, put, ran
from .races import at_once

RUNS, OUTPUTS = 1_000, 200


def check_outputs_up_to_the_limit_are_taken_and_one_above_refused(database: Database) -> None:
    driver = database.connect()
    for number, size in enumerate((65_535, 65_536, 65_537, driver.max_output)):
        output = Output(f"run-{number}", 1, pattern(size), size + 5)
        done(driver.commit([put(f"{number}", 1, runs=[ran(number)], outputs=[output])]))
        is_whole = driver.output(f"run-{number}") == [output]
        assert is_whole, size  # not described: of 16 MiB that takes minutes
    larger = printed("run-9", data=pattern(driver.max_output + 1))
    with pytest.raises(ValueTooLarge, match=str(driver.max_output)):
        driver.commit([put("small", 1, runs=[ran(8)]), put("larger", 1, runs=[ran(9)], outputs=[larger])])
    assert driver.get("job", "small") is None
    assert driver.get("job", "larger") is None
    assert [driver.run("run-8"), driver.run("run-9"), driver.output("run-9")] == [None, None, []]


def check_an_element_may_have_very_many_rows(database: Database) -> None:
    """And is whole for whoever looks meanwhile; one that conflicts leaves nothing of them."""
    driver, reader = database.connect(), database.connect()
    runs = [ran(number) for number in range(RUNS)]
    outputs = [Output(runs[number * 5].id, 1, pattern(2_000, number), 2_000) for number in range(OUTPUTS)]
    done(driver.commit([put("a", 1, b"one")]))
    refused = put("a", 9, b"nine", expected=8, runs=runs, outputs=outputs)
    assert driver.commit([refused]) == [Conflict(Stored("job", "a", 1, b"one"))]
    assert kept(driver) == []
    assert driver.output(outputs[0].run_id) == driver.output(outputs[-1].run_id) == []

    written = threading.Event()

    def write() -> None:
        try:
            done(driver.commit([put("before", 1), put("a", 2, b"two", runs=runs, outputs=outputs), put("after", 1)]))
        finally:
            written.set()

    def look() -> None:
        ended = False
        while not ended:
            ended = written.is_set()
            look_at_all(reader)

    def look_at_all(reader: Driver) -> None:
        first = [reader.run(runs[0].id), reader.run(runs[-1].id), reader.runs(RunQuery(limit=1)).runs]
        stored = reader.get("job", "a")
        last = [reader.run(runs[0].id), reader.run(runs[-1].id), reader.runs(RunQuery(limit=1)).runs]
        assert stored is not None
        assert stored.revision == 2 or not any(first), "its history is there, without its record"
        assert stored.revision == 1 or all(last), "its record is there, without its history"

    at_once(write, look)
    assert kept(driver) == [run.id for run in reversed(runs)]
    assert [driver.output(output.run_id) for output in outputs] == [[output] for output in outputs]
    assert driver.trim_outputs(2_000 * OUTPUTS) == 0
    done(driver.commit([put("a", 2, b"two", runs=runs, outputs=outputs)]))
    assert len(kept(driver)) == RUNS
    assert driver.forget(["job-a"]) == RUNS


@pytest.mark.slow
def check_an_element_may_be_larger_than_a_batch(database: Database) -> None:
    driver = database.connect()
    size = min(driver.max_output, driver.max_batch_bytes // 20 + 1)
    number = driver.max_batch_bytes // size + 1
    outputs = [Output(f"run-{each}", 1, pattern(size, each), size) for each in range(number)]
    done(driver.commit([put("a", 1, runs=[ran(0), ran(1)], outputs=outputs)]))
    assert driver.get("job", "a") == Stored("job", "a", 1, b"{}")
    assert kept(driver) == ["run-1", "run-0"]
    for output in outputs:
        assert driver.output(output.run_id) == [output]
    assert driver.trim_outputs(size) == size * (number - 1)


@pytest.mark.slow
def check_a_batch_may_have_as_many_bytes_as_it_says(database: Database) -> None:
    driver = database.connect()
    each = min(driver.max_value, driver.max_batch_bytes // driver.max_batch)
    number = min(driver.max_batch, driver.max_batch_bytes // each)
    done(driver.commit([put(f"{place}", 1, pattern(each, place)) for place in range(number)]))
    answers = driver.commit([put(f"{place}", 5, pattern(each, place), expected=4) for place in range(number)])
    for place, answer in enumerate(answers):
        assert answer == Conflict(Stored("job", f"{place}", 1, pattern(each, place)))
    token = driver.changes("").token
    done(driver.commit([put(f"{place}", 2, pattern(each, place + 1)) for place in range(number)]))
    told = {stored.key: stored.value for stored in driver.changes(token).stored}
    assert told == {f"{place}": pattern(each, place + 1) for place in range(number)}


def pattern(size: int, number: int = 0) -> bytes:
    """Bytes that differ by number, and at every place nearby."""
    some = bytes((number + place * 7) % 256 for place in range(251)) + b"\0\xff%d" % number
    return (some * (size // len(some) + 1))[:size]
