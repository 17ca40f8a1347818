"""Runs that something other than the clock sets off: people, parents, failures."""

import pytest
import trio
from weather import Weather
from world import FAIL, START, Act, World, every, simulated

from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.errors import JobDisabled, JobNotFound, StoreUnavailable
from kala.events import RUN_FINISHED
from kala.states import State, Trigger


@simulated
async def test_starting_by_hand_answers_when_all_that_follows_has_settled() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(2), schedule=every("PT1H", first=500))
        child = await world.create("child", Act(3), parent_jobs=[job])
        await world.create("grandchild", Act(5, State.FAILED), parent_jobs=[child])
        answered: list[float] = []

        async def start() -> None:
            await world.service.wait_settled(job, await world.service.start(job))
            answered.append((world.clock.now() - START) / 1e6)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            nursery.start_soon(start)
            with trio.move_on_after(1):  # and one whose caller goes away
                await start()
        # then one after the other, and the third, which nobody waits for, too
        assert answered in ([10, 20], [10, 30], [20, 30])
        await world.until(40)
        assert world.starts("job") == [0, 10, 20]
        assert [run.trigger for run in world.history(job)] == [Trigger.MANUAL] * 3
        record = world.record(job)
        assert (record.remaining, record.cursor) == (None, START + 500_000_000)
        # a run that has settled long since is not waited for
        await world.service.wait_settled(job, world.history(job)[0].id)


@simulated
async def test_starting_by_hand_is_done_though_its_caller_is_gone_before_it_is_durable() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT1H", first=500))
        with trio.CancelScope() as scope:
            scope.cancel()
            await world.service.start(job)
        assert scope.cancelled_caught
        await world.until(1)
        assert [run.state for run in world.history(job)] == [State.SUCCEEDED]
        assert world.record(job).open == ()


@simulated
async def test_what_is_not_there_or_disabled_is_not_started() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT1H"), disabled=True)
        with pytest.raises(JobDisabled):
            await world.service.start(job)
        await world.service.delete(job)
        for one in (job, "nobody"):
            with pytest.raises(JobNotFound):
                await world.service.start(one)
        assert world.history(job) == []


@simulated
async def test_children_run_in_order_and_in_depth_each_when_the_one_before_has_settled() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        parent = await world.create("parent", Act(1), schedule=every("PT1M"))
        first = await world.create("first", Act(2), parent_jobs=[parent])
        await world.create("second", Act(1, State.FAILED), parent_jobs=[parent])
        await world.create("disabled", parent_jobs=[parent], disabled=True)
        third = await world.create("third", Act(1), parent_jobs=[parent])
        inner = await world.create("inner", Act(4), parent_jobs=[first])
        await world.create("innermost", Act(8), parent_jobs=[inner])
        await world.until(60)
        assert [(one.job, one.at) for one in world.started] == [
            ("parent", 1),
            ("first", 2),
            ("inner", 4),
            ("innermost", 8),
            ("second", 16),
            ("third", 17),
        ]
        (run,) = world.history(third)
        assert (run.trigger, run.parent_job, run.parent_run) == (Trigger.PARENT, parent, world.history(parent)[0].id)
        skipped = [(run.state, run.reason) for run in world.history() if run.state is State.SKIPPED]
        assert skipped == [(State.SKIPPED, "disabled")]
        assert world.record(parent).outbox == ()


@simulated
async def test_a_parent_is_on_until_its_children_have_settled() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        parent = await world.create("parent", schedule=every("PT2S"))
        await world.create("child", Act(5), parent_jobs=[parent])
        await world.until(14)
        assert world.starts("parent") == [1, 6, 11]
        assert world.starts("child") == [1, 6, 11]


@simulated
async def test_a_failure_runs_its_job_once_after_the_last_attempt_and_no_children() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        alarm = await world.create("alarm", FAIL, schedule=every("PT1H", first=2000), on_failure_job="")
        job = await world.create(
            "job", FAIL, FAIL, FAIL, Act(), schedule=every("PT1M"), retries=2, on_failure_job=alarm
        )
        child = await world.create("child", parent_jobs=[job])
        await world.until(30)
        (run,) = world.history(alarm)
        assert (run.trigger, run.parent_job, run.state) == (Trigger.FAILURE, job, State.FAILED)
        assert world.starts("alarm") == [1]
        assert world.history(child) == []
        await world.until(70)
        assert world.starts("alarm") == [1]
        assert world.starts("child") == [61]


