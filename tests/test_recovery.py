"""What a dead instance leaves is decided by the next, and by nobody twice."""

import logging
from typing import Any

import msgspec
import pytest
import trio
from world import FAIL, START, Act, World, at, every, inline, moments, simulated

from kala.clock import TrioClock
from kala.drivers.contract import Element
from kala.drivers.memory import MemoryDriver
from kala.job import replace
from kala.lease import KIND, Instance
from kala.recovery import take_over
from kala.states import State, Trigger


@pytest.mark.parametrize(
    ("on_lost", "states", "starts"),
    [
        ("record", [State.LOST], []),
        ("rerun", [State.SUCCEEDED], [6]),
    ],
)
@simulated
async def test_a_run_cut_off_by_a_kill_is_lost_or_runs_again_as_the_job_says(
    on_lost: str, states: list[State], starts: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    dead = World(driver, clock, mortal=True)
    async with dead.up():
        job = await dead.create("job", Act(100), schedule=every("PT1H"), on_lost=on_lost)
        other = await dead.create("over already", schedule=every("PT1H"))
        await dead.until(6)
        dead.kill()
    world = World(driver, clock)
    with caplog.at_level(logging.WARNING):
        async with world.up():
            await world.until(20)
            assert [run.state for run in world.history(job)] == states
            assert world.starts() == starts
            assert [run.state for run in world.history(other)] == [State.SUCCEEDED]
            (run,) = world.history(job)
            assert dead.lease.id in (run.reason or run.attempts[0].error)
            assert world.accounts_for(job, until=20) == {str(run.state) + (f" {run.reason}" if run.reason else ""): 1}
            world.agrees()
    # and it says what, of which job, and why
    (line,) = [record.fields for record in caplog.records if record.message == "a run was cut off"]  # type: ignore[attr-defined]
    assert (line["job"], line["scheduled_for"]) == (job, at(1))
    assert dead.lease.id in line["reason"]
    assert [r.fields["instance"] for r in caplog.records if r.message == "an instance has died"] == [dead.lease.id]  # type: ignore[attr-defined]


@simulated
async def test_what_waited_when_it_was_killed_goes_on() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    dead = World(driver, clock, mortal=True, max_runs=2)
    async with dead.up():
        queued = await dead.create("queued", Act(100), schedule=every("PT2S", repetitions=1))
        limited = [await dead.create(f"{n}", Act(100), schedule=every("PT1H", first=2 + n)) for n in range(3)]
        await dead.until(10)
        dead.kill()
    world = World(driver, clock)
    async with world.up():
        await world.until(30)
        assert sorted(one.job for one in world.started) == ["1", "2", "queued"]
        assert [(moments([run])[0], run.state) for run in world.history(queued)] == [
            (1, State.LOST),
            (3, State.SUCCEEDED),
        ]
        assert [world.history(job)[0].state for job in limited] == [State.LOST] + [State.SUCCEEDED] * 2
        for job in (queued, *limited):
            world.accounts_for(job, until=4)


@pytest.mark.parametrize("killed_at", [2.5, 3, 5, 7.5, 10, 11.5, 13, 20])
@simulated
async def test_an_outbox_is_continued_and_no_child_doubled(killed_at: float) -> None:
    """Given a kill before, within and between the children of a run; each is started once in all, or is lost."""
    driver, clock = MemoryDriver(), TrioClock(START)
    dead = World(driver, clock, mortal=True)
    async with dead.up():
        parent = await dead.create("parent", Act(2), schedule=every("PT1H"))
        first = await dead.create("first", Act(4), parent_jobs=[parent])
        inner = await dead.create("inner", Act(3), parent_jobs=[first])
        second = await dead.create("second", Act(3), parent_jobs=[parent])
        await dead.until(killed_at)
        dead.kill()
    world = World(driver, clock)
    async with world.up():
        await world.until(100)
        started = [one.job for one in [*dead.started, *world.started]]
        lost = {run.job_id for run in world.history() if run.state is State.LOST}
        expected = ["parent"]
        if parent not in lost:
            expected += ["first"] + ["inner"] * (first not in lost) + ["second"]
        assert started == expected
        assert len(world.history()) == len(expected)
        assert all(not record.open and not record.outbox for record in world.store.roster)
        assert {len(world.history(job)) for job in (parent, first, inner, second)} <= {0, 1}
        assert len(lost) == (killed_at < 13)
        world.agrees()


@simulated
async def test_a_failure_that_was_not_delivered_is() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    dead = World(driver, clock, mortal=True)
    async with dead.up():
        alarm = await dead.create("alarm", Act(60), schedule=every("PT1H", first=10))
        await dead.create("job", FAIL, schedule=every("PT1H", first=20), on_failure_job=alarm)
        await dead.until(30)  # the alarm is on by its schedule, so the failure's run waits
        dead.kill()
    world = World(driver, clock)
    async with world.up():
        await world.until(60)
        assert [(run.trigger, run.state) for run in world.history(alarm)] == [
            (Trigger.SCHEDULE, State.LOST),
            (Trigger.FAILURE, State.SUCCEEDED),
        ]


@simulated
async def test_the_runs_of_those_that_live_are_let_be() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    one, two = World(driver, clock), World(driver, clock)
    async with one.up():
        job = await one.create("job", Act(50), schedule=every("PT1H"))
        child = await one.create("child", Act(50), parent_jobs=[job])
        await one.until(30)
        async with two.up():
            assert await take_over(two.store, two.lease, clock, inline) == 0
            await two.until(75)
            assert await take_over(two.store, two.lease, clock, inline) == 0
            await one.until(300)
        assert (one.starts("job"), one.starts("child"), two.starts()) == ([1], [51], [])
        assert [run.state for run in one.history()] == [State.SUCCEEDED] * 2
        assert len(one.history(child)) == 1


@pytest.mark.parametrize("heard", [False, True])
@simulated
async def test_what_an_instance_claims_that_starts_during_a_take_over_is_let_be(heard: bool) -> None:
    """Given a take-over that takes its time, and a new instance that claims a run of the very job meanwhile."""
    driver, clock = MemoryDriver(), TrioClock(START)
    dead, slow, new = World(driver, clock, mortal=True), World(driver, clock), World(driver, clock)
    async with dead.up():
        job = await dead.create("job", Act(100), schedule=every("PT1H"), overlap="allow")
        await dead.until(2)
        dead.kill()
    new.acts["job"][0] = Act(30)

    async def seconds_later(function: Any, *arguments: Any) -> Any:
        answer = await inline(function, *arguments)
        await trio.sleep(5)
        return answer

    async with slow.up(scheduling=False), trio.open_nursery() as nursery:
        nursery.start_soon(take_over, slow.store, slow.lease, clock, seconds_later)
        await trio.sleep(1)
        async with new.up():
            await new.service.start(job)
            if heard:
                await slow.store.sync()
            await new.until(20)
            assert [run.state for run in new.record(job).open] == [State.CLAIMED]
            assert [run.state for run in slow.history(job)] == [State.LOST]
            await new.until(60)
            assert [run.state for run in slow.history(job)] == [State.LOST, State.SUCCEEDED]


@simulated
async def test_two_that_take_over_at_once_decide_once() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    dead = World(driver, clock, mortal=True)
    async with dead.up():
        jobs = [await dead.create(f"{n}", Act(100), schedule=every("PT1H"), on_lost="rerun") for n in range(20)]
        await dead.until(2)
        dead.kill()
    worlds = [World(driver, clock), World(driver, clock)]
    async with worlds[0].up(scheduling=False), worlds[1].up(scheduling=False):
        async with trio.open_nursery() as nursery:
            for world in worlds:
                nursery.start_soon(take_over, world.store, world.lease, clock, inline)
        for world in worlds:
            await world.store.sync()
        await trio.testing.wait_all_tasks_blocked()
        for world in worlds:
            assert [run.state for job in jobs for run in world.record(job).open] == [State.WAITING] * 20
            assert [len(run.attempts) for job in jobs for run in world.record(job).open] == [1] * 20
            world.agrees()


@simulated
async def test_an_instance_taken_for_dead_goes_on_as_another_and_starts_nothing_of_before() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock)
    async with world.up():
        on = await world.create("on", Act(20), schedule=every("PT1H", first=1))
        child = await world.create("child", parent_jobs=[on])
        claimed = await world.create("claimed", schedule=every("PT1H", first=10))
        before = world.lease.id
        await world.until(5)
        # given that another has ended its lease, which it learns of later
        stored = driver.get(KIND, before)
        assert stored is not None
        ended = replace(msgspec.json.decode(stored.value, type=Instance), ended=True)
        driver.commit([Element(KIND, before, stored.revision, stored.revision + 1, msgspec.json.encode(ended))])
        world.lease._valid_until = 0.0
        await world.until(15)
        assert world.record(claimed).open[0].instance == before
        assert world.starts("claimed") == []
        world.lease.renew()
        await world.until(16)
        # then what it had claimed in the dead one's name waits, and is claimed anew
        assert world.lease.id != before
        assert world.starts("claimed") == pytest.approx([15], abs=0.2)
        assert world.history(claimed)[0].instance == world.lease.id
        # and what was on, and nobody has decided about, ends as it does; its children come with the next take-over
        await world.until(30)
        assert [run.state for run in world.history(on)] == [State.SUCCEEDED]
        assert world.starts("child") == []
        await take_over(world.store, world.lease, clock, inline)
        await world.until(40)
        assert [run.state for run in world.history(child)] == [State.SUCCEEDED]


