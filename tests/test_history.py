"""Runs that are open and runs that have ended, as one list."""

import time

import pytest
import trio
from weather import Weather
from world import FAIL, START, Act, World, every, simulated

from kala.clock import SECOND, Clock, TrioClock
from kala.drivers.contract import RunPage, RunQuery
from kala.drivers.memory import MemoryDriver
from kala.errors import Invalid, RunNotFound, StoreUnavailable
from kala.job import Job, OnNow, Record, Run, replace
from kala.states import State, Trigger


async def pages(world: World, limit: int, **more: object) -> list[Run]:
    """All that a client sees who asks for page after page."""
    found: list[Run] = []
    token: str | None = None
    while True:
        page: RunPage = await world.service.history.page(RunQuery(after=token, limit=limit, **more))  # type: ignore[arg-type]
        assert len(page.runs) <= limit
        found += page.runs
        token = page.next
        if token is None:
            return found


async def busy(world: World) -> dict[str, str]:
    """Jobs with runs of many states."""
    jobs = {
        "ends": await world.create("ends", schedule=every("PT10S", first=1)),
        "fails": await world.create("fails", FAIL, schedule=every("PT20S", first=2)),
        "long": await world.create("long", Act(1000), schedule=every("PT10S", first=3), overlap="queue"),
        "skips": await world.create("skips", Act(1000), schedule=every("PT10S", first=4), overlap="skip"),
        "retried": await world.create("retried", FAIL, schedule=every("PT1H", first=5), retries=3, retry_delay="PT50S"),
    }
    await world.until(45)
    return jobs


@simulated
async def test_pages_of_any_size_hold_each_run_once_the_open_ones_first() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        await busy(world)
        whole = await pages(world, 1000)
        states = [run.state for run in whole]
        # then what is open, or grows, comes before what has ended, each the newest first
        growing = {record.gap.id for record in world.store.roster if record.gap is not None}
        assert len(growing) == 2
        first = [run for run in whole if run.state in (State.WAITING, State.RUNNING) or run.id in growing]
        assert whole[: len(first)] == first
        assert sorted(first, key=lambda run: (run.created, run.id), reverse=True) == first
        rest = whole[len(first) :]
        assert rest == world.history()[::-1]
        assert {State.WAITING, State.RUNNING, State.SUCCEEDED, State.FAILED, State.SKIPPED} <= set(states)
        # and pages of other sizes join to the same
        for limit in (1, 2, 3, 7, len(first), len(whole), len(whole) - 1):
            assert await pages(world, limit) == whole, limit


@simulated
async def test_what_is_asked_for_is_found_in_memory_and_in_the_history() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        jobs = await busy(world)
        whole = await pages(world, 1000)
        queries: list[dict[str, object]] = [
            {"job_id": jobs["long"]},
            {"job_id": "nosuch"},
            {"states": frozenset({State.RUNNING})},
            {"states": frozenset({State.CLAIMED})},
            {"states": frozenset({State.WAITING, State.SUCCEEDED})},
            {"states": frozenset({State.SKIPPED})},
            {"states": frozenset({State.FAILED}), "job_id": jobs["fails"]},
            {"since": START + 12 * SECOND},
            {"until": START + 12 * SECOND},
            {"since": START + 11 * SECOND, "until": START + 13 * SECOND},
        ]
        for query in queries:
            states = query.get("states")
            expected = [
                run
                for run in whole
                if (states is None or run.state in states)  # type: ignore[operator]
                and query.get("job_id") in (None, run.job_id)
                and run.scheduled_for >= query.get("since", 0)  # type: ignore[operator]
                and run.scheduled_for < query.get("until", 1 << 62)  # type: ignore[operator]
            ]
            for limit in (2, 1000):
                assert await pages(world, limit, **query) == expected, query
        assert len(await pages(world, 10, states=frozenset({State.RUNNING}))) == 2


