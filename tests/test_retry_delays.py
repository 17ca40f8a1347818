"""Retries that wait: at their time, whatever happens to the daemon meanwhile, and none twice."""

from itertools import pairwise

import pytest
from weather import Weather
from world import FAIL, START, Act, World, every, simulated

from kala.clock import SECOND, TrioClock
from kala.drivers.memory import MemoryDriver
from kala.job import replace
from kala.states import State
from kala.wire.jobread import NewJob

MINUTELY = {"retries": 9, "retry_delay": "PT1M"}


def waits_until(world: World, job: str) -> float:
    """When the next attempt of the job's only open run is to start, in seconds."""
    (run,) = world.record(job).open
    assert run.state is State.WAITING
    assert run.not_before is not None
    return (run.not_before - START) / SECOND


@simulated
async def test_a_run_keeps_its_place_between_its_attempts() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        members = {"retries": 3, "retry_delay": "PT10S", "retry_backoff": 2.0}
        job = await world.create("job", FAIL, FAIL, Act(1), schedule=every("PT5M", first=10), **members)
        by_hand = await world.service.start(job) and await world.service.start(job)
        await world.until(200)
        starts = world.starts()
        # the first of two by hand fails twice, a tenth more or less than 10 and 20 s apart; then the other, then 10
        assert starts[1] == pytest.approx(10, abs=1)
        assert starts[2] - starts[1] == pytest.approx(20, abs=2)
        assert starts[3:] == pytest.approx([starts[2] + 1, starts[2] + 2], abs=1e-6)
        assert [(run.state, run.retries) for run in world.history(job)] == [
            (State.SUCCEEDED, 2),
            (State.SUCCEEDED, 0),
            (State.SUCCEEDED, 0),
        ]
        assert world.history(job)[1].id == by_hand
        world.agrees()


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("down", [1, 30, 3600])
@simulated
async def test_over_a_restart_they_come_at_their_time_each_once(down: float, killed: bool) -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock, mortal=True)
    async with world.up():
        jobs = [await world.create(f"{n}", FAIL, schedule=every("P1D", first=1 + n), **MINUTELY) for n in range(20)]
        await world.until(30)
        due = {f"{n}": waits_until(world, job) for n, job in enumerate(jobs)}
        if killed:
            world.kill()
    assert clock.now() == START + 30 * SECOND
    await clock.sleep_until(START + round((30 + down) * SECOND))
    again = World(driver, clock)
    async with again.up():
        await again.until(5000)
        assert {one.job: one.at for one in again.started} == {
            name: pytest.approx(max(at, 30 + down), abs=1e-6) for name, at in due.items()
        }
        assert len(again.started) == 20
        for job in jobs:
            (run,) = again.history(job)
            assert [attempt.state for attempt in run.attempts] == [State.FAILED, State.SUCCEEDED]
            assert again.accounts_for(job, until=5000) == {"succeeded": 1}
        again.agrees()


@simulated
async def test_of_two_instances_one_makes_the_next_attempt_at_its_time() -> None:
    """Given a retry that both wait for, and that fails again at once on one of them."""
    driver, clock = MemoryDriver(), TrioClock(START)
    one, two = World(driver, clock), World(driver, clock)
    for world in (one, two):
        world.acts["job"][0] = FAIL
    async with one.up(), two.up():
        job = await one.create("job", schedule=every("P1D"), retries=5, retry_delay="PT1M")
        for second in range(1, 600):
            await one.until(second + 0.5)
            await one.store.sync()
            await two.store.sync()
        starts = sorted(one.starts() + two.starts())
        assert len(starts) == 6
        for before, after in pairwise(starts):
            assert after - before == pytest.approx(60, abs=6.1)
        (run,) = one.history(job)
        assert (run.state, run.retries) == (State.FAILED, 5)
        await two.store.sync()
        assert one.scheduler.running == two.scheduler.running == 0


@pytest.mark.parametrize("away", ["before", "after"])
@simulated
async def test_a_database_that_is_away_when_it_is_time(away: str) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", FAIL, FAIL, Act(), schedule=every("P1D"), **MINUTELY)
        await world.until(10)
        driver.away = away
        await world.until(200)
        driver.away = ""
        await world.until(300)
        assert len(world.started) == 3
        assert [(run.state, run.retries) for run in world.history(job)] == [(State.SUCCEEDED, 2)]
        world.agrees()


@simulated
async def test_disabled_cancelled_deleted_or_without_retries_left_it_is_not_retried() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        ids = {
            name: await world.create(name, FAIL, Act(), schedule=every("P1D"), **MINUTELY)
            for name in ("disabled", "cancelled", "deleted", "edited", "left alone")
        }
        await world.until(10)
        await world.service.set_disabled(ids["disabled"], True)
        await world.service.cancel(world.record(ids["cancelled"]).open[0].id)
        await world.service.delete(ids["deleted"])
        none = replace(world.record(ids["edited"]).job, retries=0)
        await world.service.edit(ids["edited"], lambda record: NewJob(none, False, []))
        await world.until(200)
        assert sorted(one.job for one in world.started) == sorted([*ids, "left alone"])
        states = {name: [(run.state, run.reason) for run in world.history(job)] for name, job in ids.items()}
        assert states == {
            "disabled": [(State.FAILED, "disabled")],
            "cancelled": [(State.CANCELLED, "cancelled")],
            "deleted": [(State.FAILED, "deleted")],
            "edited": [(State.FAILED, "")],
            "left alone": [(State.SUCCEEDED, "")],
        }


@simulated
async def test_what_waits_for_a_retry_takes_no_place_under_the_limit() -> None:
    world = World(MemoryDriver(), TrioClock(START), max_runs=1)
    async with world.up():
        await world.create("failing", FAIL, Act(), schedule=every("P1D"), **MINUTELY)
        await world.create("other", Act(1), schedule=every("PT10S", first=2))
        await world.until(100)
        assert world.starts("other") == [2 + 10.0 * n for n in range(10)]
        assert len(world.starts("failing")) == 2
