"""Whose turn it is: the limit on runs, runs that overlap, and retries, on the test clock."""

import pytest
from weather import Weather
from world import FAIL, START, Act, World, every, moments, simulated

from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.states import State


@simulated
async def test_as_many_run_as_may_and_the_rest_in_order_with_nothing_lost() -> None:
    world = World(MemoryDriver(), TrioClock(START), max_runs=3)
    async with world.up():
        for number in range(20):
            await world.create(f"{number:02}", Act(5), schedule=every("PT1H", first=10 + number / 10))
        await world.until(12)
        waiting = [run for record in world.store.roster for run in record.open if run.state is State.WAITING]
        assert {run.reason for run in waiting} == {"limit"}
        assert len(waiting) == 17
        await world.until(100)
        # then always three, in the order in which they came due, each as soon as a place is free
        assert world.most == 3
        assert [one.job for one in world.started] == [f"{number:02}" for number in range(20)]
        assert world.starts() == pytest.approx([10 + n % 3 / 10 + n // 3 * 5 for n in range(20)])
        assert len(world.history()) == 20
        # and all places are free again
        for number in range(3):
            await world.service.start(await world.create(f"late {number}", Act(5), schedule=every("PT1H", first=900)))
        await world.until(100)
        assert len(world.started) == 23


@simulated
async def test_what_waits_for_a_place_and_is_not_wanted_any_more_frees_its_turn() -> None:
    world = World(MemoryDriver(), TrioClock(START), max_runs=1)
    async with world.up():
        ids = [await world.create(f"{n}", Act(5), schedule=every("PT1H", first=10 + n / 10)) for n in range(4)]
        await world.until(12)
        await world.service.delete(ids[1])
        await world.service.set_disabled(ids[2], True)
        await world.until(30)
        assert [one.job for one in world.started] == ["0", "3"]
        assert world.starts() == [10, 15]
        assert [run.reason for run in world.history() if run.state is State.SKIPPED] == ["deleted", "disabled"]


@simulated
async def test_a_queued_occurrence_waits_for_the_run_before_and_only_the_latest() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(3.5), Act(0), schedule=every("PT1S", repetitions=10))
        await world.until(4.4)
        assert world.starts() == [1]
        await world.until(8.5)
        assert world.starts() == [1, 4.5, 5, 6, 7, 8]
        history = world.history(job)
        ranges = [(moments([run])[0], run.count, run.reason) for run in history if run.state is State.SKIPPED]
        assert ranges == [(2, 2, "overlap")]
        # a skipped one used up nothing: ten repetitions make eleven runs
        await world.until(60)
        assert sum(run.state is State.SUCCEEDED for run in world.history(job)) == 11


@pytest.mark.parametrize(
    ("members", "starts"),
    [
        ({"overlap": "skip"}, [1, 4, 7]),
        ({"resume_at_next_scheduled_time": True}, [1, 4, 7]),
        ({"overlap": "allow"}, [1, 2, 3, 4, 5, 6, 7]),
        ({"overlap": "queue"}, [1, 3.5, 6]),
    ],
)
@simulated
async def test_overlap(members: dict, starts: list[float]) -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(2.5), schedule=every("PT1S"), **members)
        await world.until(7.9)
        assert world.starts() == starts
        await world.until(20)
        world.accounts_for(job, until=20)


@simulated
async def test_retries_follow_at_once_each_durable_between_and_hold_their_place_in_the_queue() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", FAIL, FAIL, Act(), schedule=every("PT1H", first=10), retries=5)
        failing = await world.create("failing", FAIL, schedule=every("PT1H", first=20), retries=2)
        await world.until(30)
        assert world.starts("job") == [10] * 3
        assert [len(one.run.attempts) for one in world.started if one.job == "job"] == [0, 1, 2]
        (run,) = world.history(job)
        assert (run.state, run.retries, [a.number for a in run.attempts]) == (State.SUCCEEDED, 2, [1, 2, 3])
        (run,) = world.history(failing)
        assert (run.state, run.retries) == (State.FAILED, 2)
        record = world.record(failing)
        assert (record.errors, record.finished, record.successes) == (3, 1, 0)
        assert [output.attempt for output in await world.store.output(run.id)] == [1, 2, 3]
        world.agrees()


@simulated
async def test_epsilon_ends_the_retries() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        slow = Act(4, State.FAILED)
        job = await world.create("job", slow, schedule=every("PT1H", first=10), retries=100, epsilon="PT9S")
        await world.until(100)
        assert world.starts() == [10, 14, 18]  # the last ended 12 s after its moment
        assert world.history(job)[0].state is State.FAILED
