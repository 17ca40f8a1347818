"""No notification is lost: when a daemon is killed, stops, has no database, or is one of two."""

import pytest
import trio
from told import A, B, ids, on_all, said
from weather import Weather
from world import FAIL, REFUSE, START, Act, Reply, World, every, simulated

from kala.clock import SECOND, TrioClock
from kala.drivers.memory import MemoryDriver
from kala.notices import TO_ONE


@pytest.mark.parametrize("killed_at", [1.5, 3, 5, 7, 12])
@simulated
async def test_a_kill_loses_none_and_the_next_sends_with_the_same_id(killed_at: float) -> None:
    """Given a kill before, during and after posts that take their time, or are refused at first; and another one before
    a post by the next has ended."""
    driver, clock = MemoryDriver(), TrioClock(START)
    lives = [World(driver, clock, mortal=True), World(driver, clock, mortal=True), World(driver, clock)]
    for life in lives:
        life.replies[A][0] = Reply(seconds=2)
        life.replies[B].appendleft(REFUSE)
    async with lives[0].up():
        for name in "xyz":
            await lives[0].create(
                name, FAIL, Act(), schedule=every("PT10S", repetitions=1), notify=on_all() + on_all(B), catch_up="all"
            )
        await lives[0].until(killed_at)
        lives[0].kill()
    lives[1].acts |= lives[0].acts
    async with lives[1].up():
        await trio.sleep(1)
        lives[1].kill()
    lives[2].acts |= lives[0].acts
    lives[2].acts |= lives[1].acts
    async with lives[2].up():
        await trio.sleep(400)
        assert all(not record.notices for record in lives[2].store.roster)
        lives[2].agrees()
    for url in (A, B):
        for name in "xyz":
            came = [
                (one.body["type"], one.body["id"])
                for life in lives
                for one in life.posted
                if (one.url, one.body["job"]["name"]) == (url, name)
            ]
            # each kind has one id, whoever sent it and how often, and the recovery comes after the failure
            assert list(dict.fromkeys(kind for kind, _ in came)) == ["failure", "recovery"]
            assert len(set(came)) == 2


@simulated
async def test_a_lost_run_is_told_of_by_who_takes_over() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    dead = World(driver, clock, mortal=True)
    async with dead.up():
        await dead.create("job", Act(100), schedule=every("PT1H"), notify=on_all())
        await dead.until(5)
        dead.kill()
    world = World(driver, clock)
    async with world.up():
        await world.until(10)
        assert said(world.posted) == ["lost 5"]
        assert world.posted[0].body["run"]["state"] == "lost"


@simulated
async def test_at_the_stop_what_is_being_sent_ends_and_the_rest_is_sent_by_the_next_start() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock)
    world.replies[A][0] = Reply(seconds=8)
    async with world.up():
        for number in range(TO_ONE + 3):
            await world.create(f"{number}", FAIL, schedule=every("PT1H", repetitions=0), notify=on_all())
        await world.until(2)
        assert world.posting[A] == TO_ONE
        world.scheduler.stop_starting()
    assert (world.clock.now() - START) / SECOND == 9
    assert len(set(ids(world.posted))) == TO_ONE
    left = {one.id for record in world.store.roster for one in record.notices}
    assert len(left) == 3
    again = World(driver, clock)
    async with again.up():
        await again.until(100)
        assert all(not record.notices for record in again.store.roster)
    assert set(ids(again.posted)) == left


@simulated
async def test_what_outlasts_the_drain_is_broken_off_and_comes_again() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock)
    world.replies[A][0] = Reply(seconds=8)
    async with world.up():
        job = await world.create("job", FAIL, schedule=every("PT1H", repetitions=0), notify=on_all())
        await world.until(2)
        world.scheduler.stop_starting()
        world.scheduler.end_runs(hurry=False)
    assert (world.clock.now() - START) / SECOND == 2
    (owed,) = world.record(job).notices
    assert owed.tries == 0
    again = World(driver, clock)
    async with again.up():
        await again.until(5)
    assert ids(again.posted) == ids(world.posted) == [owed.id]


@pytest.mark.parametrize("away", ["before", "after"])
@simulated
async def test_what_came_of_a_post_is_recorded_when_the_database_is_back(away: str) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    world.replies[A][0] = Reply(seconds=5)
    async with world.up():
        job = await world.create("job", FAIL, schedule=every("PT1H", repetitions=0), notify=on_all())
        await world.until(2)
        driver.away = away
        await world.until(60)
        assert len(world.record(job).notices) == 1
        driver.away = ""
        await world.until(120)
        assert world.record(job).notices == ()
        assert len(world.posted) == 1
        world.agrees()


@simulated
async def test_of_two_daemons_each_sends_what_it_owes_and_waits_for_what_comes_before() -> None:
    """Given a notification that one daemon has to send again, and a later one of the same job that is another's."""
    driver, clock = MemoryDriver(), TrioClock(START)
    first, second = World(driver, clock), World(driver, clock)
    first.replies[A].extendleft([REFUSE, REFUSE])
    async with first.up(), second.up():
        job = await first.create("job", FAIL, schedule=every("PT1H", repetitions=0), notify=on_all())
        await first.until(2)
        await second.store.sync()
        await second.service.start(job)
        for seconds in range(3, 30):
            await first.until(seconds)
            await first.store.sync()
            await second.store.sync()
        assert said(first.posted) == ["failure 1", "failure 6", "failure 16"]
        assert said(second.posted) == ["recovery 16"]
