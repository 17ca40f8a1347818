"""Limits of runs at once by label, on the test clock: what waits, in which order it starts, and that all places of runs
come back, whatever becomes of them."""

from collections import Counter
from random import Random
from typing import Any

import pytest
import trio
from test_doubt import Storm, claims
from world import FAIL, START, Act, World, every, simulated

from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.errors import KalaError
from kala.job import Attempt, Record, Run, replace
from kala.pools import PoolRow
from kala.states import State
from kala.stop import Stop
from kala.store.batch import Answered, Decide
from kala.values import LabelLimit, label_limits
from kala.wire.explain import explain
from kala.wire.jobread import NewJob

REPORTS = label_limits("pool=reports:2")


class Counted(World):
    """Counts how many attempts of jobs with a label are on, and were at once."""

    def __init__(self, limits: tuple[LabelLimit, ...], driver: Any = None, *, max_runs: int = 1000) -> None:
        super().__init__(driver or MemoryDriver(), TrioClock(START), limits=limits, max_runs=max_runs)
        self.now: Counter[tuple[str, str]] = Counter()
        self.peak: Counter[tuple[str, str]] = Counter()

    async def attempt(self, record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        labels = list((record.job.labels or {}).items())
        self.now.update(labels)
        self.peak |= self.now
        try:
            return await super().attempt(record, run, stop)
        finally:
            self.now.subtract(labels)

    async def make(self, name: str, *acts: Act, first: float = 1, labels: str = "", **members: Any) -> str:
        told = dict(one.split("=") for one in labels.split()) or None
        return await self.create(name, *acts, schedule=every("PT1H", first=first), labels=told, **members)

    async def relabel(self, job_id: str, **labels: str) -> None:
        job = replace(self.record(job_id).job, labels=labels)
        await self.service.edit(job_id, lambda record: NewJob(job, record.disabled, []))

    def all_are_back(self) -> None:
        """Nobody has a place, and nobody waits for one."""
        admission = self.scheduler._turns._admission
        assert (admission.running, admission.waiting) == (0, 0)
        assert all((row.running, row.waiting) == (0, 0) for row in admission.rows())

    def pool(self, value: str, label: str = "pool") -> tuple[int, int]:
        """Runs with places, and runs that wait for them."""
        return next(
            ((row.running, row.waiting) for row in self.scheduler.pools() if (row.label, row.value) == (label, value)),
            (0, 0),
        )


@simulated
async def test_what_is_above_a_limit_waits_in_order_durably_and_holds_up_nobody() -> None:
    world = Counted(REPORTS)
    async with world.up():
        for number in range(6):
            await world.make(f"{number}", Act(5), first=10 + number / 10, labels="pool=reports team=a")
        await world.make("other", first=11, labels="pool=mails")
        await world.make("none", first=11)
        await world.until(12)
        assert world.scheduler.pools() == [PoolRow("pool", "reports", 2, 2, 4)]
        waiting = [record for record in world.store.roster if record.open and record.open[0].state is State.WAITING]
        assert {record.open[0].reason for record in waiting} == {"label limit: pool=reports"}
        assert len(waiting) == 4
        (run,) = waiting[0].open
        assert explain(run, waiting[0].job).endswith(
            "as many runs of jobs with the label pool=reports are on as may be (--limit-runs)"
        )
        world.agrees()
        await world.until(60)
        assert [one.job for one in world.started if one.job.isdigit()] == [*"012345"]
        assert world.starts() == pytest.approx([10, 10.1, 11, 11, 15, 15.1, 20, 20.1])
        assert world.peak["pool", "reports"] == 2
        world.all_are_back()


@simulated
async def test_each_value_has_its_own_limit_and_a_run_needs_a_place_in_all() -> None:
    world = Counted(label_limits("team=*:1,team=big:3,pool=x:2"))
    async with world.up():
        for team in ("a", "b", "big"):
            for number in range(4):
                await world.make(f"{team}{number}", Act(5), first=10 + number / 10, labels=f"team={team} pool=x")
        await world.make("apart", Act(1), first=11, labels="team=c")
        await world.until(100)
        assert world.starts("apart") == [11]
        assert (world.peak["team", "a"], world.peak["team", "b"], world.peak["pool", "x"]) == (1, 1, 2)
        assert len(world.started) == 13
        assert max(world.starts()) == pytest.approx(35, abs=1)  # twelve of 5 s, always two at once
        world.all_are_back()


@simulated
async def test_while_max_runs_binds_pools_take_turns() -> None:
    """Given a pool with 100 runs that wait, before others come."""
    world = Counted(label_limits("pool=*:10"), max_runs=2)
    async with world.up():
        for number in range(100):
            await world.make(f"many {number:02}", Act(1), first=10, labels="pool=many")
        await world.make("few", Act(1), first=12.5, labels="pool=few")
        await world.make("free", Act(1), first=12.5)
        await world.until(13)
        assert {run.reason for record in world.store.roster for run in record.open if not run.instance} == {"limit"}
        await world.until(100)
        assert world.starts("few")[0] <= 14
        assert world.starts("free")[0] <= 14
        assert world.most == 2
        assert len(world.started) == 102
        world.all_are_back()


@simulated
async def test_clients_are_told_for_what_a_run_waits_now() -> None:
    """Given runs by hand, by a parent and one that waited for the run before, whose records say what came first."""
    world = Counted(label_limits("pool=reports:1"), max_runs=2)
    async with world.up():
        await world.make("on", Act(20), labels="pool=reports")
        parent = await world.make("parent", Act(1), first=2)
        child = await world.create("child", parent_jobs=[parent], labels={"pool": "reports"})
        by_hand = await world.make("by hand", Act(1), first=3000, labels="pool=reports")
        await world.until(5)
        manual = await world.service.start(by_hand)
        await world.until(6)
        seen = await world.service.history.run(manual)
        assert (seen.state, seen.reason) == (State.WAITING, "label limit: pool=reports")
        assert world.record(by_hand).open[0].reason == "label limit: pool=reports"
        seen = await world.service.history.run(world.record(child).open[0].id)
        assert (seen.state, seen.reason) == (State.WAITING, "label limit: pool=reports")
        await world.make("long", Act(30), first=7)
        last = await world.make("last", Act(1), first=8)
        await world.until(10)
        seen = await world.service.history.run(world.record(last).open[0].id)
        assert seen.reason == "limit"
        await world.until(100)
        assert [(one.job, one.at) for one in world.started[3:]] == [("last", 21), ("child", 22), ("by hand", 22)]
        world.all_are_back()


@simulated
async def test_a_claim_holds_its_place_before_its_moment_and_gives_it_back_when_it_is_not_wanted() -> None:
    world = Counted(label_limits("pool=x:1"))
    async with world.up():
        early = await world.make("early", Act(5), first=10, labels="pool=x")
        await world.make("next", Act(5), first=10.05, labels="pool=x")
        await world.until(9.96)
        assert world.pool("x") == (1, 0)  # the other's moment is still to come
        await world.service.set_disabled(early, True)
        await world.until(12)
        assert [(one.job, one.at) for one in world.started] == [("next", 10.05)]
        await world.until(20)
        world.all_are_back()


@simulated
async def test_other_labels_neither_keep_a_place_nor_double_one() -> None:
    world = Counted(label_limits("pool=a:1,pool=b:1"))
    async with world.up():
        on = await world.make("on", Act(20), labels="pool=a")
        first = await world.make("first", Act(5), first=2, labels="pool=a")
        second = await world.make("second", Act(5), first=3, labels="pool=a")
        third = await world.make("third", Act(5), first=4, labels="pool=a")
        await world.until(5)
        assert (world.pool("a"), world.pool("b")) == ((1, 3), (0, 0))
        # what is on keeps the place that it took
        await world.relabel(on, pool="b")
        assert (world.pool("a"), world.pool("b")) == ((1, 3), (0, 0))
        # what waits, waits for what it needs now
        await world.relabel(first, pool="b")
        await world.relabel(second, pool="b")
        await world.until(6)
        assert world.starts("first") == [5]
        assert (world.pool("a"), world.pool("b")) == ((1, 1), (1, 1))
        await world.relabel(second)
        await world.until(7)
        assert world.starts("second") == [6]
        await world.relabel(third, pool="a", team="new")
        await world.until(60)
        assert world.starts("third") == [21]
        world.all_are_back()


@simulated
async def test_labels_that_change_while_a_run_is_being_begun_count() -> None:
    """Given a run that has its place, and is on its way to the database, when its job gets another label."""
    world = Counted(label_limits("pool=a:1,pool=b:1"))
    async with world.up():
        await world.make("on a", Act(5), labels="pool=a")
        await world.make("on b", Act(30), labels="pool=b")
        moved = await world.make("moved", Act(5), first=2, labels="pool=a")
        await world.until(5.9)
        job = replace(world.record(moved).job, labels={"pool": "b"})
        submit, edits = world.store.submit, list[str]()

        def submitted(decide: Decide, answered: Answered, **more: Any) -> None:
            if getattr(answered, "args", ("",))[0][0] == moved and not edits:
                edits.append("pool=b")
                nursery.start_soon(edited_before, decide, answered)
            else:
                submit(decide, answered, **more)

        async def edited_before(decide: Decide, answered: Answered) -> None:
            await world.service.edit(moved, lambda record: NewJob(job, record.disabled, []))
            submit(decide, answered)

        world.store.submit = submitted  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            await world.until(29)
        assert edits
        assert world.peak["pool", "b"] == 1
        await world.until(100)
        assert sorted(one.job for one in world.started) == ["moved", "on a", "on b"]
        assert world.starts("moved") == [31]
        world.all_are_back()


@simulated
async def test_a_claim_in_doubt_gives_its_place_back_once() -> None:
    for written in (True, False):
        storm = Storm()
        one = storm.one = Counted(label_limits("pool=x:1"), storm.weather)
        async with one.up():
            job = await one.make("job", Act(5), labels="pool=x")
            other = await one.make("other", Act(5), first=2, labels="pool=x")
            storm.strike(claims(job), written=written)
            await one.until(one_second := (one.clock.now() - START) / 1e6 + 3)
            assert one.started == []
            await storm.calm()
            await one.until(one_second + 60)
            assert sorted(one.job for one in one.started) == ["job", "other"]
            assert one.peak["pool", "x"] == 1
            assert other
            one.all_are_back()


@simulated
async def test_what_waits_goes_on_at_the_next_start_and_the_limit_is_each_daemons_own() -> None:
    driver = MemoryDriver()
    before = Counted(label_limits("pool=x:1"), driver)
    async with before.up():
        for number in range(6):
            await before.make(f"{number}", Act(5), first=1 + number / 10, labels="pool=x")
        await before.until(3)
        before.scheduler.stop_starting()
        await before.until(3)
        assert before.pool("x")[0] == 1
    assert len(before.started) == 1
    one, two = Counted(label_limits("pool=x:1"), driver), Counted(label_limits("pool=x:2"), driver)
    one.clock = two.clock = before.clock
    for world in (one, two):
        world.acts.update(before.acts)
    async with one.up(), two.up():
        await one.until(30)
        await two.store.sync()
        await one.store.sync()
        await one.until(60)
        started = Counter(start.job for world in (one, two) for start in world.started)
        assert started == {f"{number}": 1 for number in range(1, 6)}
        assert one.peak["pool", "x"] <= 1
        assert two.peak["pool", "x"] <= 2
        one.all_are_back()


OVERLAPS = ("queue", "skip", "allow", "replace")


@pytest.mark.parametrize("relabels", [False, True])
@pytest.mark.parametrize("seed", range(4))
@simulated
async def test_of_a_thousand_runs_whatever_becomes_of_them_all_places_come_back(seed: int, relabels: bool) -> None:
    random = Random(seed)
    limits = {"a": 1, "b": 2, "c": 3}
    world = Counted(label_limits([f"pool={value}:{most}" for value, most in limits.items()]), max_runs=6)
    async with world.up():
        jobs: list[str] = []
        for number in range(45):
            value = random.choice([*limits, "none"])
            acts = [
                Act(random.choice([0, 0.3, 2, 7]), random.choice([State.SUCCEEDED, State.FAILED])) for _ in range(4)
            ]
            members: dict[str, Any] = {
                "overlap": random.choice(OVERLAPS),
                "retries": random.choice([0, 2]),
                "retry_delay": random.choice(["", "PT3S"]),
                "catch_up": random.choice(["all", "once", "none"]),
                "labels": {"pool": value},
            }
            if number > 20 and random.random() < 0.3:
                members["parent_jobs"] = [random.choice(jobs[:20])]
            else:
                members["schedule"] = every("PT5S", first=1 + random.random() * 5)
            jobs.append(await world.create(f"job {number}", *acts, *[Act(0.5)] * 40, **members))
        while len(world.started) < 1000:
            await trio.sleep(random.choice([0, 0.01, 0.3, 1, 2]))
            for _ in range(random.randrange(4)):
                await trio.lowlevel.checkpoint()
            job, dice = random.choice(jobs), random.random()
            runs = [run.id for record in world.store.roster for run in record.open]
            try:
                if dice < 0.15:
                    await world.service.set_paused(not world.service.paused and random.random() < 0.5)
                elif dice < 0.5 and runs:
                    await world.service.cancel(random.choice(runs))
                elif dice < 0.7:
                    await world.service.start(job)
                elif dice < 0.8:
                    await world.service.set_disabled(job, random.random() < 0.3)
                elif dice < 0.803:
                    await world.service.delete(job)
                elif relabels:
                    await world.relabel(job, pool=random.choice([*limits, "none"]))
            except KalaError:
                pass  # paused, deleted, ended: what was asked for comes too late, as it may
            for row in world.scheduler.pools():
                assert 0 <= row.running <= row.limit
        await world.service.set_paused(False)
        for job in jobs:
            if job in world.store.roster.jobs:
                await world.service.set_disabled(job, True)
        await trio.sleep(600)
        assert world.most <= 6
        if not relabels:
            assert all(world.peak["pool", value] <= most for value, most in limits.items())
            assert world.peak["pool", "a"] == 1
        assert all(not record.open for record in world.store.roster)
        world.all_are_back()
        assert world.scheduler._turns._known == set()
        world.agrees()


@simulated
async def test_a_retry_waits_for_its_place_as_others_do() -> None:
    world = Counted(label_limits("pool=x:1"))
    async with world.up():
        await world.make("retried", FAIL, FAIL, Act(), first=10, labels="pool=x", retries=2)
        await world.make("other", Act(5), first=10, labels="pool=x")
        await world.until(60)
        assert world.peak["pool", "x"] == 1
        assert sorted(one.job for one in world.started) == ["other", "retried", "retried", "retried"]
        world.all_are_back()


@simulated
async def test_who_is_cancelled_while_it_waits_for_its_time_or_its_place_takes_no_turn() -> None:
    world = Counted(label_limits("pool=x:1"))
    async with world.up():
        delayed = await world.make("delayed", FAIL, labels="pool=x", retries=1, retry_delay="PT10S")
        await world.make("on", Act(30), first=5, labels="pool=x")
        queued = await world.make("queued", first=6, labels="pool=x")
        await world.make("last", first=7, labels="pool=x")
        await world.until(8)
        assert world.pool("x") == (1, 2)
        await world.service.cancel(world.record(delayed).open[0].id)
        await world.service.cancel(world.record(queued).open[0].id)
        assert world.pool("x") == (1, 1)
        await world.until(20)
        assert world.pool("x") == (1, 1)
        await world.until(60)
        assert [(one.job, one.at) for one in world.started] == [("delayed", 1), ("on", 5), ("last", 35)]
        world.all_are_back()
