"""The answer to a commit is lost, and another daemon writes before it is known what came of it: nothing is decided
twice, nothing is lost, and whatever was durable counts."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
from decisions import counted, new, owned
from weather import Weather
from world import FAIL, START, Act, World, every, simulated

from kala import ledger
from kala.clock import TrioClock
from kala.drivers.contract import Element, Stored
from kala.drivers.memory import MemoryDriver
from kala.errors import StoreRefused, StoreUnavailable
from kala.job import Record, Run, encode, replace
from kala.ledger import Change
from kala.states import State, Trigger

LATE = "came too late"


class Storm:
    """Two daemons on one database. `one` loses the answer to a commit of which `strikes` says so."""

    def __init__(self) -> None:
        self.inner, self.clock = MemoryDriver(), TrioClock(START)
        self.weather = Weather(self.inner)
        self.one, self.two = World(self.weather, self.clock), World(self.inner, self.clock)

    def strike(self, hits: Callable[[Element], bool], *, written: bool = True) -> None:
        """The first batch with an element that `hits` is written, or not, and unanswered."""

        def strike(batch: list[Element]) -> bool:
            if any(hits(element) for element in batch):
                self.weather.strike = lambda batch: False
                if written:
                    return True
                self.weather.away = "before"
            return False

        self.weather.strike = strike

    async def edited_by_two(self, job: str, owner: str = "two") -> None:
        await self.two.store.sync()
        await trio.testing.wait_all_tasks_blocked()
        await self.two.store.change(job, lambda record: owned(record, owner))

    async def calm(self) -> None:
        self.weather.away = ""
        await self.one.store.wait_up()
        await trio.testing.wait_all_tasks_blocked()


def claims(job: str) -> Callable[[Element], bool]:
    return lambda element: element.key == job and b'"state":"claimed"' in (element.value or b"")


def ends(job: str) -> Callable[[Element], bool]:
    return lambda element: element.key == job and any(run.state is State.SUCCEEDED for run in element.runs)


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("edited", [True, False])
@simulated
async def test_a_claim_in_doubt_starts_once_if_it_was_written(written: bool, edited: bool) -> None:
    storm = Storm()
    one = storm.one
    async with storm.two.up(scheduling=False), one.up():
        job = await one.create("job", schedule=every("PT1H"))
        storm.strike(claims(job), written=written)
        await one.until(3)
        assert one.started == []
        if edited:
            await storm.edited_by_two(job)
        await storm.calm()
        await one.until(20)
        # it is the claim that was in doubt, or a new one of the same occurrence: one run
        assert len(one.starts()) == 1
        assert one.accounts_for(job, until=20) == {"succeeded": 1}
        assert one.record(job).job.owner == "two" * edited
        one.agrees()


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("edited", [True, False])
@simulated
async def test_an_end_in_doubt_counts_once(written: bool, edited: bool, caplog: pytest.LogCaptureFixture) -> None:
    storm = Storm()
    one = storm.one
    async with storm.two.up(scheduling=False), one.up():
        job = await one.create("job", Act(5), schedule=every("PT1H"))
        child = await one.create("child", parent_jobs=[job])
        storm.strike(ends(job), written=written)
        await one.until(8)
        if edited:
            await storm.edited_by_two(job)
        await storm.calm()
        await one.until(20)
        assert one.accounts_for(job, until=20) == {"succeeded": 1}
        assert one.record(job).successes == 1
        assert [run.state for run in one.history(child)] == [State.SUCCEEDED]
        # and nobody is told that it came too late
        assert LATE not in caplog.text
        told = [event.type for event in one.events if event.job == job and event.type == "run.finished"]
        assert told == ["run.finished"]
        assert job in one.store.grown
        one.agrees()


@pytest.mark.parametrize("edited", [True, False])
@simulated
async def test_an_attempt_in_doubt_is_retried_once(edited: bool, caplog: pytest.LogCaptureFixture) -> None:
    storm = Storm()
    one = storm.one
    async with storm.two.up(scheduling=False), one.up():
        job = await one.create("job", FAIL, Act(), schedule=every("PT1H"), retries=1, retry_delay="PT4S")
        storm.strike(lambda element: element.key == job and b'"reason":"retry"' in (element.value or b""))
        await one.until(3)
        if edited:
            await storm.edited_by_two(job)
        await storm.calm()
        await one.until(20)
        (run,) = one.history(job)
        assert [attempt.state for attempt in run.attempts] == [State.FAILED, State.SUCCEEDED]
        assert one.record(job).errors == 1
        assert len(one.starts()) == 2
        assert LATE not in caplog.text
        one.agrees()


@pytest.mark.parametrize("edited", [True, False])
@simulated
async def test_a_delivery_in_doubt_goes_on_to_the_next_child(edited: bool) -> None:
    storm = Storm()
    one = storm.one
    async with storm.two.up(scheduling=False), one.up():
        job = await one.create("job", schedule=every("PT1H"))
        children = [await one.create(f"child {n}", Act(2), parent_jobs=[job]) for n in range(3)]
        # given that the first child's end was noted, and the answer lost
        storm.strike(lambda element: element.key == job and b'"to":["' + children[1].encode() in (element.value or b""))
        await one.until(5)
        assert one.starts("child 1") == []
        if edited:
            await storm.edited_by_two(job)
        await storm.calm()
        await one.until(60)
        assert [len(one.history(child)) for child in children] == [1, 1, 1]
        assert one.record(job).outbox == ()
        one.agrees()


@simulated
async def test_what_was_refused_is_not_written_later() -> None:
    """Given jobs that a client was told are not made, since their commit had no answer and was not written."""
    storm = Storm()
    one = storm.one
    async with one.up(scheduling=False):
        await one.store.transact(new("there"))
        storm.strike(lambda element: True, written=False)
        with pytest.raises(StoreUnavailable):
            await one.store.transact(new("refused"))
        await trio.sleep(100)
        await storm.calm()
        assert storm.inner.get("job", "refused") is None
        assert one.store.roster.get("refused") is None
        one.agrees()


@simulated
async def test_a_thousand_in_doubt_are_asked_about_in_one_trip() -> None:
    storm = Storm()
    one = storm.one
    gets = 0

    def get(kind: str, key: str) -> Any:
        nonlocal gets
        gets += 1
        return Weather.get(storm.weather, kind, key)

    storm.weather.get = get  # type: ignore[method-assign]
    async with one.up(scheduling=False):
        ids = [f"{number:04d}" for number in range(1000)]
        await one.store.transact(lambda draft: [change for one in ids for change in new(one)(draft)])
        storm.strike(lambda element: True)
        done = []

        async def count_all() -> None:
            done.extend(await one.store.transact(lambda draft: [_rows(draft.any(one)) for one in ids], patient=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count_all)
            await trio.testing.wait_all_tasks_blocked()
            storm.weather.batches.clear()
            gets = 0
            await storm.calm()
        assert len(done) == 1000
        assert (gets, len(storm.weather.batches)) == (1, 1)
        assert {record.revision for record in one.store.roster} == {2}
        one.agrees()


def _rows(record: Record | None) -> Change:
    assert record is not None
    change = counted(record)
    run = Run(f"of {record.id}", record.id, START, Trigger.MANUAL, State.SUCCEEDED, START, ended=START)
    return Change(change.record, (run,))


@simulated
async def test_of_many_in_doubt_each_is_known_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Given a batch of many ends, all in doubt, of which others have written on top of some."""
    caplog.set_level(logging.WARNING)
    storm = Storm()
    one = storm.one
    async with storm.two.up(scheduling=False), one.up():
        jobs = [await one.create(f"{number}", Act(5), schedule=every("PT1H")) for number in range(30)]
        storm.strike(ends(jobs[7]))
        await one.until(8)
        for job in jobs[::3]:
            await storm.edited_by_two(job)
            await storm.edited_by_two(job, "again")
        await storm.calm()
        await one.until(20)
        for job in jobs:
            assert one.accounts_for(job, until=20) == {"succeeded": 1}
            assert one.record(job).successes == 1
        assert {one.record(job).job.owner for job in jobs[::3]} == {"again"}
        assert LATE not in caplog.text
        one.agrees()


