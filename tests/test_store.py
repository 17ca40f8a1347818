"""The store: group commits, what a caller may rely on, and other writers on the same database."""

import logging
from typing import Any

import pytest
import trio
from decisions import counted, new, owned
from weather import Weather
from world import START, World, inline, simulated

from kala.clock import DAY, TrioClock
from kala.drivers.contract import Element
from kala.drivers.memory import MemoryDriver
from kala.errors import Invalid, JobExists, JobNotFound, StoreUnavailable, ValueTooLarge
from kala.job import Job, Record, Run, replace
from kala.ledger import Change
from kala.states import State, Trigger
from kala.store import MOST
from kala.store.draft import Draft


class Wakes(trio.abc.Instrument):
    """The names of tasks in the order in which they were made to run again."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        self.names.append(task.name)


@simulated
async def test_many_decisions_are_one_commit_seen_in_its_order_and_not_before() -> None:
    driver, gate, told = Weather(), trio.Event(), []

    async def slow(function: Any, *arguments: Any) -> Any:
        if driver.batches or function.__name__ == "_commit_parts":
            await gate.wait()
        return await inline(function, *arguments)

    world = World(driver, TrioClock(START), in_thread=slow)
    async with world.up(scheduling=False), trio.open_nursery() as callers:
        world.store.told = lambda before, after: told.append((after.id, [one.id for one in world.store.roster]))
        names = [f"{number:03}" for number in range(200)]
        for name in names:
            callers.start_soon(world.store.transact, new(name), name=f"caller {name}")
        await trio.testing.wait_all_tasks_blocked()
        # given a commit that is under way, nothing of it is to be seen
        assert (world.store.roster.jobs, told, world.events) == ({}, [], [])
        assert len(callers.child_tasks) == 200
        wakes = Wakes()
        trio.lowlevel.add_instrument(wakes)
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(wakes)
        # then it was one, and whoever was told found all up to that job in memory, and none after it
        (batch,) = driver.batches
        order = [element.key for element in batch]
        assert sorted(order) == names
        assert told == [(name, order[: number + 1]) for number, name in enumerate(order)]
        assert [event.job for event in world.events] == order
        assert [name[7:] for name in wakes.names if name.startswith("caller")][:200] == order
        world.agrees()


@simulated
async def test_more_than_a_commit_holds_are_several() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False), trio.open_nursery() as callers:
        for number in range(MOST + 500):
            callers.start_soon(world.store.transact, new(str(number)))
        await trio.testing.wait_all_tasks_blocked()
        assert [len(batch) for batch in driver.batches] == [MOST, 500]
        world.agrees()


@simulated
async def test_a_batch_is_split_by_what_the_database_takes() -> None:
    inner = MemoryDriver()
    inner.max_batch, inner.max_batch_bytes = 7, 10_000
    driver = Weather(inner)
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False):
        await world.store.transact(lambda draft: [one for n in range(20) for one in new(f"small {n}")(draft)])
        assert [len(batch) for batch in driver.batches] == [7, 7, 6]
        driver.batches.clear()
        await world.store.transact(lambda draft: [c for n in range(4) for c in new(f"{n}", owner="x" * 4_000)(draft)])
        assert [len(batch) for batch in driver.batches] == [2, 2]
        world.agrees()


@simulated
async def test_decisions_on_one_job_fold_into_one_write_and_each_sees_the_one_before() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False), trio.open_nursery() as callers:
        await world.store.transact(new("job"))
        driver.batches.clear()
        for _ in range(10):
            callers.start_soon(world.store.change, "job", counted)
        await trio.testing.wait_all_tasks_blocked()
        ((element,),) = driver.batches
        record = world.record("job")
        assert (element.expected, element.revision, record.revision, record.job.owner) == (1, 2, 2, "10")
        assert [event.reason for event in world.events[-10:]] == [str(number) for number in range(1, 11)]
        world.agrees()


@simulated
async def test_a_decision_that_changes_nothing_writes_nothing() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False):
        await world.store.transact(new("job"))
        await world.store.change("job", Change)
        assert len(driver.batches) == 1
        assert world.record("job").revision == 1


@simulated
async def test_a_cancelled_caller_withdraws_nothing() -> None:
    world = World(Weather(), TrioClock(START))
    async with world.up(scheduling=False):
        # given callers that are cancelled before the writer has looked, and after
        for number, patience in enumerate((0, 0.5)):
            with trio.move_on_after(patience) as scope:
                if not patience:
                    scope.cancel()
                await world.store.transact(new(f"job {number}"))
                await trio.sleep(1)
            assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(world.store.roster.jobs) == ["job 0", "job 1"]
        world.agrees()


@simulated
async def test_a_fault_in_one_decision_fails_its_caller_alone() -> None:
    world = World(Weather(), TrioClock(START))
    outcomes: dict[str, Any] = {}

    def half_done(draft: Draft) -> Any:
        yield owned(draft.any("job 1"), "never")  # type: ignore[arg-type]
        raise ZeroDivisionError("a bug")

    def refused(draft: Draft) -> list[Change]:
        raise Invalid({"name": "no"})

    async def call(name: str, decide: Any) -> None:
        try:
            outcomes[name] = await world.store.transact(decide)
        except (ZeroDivisionError, Invalid, JobExists) as fault:
            outcomes[name] = type(fault)

    async with world.up(scheduling=False):
        await world.store.transact(new("job 1"))
        async with trio.open_nursery() as callers:
            for name, decide in {
                "good": new("job 2"),
                "bug": half_done,
                "refused": refused,
                "again": new("job 1"),
                "also good": lambda draft: [owned(draft.any("job 1"), "me")],
            }.items():
                callers.start_soon(call, name, decide)
        assert [outcomes["bug"], outcomes["refused"], outcomes["again"]] == [ZeroDivisionError, Invalid, JobExists]
        assert outcomes["good"][0].record.id == "job 2"
        assert outcomes["also good"][0].record.job.owner == world.record("job 1").job.owner == "me"
        with pytest.raises(JobNotFound):
            await world.store.change("nobody", counted)
        world.agrees()


@simulated
async def test_a_record_that_is_too_large_fails_those_who_made_it_so_alone() -> None:
    inner = MemoryDriver()
    inner.max_value = 1_000
    world = World(Weather(inner), TrioClock(START))
    outcomes: dict[str, Any] = {}

    async def call(member: str, size: int) -> None:
        def decide(record: Record) -> Change:
            return Change(replace(record, job=replace(record.job, **{member: "x" * size})))

        try:
            outcomes[member] = await world.store.change("job", decide)
        except ValueTooLarge as fault:
            outcomes[member] = str(fault)

    async with world.up(scheduling=False):
        await world.store.transact(new("job"))
        # given three who change one job in one commit
        async with trio.open_nursery() as callers:
            for member, size in (("owner", 10), ("command", 1_000), ("epsilon", 20)):
                callers.start_soon(call, member, size)
        assert outcomes["command"].startswith("job job is 1")
        job = world.record("job").job
        assert (job.owner, job.command, job.epsilon) == ("x" * 10, "true", "x" * 20)
        assert world.record("job").revision == 2
        with pytest.raises(ValueTooLarge):
            await world.store.transact(new("huge", owner="x" * 2_000))
        assert sorted(world.store.roster.jobs) == ["job"]
        world.agrees()


@simulated
async def test_a_record_that_cannot_be_read_is_named_passed_over_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    driver = MemoryDriver()
    broken = {"job": b'{"id": 5}', "jobs": b"\xff\xfe", "jobz": b""}
    driver.commit([Element("job", key, 0, 1, value) for key, value in broken.items()])
    world = World(driver, TrioClock(START))
    with caplog.at_level(logging.ERROR):
        async with world.up(scheduling=False):
            await world.store.transact(new("sound"))
            assert sorted(world.store.roster.jobs) == ["sound"]
            for key in broken:
                assert f"job '{key}' cannot be read and is left alone" in caplog.text
            with pytest.raises(Exception, match="'job' cannot be read"):
                await world.store.transact(new("job"))
            # one that becomes so later, by another's hand, is passed over too, and memory keeps what it had
            driver.commit([Element("job", "sound", 1, 2, b"{")])
            await world.store.sync()
            await trio.testing.wait_all_tasks_blocked()
            assert world.record("sound").revision == 1
            assert "job 'sound' cannot be read" in caplog.text
    assert {key: driver.get("job", key).value for key in broken} == broken  # type: ignore[union-attr]


@simulated
async def test_the_order_of_addition_is_kept_by_a_clock_that_stands_or_goes_back_and_over_a_restart() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock)
    async with world.up(scheduling=False):
        names = [f"{number}" for number in range(9, 0, -1)]
        for number, name in enumerate(names):
            await world.service.create(Job(name=name, command="true", schedule="R/2031-01-01T00:00:00Z/P1D"))
            if number == 4:
                clock.step(-DAY / 1e6)
    again = World(driver, clock)
    async with again.up(scheduling=False):
        await again.service.create(Job(name="last", command="true", schedule="R/2031-01-01T00:00:00Z/P1D"))
        created = sorted(again.store.roster.jobs.values(), key=lambda record: record.created)
        assert [record.job.name for record in created] == [*names, "last"]
        assert [record.job.name for record in again.store.roster.jobs.values()] == [*names, "last"]


@simulated
async def test_the_history_is_read_oldest_first_and_limited() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up(scheduling=False):
        await world.store.transact(new("job"))
        for number in range(5):
            state = State.MISSED if number == 2 else State.FAILED
            run = Run(f"run {number}", "job", START, Trigger.MANUAL, state, START + number, ended=START)
            await world.store.change("job", lambda record, run=run: Change(record, rows=(run,)))
        assert [run.id for run in await world.store.ended_runs("job", 3)] == ["run 1", "run 3", "run 4"]
        assert (await world.store.run("run 2")).state is State.MISSED  # type: ignore[union-attr]
        assert await world.store.run("run 9") is None
        assert world.store.grown == {"job"}


@simulated
async def test_before_the_jobs_are_loaded_nothing_is_decided() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    with pytest.raises(StoreUnavailable, match="not loaded"):
        await world.store.transact(new("job"))
    with pytest.raises(StoreUnavailable, match="not loaded"):
        world.service.job_ids()
    async with world.up(scheduling=False):
        assert world.service.job_ids() == []
    with pytest.raises(StoreUnavailable, match="closed"):
        await world.store.transact(new("job"))
