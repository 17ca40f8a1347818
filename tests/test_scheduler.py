"""Timers, turns and the limit on runs, on the test clock."""

import logging

import pytest
import trio
from weather import Weather
from world import START, Act, SlicedClock, World, every, moments, simulated

from kala import events
from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.errors import JobNotFound
from kala.events import Event
from kala.job import replace
from kala.scheduler import CLAIMS
from kala.states import State, Trigger
from kala.wire.jobread import NewJob

GRIDS = {
    "each second": ("PT1S", 1, None, [float(n) for n in range(1, 31)]),
    "fractions": ("PT0.25S", 0.5, 7, [0.5 + n / 4 for n in range(8)]),
    "microseconds": ("PT7.000001S", 1.000002, None, [1.000002 + n * 7.000001 for n in range(5)]),
    "once": ("PT1S", 12.5, 0, [12.5]),
    "beyond the horizon": ("P1Y", 31, None, []),
}


@pytest.mark.parametrize("case", GRIDS)
@simulated
async def test_occurrences_run_on_the_grid_to_the_microsecond(case: str) -> None:
    interval, first, repetitions, expected = GRIDS[case]
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(0.125), schedule=every(interval, first=first, repetitions=repetitions))
        await world.until(30.9)
        assert world.starts() == pytest.approx(expected, abs=1e-9)
        history = world.history(job)
        assert moments(history) == pytest.approx(expected, abs=1e-9)
        assert {run.trigger for run in history} <= {Trigger.SCHEDULE}
        assert world.record(job).is_done is (repetitions is not None)
        world.agrees()


@simulated
async def test_a_start_that_passes_while_the_job_is_made_is_late_and_runs() -> None:
    clock = TrioClock(START)
    world = World(MemoryDriver(), clock)
    async with world.up():
        await world.until(10)
        once = await world.create("once", schedule=every("PT0S", first=9.9, repetitions=0))
        daily = await world.create("daily", schedule=every("P1D", first=9.99))
        clock.step(-5)  # jobs are still added after those before, but due by the clock
        later = await world.create("later", schedule=every("PT0S", first=7, repetitions=0))
        await world.until(20)
        assert [moments(world.history(job)) for job in (once, daily, later)] == [[9.9], [9.99], [7]]
        assert world.service.job_ids() == [once, daily, later]
        assert world.record(later).created > world.record(daily).created


@simulated
async def test_a_run_longer_than_the_interval_does_not_move_the_grid() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(2.5), schedule=every("PT1S"))
        await world.until(10)
        assert moments(world.history(job))[-1].is_integer()
        await world.until(10.9)
        assert world.most == 1
        assert world.record(job).cursor == START + 11_000_000


@simulated
async def test_a_job_without_schedule_runs_once_at_once() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        await world.until(5)
        job = await world.create("job")
        await world.until(5)
        (run,) = world.history(job)
        assert (world.starts(), run.trigger, run.state) == ([5], Trigger.NOW, State.SUCCEEDED)
        assert world.record(job).is_done


@simulated
async def test_a_thousand_due_at_once_share_their_commits_and_all_start_then() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        for number in range(1000):
            await world.create(f"{number}", schedule=every("PT1H", first=10))
        driver.batches.clear()
        await world.until(10.1)  # ends that nobody waits for are gathered for a moment
        assert world.starts() == [10.0] * 1000
        assert len({one.job for one in world.started}) == 1000
        sizes = [len(batch) for batch in driver.batches]
        assert sum(sizes) == 2000  # the claims; the ends
        assert len(sizes) <= 1000 / CLAIMS + 4
        assert len(world.history()) == 1000


@simulated
async def test_a_bug_in_one_attempt_fails_that_run_alone_loudly(caplog: pytest.LogCaptureFixture) -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        bad = await world.create("bad", Act(1, bug=ZeroDivisionError("oh")), Act(), schedule=every("PT10S"))
        good = await world.create("good", schedule=every("PT10S"))
        with caplog.at_level(logging.ERROR):
            await world.until(15)
        assert [run.state for run in world.history(bad)] == [State.FAILED, State.SUCCEEDED]
        assert [run.state for run in world.history(good)] == [State.SUCCEEDED] * 2
        assert world.history(bad)[0].attempts[0].error == "internal error: ZeroDivisionError('oh')"
        (entry,) = caplog.records
        assert entry.exc_info is not None
        assert entry.fields["job"] == bad  # type: ignore[attr-defined]
        assert world.scheduler.running == 0


def edited(**members: object) -> object:
    return lambda record: NewJob(replace(record.job, **members), record.disabled, [])