@simulated
async def test_another_daemon_that_decided_the_run_meanwhile_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    """Given an end that was not written, and another daemon that has taken this one for dead since."""
    storm = Storm()
    one = storm.one
    async with storm.two.up(scheduling=False), one.up():
        job = await one.create("job", Act(5), schedule=every("PT1H"))
        storm.strike(ends(job), written=False)
        await one.until(8)
        await storm.two.store.sync()
        await trio.testing.wait_all_tasks_blocked()
        await storm.two.store.change(
            job, lambda record: ledger.take_over(record, alive=frozenset(), instance="two", now=storm.clock.now())
        )
        await storm.calm()
        await one.until(20)
        assert [run.state for run in one.history(job)] == [State.LOST]
        assert one.record(job).successes == 0
        assert caplog.text.count(LATE) == 1
        one.agrees()


@simulated
async def test_a_run_that_another_has_taken_over_is_ended_here(caplog: pytest.LogCaptureFixture) -> None:
    """Given a daemon that was taken for dead while its run is on, which the other starts again."""
    storm = Storm()
    one, two = storm.one, storm.two
    async with two.up(), one.up():
        job = await one.create("job", Act(100), schedule=every("PT1H"), on_lost="rerun")
        await one.until(10)
        (run,) = one.record(job).open
        await two.store.sync()
        await trio.testing.wait_all_tasks_blocked()
        await two.store.change(
            job, lambda record: ledger.take_over(record, alive=frozenset(), instance="two", now=storm.clock.now())
        )
        await two.until(11)
        assert two.starts("job") == [10]
        assert one.scheduler.running == 1
        await one.store.sync()
        await one.until(12)
        assert one.scheduler.running == 0
        assert "a run was taken over by another daemon, and is ended here" in caplog.text
        await two.until(200)
        (run,) = one.history(job)
        assert [attempt.state for attempt in run.attempts] == [State.LOST, State.SUCCEEDED]


