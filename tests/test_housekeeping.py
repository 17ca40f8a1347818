"""What goes with time, and what never does."""

import pytest
import trio
from weather import Weather
from world import FAIL, START, Act, World, every, moments, simulated

from kala.clock import DAY, SECOND, TrioClock
from kala.drivers.memory import MemoryDriver
from kala.errors import StoreUnavailable
from kala.housekeeping import Housekeeping
from kala.job import MAX_RESULTS, unpacked
from kala.states import State

HOUR = 3600 * SECOND
NEVER = {"keep": 1000, "history_age": None, "output_total": 0, "done_ttl": None}


def kept(world: World, **settings: int | None) -> Housekeeping:
    return Housekeeping(world.store, world.clock, **{**NEVER, **settings})  # type: ignore[arg-type]


@simulated
async def test_so_many_runs_of_each_job_are_kept_and_ranges_apart() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        busy = await world.create("busy", schedule=every("PT10S"))
        gappy = await world.create("gappy", Act(25), schedule=every("PT10S"), overlap="skip")
        rare = await world.create("rare", schedule=every("PT100S"))
        await world.until(299)
        assert len(world.history(busy)) == 30
        await kept(world, keep=5).tidy()
        assert moments(world.history(busy)) == [251, 261, 271, 281, 291]
        assert len(world.history(rare)) == 3
        states = [run.state for run in world.history(gappy)]
        assert (states.count(State.SUCCEEDED), states.count(State.SKIPPED)) == (5, 5)
        # what a list shows does not depend on it
        assert len(unpacked(world.record(busy).results)) == MAX_RESULTS
        assert world.store.grown == set()
        # a job that has had no run since is not looked at again
        await kept(world, keep=1).tidy()
        assert len(world.history(rare)) == 3
        await world.until(302)
        await kept(world, keep=1).tidy()
        assert [len(world.history(job)) for job in (busy, rare)] == [1, 1]


@simulated
async def test_history_goes_by_its_age_whether_or_not_there_are_new_runs() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT1H", first=0.5, repetitions=9))
        await world.until(9 * 3600 + 1)
        await kept(world, history_age=4 * HOUR).tidy()
        assert moments(world.history(job)) == [number * 3600 + 0.5 for number in (6, 7, 8, 9)]
        await world.until(11 * 3600 + 1)
        await kept(world, history_age=4 * HOUR).tidy()
        assert moments(world.history(job)) == [number * 3600 + 0.5 for number in (8, 9)]


@simulated
async def test_what_was_printed_first_goes_when_all_is_too_much() -> None:
    driver = MemoryDriver()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT10S"))
        await world.until(95)
        runs = world.history(job)
        size = len(driver.output(runs[0].id)[0].data)
        for settings, left in ({}, 10), ({"output_total": 10 * size}, 10), ({"output_total": 3 * size + 1}, 3):
            await kept(world, **settings).tidy()
            assert [bool(driver.output(run.id)) for run in runs] == [False] * (10 - left) + [True] * left
        assert world.history(job) == runs


@simulated
async def test_a_deleted_job_is_remembered_for_a_day_and_while_it_runs_and_then_goes_with_its_history() -> None:
    driver = MemoryDriver()
    world = World(driver, TrioClock(START))
    async with world.up():
        quick = await world.create("quick", schedule=every("PT10S"))
        long = await world.create("long", Act(1.5 * 86_400), schedule=every("P1Y"))
        stays = await world.create("stays", schedule=every("PT12H"))
        tidy = kept(world).tidy
        await world.until(15)
        for job in (quick, long):
            await world.service.delete(job)
        await tidy()
        await world.until(86_400)
        await tidy()
        assert sorted(world.store.roster.tombstones) == sorted([quick, long])
        assert len(world.history(quick)) == 2
        await world.until(86_416)
        await tidy()
        assert list(world.store.roster.tombstones) == [long]
        assert driver.get("job", quick) is None
        assert world.history(quick) == []
        await world.until(2 * 86_400)
        assert [run.state for run in world.history(long)] == [State.SUCCEEDED]
        await tidy()
        assert world.store.roster.tombstones == {}
        assert {run.job_id for run in world.history()} == {stays}
        world.agrees()


@simulated
async def test_jobs_that_are_done_go_and_none_that_others_need() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        once = every("PT0S", first=10, repetitions=0)
        alarm = await world.create("failure job", schedule=once)
        parent = await world.create("parent", schedule=once)
        await world.create("child that ran", parent_jobs=[parent])
        await world.create("coming", schedule=every("P1D", first=40 * 86_400))
        await world.create("has the failure job", schedule=every("P1D"), on_failure_job=alarm)
        await world.create("disabled before its time", schedule=once, disabled=True)
        await world.create("on still", Act(100 * 86_400), schedule=once)
        await world.create("done since", schedule=once)
        await world.create("done and without schedule")
        await world.create("failed", FAIL, schedule=once)
        run_by_hand = await world.create("run by hand since", schedule=once)
        tidy = kept(world, done_ttl=30 * DAY).tidy
        await world.until(20 * 86_400)
        await world.service.start(run_by_hand)
        await world.until(30 * 86_400 - 1)
        before = set(world.store.roster.jobs)
        await tidy()
        assert set(world.store.roster.jobs) == before
        await world.until(30 * 86_400 + 11)
        await tidy()
        gone = {record.job.name for record in world.store.roster.tombstones.values()}
        assert gone == {"done since", "done and without schedule", "failed"}
        await world.until(50 * 86_400 + 1)
        await tidy()
        left = {record.job.name for record in world.store.roster.jobs.values()}
        assert left == {
            "failure job",
            "parent",
            "child that ran",
            "coming",
            "has the failure job",
            "disabled before its time",
            "on still",
        }
        # once nobody needs it any more, it goes too
        (user,) = (record.id for record in world.store.roster.jobs.values() if record.job.name == "has the failure job")
        await world.service.delete(user)
        await tidy()
        assert alarm not in world.store.roster.jobs
        world.agrees()


@pytest.mark.parametrize("settings", [{"keep": 3}, {"history_age": HOUR, "done_ttl": DAY}])
@simulated
async def test_it_tidies_every_minute_and_when_the_database_is_back(settings: dict[str, int]) -> None:
    driver = Weather()
    prunes: list[float] = []
    away = False
    world = World(driver, TrioClock(START))

    def prune(jobs: list[str], **limits: object) -> int:
        if away:
            raise StoreUnavailable("a storm")
        prunes.append((world.clock.now() - START) / SECOND)
        return driver.inner.prune(jobs, **limits)  # type: ignore[arg-type]

    driver.prune = prune  # type: ignore[attr-defined]
    async with world.up(), trio.open_nursery() as nursery:
        job = await world.create("job", schedule=every("PT20S", first=10))
        once = await world.create("once", schedule=every("PT0S", first=215, repetitions=0))
        nursery.start_soon(kept(world, **settings).run)
        await world.until(200)
        assert prunes == [60, 120, 180]
        away = True
        await world.until(299)
        assert world.store.grown == {job, once}  # it is not forgotten which have grown
        away = False
        await world.until(301)
        assert prunes[3:] == [300]
        nursery.cancel_scope.cancel()
