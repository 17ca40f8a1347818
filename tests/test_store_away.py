"""The database goes away and comes back: who is refused, who waits, and what a lost answer comes to."""

import logging
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
from decisions import counted, new
from weather import Weather
from world import START, World, inline, simulated

from kala import events
from kala.clock import SECOND, TrioClock
from kala.errors import JobNotFound, StoreRefused, StoreUnavailable
from kala.job import Record, Run
from kala.ledger import Change
from kala.states import State, Trigger
from kala.store import RETRY_FIRST, RETRY_LAST

DOWN, UP = "the database is away", "the database is back"


def appended(record: Record, run_id: str) -> Change:
    """One more, with a row of the history."""
    change = counted(record)
    run = Run(run_id, record.id, START, Trigger.MANUAL, State.SUCCEEDED, START, ended=START)
    return Change(change.record, (run,), events=change.events)


class Calls:
    """Callers of the store, and what each was answered, and when, in seconds."""

    def __init__(self, world: World, nursery: trio.Nursery) -> None:
        self._world, self._nursery = world, nursery
        self.answers: dict[str, str] = {}

    def change(self, name: str, *, patient: bool, decide: Any = None) -> None:
        async def call() -> None:
            try:
                change = decide or (lambda record: appended(record, name))
                await self._world.store.change("job", change, patient=patient)
            except (StoreUnavailable, StoreRefused, JobNotFound) as fault:
                self.answers[name] = f"{type(fault).__name__} at {self.now}"
            else:
                self.answers[name] = f"done at {self.now}"

        self._nursery.start_soon(call)

    @property
    def now(self) -> str:
        return f"{(self._world.clock.now() - START) / SECOND:g}"


@pytest.mark.parametrize("away", ["before", "after"])
@simulated
async def test_the_impatient_are_refused_at_once_and_the_patient_written_once(
    away: str, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    caplog.set_level(logging.INFO)
    async with world.up(scheduling=False), trio.open_nursery() as callers:
        calls = Calls(world, callers)
        await world.store.transact(new("job"))
        # given a database that goes away, with an answer that is lost if it could still write
        driver.away = away
        calls.change("impatient", patient=False)
        calls.change("patient", patient=True)
        await trio.testing.wait_all_tasks_blocked()
        calls.change("later impatient", patient=False)
        calls.change("later patient", patient=True)
        await trio.testing.wait_all_tasks_blocked()
        refused = {"impatient": "StoreUnavailable at 0", "later impatient": "StoreUnavailable at 0"}
        assert calls.answers == refused
        assert "a storm" in str(world.store.fault)
        assert world.record("job").revision == 1  # reads go on, from memory
        await trio.sleep(60)
        # when it is back, after many tries of which nobody hears
        driver.away = ""
        await world.store.wait_up()
        await trio.testing.wait_all_tasks_blocked()
        assert world.store.fault is None
        assert {name for name, answer in calls.answers.items() if answer.startswith("done")} == {
            "patient",
            "later patient",
        }
        # then each patient one was written once, and what was in doubt and had been written counts
        written = ["impatient"] * (away == "after") + ["patient", "later patient"]
        assert sorted(run.id for run in world.history()) == sorted(written)
        assert world.record("job").job.owner == str(len(written))
        assert world.store.grown == {"job"}
        world.agrees()
    assert [record.message for record in caplog.records if DOWN in record.message] == [f"{DOWN}: a storm"]
    assert [record.message for record in caplog.records if UP in record.message] == [UP]
    told = [event.type for event in world.events]
    assert (told.count(events.STORE_DOWN), told.count(events.STORE_UP)) == (1, 1)
    assert told.count(events.JOB_SAVED) == 1 + len(written)


@simulated
async def test_of_a_batch_in_doubt_each_part_is_looked_at() -> None:
    """Given a batch of two parts, of which the first was written before the database went away."""
    driver = Weather()
    driver.inner.max_batch = 1  # type: ignore[misc]
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False):
        await world.store.transact(lambda draft: [*new("one")(draft), *new("two")(draft)])
        commit, driver.commit = driver.commit, _away_at_second(driver)  # type: ignore[method-assign]
        outcomes = []

        async def count_both() -> None:
            changes = await world.store.transact(
                lambda draft: [counted(draft.any(one)) for one in ("one", "two")],  # type: ignore[arg-type]
                patient=True,
            )
            outcomes.append([change.record.job.owner for change in changes])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count_both)
            await trio.testing.wait_all_tasks_blocked()
            assert (outcomes, world.record("one").revision) == ([], 1)
            driver.commit, driver.away = commit, ""  # type: ignore[method-assign]
        # then the one whose second part was not there decides about both again
        assert outcomes == [["2", "1"]]
        world.agrees()