@simulated
async def test_children_of_several_parents_run_for_each_and_wait_their_turn() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        parents = [await world.create(f"{n}", schedule=every("PT1M")) for n in range(3)]
        child = await world.create("child", Act(2), parent_jobs=parents)
        await world.until(30)
        assert world.starts("child") == [1, 3, 5]
        assert {run.parent_job for run in world.history(child)} == set(parents)


@simulated
async def test_a_child_deleted_meanwhile_does_not_hold_the_others_up() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        parent = await world.create("parent", schedule=every("PT1M"))
        first = await world.create("first", Act(5), parent_jobs=[parent])
        second = await world.create("second", parent_jobs=[parent])
        await world.create("third", parent_jobs=[parent])
        await world.until(3)
        await world.service.delete(first)  # while it is on
        await world.service.delete(second)  # before its turn
        await world.until(30)
        assert world.starts("third") == [6]
        assert world.record(parent).outbox == ()
        world.agrees()


@pytest.mark.parametrize("away", ["before", "after"])
@simulated
async def test_what_a_run_sets_off_survives_a_database_that_is_away(away: str) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(5), schedule=every("PT1H"))
        await world.create("child", Act(5), parent_jobs=[job])
        await world.create("second child", Act(5), parent_jobs=[job])
        for moment in (5.5, 8, 10.9, 13, 16):  # around each of the ends
            await world.until(moment)
            driver.away = away
            await trio.sleep(1)
            driver.away = ""
        await world.until(120)
        assert [one.job for one in world.started] == ["job", "child", "second child"]
        assert [run.state for run in world.history()] == [State.SUCCEEDED] * 3
        world.agrees()


@pytest.mark.parametrize("away", ["before", "after"])
@simulated
async def test_a_claim_whose_answer_was_lost_is_run_once_when_the_database_is_back(away: str) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START), max_runs=5)
    async with world.up():
        jobs = [await world.create(f"{n}", Act(1), schedule=every("PT1H", first=10)) for n in range(8)]
        by_hand = await world.create("by hand", Act(1), schedule=every("PT1H", first=1000))
        await world.until(9.5)
        driver.away = away
        await world.until(20)
        assert world.started == []
        driver.away = ""
        await world.until(60)
        assert sorted(one.job for one in world.started) == [str(n) for n in range(8)]
        assert world.most == 5
        for job in jobs:
            world.accounts_for(job, until=60)
            assert world.record(job).open == ()
        # and so is one by hand, if it was taken: its caller was told that this is not known
        driver.away = away
        with pytest.raises(StoreUnavailable):
            await world.service.start(by_hand)
        driver.away = ""
        await world.until(100)
        assert len(world.history(by_hand)) == (away == "after")
        assert world.scheduler.running == 0
        world.agrees()


@pytest.mark.parametrize("away", ["before", "after"])
@simulated
async def test_a_turn_whose_answer_was_lost_is_taken_once_when_the_database_is_back(away: str) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT1H", first=1000))
        await world.service.start(job)  # it is durable as waiting, and about to begin
        driver.away = away
        await world.until(10)
        assert world.started == []
        driver.away = ""
        await world.until(20)
        assert [run.state for run in world.history(job)] == [State.SUCCEEDED]
        assert world.record(job).open == ()


@simulated
async def test_a_delivery_whose_answer_was_lost_is_one_though_the_child_is_over_before_that_is_known() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        parent = await world.create("parent", schedule=every("PT1H"))
        child = await world.create("child", parent_jobs=[parent])
        driver.strike = lambda batch: batch[0].key == child
        await world.until(5)
        assert (world.starts("child"), driver.away) == ([], "after")
        driver.strike, driver.away = lambda batch: False, ""
        await world.until(60)
        assert len(world.starts("child")) == len(world.history(child)) == 1
        assert world.record(parent).outbox == ()


@simulated
async def test_the_end_of_a_run_waits_for_the_database_and_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(5), schedule=every("PT1H"))
        await world.until(4)
        driver.away = "after"
        await world.until(100)
        driver.away = ""
        await world.until(200)
        (run,) = world.history(job)
        assert (run.state, run.ended) == (State.SUCCEEDED, START + 6_000_000)
        assert world.record(job).successes == 1
        assert "too late" not in caplog.text
        assert [event.type for event in world.events].count(RUN_FINISHED) == 1