@simulated
async def test_a_database_that_was_set_back_is_refused() -> None:
    """It has lost what was answered: deciding on it anew would go on for ever, or do things twice."""
    storm = Storm()
    async with storm.one.up():
        job = "a"
        await storm.one.store.transact(new(job))
        stored = storm.inner.get("job", job)
        await storm.one.store.change(job, lambda record: owned(record, "later"))
        # when an earlier state of the database is restored under a daemon
        assert stored is not None
        storm.inner._records["job", job] = stored
        with pytest.raises(StoreRefused, match=r"set back while in use\. Start again"):
            await storm.one.store.change(job, lambda record: owned(record, "lost"))
        assert storm.one.record(job).job.owner == "later"
        assert storm.inner.get("job", job) == stored
        # and when it is as it was, all goes on
        storm.inner._records["job", job] = replace(
            stored, revision=stored.revision + 1, value=encode(storm.one.record(job))
        )
        await storm.calm()
        await storm.one.store.change(job, lambda record: owned(record, "at last"))
        storm.one.agrees()


@simulated
async def test_another_job_of_the_same_id_is_adopted() -> None:
    """Its revisions begin anew, when the former one was forgotten meanwhile."""
    storm = Storm()
    async with storm.one.up():
        job = "a"
        await storm.one.store.transact(new(job))
        for owner in "abc":
            await storm.one.store.change(job, lambda record, owner=owner: owned(record, owner))  # type: ignore[misc]
        later = replace(storm.one.record(job), created=storm.one.record(job).created + 1, revision=1)
        storm.inner._records["job", job] = Stored("job", job, 1, encode(later))
        await storm.one.store.change(job, lambda record: owned(record, "new"))
        assert storm.one.record(job).revision == 2
        storm.one.agrees()
