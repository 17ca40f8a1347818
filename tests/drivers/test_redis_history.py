"""The history and the records in Redis where one call of the script does not do: steps, spans, and what hands spoil."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from msgspec.structs import replace
from servers.redis import RedisService, number_of
from servers.service import Service

from kala.drivers import redis as module
from kala.drivers import redis_rows
from kala.drivers.contract import Conflict, RunQuery, Stored
from kala.drivers.redis import RedisDriver
from kala.drivers.server import Server
from kala.errors import StoreRefused, StoreUnavailable, ValueTooLarge
from kala.states import State

from .conformance.database import START, append, done, drop, kept, pages, printed, put, ran


@pytest.fixture
def service(started: Callable[[str], Service]) -> RedisService:
    found = started("redis")
    assert isinstance(found, RedisService)
    return found


@pytest.fixture
def server(service: RedisService) -> Server:
    return service.fresh()


@pytest.fixture
def driver(server: Server) -> Iterator[RedisDriver]:
    made = RedisDriver(server)
    made.open()
    yield made
    made.close()


@pytest.fixture
def hand(service: RedisService, server: Server) -> Iterator[Any]:
    """Somebody's redis-cli on the database."""
    with closing(service.client(number_of(server))) as client:
        yield client


def test_pages_in_many_steps(driver: RedisDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are gone through from the end, or by their moments: what is found is the same. Many share a moment."""
    monkeypatch.setattr(module, "LOOKED_AT", 7)
    monkeypatch.setattr(module, "AT_ONCE", 3)
    states = (State.SUCCEEDED, State.FAILED, State.SKIPPED)
    rows = [
        replace(ran(n, f"job-{n % 2}", states[n % 3]), scheduled_for=START + (n * 37) % 101 // 10) for n in range(100)
    ]
    append(driver, rows)
    spans = [(None, None), *itertools.combinations([START - 1, START, START + 3, START + 4, START + 11], 2)]
    for job, some, (since, until) in itertools.product(
        [None, "job-1"], [None, frozenset({State.FAILED}), frozenset({State.FAILED, State.SKIPPED})], spans
    ):
        expected = [
            run.id
            for run in reversed(rows)
            if job in (None, run.job_id)
            and (some is None or run.state in some)
            and (since is None or run.scheduled_for >= since)
            and (until is None or run.scheduled_for < until)
        ]
        query = RunQuery(job, some, since, until, limit=9)
        assert [run.id for page in pages(driver, query) for run in page.runs] == expected, query


def test_a_span_is_gone_through_beside_pruning(driver: RedisDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the row is gone that was reached, it goes on at its moment, and leaves out none that stays."""
    monkeypatch.setattr(module, "LOOKED_AT", 5)
    append(driver, [replace(ran(n), scheduled_for=START, job_id="old" if n % 3 else "new") for n in range(60)])
    append(driver, [ran(n, "late") for n in range(100, 200)])
    ask, asked = driver._call, []

    def asking(name: str, *arguments: object, **named: object) -> object:
        asked.append(name)
        if asked.count("span") == 4:
            assert ask("prune", ["old"], 0, 1_000)[0] == 40
        return ask(name, *arguments, **named)

    monkeypatch.setattr(driver, "_call", asking)
    found = driver.runs(RunQuery(until=START + 1, limit=1_000))
    assert [run.id for run in found.runs if run.job_id == "new"] == [f"run-{n}" for n in range(57, -1, -3)]
    assert asked.count("span") > 4


def test_a_page_that_takes_too_long_is_given_up(driver: RedisDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    append(driver, [ran(1)])
    monkeypatch.setattr(module, "deadline", lambda: time.monotonic() - 1)
    with pytest.raises(StoreUnavailable, match="took too long"):
        driver.runs(RunQuery())


def test_moments_beyond_what_doubles_tell_apart(driver: RedisDriver) -> None:
    late = 253_402_300_799_999_990  # in the year 9999
    append(driver, [replace(ran(n), scheduled_for=late + n) for n in range(5)])
    assert [run.id for run in driver.runs(RunQuery(since=late + 1, until=late + 3)).runs] == ["run-2", "run-1"]
    assert [run.id for run in driver.runs(RunQuery(since=late + 4)).runs] == ["run-4"]


def test_removing_in_many_steps(driver: RedisDriver, monkeypatch: pytest.MonkeyPatch, hand: Any) -> None:
    for name, number in ("REMOVED", 3), ("JOBS_AT_ONCE", 2), ("AT_ONCE", 2):
        monkeypatch.setattr(module, name, number)
    jobs = [f"job-{n}" for n in range(7)]
    rows = [ran(n, jobs[n % 7], State.SKIPPED if n % 4 == 0 else State.FAILED) for n in range(140)]
    append(driver, rows, [printed(run.id, data=b"12345") for run in rows])
    assert driver.trim_outputs(500) == 200
    assert driver.output("run-39") == []
    assert driver.output("run-40") == [printed("run-40", data=b"12345")]
    assert driver.prune(jobs[:5], keep=2, older_than=None) == 5 * (20 - 4)
    assert driver.prune(None, keep=0, older_than=START + 70_000_000) == len(
        [run for run in rows[:70] if run.job_id in jobs[5:]]
    )
    assert len(kept(driver)) == 5 * 4 + 2 * 10
    assert driver.forget(jobs) == 40
    assert [key for key in hand.scan_iter() if b"history" in key or b"output" in key or b"runs" in key] == []
    assert hand.hget("kala:meta", "outputs") == b"0"


def test_loading_meets_each_record_once(driver: RedisDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is written and removed meanwhile, and wherever a page ends."""
    monkeypatch.setattr(module, "AT_ONCE", 3)
    done(driver.commit([put(f"k{n:02}", 1) for n in range(40)] + [put("", 1), put("\0", 1)]))
    seen = []
    for number, stored in enumerate(driver.load("job")):
        seen.append(stored.key)
        done(driver.commit([put(stored.key, 2), put(f"k{number:02}x", 1)]))
        if number < 30 and number % 3 == 2:
            done(driver.commit([drop(f"k{number + 3:02}", 1)]))
    assert len(seen) == len(set(seen))
    assert set(seen) >= {stored.key for stored in driver.load("job") if not stored.key.endswith("x")}


def test_large_records_come_in_small_answers(driver: RedisDriver) -> None:
    value = b"x" * 600_000
    done(driver.commit([put(f"k{n}", 1, value) for n in range(9)]))
    assert [len(driver._call("load", "job", False, 200)), len(list(driver.load("job")))] == [4, 9]
    epoch, number = driver.changes("").token.split(":")[1:]
    assert len(driver._call("changes", epoch, "0", False, 200)[3]) == 6
    assert len(driver.changes(f"{driver._script.database}:{epoch}:0").stored) == int(number) == 9


def test_a_batch_goes_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(*values: int) -> list[int]:
        return [
            len(each) for each in redis_rows.portions([put(str(n), 1, b"x" * size) for n, size in enumerate(values)])
        ]

    assert len(sizes(*[10] * 100)) == 1
    assert len(sizes(*[10] * 101)) == 2
    assert len(sizes(10, 2_000_000, 10)) == 3
    assert len(sizes(*[300_000] * 8)) == 3
    monkeypatch.setattr(redis_rows, "LARGEST", 1_000)
    with pytest.raises(ValueTooLarge, match="job 1 with its history"):
        sizes(10, 1_000)


@pytest.mark.slow
def test_deletions_are_told_until_there_are_too_many(driver: RedisDriver) -> None:
    kept_ones = 10_000
    done(driver.commit([put("first", 1)]))
    done(driver.commit([drop("first", 1)]))
    before = driver.changes("").token
    for start in range(0, kept_ones, 1_000):
        keys = range(start, start + 1_000)
        done(driver.commit([put(f"{n}", 1) for n in keys]))
        done(driver.commit([drop(f"{n}", 1) for n in keys]))
    told = driver.changes(before)
    assert (len(told.deleted), told.stored, told.reset) == (kept_ones, [], False)
    done(driver.commit([put("a", 1)]))
    done(driver.commit([drop("a", 1)]))
    assert driver.changes(before).reset
    assert driver.changes(told.token).deleted == [("job", "a")]


# What hands have spoilt


def test_what_others_keep_beside_it_is_left_alone(driver: RedisDriver, hand: Any) -> None:
    hand.hset("kala:jobs", "id", "of the original")
    hand.set("another", "1")
    done(driver.commit([put("a", 1, runs=[ran(1)])]))
    driver.open()
    done(driver.commit([drop("a", 1)]))
    assert hand.hget("kala:jobs", "id") == b"of the original"
    assert [key for key in hand.scan_iter() if not key.startswith(b"kala:")] == [b"another"]


@pytest.mark.parametrize("text", [b"", b"{}", b"x:{}", b":{}", b"9999999999999999999:{}"])
def test_a_record_that_was_spoilt(
    driver: RedisDriver, hand: Any, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    """It is named, passed over and kept, and not written over; the others are there."""
    done(driver.commit([put("a", 1), put("b", 1)]))
    token = driver.changes("").token
    hand.hset("kala:records:job", "a", text)
    done(driver.commit([put("c", 1)]))
    with caplog.at_level(logging.ERROR):
        assert {stored.key for stored in driver.load("job")} == {"b", "c"}
    assert "job 'a' cannot be read" in caplog.text
    with pytest.raises(StoreRefused, match="HDEL"):
        driver.get("job", "a")
    assert driver.commit([put("a", 2), put("b", 2)]) == [Conflict(Stored("job", "a", 2, b"")), None]
    assert {stored.key for stored in driver.changes(token).stored} == {"b", "c"}
    assert hand.hget("kala:records:job", "a") == text


def test_rows_that_were_spoilt(driver: RedisDriver, hand: Any, caplog: pytest.LogCaptureFixture) -> None:
    append(driver, [ran(n, f"job-{n % 2}") for n in range(6)], [printed("run-1"), printed("run-3")])
    row = hand.hget("kala:runs", "run-3")
    hand.hset("kala:runs", mapping={"run-1": "x", "run-3": row[: row.index(b"{")] + b"not JSON"})
    hand.hdel("kala:runs", "run-5")
    with caplog.at_level(logging.ERROR):
        assert driver.run("run-1") is None
        assert driver.run("run-3") is None
        assert [run.id for run in driver.runs(RunQuery()).runs] == ["run-4", "run-2", "run-0"]
    assert "run 'run-1' cannot be read" in caplog.text
    assert "run 'run-3' cannot be read" in caplog.text
    assert driver.forget(["job-1"]) == 3
    assert kept(driver) == ["run-4", "run-2", "run-0"]
    assert [driver.output("run-1"), driver.output("run-3"), driver.trim_outputs(0)] == [[], [], 0]
    append(driver, [replace(ran(1, "job-1"), version=2)])
    assert kept(driver, "job-1") == ["run-1"]


def test_outputs_that_were_removed_are_not_counted_for_ever(driver: RedisDriver, hand: Any) -> None:
    append(driver, [ran(1)], [printed("run-1", data=b"12345")])
    hand.delete("kala:outputs", "kala:output:run-1")
    assert driver.trim_outputs(3) == 0
    append(driver, [ran(2)], [printed("run-2", data=b"12")])
    assert driver.trim_outputs(2) == 0
    assert driver.trim_outputs(1) == 2
