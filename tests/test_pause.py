"""Pausing: nothing starts, what is on goes on, and what passed meanwhile is skipped or made good."""

import pytest
from weather import Weather
from world import FAIL, START, Act, World, every, simulated

from kala import events
from kala.clock import SECOND, TrioClock
from kala.drivers.contract import Element
from kala.drivers.memory import MemoryDriver
from kala.errors import Paused, StoreUnavailable
from kala.states import State, Trigger


@simulated
async def test_what_is_on_goes_on_and_what_waits_or_comes_starts_when_it_is_resumed() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        # given a run that is on, one that waits its turn behind it, one that waits for its retry, and a child to be
        long = await world.create("long", Act(30), schedule=every("PT1H", first=1))
        child = await world.create("child", parent_jobs=[long])
        hourly = every("PT1H", first=1)
        await world.create("retried", FAIL, Act(), schedule=hourly, retries=1, retry_delay="PT20S")
        coming = await world.create("coming", schedule=every("PT1H", first=40))
        await world.until(5)
        await world.service.start(long)
        # when the daemon is paused, twice
        for reason in ("a move", "another"):
            await world.service.set_paused(True, reason)
        assert world.service.paused
        assert (world.service.pause.since, world.service.pause.reason) == (START + 5 * SECOND, "a move")
        # then nothing starts but what is on ends, and starts by hand are refused
        with pytest.raises(Paused):
            await world.service.start(coming)
        await world.until(60)
        assert sorted((one.at, one.job) for one in world.started) == [(1, "long"), (1, "retried")]
        assert [run.state for run in world.history(long)] == [State.SUCCEEDED]
        assert world.record(child).open[0].state is State.WAITING
        # when it is resumed, all of it starts at once, and what is late by less than a minute is not even late
        await world.service.set_paused(False)
        await world.until(61)
        assert sorted((one.at, one.job) for one in world.started[2:]) == [
            (60, "child"),
            (60, "coming"),
            (60, "long"),
            (60, "retried"),
        ]
        assert [run.trigger for run in world.history(coming)] == [Trigger.SCHEDULE]
        await world.until(100)
        assert world.starts("long") == [1, 60]
        assert [one.type for one in world.events if one.type.startswith("daemon")] == [
            events.DAEMON_PAUSED,
            events.DAEMON_RESUMED,
        ]
        world.agrees()


POLICIES = {
    # by job: what became of the occurrences of minutes 1 to 10, of which those of 3 to 9 passed in the pause
    "once": ({}, {"skipped paused": 6, "succeeded": 4}, [Trigger.CATCH_UP]),
    "none": ({"catch_up": "none"}, {"skipped paused": 6, "succeeded": 4}, []),
    "all": ({"catch_up": "all"}, {"succeeded": 10}, [Trigger.CATCH_UP] * 7),
    "resume": ({"resume_at_next_scheduled_time": True}, {"skipped paused": 6, "succeeded": 4}, []),
}


@simulated
async def test_catch_up_decides_about_what_passed_and_says_that_it_was_a_pause() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        jobs = {
            name: await world.create(name, schedule=every("PT1M", first=60), **members)
            for name, (members, _, _) in POLICIES.items()
        }
        single = await world.create("single", schedule=every("PT1M", first=200, repetitions=0))
        await world.until(150)
        await world.service.set_paused(True)
        await world.until(545)
        await world.service.set_paused(False)
        await world.until(610)
        for name, (_, counts, caught_up) in POLICIES.items():
            assert world.accounts_for(jobs[name], until=600) == counts, name
            runs = [run.trigger for run in world.history(jobs[name]) if run.state is State.SUCCEEDED]
            assert [one for one in runs if one is Trigger.CATCH_UP] == caught_up, name
        # what has no successor runs whatever passed
        assert [(run.trigger, run.state) for run in world.history(single)] == [(Trigger.CATCH_UP, State.SUCCEEDED)]
        world.agrees()


