"""Stopping, and going on with a new start on the same database."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from weather import Weather
from world import START, Act, World, every, moments, simulated

from kala.clock import TrioClock
from kala.drivers.contract import Element
from kala.drivers.memory import MemoryDriver
from kala.errors import Stopping
from kala.job import Attempt, Job, Record, Run, decode_record
from kala.states import State, Trigger
from kala.stop import Stop


@simulated
async def test_nothing_starts_after_stopping_what_is_on_ends_and_the_rest_goes_on_with_the_next_start() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock, max_runs=4)
    async with world.up():
        job = await world.create("job", Act(8), schedule=every("PT1M", first=1))
        await world.create("child", Act(1), parent_jobs=[job])
        queued = await world.create("queued", Act(8), schedule=every("PT3S", first=1, repetitions=1))
        failing = await world.create("failing", Act(8, State.FAILED), schedule=every("PT1M", first=1), retries=1)
        started = await world.create("by hand", Act(8), schedule=every("PT1H", first=900))
        for _ in range(3):
            await world.service.start(started)
        limited = await world.create("above the limit", Act(1), schedule=every("PT1M", first=4))
        await world.until(5)
        world.scheduler.stop_starting()
        for asked in (
            world.service.start(started),
            world.service.create(Job(name="late", command="true")),
            world.service.delete(job),
            world.service.set_disabled(job, True),
        ):
            with pytest.raises(Stopping):
                await asked
        assert world.service.not_ready_because == str(Stopping())
        began = len(world.started)
    # then only what was on has ended
    assert len(world.started) == began == 4
    assert sorted(run.state for run in world.history()) == [State.SUCCEEDED] * 3
    left = {(record.job.name, run.state) for record in world.store.roster for run in record.open}
    assert left == {(name, State.WAITING) for name in ("queued", "failing", "by hand", "above the limit")}
    assert [entry.to for entry in world.record(job).outbox] != []
    # and a new start carries on with each, exactly once
    again = World(driver, clock, max_runs=4)
    again.acts["failing"][0] = Act(1)
    async with again.up():
        await again.until(50)
        assert sorted(one.job for one in again.started) == [
            "above the limit",
            "by hand",
            "by hand",
            "child",
            "failing",
            "queued",
        ]
        assert [run.state for run in again.history(failing)] == [State.SUCCEEDED]
        assert [run.retries for run in again.history(failing)] == [1]
        assert moments(again.history(queued)) == [1, 4]
        assert len(again.history(started)) == 3
        assert len(again.history(limited)) == 1
        assert all(not record.open and not record.outbox for record in again.store.roster)
        again.agrees()


@simulated
async def test_a_run_claimed_and_not_started_when_the_lease_is_lost_waits_again() -> None:
    """Given a lease that is not valid, nothing starts; and stopping meanwhile leaves what was claimed waiting."""
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock)
    async with world.up():
        jobs = [await world.create(f"{n}", schedule=every("PT1H", first=10)) for n in range(3)]
        world.lease.give_back()
        assert "lease" in world.service.not_ready_because
        await world.until(30)
        assert world.started == []
        assert [world.record(job).open[0].state for job in jobs] == [State.CLAIMED] * 3
    assert world.started == []
    assert [(world.record(job).open[0].state, world.record(job).open[0].reason) for job in jobs] == [
        (State.WAITING, "shutdown")
    ] * 3
    again = World(driver, clock)
    async with again.up():
        await again.until(40)
        assert [run.state for run in again.history()] == [State.SUCCEEDED] * 3
        for job in jobs:
            assert again.accounts_for(job, until=40) == {"succeeded": 1}


@simulated
async def test_what_was_claimed_while_the_lease_was_not_valid_starts_when_it_is() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT1H", first=10))
        world.lease._valid_until = 0.0
        await world.until(30)
        assert world.started == []
        world.lease.renew()
        await world.until(31)
        assert world.starts() == pytest.approx([30], abs=0.2)
        assert world.history(job)[0].state is State.SUCCEEDED


@simulated
async def test_a_run_whose_beginning_is_on_its_way_to_the_database_at_the_stop_waits_again() -> None:
    async def slowly(function: Callable[..., Any], *arguments: Any) -> Any:
        answer = function(*arguments)
        await trio.sleep(0.5)
        return answer

    driver = Weather()
    world = World(driver, TrioClock(START), in_thread=slowly)

    def stop_at_a_claim(batch: list[Element]) -> bool:
        records = [decode_record(element.value) for element in batch if element.value is not None]
        if any(run.state is State.CLAIMED for record in records for run in record.open):
            world.scheduler.stop_starting()
        return False

    async with world.up():
        job = await world.create("job", Act(1), schedule=every("PT1H", first=900))
        # given a run whose beginning is being written when the daemon is told to stop
        driver.strike = stop_at_a_claim
        await world.service.start(job)
        await world.until(5)
        assert world.scheduler.stopping
    # then it was not started, and waits for the next start
    assert world.started == []
    assert [run.state for run in world.record(job).open] == [State.WAITING]


@simulated
async def test_ending_runs_asks_each_and_in_a_hurry_twice() -> None:
    asked: list[int] = []

    async def stubborn(record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        while stop.requests < 3:
            changed = trio.Event()
            stop.attach(changed.set)
            await changed.wait()
            asked.append(stop.requests)
        now = world.clock.now()
        return Attempt(1, now, now, State.CANCELLED), b""

    world = World(MemoryDriver(), TrioClock(START), attempt=stubborn)
    async with world.up():
        job = (await world.service.create(Job(name="job", command="true"))).id
        await world.until(1)
        assert world.scheduler.running == 1
        world.scheduler.end_runs(hurry=False)
        await trio.testing.wait_all_tasks_blocked()
        world.scheduler.end_runs(hurry=True)
        await world.until(2)
        assert asked == [1, 3]
        assert [(run.state, run.reason) for run in world.history(job)] == [(State.CANCELLED, "shutdown")]


@simulated
async def test_a_run_that_is_cut_off_by_the_stop_waits_again_under_rerun() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock)
    async with world.up():
        job = await world.create("job", Act(100), schedule=every("PT1H"), on_lost="rerun")
        await world.until(5)
        world.scheduler.stop_starting()
        world.scheduler.end_runs(hurry=False)
    assert [run.state for run in world.record(job).open] == [State.WAITING]
    again = World(driver, clock)
    async with again.up():
        await again.until(10)
        (run,) = again.history(job)
        assert (run.state, [attempt.state for attempt in run.attempts]) == (
            State.SUCCEEDED,
            [State.CANCELLED, State.SUCCEEDED],
        )


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("once", {"succeeded": 4, "missed down": 8}),
        ("none", {"succeeded": 3, "missed down": 9}),
        ("all", {"succeeded": 12}),
    ],
)
@simulated
async def test_time_down_is_made_good_as_the_job_says(catch_up: str, expected: dict[str, int]) -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock)
    async with world.up():
        job = await world.create("job", schedule=every("PT10M", first=600), catch_up=catch_up)
        await world.until(1300)
    await clock.sleep_until(START + 6_700_000_000)  # nine occurrences later, and the last 100 s ago
    again = World(driver, clock)
    async with again.up():
        await again.until(7210)
        assert again.accounts_for(job, until=7210) == expected
        caught_up = [run for run in again.history(job) if run.trigger is Trigger.CATCH_UP]
        assert {run.state for run in caught_up} <= {State.SUCCEEDED}
        assert again.starts()[-1] == 7200


@simulated
async def test_who_waits_for_a_run_that_cannot_settle_any_more_is_told() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    outcomes = []

    async def wait(job: str, run: str) -> None:
        try:
            await world.service.wait_settled(job, run)
        except Stopping:
            outcomes.append("stopping")
        else:
            outcomes.append("settled")

    async with trio.open_nursery() as nursery:
        async with world.up():
            long, short = await world.create("long", Act(8)), await world.create("short", Act(8))
            await world.until(1)
            behind = await world.service.start(long)
            nursery.start_soon(wait, long, behind)
            nursery.start_soon(wait, short, world.record(short).open[0].id)
            await world.until(2)
            world.scheduler.stop_starting()
        await trio.testing.wait_all_tasks_blocked()
    assert outcomes == ["settled", "stopping"]
