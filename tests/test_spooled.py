"""Results that a daemon could not write, since its database was away: kept, and recorded by the next start."""

import logging
import os
from pathlib import Path

import pytest
import trio
from weather import Weather
from world import FAIL, START, Act, World, every, simulated

from kala.clock import SECOND, TrioClock
from kala.errors import StoreUnavailable
from kala.recovery import take_over
from kala.states import State
from kala.store.results import Result
from kala.store.spool import Spool

RECORDED = "results of an earlier start have been recorded"
LATE = "came too late"


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def worlds(folder: Path, driver: Weather, clock: TrioClock) -> World:
    return World(driver, clock, mortal=True, spool=Spool(folder, "one"))


@simulated
async def test_a_kill_while_the_database_is_away_loses_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver, clock = Weather(), TrioClock(START)
    killed = worlds(tmp_path, driver, clock)
    async with killed.up():
        # given runs of which two end while the database is away, and one is on when the daemon is killed
        child = await killed.create(
            "child", parent_jobs=[(one := await killed.create("one", Act(9), schedule=every("PT1H")))]
        )
        two = await killed.create("two", Act(10, State.FAILED), schedule=every("PT1H"))
        three = await killed.create("three", Act(100), schedule=every("PT1H"))
        await killed.until(5)
        driver.away = "before"
        await killed.until(20)
        assert killed.history() == []
        killed.kill()
    assert len(files(tmp_path)) == 1
    # when it is started again, the database being back
    driver.away = ""
    world = worlds(tmp_path, driver, clock)
    caplog.set_level(logging.WARNING)
    async with world.up():
        await world.until(30)
        # then what had ended is recorded, with what it printed, and sets off what follows
        assert [run.state for run in world.history(one)] == [State.SUCCEEDED]
        assert [run.state for run in world.history(two)] == [State.FAILED]
        assert world.history(one)[0].attempts[0].ended == START + 10 * SECOND
        assert [output.data for output in driver.output(world.history(one)[0].id)] == [b"printed"]
        assert [run.state for run in world.history(child)] == [State.SUCCEEDED]
        assert [run.state for run in world.history(three)] == [State.LOST]
        assert [line.fields["results"] for line in caplog.records if line.message == RECORDED] == [2]  # type: ignore[attr-defined]
        assert files(tmp_path) == []
        world.agrees()


