"""Ending runs: those that someone wants to end, and those that the next occurrence takes the place of."""

import pytest
import trio
from weather import Weather
from world import FAIL, START, Act, World, every, inline, moments, simulated

from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.errors import RunEnded, RunNotFound
from kala.job import Attempt, Job, Record, Run
from kala.recovery import take_over
from kala.states import State, Trigger
from kala.stop import Stop


def open_run(world: World, job: str, place: int = 0) -> str:
    return world.record(job).open[place].id


@simulated
async def test_an_attempt_that_is_on_ends_and_is_not_retried() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        alarm = await world.create("alarm", schedule=every("PT1H", first=900))
        members = {"retries": 5, "on_failure_job": alarm, "on_lost": "rerun"}
        job = await world.create("job", Act(100), Act(), schedule=every("PT1M", repetitions=1), **members)
        child = await world.create("child", parent_jobs=[job])
        await world.until(5)
        run = open_run(world, job)
        asked = await world.service.cancel(run)
        assert (asked.id, asked.state, asked.cancel) == (run, State.RUNNING, "cancelled")
        await world.until(6)
        (ended,) = world.history(job)
        assert (ended.state, ended.reason, ended.ended) == (State.CANCELLED, "cancelled", START + 5_000_000)
        assert [attempt.state for attempt in ended.attempts] == [State.CANCELLED]
        assert world.history(child) == world.history(alarm) == []
        assert world.record(job).errors == 0
        with pytest.raises(RunEnded) as caught:
            await world.service.cancel(run)
        assert caught.value.state == "cancelled"
        with pytest.raises(RunNotFound):
            await world.service.cancel("nobody")
        # and the schedule goes on
        await world.until(62)
        assert world.starts("job") == [1, 61]
        assert world.accounts_for(job, until=62) == {"cancelled cancelled": 1, "succeeded": 1}
        world.agrees()


@simulated
async def test_what_waits_ends_at_once_and_holds_up_nobody() -> None:
    """Given runs that wait for their turn, for a retry and for a place."""
    world = World(MemoryDriver(), TrioClock(START), max_runs=2)
    async with world.up():
        queued = await world.create("queued", Act(20), Act(), schedule=every("PT2S", repetitions=1))
        retried = await world.create("retried", FAIL, Act(), schedule=every("PT1H"), retries=1, retry_delay="PT10S")
        await world.create("long", Act(20), schedule=every("PT1H", first=2))
        limited = await world.create("limited", schedule=every("PT1H", first=3))
        await world.create("next", schedule=every("PT1H", first=4))
        await world.until(5)
        assert [run.reason for run in world.record(limited).open] == ["limit"]
        runs = [open_run(world, queued, 1), open_run(world, retried), open_run(world, limited)]
        for run in runs:
            ended = await world.service.cancel(run)
            assert (ended.id, ended.state, ended.reason) == (run, State.CANCELLED, "cancelled")
        await world.until(60)
        assert world.starts("queued") == [1]
        assert world.starts("retried") == [1]
        assert world.starts("limited") == []
        assert world.starts("next") == [21]
        assert [run.state for run in world.history(retried)] == [State.CANCELLED]
        assert all(not record.open for record in world.store.roster)
        # no place was lost by it
        for name in ("a", "b"):
            await world.service.start(await world.create(name, Act(5), schedule=every("PT1H", first=900)))
        await world.until(61)
        assert world.scheduler.running == 2
        world.agrees()


@simulated
async def test_who_started_it_and_waits_is_told_when_it_is_cancelled() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up(), trio.open_nursery() as nursery:
        job = await world.create("job", Act(100), schedule=every("PT1H", first=900))
        first, second = await world.service.start(job), await world.service.start(job)
        settled: list[str] = []

        async def wait(run: str) -> None:
            await world.service.wait_settled(job, run)
            settled.append(run)

        nursery.start_soon(wait, first)
        nursery.start_soon(wait, second)
        await world.until(1)
        await world.service.cancel(second)
        await world.until(2)
        assert settled == [second]
        await world.service.cancel(first)
        await world.until(3)
        assert settled == [second, first]
        assert [run.trigger for run in world.history(job)] == [Trigger.MANUAL] * 2


def last_due(world: World, job: str) -> float:
    return moments([world.record(job).last_due or 0])[0]


@pytest.mark.parametrize("seconds", [9.89, 9.9, 9.95, 10])
@simulated
async def test_around_its_moment(seconds: float) -> None:
    """Given a run that is claimed at 9.9, and is to start at 10."""
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(5), schedule=every("PT1H", first=10))
        await world.until(seconds)
        if world.record(job).open:
            await world.service.cancel(open_run(world, job))
            await world.until(11)
            assert [(run.state, run.reason) for run in world.history(job)] == [(State.CANCELLED, "cancelled")]
            assert len(world.starts()) == (seconds == 10)
        else:
            await world.until(20)
            assert [run.state for run in world.history(job)] == [State.SUCCEEDED]
        assert world.scheduler.running == 0


@simulated
async def test_a_run_of_another_instance_is_ended_there() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    one, two = World(driver, clock), World(driver, clock)
    async with one.up(), two.up():
        job = await one.create("job", Act(100), schedule=every("PT1H", first=900), retries=3)
        run = await one.service.start(job)
        await one.until(5)
        await two.store.sync()
        await two.until(6)
        assert two.record(job).open[0].instance == one.lease.id
        assert (await two.service.cancel(run)).cancel == "cancelled"
        await two.until(10)
        assert one.scheduler.running == 1  # it has not heard of it yet
        await one.store.sync()
        await one.until(11)
        assert one.scheduler.running == 0
        assert [(run.state, run.reason) for run in two.history(job)] == [(State.CANCELLED, "cancelled")]
        await two.store.sync()