def _away_at_second(driver: Weather) -> Any:
    calls = iter(("", "before"))

    def commit(batch: Any) -> Any:
        driver.away = next(calls, "before")
        return Weather.commit(driver, batch)

    return commit


@simulated
async def test_it_is_tried_again_with_growing_delays_and_looked_at_closely_when_it_comes_and_goes() -> None:
    driver, tries = Weather(), []
    clock = TrioClock(START)

    async def noting(function: Any, *arguments: Any) -> Any:
        if driver.away:
            tries.append((clock.now() - START) / SECOND)
        return await inline(function, *arguments)

    world = World(driver, clock, in_thread=noting)
    async with world.up(scheduling=False), trio.open_nursery() as callers:
        await world.store.transact(new("job"))
        calls = Calls(world, callers)
        driver.away = "before"
        calls.change("patient", patient=True)
        await trio.sleep(30)
        delays = [later - before for before, later in pairwise(tries)]
        grown = [RETRY_FIRST * 2**number for number in range(6)] + [RETRY_LAST] * 20
        assert delays == pytest.approx(grown[: len(delays)])
        assert len(delays) > 8
        # one that takes the probe and nothing else is not tried ten times a second
        driver.away = ""
        driver.commit = _only_probes(driver, tries, clock)  # type: ignore[method-assign]
        await trio.sleep(30)
        tries.clear()
        await trio.sleep(60)
        assert len(tries) <= 13
        del driver.commit
        await trio.sleep(10)
        assert calls.answers["patient"].startswith("done")
        world.agrees()


def _only_probes(driver: Weather, tries: list[float], clock: TrioClock) -> Any:
    def commit(batch: Any) -> Any:
        if batch[0].kind == "setting":
            return driver.inner.commit(batch)
        tries.append((clock.now() - START) / SECOND)
        raise StoreUnavailable("the disk is full")

    return commit


@pytest.mark.parametrize(("back", "seconds"), [(False, 100), (True, 100), (True, 105)])
@simulated
async def test_closing_while_away_tries_once_more_and_says_what_is_lost(
    back: bool, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False), trio.open_nursery() as callers:
        calls = Calls(world, callers)
        await world.store.transact(new("job"))
        driver.away = "before"
        decided: list[str] = []

        def decide(name: str, record: Record) -> Change:
            decided.append(name)
            return appended(record, name)

        for number in range(5):
            calls.change(f"patient {number}", patient=True, decide=partial(decide, f"patient {number}"))
        await trio.sleep(seconds)
        closed = calls.now
        driver.away = "" if back else "before"
        world.store.close()
        await trio.testing.wait_all_tasks_blocked()
        answer = "done" if back else "StoreUnavailable"
        assert set(calls.answers.values()) == {f"{answer} at {closed}"}
        assert ("5 results could not be written before the end: a storm" in caplog.text) is not back
        driver.away = ""
    assert [run.id for run in world.history()] == decided[:5] * back  # in the order in which they were handed over


@simulated
async def test_a_database_that_refuses_is_away_too() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False), trio.open_nursery() as callers:
        calls = Calls(world, callers)
        await world.store.transact(new("job"))
        driver.commit = _refused  # type: ignore[method-assign]
        calls.change("impatient", patient=False)
        calls.change("patient", patient=True)
        await trio.testing.wait_all_tasks_blocked()
        assert calls.answers == {"impatient": "StoreRefused at 0"}
        del driver.commit
        await trio.sleep(10)
        assert calls.answers["patient"].startswith("done")


def _refused(batch: Any) -> Any:
    raise StoreRefused("the password has changed")


@simulated
async def test_a_caller_that_was_cancelled_is_not_answered_when_the_database_is_back() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False):
        await world.store.transact(new("job"))
        driver.away = "before"
        with trio.move_on_after(1) as scope:
            await world.store.change("job", counted, patient=True)
        assert scope.cancelled_caught
        driver.away = ""
        await world.store.wait_up()
        await trio.testing.wait_all_tasks_blocked()
        assert world.record("job").job.owner == "1"
        world.agrees()