@simulated
async def test_an_edit_sets_the_timer_anew_also_within_the_last_second() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT1H", first=10))
        await world.until(9.5)  # its task has been started
        await world.service.edit(job, edited(schedule=every("PT1H", first=20)))
        await world.until(15)
        assert world.starts() == []
        await world.service.edit(job, edited(schedule=every("PT1S", first=15.5)))
        await world.until(17.6)
        assert world.starts() == [15.5, 16.5, 17.5]
        # another command takes effect at the very next occurrence, and moves nothing
        await world.service.edit(job, edited(command="false"))
        await world.until(18.6)
        assert world.starts()[-1] == 18.5


@simulated
async def test_an_edit_at_the_moment_itself_leaves_exactly_one_run() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up(), trio.open_nursery() as nursery:
        jobs = [await world.create(f"{n}", schedule=every("PT1H", first=10)) for n in range(50)]
        await world.clock.sleep_until(START + 10_000_000)
        for job in jobs:
            nursery.start_soon(world.service.edit, job, edited(owner="me"))
        await world.until(11)
        assert sorted(one.job for one in world.started) == sorted(str(n) for n in range(50))
        assert world.starts() == [10] * 50


@simulated
async def test_disabling_and_deleting_are_answered_at_once_while_the_run_goes_on_to_its_end() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        disabled = await world.create("disabled", Act(10), schedule=every("PT2S"))
        deleted = await world.create("deleted", Act(10, State.FAILED), schedule=every("PT2S"), retries=3)
        child = await world.create("child", parent_jobs=[deleted])
        await world.until(4)
        await world.service.set_disabled(disabled, True)
        await world.service.delete(deleted)
        assert (world.clock.now() - START) / 1e6 == 4
        with pytest.raises(JobNotFound):
            world.service.job(child)
        await world.until(30)
        assert world.starts() == [1, 1]
        ends = {run.job_id: (run.state, run.ended) for run in world.history() if run.started}
        assert ends == {
            disabled: (State.SUCCEEDED, START + 11_000_000),
            deleted: (State.FAILED, START + 11_000_000),
        }
        # enabled, what passed meanwhile is made good by one run, at once, and then the grid goes on
        world.acts["disabled"][0] = Act(0)
        await world.service.set_disabled(disabled, False)
        await world.until(34)
        assert world.starts("disabled")[1:] == [30, 31, 33]
        world.agrees()


@simulated
async def test_a_clock_set_forward_fires_what_came_due_once() -> None:
    clock = SlicedClock(START)
    world = World(MemoryDriver(), clock)
    async with world.up():
        frequent = await world.create("frequent", schedule=every("PT1M", first=60))
        daily = await world.create("daily", schedule=every("P1D", first=1800))
        await world.until(61)
        clock.step(3600)
        await trio.sleep(2)
        assert world.starts("frequent")[1:] == pytest.approx([3662], abs=1.1)
        assert world.starts("daily") == pytest.approx([3662], abs=1.1)
        history = world.history(frequent)
        assert [(run.state, run.trigger) for run in history if run.started] == [
            (State.SUCCEEDED, Trigger.SCHEDULE),
            (State.SUCCEEDED, Trigger.CATCH_UP),
        ]
        assert [(run.state, run.count) for run in history if not run.started] == [(State.MISSED, 59)]
        assert len(world.history(daily)) == 1
        await world.until(3720)
        assert world.starts("frequent")[-1] == pytest.approx(3720, abs=1e-6)


@simulated
async def test_a_clock_set_back_fires_nothing_twice() -> None:
    clock = SlicedClock(START)
    world = World(MemoryDriver(), clock)
    async with world.up():
        job = await world.create("job", schedule=every("PT10S", first=10))
        await world.until(35)
        assert world.starts() == [10, 20, 30]
        clock.step(-30)  # it is 5 again
        await world.until(39.9)
        assert world.starts() == [10, 20, 30]
        clock.step(-0.5)  # with its task started, and waiting for its moment
        await world.until(50)
        assert world.starts() == pytest.approx([10, 20, 30, 40, 50], abs=1e-6)
        assert moments(world.history(job)) == [10, 20, 30, 40, 50]


@simulated
async def test_listeners_hear_of_a_run_in_order_and_what_they_hear_of_is_there() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    seen: list[str] = []
    publish = world.hub.publish_nowait

    def look(batch: list[Event]) -> None:
        for event in batch:
            if event.type == events.RUN_FINISHED:
                assert world.driver.run(event.run) is not None
            if event.type == events.RUN_CLAIMED:
                assert [run.id for run in world.record(event.job).open] == [event.run]
            seen.append(event.type)
        publish(batch)

    world.hub.publish_nowait = look  # type: ignore[assignment,method-assign]
    async with world.up():
        await world.create("job", schedule=every("PT1H", first=10))
        await world.until(11)
    assert seen == [events.JOB_SAVED, events.RUN_CLAIMED, events.RUN_STARTED, events.RUN_FINISHED]