@simulated
async def test_a_stop_while_the_database_is_away_keeps_results_and_what_was_not_started(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver, clock = Weather(), TrioClock(START)
    caplog.set_level(logging.INFO)
    stopped = worlds(tmp_path, driver, clock)
    async with stopped.up():
        ended = await stopped.create("ended", Act(4), schedule=every("PT1H"))
        retried = await stopped.create("retried", Act(4, State.FAILED), schedule=every("PT1H"), retries=1)
        begun = await stopped.create("begun", schedule=every("PT1H", first=3))
        # given a claim whose answer is lost with the database
        driver.strike = lambda batch: any(element.key == begun for element in batch)
        await stopped.until(10)
        assert stopped.starts("begun") == []
        # when the daemon is told to stop
        stopped.scheduler.stop_starting()
        await trio.testing.wait_all_tasks_blocked()
        stopped.store.close()
        await stopped.drained.wait()
        await stopped.written.wait()
        assert "3 results are kept in" in caplog.text
        assert "could not be" not in caplog.text
        stopped.kill()
    driver.away, driver.strike = "", lambda batch: False
    # then the next start records them, and starts what had not been started
    world = worlds(tmp_path, driver, clock)
    world.acts["retried"].append(Act())
    async with world.up():
        await world.until(20)
        assert [run.state for run in world.history(ended)] == [State.SUCCEEDED]
        (again,) = world.history(retried)
        assert [attempt.state for attempt in again.attempts] == [State.FAILED, State.SUCCEEDED]
        assert [run.state for run in world.history(begun)] == [State.SUCCEEDED]
        assert world.starts("begun") == [10]
        assert files(tmp_path) == []
        world.agrees()


@simulated
async def test_what_is_kept_counts_once_and_goes_when_it_is_durable(tmp_path: Path) -> None:
    driver, clock = Weather(), TrioClock(START)
    world = worlds(tmp_path, driver, clock)
    async with world.up():
        jobs = [await world.create(f"{n}", Act(5 + n), schedule=every("PT1H")) for n in range(3)]
        await world.until(2)
        driver.away = "before"
        await world.until(20)
        assert len(files(tmp_path)) == 1
        kept = tmp_path / files(tmp_path)[0]
        copy = kept.read_bytes()
        assert len(copy.splitlines()) == 3
        driver.away = ""
        await world.until(30)
        assert files(tmp_path) == []
        before = {job: world.history(job) for job in jobs}
        world.kill()
    # given the file as it would be, had the daemon been killed before it was removed
    kept.write_bytes(copy)
    again = worlds(tmp_path, driver, clock)
    async with again.up():
        await again.until(40)
        assert {job: again.history(job) for job in jobs} == before
        assert [again.record(job).successes for job in jobs] == [1, 1, 1]
        assert files(tmp_path) == []


@simulated
async def test_results_of_runs_that_another_daemon_has_decided_about_count_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver, clock = Weather(), TrioClock(START)
    killed = worlds(tmp_path, driver, clock)
    async with killed.up():
        lost = await killed.create("lost", Act(5), schedule=every("PT1H"))
        again = await killed.create("again", Act(5), schedule=every("PT1H"), on_lost="rerun")
        gone = await killed.create("gone", Act(5), schedule=every("PT1H"))
        await killed.until(2)
        driver.away = "before"
        await killed.until(10)
        killed.kill()
    driver.away = ""
    other = World(driver, clock)
    async with other.up():
        await other.service.delete(gone)
        await other.until(20)
    world = worlds(tmp_path, driver, clock)
    async with world.up():
        await world.until(30)
        assert [run.state for run in world.history(lost)] == [State.LOST]
        (rerun,) = world.history(again)
        assert [attempt.state for attempt in rerun.attempts] == [State.LOST, State.SUCCEEDED]
        assert world.record(lost).successes == 0
        assert caplog.text.count(LATE) == 3
        assert files(tmp_path) == []


@simulated
async def test_a_start_that_cannot_record_them_keeps_them(tmp_path: Path) -> None:
    driver, clock = Weather(), TrioClock(START)
    killed = worlds(tmp_path, driver, clock)
    async with killed.up():
        job = await killed.create("job", Act(5), schedule=every("PT1H"))
        await killed.until(2)
        driver.away = "before"
        await killed.until(10)
        killed.kill()
    before = files(tmp_path)
    driver.away = ""
    world = worlds(tmp_path, driver, clock)
    driver.strike = lambda batch: True
    with pytest.raises(BaseExceptionGroup) as raised:
        async with world.up():
            pass
    assert raised.group_contains(StoreUnavailable)
    assert files(tmp_path) == before
    driver.away, driver.strike = "", lambda batch: False
    async with worlds(tmp_path, driver, clock).up() as last:
        assert [run.state for run in last.history(job)] == [State.SUCCEEDED]
        assert files(tmp_path) == []


@simulated
async def test_without_room_for_it_it_is_said_once_what_may_be_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    driver, clock = Weather(), TrioClock(START)
    world = World(driver, clock, spool=Spool(tmp_path / "state", "one"))
    async with world.up():
        jobs = [await world.create(f"{n}", Act(2 + n), schedule=every("PT1H")) for n in range(5)]
        await world.until(2)
        driver.away = "before"
        await world.until(600)
        assert caplog.text.count("results cannot be kept in") == 1
        assert "they are lost if the daemon ends before the database is back" in caplog.text
        driver.away = ""
        await world.until(620)
        assert [run.state for job in jobs for run in world.history(job)] == [State.SUCCEEDED] * 5


@simulated
async def test_a_retry_that_was_recorded_is_not_recorded_again(tmp_path: Path) -> None:
    """Given a file that is left although its result is durable, and the run is on again."""
    driver, clock = Weather(), TrioClock(START)
    world = worlds(tmp_path, driver, clock)
    async with world.up():
        job = await world.create("job", FAIL, Act(100), schedule=every("PT1H"), retries=1, on_lost="rerun")
        await world.until(5)
        (run,) = world.record(job).open
        world.kill()
    spool = Spool(tmp_path, "one")
    spool.append([Result(job, run.id, run.instance, run.attempts[0], b"printed")])
    spool.close()
    async with worlds(tmp_path, driver, clock).up() as again:
        await again.until(10)
        (run,) = again.history(job)
        assert [attempt.state for attempt in run.attempts] == [State.FAILED, State.LOST, State.SUCCEEDED]
        assert again.record(job).errors == 1
        assert await take_over(again.store, again.lease, clock) == 0