@simulated
async def test_an_instance_taken_for_dead_delivers_nothing_that_another_has_taken_over() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    paused, other = World(driver, clock, mortal=True), World(driver, clock)
    async with paused.up():
        parent = await paused.create("parent", Act(2), schedule=every("PT1H"))
        child = await paused.create("child", parent_jobs=[parent])
        await paused.until(2)
        paused.lease._valid_until = 0.0  # before the parent's end, so that the child is owed
        await paused.until(5)
        async with other.up():
            await other.until(10)
            assert [run.state for run in other.history(child)] == [State.SUCCEEDED]
            paused.lease.renew()
            await other.until(20)
        assert (paused.starts("child"), len(other.history(child))) == ([], 1)


@simulated
async def test_an_end_that_comes_after_the_run_was_decided_counts_nothing(caplog: pytest.LogCaptureFixture) -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    paused = World(driver, clock, mortal=True)
    async with paused.up():
        job = await paused.create("job", Act(20), schedule=every("PT1H"))
        await paused.until(5)
        other = World(driver, clock)
        async with other.up():  # to which the first is dead
            await other.until(30)
            assert [run.state for run in other.history(job)] == [State.LOST]
        await paused.until(31)
        record = paused.record(job)
        assert (record.finished, record.errors, record.successes, record.open) == (1, 1, 0, ())
        assert "came too late, and counts nothing" in caplog.text
        paused.agrees()
