"""Pauses, and what is on its way when they begin and end: places and their order, jitter, commits."""

import pytest
import trio
from world import FAIL, START, Act, World, every, simulated

from kala import events, ledger
from kala.clock import SECOND, TrioClock
from kala.drivers.memory import MemoryDriver
from kala.errors import Paused
from kala.pause import SETTING, Span
from kala.states import State, Trigger


@simulated
async def test_what_is_on_goes_on_and_nothing_starts_until_someone_resumes() -> None:
    world = World(MemoryDriver(), TrioClock(START), max_runs=3)
    async with world.up():
        long = await world.create("long", Act(20), schedule=every("PT1H"))
        await world.create("child", parent_jobs=[long])
        await world.create("retried", Act(9, State.FAILED), Act(), schedule=every("PT1H"), retries=1)
        await world.create("delayed", FAIL, Act(), schedule=every("PT1H", first=0.5), retries=1, retry_delay="PT20S")
        await world.create("queued", Act(5), Act(), schedule=every("PT2S", repetitions=1))
        for number in range(3):
            await world.create(f"limited {number}", Act(1), schedule=every("PT1H", first=2 + number / 10))
        await world.create("scheduled", schedule=every("PT1H", first=30))
        by_hand = await world.create("by hand", schedule=every("PT1H", first=3000))
        await world.until(4)
        assert world.scheduler.running == 3
        before = len(world.started)
        await world.service.set_paused(True, "for the night")
        assert world.service.paused
        assert world.service.pause == Span(since=START + 4_000_000, reason="for the night")
        with pytest.raises(Paused):
            await world.service.start(by_hand)
        await world.until(40)
        # what was on has ended, and nothing else has started
        assert len(world.started) == before
        assert world.scheduler.running == 0
        assert world.service.job(long).outbox
        await world.until(50)
        await world.service.set_paused(False)
        assert world.service.pause == Span(START + 4_000_000, START + 50_000_000, "for the night")
        await world.until(80)
        # then all of it does, each once; what came less than a minute ago is late
        assert sorted(one.job for one in world.started[before:]) == [
            "child",
            "delayed",
            "limited 0",
            "limited 1",
            "limited 2",
            "queued",
            "retried",
            "scheduled",
        ]
        assert {one.at for one in world.started[before:]} == {50, 51}
        assert world.most == 3
        assert all(not record.open and not record.outbox for record in world.store.roster)
        assert {run.state for run in world.history()} == {State.SUCCEEDED}
        told = [(event.type, event.reason) for event in world.events if event.type.startswith("daemon.")]
        assert told == [(events.DAEMON_PAUSED, "for the night"), (events.DAEMON_RESUMED, "for the night")]
        world.agrees()


@simulated
async def test_who_waited_first_goes_first_when_it_goes_on() -> None:
    world = World(MemoryDriver(), TrioClock(START), max_runs=1)
    async with world.up():
        await world.create("on", Act(20), schedule=every("PT1H"))
        for number in range(12):
            await world.create(f"{11 - number:02}", Act(1), schedule=every("PT1H", first=2 + (11 - number) / 10))
        await world.until(10)
        await world.service.set_paused(True)
        await world.until(30)
        await world.service.set_paused(False)
        await world.until(60)
        assert [one.job for one in world.started] == ["on", *(f"{number:02}" for number in range(12))]


@pytest.mark.parametrize(
    ("catch_up", "repetitions", "expected"),
    [
        ("once", None, {"succeeded": 3, "skipped paused": 9}),
        ("none", None, {"succeeded": 2, "skipped paused": 10}),
        ("all", None, {"succeeded": 12}),
        ("all", 4, {"succeeded": 5, "skipped paused": 7}),
    ],
)
@simulated
async def test_what_passed_is_made_good_as_the_job_says(
    catch_up: str, repetitions: int | None, expected: dict[str, int]
) -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        schedule = every("PT10M", first=600, repetitions=repetitions)
        job = await world.create("job", schedule=schedule, catch_up=catch_up, jitter="PT1S")
        await world.until(1300)  # two have run
        await world.service.set_paused(True)
        await world.until(7300)  # the last came 100 s ago
        await world.service.set_paused(False)
        await world.until(7301)
        assert world.accounts_for(job, until=7301) == expected
        later = [run for run in world.history(job) if run.started and run.created > START + 7_000 * SECOND]
        assert {run.trigger for run in later} <= {Trigger.CATCH_UP}


@pytest.mark.parametrize(("late", "reason"), [(59, None), (61, "paused")])
@simulated
async def test_a_jitter_that_ends_in_the_pause_counts_for_it(late: float, reason: str | None) -> None:
    """Given an occurrence before the pause, that was to start within it."""
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT1H", first=10), jitter="PT30M", catch_up="none")
        due = ledger.due(world.record(job))
        assert due is not None
        seconds = (due - START) / SECOND
        await world.until(min(15, seconds - 1))  # ids differ, and so does what the jitter is: mostly some minutes
        await world.service.set_paused(True)
        await world.until(seconds + late)
        await world.service.set_paused(False)
        await world.until(seconds + late + 1)
        gap = world.record(job).gap
        assert (gap.reason if gap is not None else None) == reason
        assert len(world.started) == (reason is None)


@pytest.mark.parametrize("steps", range(12))
@simulated
async def test_a_short_pause_loses_nothing_and_doubles_nothing(steps: int) -> None:
    """Given a pause that begins and ends while claims, turns and ends are on their way to the database."""
    world = World(MemoryDriver(), TrioClock(START), max_runs=2)
    async with world.up():
        for number in range(4):
            await world.create(f"{number}", FAIL, Act(), schedule=every("PT1H", first=10), retries=1)
        await world.clock.sleep_until(START + 10_000_000 - (100_000 if steps % 2 else 0))
        for _ in range(steps // 2):
            await trio.lowlevel.checkpoint()
        await world.service.set_paused(True)
        await world.service.set_paused(False)
        await world.until(20)
        assert sorted(one.job for one in world.started) == sorted([*"0123"] * 2)
        assert [(run.state, run.retries) for run in world.history()] == [(State.SUCCEEDED, 1)] * 4
        assert world.scheduler.running == 0


@simulated
async def test_what_was_read_before_it_was_set_here_changes_nothing() -> None:
    """Given a look at what others have written that takes its time, while someone pauses here."""
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        await world.service.set_paused(True)
        await world.service.set_paused(False)
        before = await world.store.setting(SETTING)
        assert before is not None
        await world.service.set_paused(True)
        world.store.setting_told[SETTING](before)
        assert world.service.paused
