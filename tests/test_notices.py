"""The sender of notifications, on the test clock: what is owed is posted, in order, until it is taken."""

import logging

import pytest
import trio
from told import A, B, ids, on_all, said
from world import FAIL, REFUSE, START, Act, Reply, World, at, every, simulated

from kala.clock import DAY, SECOND, TrioClock
from kala.drivers.memory import MemoryDriver
from kala.housekeeping import Housekeeping
from kala.job import Notify, replace
from kala.notices import AT_ONCE, TO_ONE
from kala.states import State
from kala.wire.jobread import NewJob

HOUR = 3600


@simulated
async def test_a_failure_is_posted_at_once_with_all_there_is_to_say() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        target = Notify(A, headers={"Authorization": ["Bearer x"]})
        job = await world.create(
            "job", Act(2, State.FAILED), schedule=every("PT1H"), owner="me", labels={"team": "a"}, notify=[target]
        )
        await world.until(10)
        (posted,) = world.posted
        (run,) = world.history(job)
        body = posted.body
        assert (posted.at, posted.url) == (3, A)
        assert body["run"].pop("explanation").startswith("failed")
        assert {name: body["run"][name] for name in ("id", "job_name", "state", "started", "ended", "retries")} == {
            "id": run.id,
            "job_name": "job",
            "state": "failed",
            "started": at(1),
            "ended": at(3),
            "retries": 0,
        }
        assert [one["state"] for one in body["run"]["attempts"]] == ["failed"]
        del body["run"]
        assert body == {
            "id": body["id"],
            "type": "failure",
            "at": at(3),
            "node": "here",
            "job": {"id": job, "name": "job", "owner": "me", "labels": {"team": "a"}},
            "more": 0,
        }
        assert posted.headers == {"Authorization": ["Bearer x"], "Idempotency-Key": [body["id"]]}
        assert world.record(job).notices == ()
        world.agrees()


@simulated
async def test_one_that_is_not_taken_comes_again_later_and_later_with_the_same_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(MemoryDriver(), TrioClock(START))
    world.replies[A].extendleft([REFUSE, Reply("timed out after 10 s", 10), REFUSE, REFUSE])
    async with world.up():
        job = await world.create("job", FAIL, schedule=every("PT1H", repetitions=0), notify=on_all())
        with caplog.at_level(logging.WARNING):
            await world.until(HOUR)
        assert [one.at for one in world.posted] == [1, 6, 16, 46, 86]
        assert len(set(ids(world.posted))) == 1
        assert world.record(job).notices == ()
        (line,) = [one for one in caplog.records if one.message == "notification not taken yet"]
        assert (line.fields["job"], line.fields["to"]) == (job, "a.example:80")  # type: ignore[attr-defined]


@simulated
async def test_one_that_nobody_takes_is_given_up_after_a_day_and_the_next_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(MemoryDriver(), TrioClock(START))
    world.replies[A][0] = REFUSE
    async with world.up():
        job = await world.create("job", FAIL, schedule=every("PT2H"), notify=on_all())
        with caplog.at_level(logging.ERROR):
            await world.until(24 * HOUR + 700)
        first = world.posted[0].body["id"]
        days = [one.at for one in world.posted if one.body["id"] == first]
        assert 24 * HOUR <= days[-1] - days[0] < 24 * HOUR + 600
        given_up = [one for one in caplog.records if "given up" in one.message]
        assert [one.fields["notification"] for one in given_up] == [first]  # type: ignore[attr-defined]
        # what has failed since is one more, and is sent when it is up again
        assert world.posted[-1].body["id"] != first
        world.replies[A].clear()
        world.replies[A].append(Reply())
        await world.until(25 * HOUR + 700)
        assert world.posted[-1].body["more"] == 11
        assert world.record(job).notices == ()


@simulated
async def test_of_one_job_and_address_one_is_on_at_a_time_in_order() -> None:
    """Given a slow server, and a job that fails and recovers meanwhile; and another server that is not held up."""
    world = World(MemoryDriver(), TrioClock(START))
    world.replies[A][0] = Reply(seconds=8)
    async with world.up():
        acts = [FAIL, Act(), FAIL, Act()]
        await world.create("job", *acts, schedule=every("PT1S", repetitions=3), notify=on_all() + on_all(B))
        await world.until(5)
        assert world.posting[A] == 1
        assert said([one for one in world.posted if one.url == B]) == ["failure 1", "recovery 2"]
        await world.until(300)
        assert said([one for one in world.posted if one.url == A]) == [
            "failure 1",
            "recovery 9",
            "failure 69",
            "recovery 77",
        ]
        assert said([one for one in world.posted if one.url == B])[2:] == ["failure 61", "recovery 62"]


