"""What clients may ask for, over the whole core."""

from collections.abc import Callable

import pytest
import trio
from weather import Weather
from world import FAIL, START, Act, World, every, simulated

from kala import events
from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.errors import Invalid, JobNotFound, KalaError, StoreUnavailable, VersionChanged
from kala.job import Job, Record, replace
from kala.states import State
from kala.store.roster import Totals
from kala.wire.jobread import NewJob


def edited(disabled: bool | None = None, **members: object) -> Callable[[Record], NewJob]:
    return lambda record: NewJob(
        replace(record.job, **members), record.disabled if disabled is None else disabled, warnings=[]
    )


@simulated
async def test_an_answer_is_given_when_it_is_durable_and_another_start_finds_it() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock)
    async with world.up():
        made = await world.create("made", schedule=every("P1D"))
        changed = await world.create("changed", schedule=every("P1D"))
        gone = await world.create("gone", schedule=every("P1D"))
        disabled = await world.create("disabled", schedule=every("P1D"))
        await world.service.edit(changed, edited(owner="me"))
        await world.service.delete(gone)
        await world.service.set_disabled(disabled, True)
        world.kill()
    again = World(driver, clock)
    async with again.up():
        assert again.service.job_ids() == [made, changed, disabled]
        assert again.service.job(changed).job.owner == "me"
        assert again.service.job(disabled).disabled
        with pytest.raises(JobNotFound):
            again.service.job(gone)


@simulated
async def test_links_to_what_is_not_there_and_cycles_are_refused_and_nothing_is_stored() -> None:
    driver = MemoryDriver()
    world = World(driver, TrioClock(START))
    async with world.up():
        a = await world.create("a", schedule=every("P1D"))
        b = await world.create("b", parent_jobs=[a])
        c = await world.create("c", parent_jobs=[b], on_failure_job="")
        refused = {
            "unknown parent": (world.service.create(Job("x", parent_jobs=["?"])), {"parent_jobs[0]"}),
            "both": (
                world.service.create(Job("x", parent_jobs=[a, "?"], on_failure_job="!")),
                {"parent_jobs[1]", "on_failure_job"},
            ),
            "cycle of parents": (world.service.edit(a, edited(parent_jobs=[c], schedule="")), {"parent_jobs"}),
            "cycle over a failure": (world.service.edit(c, edited(on_failure_job=a)), {"parent_jobs"}),
            "itself": (world.service.edit(a, edited(on_failure_job=a)), {"on_failure_job"}),
        }
        before = {stored.key: stored.value for stored in driver.load("job")}
        for name, (asked, paths) in refused.items():
            with pytest.raises(Invalid) as fault:
                await asked
            assert set(fault.value.fields) == paths, name
        assert {stored.key: stored.value for stored in driver.load("job")} == before
        world.agrees()


@simulated
async def test_two_creations_at_once_that_would_make_a_cycle_together_are_not_both_taken() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    outcomes: list[str] = []
    async with world.up():
        a = await world.create("a", schedule=every("P1D"))
        b = await world.create("b", schedule=every("P1D"))

        async def link(one: str, other: str) -> None:
            try:
                await world.service.edit(one, edited(parent_jobs=[other], schedule=""))
                outcomes.append("taken")
            except Invalid:
                outcomes.append("refused")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(link, a, b)
            nursery.start_soon(link, b, a)
        assert sorted(outcomes) == ["refused", "taken"]


@simulated
async def test_children_come_in_the_order_of_their_addition_and_go_with_their_last_parent() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        one = await world.create("one", schedule=every("P1D"))
        two = await world.create("two", schedule=every("P1D"))
        assert world.service.children(one) is None
        children = [await world.create(f"child {n}", parent_jobs=[one, two][: n % 2 + 1]) for n in range(6)]
        grandchild = await world.create("grandchild", parent_jobs=[children[0]])
        assert world.service.children(one) == children
        assert world.service.children(two) == children[1::2]
        await world.service.delete(one)
        assert sorted(world.service.job_ids()) == sorted([two, *children[1::2]])
        assert world.service.job(children[1]).job.parent_jobs == [two]
        assert world.service.peek(grandchild) is None
        await world.service.delete(children[1])
        assert world.service.children(two) == children[3::2]
        for child in children[3::2]:
            await world.service.delete(child)
        assert world.service.children(two) == []  # not None: it had some
        world.agrees()


@simulated
async def test_an_edit_of_what_has_changed_meanwhile_is_refused() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT1M"))
        await world.until(90)  # runs make no new version
        seen = str(world.service.job(job).version)
        assert (await world.service.edit(job, edited(owner="one"), expected=seen)).version == 2
        with pytest.raises(VersionChanged):
            await world.service.edit(job, edited(owner="two"), expected=seen)
        assert world.service.job(job).job.owner == "one"
        await world.service.edit(job, edited(owner="three", disabled=True))
        assert world.service.job(job).disabled
        with pytest.raises(JobNotFound):
            await world.service.edit("nobody", edited())


