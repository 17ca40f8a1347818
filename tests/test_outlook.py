"""What is to come, worked out once for all who ask, and without holding anybody up."""

import gc
import math
from time import thread_time

import pytest
import trio
from test_forecast import MINUTE, SINCE, record
from trio.testing import trio_test
from world import START, World, every, simulated

from kala import slices
from kala.clock import DAY, Clock, TrioClock
from kala.drivers.memory import MemoryDriver
from kala.errors import StoreUnavailable
from kala.forecast import Load
from kala.outlook import ANSWERS, KNOWN, SOON, Outlook
from kala.store import Store


@simulated
async def test_an_answer_is_kept_for_a_while_or_until_jobs_change() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    with pytest.raises(StoreUnavailable):
        await world.service.outlook.load(START, 60)
    async with world.up():
        job = await world.create("j", schedule=every("PT10M"))
        asked = world.service.outlook
        first = await asked.load(START, 60)
        assert (sum(first.counts), first.jobs) == (6, 1)
        assert await asked.load(START, 60) is first
        # when a job is made, what has just been worked out is good a little longer
        await world.create("k", schedule=every("PT20M"))
        assert await asked.load(START, 60) is first
        await world.until(SOON + 1)
        second = await asked.load(START, 60)
        assert sum(second.counts) == 5 + 2
        # and without changes it is good for long, and no longer; runs are no changes
        await world.until(KNOWN)
        assert await asked.load(START, 60) is second
        await world.until(KNOWN + SOON + 2)
        assert await asked.load(START, 60) is not second
        due = await asked.due(START, START + DAY)
        assert (await asked.due(START, START + DAY), due.total) == (due, 2)
        await world.service.delete(job)
        await world.until(KNOWN + 3 * SOON + 3)
        assert (await asked.due(START, START + DAY)).total == 1
        # and no more than a few are kept
        for minutes in range(1, 2 * ANSWERS):
            await asked.load(START, minutes)
        assert len(asked._kept) == ANSWERS


@simulated
async def test_all_who_ask_at_once_get_the_same_also_when_the_first_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "SLICE", -1.0)  # others have their turn at each step
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        for number in range(200):
            await world.create(f"{number}", schedule=every("PT1H"))
        answers: list[Load] = []
        first = trio.CancelScope()

        async def ask(scope: trio.CancelScope) -> None:
            with scope:
                answers.append(await world.service.outlook.load(START, 60))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, first)
            await trio.lowlevel.checkpoint()
            for _ in range(5):
                nursery.start_soon(ask, trio.CancelScope())
            await trio.lowlevel.checkpoint()
            first.cancel()
        assert len(answers) == 5
        assert len({id(answer) for answer in answers}) == 1
        assert answers[0].jobs == 200


@pytest.mark.slow
@trio_test
async def test_a_hundred_thousand_jobs_hold_nobody_up() -> None:
    store = Store(MemoryDriver(), Clock(), World(MemoryDriver(), Clock()).hub)
    await store.load()
    for number in range(100_000):
        minute, hour = number % 60, number // 60 % 24
        schedule = [f"{minute} {hour} * * *", f"R/2030-01-01T{hour:02d}:{minute:02d}:00Z/PT15M"][number % 2]
        store.roster.put(record(f"{number:06d}", schedule, jitter="PT1M" if number % 10 == 0 else ""))
    asked = Outlook(store, TrioClock(SINCE), lambda: 0)
    longest, ended = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not ended:
            before = thread_time()
            await trio.lowlevel.checkpoint()
            longest = max(longest, thread_time() - before)

    gc.disable()  # it would look at what all tests before have left
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            load = await asked.load(SINCE, 7 * 1_440)
            due = await asked.due(SINCE, SINCE + 60 * MINUTE)
            ended = True
    finally:
        gc.enable()
    assert (load.jobs, load.truncated) == (100_000, False)
    assert math.isclose(sum(load.counts), 7 * (50_000 + 50_000 * 96), rel_tol=0.001)
    assert due.total > 50_000
    assert longest < 0.05, "seconds of this thread: some 0.01"
