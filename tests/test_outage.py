"""An outage is told once, whoever notices it; nothing waits for a database that is silent; nothing is taken for deleted
when it was emptied."""

import logging
import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from decisions import counted, new
from weather import Weather
from world import START, Act, World, every, inline, simulated

from kala import events
from kala.clock import DAY, SECOND, TrioClock
from kala.drivers.contract import Changes, RunQuery
from kala.errors import StoreRefused, StoreUnavailable
from kala.housekeeping import Housekeeping
from kala.states import State
from kala.store.health import ODD
from kala.upkeep import Upkeep

DOWN, UP = "the database is away", "the database is back"
ODDLY = "the database can be read and written, and yet"


def told(world: World) -> Counter[str]:
    return Counter(event.type for event in world.events if event.type in (events.STORE_DOWN, events.STORE_UP))


def lines(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.message for record in caplog.records if text in record.message]


def loud(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged where nobody asked for more."""
    return [record.message for record in caplog.records if record.levelno >= logging.INFO]


def upkeep(world: World, *, shared: bool = True) -> Upkeep:
    world.lease._valid_until = math.inf  # it goes by the real clock, and nobody renews it here
    pause, stop = world.scheduler.pause, trio.Event()
    return Upkeep(world.store, world.lease, world.clock, pause, shared=shared, stop=stop, in_thread=inline)


class Reading(Weather):
    """One whose reading may be away for itself: `unread` says why it cannot be read."""

    unread: Exception | None = None
    reads = 0

    def _read(self, name: str, *arguments: Any) -> Any:
        self.reads += 1
        if self.unread is not None:
            raise self.unread
        self._look()
        return getattr(self.inner, name)(*arguments)

    def runs(self, query: RunQuery) -> Any:
        return self._read("runs", query)

    def changes(self, since: str) -> Changes:
        changes: Changes = self._read("changes", since)
        return changes

    def prune(self, *arguments: Any, **named: Any) -> int:
        self._look()
        return self.inner.prune(*arguments, **named)

    def now(self) -> int:
        self._look()
        return self.inner.now()


@simulated
async def test_one_outage_of_hours_is_one_line_and_one_event_whoever_meets_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver, clock = Reading(), TrioClock(START)
    world = World(driver, clock)
    keeping = Housekeeping(world.store, clock, keep=10**6, history_age=365 * DAY, output_total=1, done_ttl=None)
    async with world.up(), trio.open_nursery() as others:
        others.start_soon(keeping.run)
        others.start_soon(upkeep(world).run)
        jobs = [await world.create(f"{n}", Act(8), schedule=every("PT10S", first=5)) for n in range(10)]
        await world.until(100)
        caplog.set_level(logging.DEBUG)
        # given a database that is away for hours, and clients, runs, housekeeping and upkeep that need it
        driver.away = "before"
        tries, hours = 0, 4
        for minute in range(1, hours * 60):
            await world.until(100 + 60 * minute)
            for asked in (world.service.create_many([]), world.store.runs(RunQuery())):
                try:
                    await asked
                except StoreUnavailable:
                    tries += 1
            if world.store.fault is not None:
                with pytest.raises(StoreUnavailable):
                    await world.service.set_paused(True)
        assert tries > 450
        driver.away = ""
        await world.until(hours * 3600 + 200)
        # then it is told once, with how long it took and what was written then
        assert lines(caplog, DOWN) == [f"{DOWN}: a storm"]
        (line,) = [record for record in caplog.records if record.message == UP]
        assert line.fields["results"] == 10  # type: ignore[attr-defined]
        assert line.fields["seconds"] == pytest.approx(hours * 3600, abs=100)  # type: ignore[attr-defined]
        assert told(world) == {events.STORE_DOWN: 1, events.STORE_UP: 1}
        assert [message for message in loud(caplog) if "database" in message] == [f"{DOWN}: a storm", UP]
        assert len(loud(caplog)) < 10
        # and every occurrence is explained
        for job in jobs:
            found = world.accounts_for(job, until=hours * 3600 + 200)
            assert found["missed down"] == pytest.approx(hours * 360, abs=10)
        others.cancel_scope.cancel()


@simulated
async def test_an_idle_daemon_notices_by_whoever_meets_it(caplog: pytest.LogCaptureFixture) -> None:
    driver, clock = Reading(), TrioClock(START)
    world = World(driver, clock)
    async with world.up(), trio.open_nursery() as others:
        others.start_soon(upkeep(world, shared=False).run)
        driver.away = "before"
        await world.until(10)
        assert lines(caplog, DOWN) == [f"{DOWN}: a storm"]
        assert "a storm" in world.service.not_ready_because
        assert world.service.away_since is not None
        driver.away = ""
        await world.until(20)
        assert (world.service.not_ready_because, world.service.away_since) == ("", None)
        assert told(world) == {events.STORE_DOWN: 1, events.STORE_UP: 1}
        others.cancel_scope.cancel()


@simulated
async def test_one_that_takes_a_trial_and_nothing_else_does_not_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    caplog.set_level(logging.INFO)
    async with world.up():
        job = await world.create("job", schedule=every("PT1S", first=1))
        await world.until(5.5)
        # given a database without room for more than the trial
        commit = driver.commit

        def full(batch: Any) -> Any:
            if batch[0].kind == "job":
                raise StoreUnavailable("the disk is full")
            return commit(batch)

        driver.commit = full  # type: ignore[method-assign]
        await world.until(7_200)
        driver.commit = commit  # type: ignore[method-assign]
        await world.until(7_220)
        assert len(lines(caplog, DOWN)) <= 2
        assert len(lines(caplog, UP)) == len(lines(caplog, DOWN))
        assert world.store.fault is None
        world.accounts_for(job, until=7_220)
        # and it is quick again the next time
        driver.away = "before"
        await world.until(7_230)
        driver.away = ""
        await world.until(7_240)
        assert len(lines(caplog, UP)) == len(lines(caplog, DOWN)) <= 3


@simulated
async def test_another_kind_of_reason_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False):
        await world.store.transact(new("job"))
        faults = [StoreUnavailable("refused"), StoreUnavailable("starting up"), StoreRefused("change the password")]
        number = 0

        def commit(batch: Any) -> Any:
            nonlocal number
            number += 1
            raise faults[number % 3]

        driver.commit = commit  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await world.store.change("job", counted)
        await trio.sleep(1_000)
        assert number > 100
        assert loud(caplog) == [f"{DOWN}: starting up", "the database is still away: change the password"]
        del driver.commit
        await trio.sleep(10)
        assert world.store.fault is None


@simulated
async def test_what_is_refused_does_not_gather_tracebacks() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False):
        await world.store.transact(new("job"))
        driver.away = "before"
        depths = set()
        for _ in range(50):
            with pytest.raises(StoreUnavailable) as raised:
                await world.store.change("job", counted)
            depths.add(len(raised.traceback))
            await trio.sleep(0.01)
        assert len(depths) <= 2
        driver.away = ""


# Reading.


@simulated
async def test_reads_fail_at_once_when_it_cannot_even_be_read_and_go_on_when_it_can() -> None:
    driver = Reading()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False):
        await world.store.transact(new("job"))

        async def read() -> bool:
            before = driver.reads
            with suppress(StoreUnavailable):
                await world.store.runs(RunQuery())
            return driver.reads > before

        # a database that can be read, and not written
        commit = driver.commit
        driver.commit = _full  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await world.store.change("job", counted)
        assert [await read() for _ in range(3)] == [True] * 3
        # and one that is gone altogether: nobody else is sent to find that out again
        driver.commit, driver.away = commit, "before"  # type: ignore[method-assign]
        await trio.sleep(20)
        assert [await read() for _ in range(3)] == [False] * 3
        driver.away = ""
        driver.commit = _full  # type: ignore[method-assign]
        await trio.sleep(6)
        assert world.store.fault is not None
        assert await read()
        driver.commit = commit  # type: ignore[method-assign]
        await trio.sleep(6)
        assert await read()


def _full(batch: Any) -> Any:
    raise StoreUnavailable("the disk is full")


@simulated
async def test_few_wait_for_a_database_that_is_silent() -> None:
    """Given a database that says nothing, for as long as a driver waits."""
    driver, clock = Reading(), TrioClock(START)
    silent = False

    async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
        if silent:
            await trio.sleep(10)
            driver.away = "before"
        return await inline(function, *arguments)

    world = World(driver, clock, in_thread=in_thread)
    waited: list[float] = []

    async def client() -> None:
        begun = trio.current_time()
        with pytest.raises(StoreUnavailable):
            await world.store.runs(RunQuery())
        waited.append(trio.current_time() - begun)

    async with world.up(scheduling=False):
        silent = True
        async with trio.open_nursery() as clients:
            for _ in range(6_000):  # ten each second, for ten minutes
                clients.start_soon(client)
                await trio.sleep(0.1)
        assert max(waited) == pytest.approx(10)
        assert sum(seconds > 1 for seconds in waited) < 120
        assert all(seconds == 0 for seconds in waited[-5_000:])
        silent, driver.away = False, ""
        await trio.sleep(15)
        await world.store.runs(RunQuery())


@simulated
async def test_what_fails_while_the_database_is_there_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    driver = Reading()
    world = World(driver, TrioClock(START))
    async with world.up(scheduling=False):
        driver.unread = StoreUnavailable("a query took too long")
        for _ in range(1_000):
            with pytest.raises(StoreUnavailable, match="too long"):
                await world.store.runs(RunQuery())
            await trio.sleep(1)
        assert loud(caplog) == [f"{ODDLY}: a query took too long"] * round(1_000 / ODD + 0.5)
        assert world.store.fault is None
        assert told(world) == {}


# Pausing.


@simulated
async def test_a_pause_whose_answer_was_lost_is_known_when_it_is_back() -> None:
    driver, clock = Weather(), TrioClock(START)
    world = World(driver, clock)
    async with world.up(), trio.open_nursery() as others:
        others.start_soon(upkeep(world, shared=False).run)
        await world.create("job", schedule=every("PT1S", first=30))
        await world.until(3)
        commit = driver.commit

        def lost(batch: Any) -> Any:
            driver.commit = commit  # type: ignore[method-assign]
            commit(batch)
            driver.away = "before"
            raise StoreUnavailable("a storm")

        driver.commit = lost  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await world.service.set_paused(True)
        await world.until(10)
        driver.away = ""
        await world.until(20)
        assert world.service.paused
        await world.until(40)
        assert world.started == []
        others.cancel_scope.cancel()


# Emptied.


@simulated
async def test_a_database_that_was_emptied_deletes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    driver, clock = Reading(), TrioClock(START)
    world = World(driver, clock)
    async with world.up(), trio.open_nursery() as others:
        others.start_soon(upkeep(world).run)
        job = await world.create("job", Act(2), schedule=every("PT1M", first=1))
        await world.until(2)
        empty = Reading()
        before = driver.inner
        driver.inner = empty.inner
        driver.commit = _emptied  # type: ignore[method-assign]
        await world.until(30)
        assert world.service.job_ids() == [job]
        assert "the database was emptied" in str(world.store.fault)
        assert loud(caplog) == [f"{DOWN}: the database was emptied: restore it, or start again"]
        # when it is restored, it goes on
        driver.inner = before
        del driver.commit
        await world.until(55)
        assert [run.state for run in world.history(job)] == [State.SUCCEEDED]
        assert world.clock.now() > START + 50 * SECOND
        world.agrees()
        others.cancel_scope.cancel()


def _emptied(batch: Any) -> Any:
    raise StoreRefused("the database was emptied: restore it, or start again")
