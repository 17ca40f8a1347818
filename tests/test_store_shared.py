"""Several writers on one database: what one has written first, the other adopts, and decides again."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from decisions import counted, new
from world import START, Act, World, every, inline, simulated

from kala.clock import TrioClock
from kala.drivers.contract import Driver
from kala.drivers.memory import MemoryDriver
from kala.drivers.sqlite import SqliteDriver
from kala.errors import JobExists
from kala.ledger import Change

DRIVERS: dict[str, Callable[[Path], Driver]] = {
    "memory": lambda folder: MemoryDriver(),
    "sqlite": lambda folder: SqliteDriver(folder / "kala.db"),
}


@pytest.mark.parametrize("engine", DRIVERS)
@simulated
async def test_two_writers_on_one_database_lose_nothing(engine: str, tmp_path: Path) -> None:
    drivers = [MemoryDriver()] * 2 if engine == "memory" else [DRIVERS[engine](tmp_path) for _ in range(2)]
    clock = TrioClock(START)
    one, two = World(drivers[0], clock), World(drivers[1], clock)
    answers: list[str] = []

    async def count(world: World) -> None:
        for _ in range(50):
            answers.append((await world.store.change("job", counted)).record.job.owner)

    async with one.up(scheduling=False):
        await one.store.transact(new("job"))
        async with two.up(scheduling=False):
            async with trio.open_nursery() as callers:
                for world in (one, two, one, two):
                    callers.start_soon(count, world)
            # then every decision was made on what the one before had come to, whosever that was
            assert sorted(map(int, answers)) == list(range(1, 201))
            with pytest.raises(JobExists):
                await two.store.transact(new("job"))
            await one.store.transact(new("other"))
            with pytest.raises(JobExists):
                await two.store.transact(new("other", owner="two"))  # which it has not heard of
            await one.store.sync()
            await two.store.sync()
            await trio.testing.wait_all_tasks_blocked()
            assert one.record("job").job.owner == two.record("job").job.owner == "200"
            one.agrees()
            two.agrees()


@simulated
async def test_a_deletion_that_met_another_writer_halfway_still_takes_the_children() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    one, two = World(driver, clock), World(driver, clock)
    async with one.up(scheduling=False):
        await one.store.transact(new("parent"))
        await one.store.transact(new("child", parent_jobs=["parent"]))
        async with two.up(scheduling=False):
            await two.store.change("child", counted)  # what the first has not heard of
            await one.service.delete("parent")
            assert one.store.roster.jobs == {}
            assert sorted(one.store.roster.tombstones) == ["child", "parent"]
            one.agrees()


@simulated
async def test_what_others_write_is_adopted_and_heard_of() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    one, two = World(driver, clock), World(driver, clock)
    told = []
    async with one.up(scheduling=False), two.up(scheduling=False):
        one.store.told = lambda before, after: told.append((before and before.id, after and after.id))
        await two.store.transact(new("kept"))
        await two.store.transact(new("gone"))
        await one.store.sync()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(one.store.roster.jobs) == ["gone", "kept"]
        assert {event.job for event in one.events} == {"gone", "kept"}
        await two.store.transact(lambda draft: [Change(draft.any("gone"), purge=True)])
        await one.store.sync()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(one.store.roster.jobs) == ["kept"]
        assert told[-1] == ("gone", None)
        one.agrees()


@simulated
async def test_what_is_created_while_everything_is_read_anew_is_not_taken_for_deleted() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    reading = trio.Event()

    async def slow(function: Any, *arguments: Any) -> Any:
        answer = await inline(function, *arguments)
        if "load" in getattr(function, "__qualname__", "") or "sync" in getattr(function, "__qualname__", ""):
            reading.set()
            await trio.sleep(1)
        return answer

    world = World(driver, clock, in_thread=slow)
    async with world.up(scheduling=False), trio.open_nursery() as nursery:
        await world.store.transact(new("before"))
        driver._database = "another"  # the token is no good any more
        reading = trio.Event()
        nursery.start_soon(world.store.sync)
        await reading.wait()
        await world.store.transact(new("meanwhile"))
        await trio.sleep(5)
        assert sorted(world.store.roster.jobs) == ["before", "meanwhile"]
        world.agrees()


@pytest.mark.parametrize(("engine", "jobs", "seconds"), [("memory", 20, 30), ("sqlite", 20, 10)])
@simulated
async def test_two_schedulers_on_one_database_run_each_occurrence_once(
    engine: str, jobs: int, seconds: int, tmp_path: Path
) -> None:
    drivers = [MemoryDriver()] * 2 if engine == "memory" else [DRIVERS[engine](tmp_path) for _ in range(2)]
    clock = TrioClock(START)
    one, two = World(drivers[0], clock), World(drivers[1], clock)

    async def follow(world: World) -> None:
        while True:
            await trio.sleep(0.05)  # within the time of a claim before its moment: both then try for each
            await world.store.sync()

    async with one.up():
        ids = [await one.create(f"{number}", schedule=every("PT1S", first=2)) for number in range(jobs)]
        child = await one.create("child", Act(0.1), parent_jobs=ids[:5])
        async with two.up(), trio.open_nursery() as nursery:
            nursery.start_soon(follow, one)
            nursery.start_soon(follow, two)
            await one.until(seconds + 0.8)
            for world in (one, two):
                await world.store.sync()
                await trio.testing.wait_all_tasks_blocked()
                for job in ids[:5]:
                    world.accounts_for(job, until=seconds + 0.8)
                for job in ids[5:]:
                    assert world.accounts_for(job, until=seconds + 0.8) == {"succeeded": seconds - 1}
            started = Counter((start.job, start.run.scheduled_for) for start in [*one.started, *two.started])
            assert {count for (name, _), count in started.items() if name != "child"} == {1}
            assert len(started) > jobs * (seconds - 1)
            # each has had its part, and children came once for each of their parents' runs
            assert min(len(one.started), len(two.started)) > jobs
            runs = Counter(run.parent_run for run in [*one.history(child), *one.record(child).open])
            assert set(runs.values()) == {1}
            nursery.cancel_scope.cancel()