@simulated
async def test_a_run_is_found_whatever_its_state_and_one_that_is_on_says_since_when() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(10), schedule=every("PT1H", first=1))
        await world.until(0.95)
        (claimed,) = await pages(world, 10)
        assert claimed.state is State.CLAIMED
        history = world.service.history
        assert history.on_now(claimed.id) is None
        await world.until(5)
        running = await history.run(claimed.id)
        assert (running.state, running.id) == (State.RUNNING, claimed.id)
        assert history.on_now(claimed.id) == OnNow(START + SECOND, 0)
        assert world.record(job).open[0].state is State.CLAIMED  # the record knows nothing of it
        await world.until(20)
        assert (await history.run(claimed.id)).state is State.SUCCEEDED
        assert history.on_now(claimed.id) is None
        with pytest.raises(RunNotFound):
            await history.run("nosuch")


@simulated
async def test_while_its_end_is_not_durable_a_run_is_on() -> None:
    weather = Weather()
    world = World(weather, TrioClock(START))
    async with world.up():
        await world.create("job", Act(10), schedule=every("PT1H", first=1))
        await world.until(5)
        weather.away = "before"
        await world.until(20)
        (run,) = world.store.roster.runs(world.service.job_ids()[0])
        found = world.service.history.open_run(run.id)
        assert found is not None
        assert found.state is State.RUNNING
        weather.away = ""
        await world.until(40)
        assert (await world.service.history.run(run.id)).state is State.SUCCEEDED


@simulated
async def test_a_run_that_ends_while_the_history_is_read_is_in_the_page_once() -> None:
    driver = MemoryDriver()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(10), schedule=every("PT1H", first=1))
        await world.until(5)

        async def read_late(function: object, *arguments: object) -> object:
            await trio.sleep(20)
            return function(*arguments)  # type: ignore[operator]

        world.store._read = read_late
        page = await world.service.history.page(RunQuery(limit=10))
        assert [(run.state, run.job_id) for run in page.runs] == [(State.RUNNING, job)]
        assert [run.state for run in world.history()] == [State.SUCCEEDED]


@simulated
async def test_a_token_that_no_page_gave_is_refused() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        for token in ("x", "ox", "h-1", "hx", "o" + "0" * 20, "1", " "):
            with pytest.raises(Invalid):
                await world.service.history.page(RunQuery(after=token, limit=5))


@simulated
async def test_before_the_jobs_are_loaded_nothing_is_answered() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    with pytest.raises(StoreUnavailable):
        await world.service.history.page(RunQuery(limit=5))
    with pytest.raises(StoreUnavailable):
        await world.service.history.run("x")
    with pytest.raises(StoreUnavailable):
        await world.service.cancel("x")


@pytest.mark.slow
def test_a_range_in_every_job_does_not_hold_others_up() -> None:
    # given a hundred thousand jobs, each with a range that grows, as after a night in which nothing was up
    driver = MemoryDriver()
    world = World(driver, Clock())
    gap = Run("", "", START, Trigger.SCHEDULE, State.MISSED, START, reason="down", until=START, ended=START)
    for number in range(100_000):
        job_id = f"{number:08}"
        ranged = replace(gap, id=f"g{job_id}", job_id=job_id, created=START + number)
        world.store.roster.put(Record(job_id, Job("j", "true"), START, gap=ranged))
    world.store._loaded = True
    longest = 0.0

    async def look() -> None:
        nonlocal longest
        done = False

        async def beat() -> None:
            nonlocal longest
            before = time.thread_time()
            while not done:
                await trio.lowlevel.checkpoint()
                longest = max(longest, (now := time.thread_time()) - before)
                before = now

        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat)
            page = await world.service.history.page(RunQuery(limit=50))
            done = True
        assert [run.id for run in page.runs] == [f"g{number:08}" for number in range(99_999, 99_949, -1)]

    trio.run(look)
    assert longest < 0.2, "5 ms on an idle machine"