@simulated
async def test_a_pause_outlasts_the_daemon_and_a_run_that_was_on_is_dealt_with() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock, mortal=True)
    async with world.up():
        job = await world.create("job", Act(1000), schedule=every("PT1M", first=1), on_lost="rerun")
        await world.until(2)
        await world.service.set_paused(True, "a fire")
        world.kill()
    again = World(driver, clock)
    async with again.up():
        assert again.service.paused
        assert again.service.pause.reason == "a fire"
        await again.until(30)
        assert again.started == []
        assert [run.state for run in again.record(job).open] == [State.WAITING]
        await again.service.set_paused(False)
        await again.until(31)
        assert again.starts() == [30]


@simulated
async def test_all_daemons_on_the_database_pause() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    one, other = World(driver, clock), World(driver, clock)
    async with one.up(), other.up():
        job = await one.create("job", schedule=every("PT10S", first=10))
        await other.store.sync()
        await one.service.set_paused(True, "all of you")
        await other.store.sync()
        assert (other.service.paused, other.service.pause.reason) == (True, "all of you")
        with pytest.raises(Paused):
            await other.service.start(job)
        await one.until(25)
        assert one.started == other.started == []
        # when the other resumes, the one hears of it
        await other.service.set_paused(False)
        assert one.service.paused
        await one.store.sync()
        assert not one.service.paused
        await one.until(35)
        assert len(one.started) + len(other.started) > 0


@simulated
async def test_what_is_claimed_for_the_moment_of_the_pause_is_put_back() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        # given an occurrence that is claimed, as they are a little before their moment
        job = await world.create("job", schedule=every("PT1H", first=10))
        await world.until(9.95)
        (run,) = world.record(job).open
        assert run.state is State.CLAIMED
        # when the daemon is paused before that
        await world.service.set_paused(True)
        await world.until(20)
        # then it waits, and starts when it is resumed
        assert world.started == []
        assert [(one.state, one.id) for one in world.record(job).open] == [(State.WAITING, run.id)]
        await world.service.set_paused(False)
        await world.until(21)
        assert world.starts() == [20]


@simulated
async def test_while_the_database_is_away_nobody_pauses() -> None:
    weather = Weather()
    world = World(weather, TrioClock(START))
    async with world.up():
        await world.create("job", schedule=every("PT10S", first=10))
        weather.away = "before"
        with pytest.raises(StoreUnavailable):
            await world.service.set_paused(True)
        assert not world.service.paused
        weather.away = ""
        await world.until(15)
        assert world.starts() == [10]


@simulated
async def test_a_pause_that_cannot_be_read_is_none_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    driver = MemoryDriver()
    driver.open()
    driver.commit([Element("setting", "pause", 0, 1, b"nonsense")])
    world = World(driver, TrioClock(START))
    async with world.up():
        assert not world.service.paused
        assert "cannot be read" in caplog.text
        # and it can be set anew
        await world.service.set_paused(True)
        assert world.service.paused


@simulated
async def test_a_repeated_start_finds_its_run_while_paused() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(10), schedule=every("PT1H", first=500))
        run_id = await world.service.start(job, key="k")
        await world.until(1)
        await world.service.set_paused(True)
        assert await world.service.start(job, key="k") == run_id
        await world.until(20)
        assert await world.service.start(job, key="k") == run_id
        with pytest.raises(Paused):
            await world.service.start(job, key="another")
        assert len(world.started) == 1


@simulated
async def test_a_pause_covers_its_first_and_its_last_moment() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        await world.until(10)
        assert not world.scheduler.pause.covers(START + 10 * SECOND)
        await world.service.set_paused(True)
        on = [world.scheduler.pause.covers(START + 10 * SECOND + more) for more in (-1, 0, 1)]
        assert on == [False, True, True]
        await world.until(20)
        await world.service.set_paused(False)
        over = [world.scheduler.pause.covers(START + 20 * SECOND + more) for more in (-1, 0, 1)]
        assert over == [True, True, False]