@simulated
async def test_disabling_twice_is_disabling_once() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("PT1M"))
        for disabled, version in ((True, 2), (True, 2), (False, 3), (False, 3)):
            await world.service.set_disabled(job, disabled)
            assert world.service.job(job).version == version
        assert len(driver.batches) == 3
        await world.service.delete(job)
        for asked in (world.service.set_disabled(job, True), world.service.delete(job)):
            with pytest.raises(JobNotFound):
                await asked


@simulated
async def test_deleting_all_is_one_decision_and_leaves_nothing_to_run() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        ids = [await world.create(f"{n}", schedule=every("PT1S")) for n in range(50)]
        await world.create("child", parent_jobs=ids[:3])
        driver.batches.clear()
        await world.service.delete_all()
        assert len(driver.batches) == 1
        await world.until(10)
        assert world.started == []
        assert world.service.totals() == Totals(0, 0, 0, 0, 0, None, None)
        assert sum(event.type == events.JOB_DELETED for event in world.events) == 51
        await world.service.delete_all()
        world.agrees()


@simulated
async def test_totals_agree_with_the_jobs_at_every_moment() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        ids = [
            await world.create(f"{n}", *[FAIL, Act()] * (n % 2), schedule=every(f"PT{n + 2}S"), disabled=n % 4 == 3)
            for n in range(12)
        ]
        for second in range(1, 30):
            await world.until(second + 0.5)
            match second:
                case 10:
                    await world.service.delete(ids[0])
                case 15:
                    await world.service.set_disabled(ids[1], True)
                case 20:
                    await world.service.set_disabled(ids[3], False)
            records = list(world.store.roster.jobs.values())
            coming = [record.cursor for record in records if record.cursor and not record.disabled]
            assert world.service.totals() == Totals(
                active=sum(not record.disabled for record in records),
                disabled=sum(record.disabled for record in records),
                jobs=len(records),
                errors=sum(record.errors for record in records),
                successes=sum(record.successes for record in records),
                next_run_at=min(coming),
                last_attempted=max((run.started for run in world.history() if run.started), default=None),
            )


@simulated
async def test_while_the_database_is_away_reads_go_on_and_writes_are_refused() -> None:
    driver = Weather()
    world = World(driver, TrioClock(START))
    async with world.up():
        job = await world.create("job", schedule=every("P1D"))
        assert world.service.ready
        driver.away = "before"
        writes: list[Callable[[], object]] = [
            lambda: world.service.create(Job("x", command="true")),
            lambda: world.service.edit(job, edited(owner="x")),
            lambda: world.service.set_disabled(job, True),
            lambda: world.service.delete(job),
            lambda: world.service.delete_all(),
            lambda: world.service.start(job),
        ]
        for write in writes:
            with pytest.raises(StoreUnavailable, match="a storm"):
                await write()  # type: ignore[misc]
        assert world.service.not_ready_because == "a storm"
        assert world.service.job(job).job.owner == ""
        assert world.service.totals().jobs == 1
        driver.away = ""
        await world.store.wait_up()
        assert world.service.ready
        assert world.service.job_ids() == [job]
        await world.until(1.5)
        assert [run.state for run in await world.service.ended_runs(world.service.job(job))] == [State.SUCCEEDED]


@simulated
async def test_a_client_that_goes_away_withdraws_nothing() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        job = await world.create("job", Act(5), schedule=every("P1D", first=100))
        for asked in (
            world.service.edit(job, edited(owner="me")),
            world.service.create(Job("made", command="true", schedule=every("P1D"))),
            world.service.start(job),
        ):
            with trio.CancelScope() as scope:
                scope.cancel()
                await asked
            assert scope.cancelled_caught
        await world.until(30)
        assert sorted(record.job.name for record in world.store.roster) == ["job", "made"]
        assert world.record(job).job.owner == "me"
        assert [run.state for run in world.history(job)] == [State.SUCCEEDED]
        world.agrees()


def test_every_error_has_its_words() -> None:
    """An error says what it is about."""
    assert str(JobNotFound("x" * 1000)) == f"there is no job '{'x' * 79}…'"
    assert str(VersionChanged("a", "2", 3)) == "job a is at version 3, not 2: read it again"
    assert issubclass(Invalid, KalaError)
    assert str(Invalid({"name": "missing", "": "not an object"})) == "name: missing; not an object"


@simulated
async def test_of_many_new_jobs_one_that_is_too_large_holds_up_no_other() -> None:
    driver = MemoryDriver()
    driver.max_value = 2_000
    world = World(driver, TrioClock(START))
    async with world.up():
        jobs = [NewJob(Job(f"job {number}", "true"), True, []) for number in range(3)]
        large = NewJob(Job("large", "x" * 3_000), True, [])
        orphan = NewJob(Job("orphan", "true", parent_jobs=["nosuch"]), True, [])
        came = await world.service.create_many([jobs[0], large, jobs[1], orphan, jobs[2]])
        assert [type(one).__name__ for one in came] == ["Record", "ValueTooLarge", "Record", "Invalid", "Record"]
        assert [world.record(one).job.name for one in world.service.job_ids()] == ["job 0", "job 1", "job 2"]
        assert await world.service.create_many([]) == []