@simulated
async def test_many_that_fail_at_once_are_told_of_by_few_and_a_hanging_server_holds_up_no_other() -> None:
    world = World(MemoryDriver(), TrioClock(START), max_runs=10_000)
    world.replies[A][0] = Reply("timed out after 10 s", seconds=10)
    world.replies[B][0] = Reply(seconds=0.01)
    most: list[int] = []
    async with world.up():
        for number in range(500):
            hanging = number % 2 == 0
            url = A if hanging else f"{B}/{number}"
            world.replies[url] = world.replies[A if hanging else B]
            await world.create(f"{number}", FAIL, schedule=every("PT1H"), notify=on_all(url))
        before = trio.lowlevel.current_statistics().tasks_living
        while world.clock.now() < START + 3 * SECOND:
            await trio.sleep(0.005)
            most.append(world.posting.total())
        assert max(most) == 2 * TO_ONE
        assert world.posting[A] == TO_ONE
        assert trio.lowlevel.current_statistics().tasks_living <= before + TO_ONE
        assert len({one.url for one in world.posted} - {A}) == 250  # all of the good server's
        # what hangs has its turns, few at a time
        await world.until(600)
        assert len([one for one in world.posted if one.url == A]) <= TO_ONE * 61
        world.replies[A].clear()
        world.replies[A].append(Reply())
        await world.until(2_000)
        assert all(not record.notices for record in world.store.roster)
        assert len(set(ids(world.posted))) == 500


@simulated
async def test_many_servers_share_the_places() -> None:
    """Given ten servers that hang, and more owed to each than there are places: another one has its turn all the same,
    bounded by the time that a post may take."""
    world = World(MemoryDriver(), TrioClock(START))
    most = 0
    async with world.up():
        for number in range(100):
            url = f"http://{number % 10}.example/"
            world.replies[url][0] = Reply("timed out after 10 s", seconds=10)
            await world.create(f"{number}", FAIL, schedule=every("PT1H", repetitions=0), notify=on_all(url))
        await world.create("late", FAIL, schedule=every("PT1H", first=2, repetitions=0), notify=on_all(A))
        while world.clock.now() < START + 40 * SECOND:
            await trio.sleep(0.5)
            most = max(most, world.posting.total())
        assert most == AT_ONCE
        (post,) = [one for one in world.posted if one.url == A]
        assert post.at <= 11


@simulated
async def test_while_paused_and_after_its_deletion_a_job_is_told_of_still() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    world.replies[A].appendleft(REFUSE)
    async with world.up():
        job = await world.create("job", FAIL, schedule=every("PT1H"), notify=on_all())
        housekeeping = Housekeeping(world.store, world.clock, keep=10, history_age=None, output_total=0, done_ttl=None)
        await world.until(2)
        await world.service.set_paused(True)
        await world.service.delete(job)
        world.clock.step(2 * DAY / SECOND)  # type: ignore[attr-defined]
        await housekeeping.tidy()
        assert world.record(job).notices != ()
        await trio.sleep(20)
        assert len(set(ids(world.posted))) == 1
        assert len(world.posted) == 2
        await housekeeping.tidy()
        assert world.store.roster.get(job) is None


@simulated
async def test_a_bug_in_one_post_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    world = World(MemoryDriver(), TrioClock(START))
    world.replies[A].appendleft(Reply(bug=RuntimeError("oh")))
    async with world.up():
        for url in (A, B):
            await world.create(url, FAIL, schedule=every("PT1H"), notify=on_all(url))
        with caplog.at_level(logging.ERROR):
            await world.until(60)
        assert [(one.url, one.at) for one in world.posted] in (
            [(A, 1), (B, 1), (A, 6)],
            [(B, 1), (A, 1), (A, 6)],
        )
        (line,) = [one for one in caplog.records if "internal error" in one.message]
        assert line.exc_info is not None


@simulated
async def test_an_address_that_is_taken_out_is_told_nothing_more() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    world.replies[A][0] = REFUSE
    async with world.up():
        job = await world.create("job", FAIL, schedule=every("PT1H", repetitions=0), notify=on_all() + on_all(B))
        await world.until(2)
        assert len(world.posted) == 2
        fewer = replace(world.record(job).job, notify=on_all(B))
        await world.service.edit(job, lambda _: NewJob(fewer, False, []))
        await world.until(HOUR)
        assert len(world.posted) == 2
        assert world.record(job).notices == ()