@simulated
async def test_a_run_whose_instance_died_before_it_could_end_it() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    dead, world = World(driver, clock, mortal=True), World(driver, clock)
    async with dead.up():
        job = await dead.create("job", Act(100), schedule=every("PT1H"), on_lost="rerun")
        await dead.until(5)
        dead.kill()
    async with world.up(scheduling=False):
        await world.service.cancel(open_run(world, job))
        await take_over(world.store, world.lease, clock, inline)
        assert [(run.state, run.reason) for run in world.history(job)] == [(State.CANCELLED, "cancelled")]


@simulated
async def test_while_the_daemon_stops_runs_can_still_be_cancelled() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(100), schedule=every("PT1H"))
        await world.until(5)
        world.scheduler.stop_starting()
        await world.service.cancel(open_run(world, job))
        await world.until(6)
        assert [(run.state, run.reason) for run in world.history(job)] == [(State.CANCELLED, "cancelled")]
    assert world.clock.now() < START + 10_000_000


@simulated
async def test_paused_runs_can_be_cancelled() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(100), schedule=every("PT2S", repetitions=1))
        await world.until(5)
        await world.service.set_paused(True)
        for place in (1, 0):
            await world.service.cancel(open_run(world, job, place))
        await world.until(6)
        assert world.record(job).open == ()
        assert moments(world.history(job)) == [3, 1]


@pytest.mark.parametrize("away", ["before", "after"])
@simulated
async def test_an_end_that_waits_for_the_database_is_still_a_cancelled_one(away: str) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(3, State.FAILED), schedule=every("PT1H"), retries=5)
        await world.until(2)
        run = open_run(world, job)
        await world.service.cancel(run)
        driver.away = away
        await world.until(30)
        assert world.scheduler.running == 0
        driver.away = ""
        await world.until(60)
        assert [(run.state, run.reason) for run in world.history(job)] == [(State.CANCELLED, "cancelled")]
        assert world.starts() == [1]


# Replacing.


@simulated
async def test_the_next_occurrence_takes_the_place_of_the_one_that_is_on() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(25), schedule=every("PT10S", first=10, repetitions=4), overlap="replace")
        child = await world.create("child", Act(3), parent_jobs=[job])
        await world.until(49)
        assert world.starts("job") == [10, 20, 30, 40]
        await world.until(100)
        assert world.starts("job") == [10, 20, 30, 40, 50]
        assert world.accounts_for(job, until=50) == {"cancelled replaced": 4, "succeeded": 1}
        assert world.starts("child") == [75]
        assert (world.record(job).errors, world.record(job).is_done) == (0, True)
        assert len(world.history(child)) == 1
        world.agrees()


@simulated
async def test_one_that_takes_its_time_to_end_is_followed_by_the_latest() -> None:
    """Given attempts that end 35 s after they are asked to."""

    async def stubborn(record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        begun, asked = world.clock.now(), trio.Event()
        stop.attach(asked.set)
        started.append((begun - START) / 1e6)
        await asked.wait()
        await trio.sleep(35)
        return Attempt(1, begun, world.clock.now(), State.CANCELLED), b""

    started: list[float] = []
    world = World(MemoryDriver(), TrioClock(START), attempt=stubborn)
    async with world.up():
        job = (await world.service.create(Job("job", "true", schedule=every("PT10S", first=10), overlap="replace"))).id
        await world.until(99)
        assert started == [10, 55, 95]
        assert world.accounts_for(job, until=99) == {"cancelled replaced": 2, "skipped replaced": 6, "claimed": 1}
        world.scheduler.stop_starting()
        world.scheduler.end_runs(hurry=True)


@simulated
async def test_what_waits_for_its_retry_is_replaced_at_once() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        members = {"overlap": "replace", "retries": 9, "retry_delay": "PT1M"}
        job = await world.create("job", FAIL, FAIL, Act(), schedule=every("PT10S", first=10, repetitions=2), **members)
        await world.until(500)
        assert world.starts() == [10, 20, 30]
        assert world.accounts_for(job, until=30) == {"cancelled replaced": 2, "succeeded": 1}
        assert (world.record(job).errors, world.record(job).successes) == (2, 1)
        assert world.scheduler.running == 0


@simulated
async def test_children_that_are_on_are_not_replaced_and_waited_for() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT10S", first=10, repetitions=3), overlap="replace")
        await world.create("child", Act(24), parent_jobs=[job])
        await world.until(300)
        assert world.starts("job") == [10, 34, 58, 82]
        assert world.starts("child") == [10, 34, 58, 82]
        assert world.accounts_for(job, until=last_due(world, job)) == {"succeeded": 4, "skipped replaced": 2}


@simulated
async def test_with_few_places_those_that_replace_wait_for_one() -> None:
    world = World(MemoryDriver(), TrioClock(START), max_runs=2)
    async with world.up():
        members = {"schedule": every("PT10S", first=10, repetitions=5), "overlap": "replace"}
        jobs = [await world.create(f"{number}", Act(25), **members) for number in range(8)]
        await world.until(400)
        assert world.most == 2
        for job in jobs:
            kinds = world.accounts_for(job, until=last_due(world, job))
            assert sum(count for kind, count in kinds.items() if not kind.startswith("skipped")) <= 6
            assert set(kinds) <= {"cancelled replaced", "skipped replaced", "succeeded"}
            assert world.record(job).is_done
        assert world.scheduler.running == 0
        world.agrees()
