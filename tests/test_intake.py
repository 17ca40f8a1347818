"""Jobs of another server: which are taken, which are refused and why, and where each goes on."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import permutations

import pytest
import trio
from records import MINUTELY, ONCE, at, job, standing
from world import inline, simulated

from kala import register
from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.hub import Hub
from kala.intake import ImportReport, take_in
from kala.job import Job, Notice, Record, Run, replace
from kala.ledger import Change
from kala.states import State, Trigger
from kala.store import Store
from kala.wire.jobimport import Counters, Imported, Standing
from kala.wire.jobjson import next_run_at

NOW = at(9, 30)
TakeIn = Callable[..., Awaitable[ImportReport]]


def other(
    job_id: str,
    definition: Job | None = None,
    *,
    parents: str = "",
    children: str | None = None,
    failure: str = "",
    disabled: bool = False,
    **members: object,
) -> Imported:
    """A job of another server; parents and children are ids of one letter."""
    definition = replace(
        definition or job(),
        parent_jobs=list(parents) or None,
        on_failure_job=failure or (definition or job()).on_failure_job,
    )
    there = Standing(dependent_jobs=None if children is None else list(children), **members)  # type: ignore[arg-type]
    return Imported(job_id, definition, {}, [], disabled, there)


@asynccontextmanager
async def store_on(driver: MemoryDriver, clock: TrioClock) -> AsyncIterator[Store]:
    store = Store(driver, clock, Hub(), inline)
    await store.load()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.write)
        yield store
        store.close()


async def taken(store: Store, clock: TrioClock, *jobs: Imported) -> tuple[str, dict[str, dict[str, str]]]:
    report = await take_in(store, clock, jobs)
    return "".join(sorted(report.imported)), report.refused


def new(job_id: str) -> Callable[[register.Others], list[Change]]:
    return lambda draft: [register.create(job(), draft, job_id=job_id, now=NOW - 1, disabled=False)]


TWO = job("R1/2030-01-01T00:00:00Z/PT1M")
RAN = Counters(number_of_finished_runs=1)
TWICE = Counters(number_of_finished_runs=2)


@pytest.mark.parametrize(
    ("one", "after"),
    [
        pytest.param(other("A", next_run_at=at(12)), "next 12, ∞ left", id="on the grid"),
        pytest.param(other("A", next_run_at=at(12) + 3), "next 12, ∞ left", id="the original is always a little late"),
        pytest.param(other("A", next_run_at=at(12, 29)), "next 12, ∞ left", id="it drifts"),
        pytest.param(other("A", next_run_at=at(12, 31)), "next 13, ∞ left", id="nearer to the next"),
        pytest.param(
            other("A", job("R/2030-01-01T00:00:00Z/PT1H"), next_run_at=at(61)), "next 60, ∞ left", id="a minute late"
        ),
        pytest.param(
            other("A", job("R/2030-01-01T00:00:00Z/PT1H"), next_run_at=at(61, 1)),
            "next 120, ∞ left",
            id="too late to be that one",
        ),
        pytest.param(
            other("A", job("R/2030-01-01T00:00:00Z/PT1H", jitter="PT1H"), next_run_at=at(119)),
            "next 60, ∞ left",
            id="put off by its jitter",
        ),
        pytest.param(
            other("A", job("R/2030-01-01T00:00:00Z/PT1H", jitter="PT1H")), "next 60, ∞ left", id="unknown, with jitter"
        ),
        pytest.param(other("A", next_run_at=at(3)), "next 3, ∞ left", id="it has passed: to be caught up with"),
        pytest.param(other("A", next_run_at=at(-7)), "next 0, ∞ left", id="before the start"),
        pytest.param(other("A"), "next 9, ∞ left", id="unknown: the one that is due now"),
        pytest.param(other("A", job(ONCE), next_run_at=at(0) + 9), "next 0, 1 left", id="R0, a little late"),
        pytest.param(other("A", job(ONCE), next_run_at=at(0), is_done=True), "next -, 0 left", id="R0 done"),
        pytest.param(
            other("A", job("R5/2030-01-01T00:00:00Z/PT1M"), next_run_at=at(12), metadata=TWICE),
            "next 12, 4 left",
            id="Rn: what is left",
        ),
        pytest.param(
            other("A", job("R1/2030-01-01T00:00:00Z/PT1M"), next_run_at=at(12), metadata=TWICE),
            "next 12, 1 left",
            id="Rn: not done, so one at least",
        ),
        pytest.param(
            other("A", job("R1/2030-01-01T00:00:00Z/PT1M"), next_run_at=at(1), metadata=TWICE, is_done=True),
            "next -, 0 left",
            id="Rn done",
        ),
        pytest.param(
            other("A", TWO, next_run_at=at(1), metadata=RAN, is_done=True, disabled=True),
            "next 1, 1 left",
            id="Rn called done because it was disabled",
        ),
        pytest.param(
            other("A", TWO, next_run_at=at(1), metadata=TWICE, is_done=True, disabled=True),
            "next -, 0 left",
            id="Rn done, and disabled",
        ),
        pytest.param(
            other("A", next_run_at=at(8), is_done=True, disabled=True), "next 8, ∞ left", id="R is never done"
        ),
        pytest.param(other("A", job("")), "next 9:30, 1 left", id="no schedule: at once"),
        pytest.param(other("A", job(""), metadata=RAN, is_done=True), "next -, 0 left", id="no schedule, done"),
        pytest.param(other("A", parents="P", next_run_at=at(12)), "next -, 0 left", id="a child"),
        pytest.param(other("A", parents="P", is_done=True, metadata=RAN), "next -, 0 left", id="a child that has run"),
    ],
)
@simulated
async def test_where_a_job_goes_on(one: Imported, after: str) -> None:
    clock = TrioClock(NOW)
    async with store_on(MemoryDriver(clock.now), clock) as store:
        assert await taken(store, clock, one, other("P")) == ("AP", {})
        record = store.roster.jobs["A"]
        assert standing(record) == after
        counters, there = one.standing.metadata, one.standing
        assert (record.job, record.disabled, record.finished) == (
            one.job,
            one.disabled,
            counters.number_of_finished_runs,
        )
        if there.is_done and record.cursor is None:
            assert record.is_done
            assert next_run_at(record) == (
                there.next_run_at if one.job and one.job.schedule and not record.is_child else None
            )


@simulated
async def test_counters_are_kept() -> None:
    clock = TrioClock(NOW)
    counters = Counters(7, at(1), 3, at(2), at(3), 9)
    async with store_on(MemoryDriver(clock.now), clock) as store:
        await taken(store, clock, other("A", next_run_at=at(12), metadata=counters))
        one = store.roster.jobs["A"]
        assert (one.successes, one.last_success, one.errors, one.last_error) == (7, at(1), 3, at(2))
        assert (one.last_attempted, one.finished) == (at(3), 9)


UNKNOWN_PARENT = {"parent_jobs[0]": "there is no job 'X'"}


@pytest.mark.parametrize(
    ("jobs", "imported", "refused"),
    [
        pytest.param([other("A"), other("B")], "AB", {}, id="sound ones"),
        pytest.param(
            [Imported("A", None, {"schedule": "broken"}, []), other("B")],
            "B",
            {"A": {"schedule": "broken"}},
            id="an unsound one does not hold up the rest",
        ),
        pytest.param(
            [Imported("A", None, {"schedule": "broken"}, []), other("B", parents="A"), other("C", parents="B")],
            "",
            {
                "A": {"schedule": "broken"},
                "B": {"parent_jobs[0]": "there is no job 'A'"},
                "C": {"parent_jobs[0]": "there is no job 'B'"},
            },
            id="nor can what hangs on it be taken",
        ),
        pytest.param([other("B", parents="A"), other("A")], "AB", {}, id="a child that stands before its parent"),
        pytest.param([other("B", parents="H"), other("C", failure="H")], "BC", {}, id="links to a job that is here"),
        pytest.param([other("B", parents="X"), other("A")], "A", {"B": UNKNOWN_PARENT}, id="a parent that is nowhere"),
        pytest.param(
            [other("B", failure="X")],
            "",
            {"B": {"on_failure_job": "there is no job 'X'"}},
            id="a failure job that is nowhere",
        ),
        pytest.param(
            [other("H"), other("B", parents="H")],
            "B",
            {"H": {"id": "there is a job with this id already"}},
            id="one that is here already, and its child",
        ),
        pytest.param(
            [other("A", parents="B"), other("B", parents="A"), other("C", parents="B"), other("D")],
            "D",
            {
                "A": {"parent_jobs": "the job would set itself off: A → B → A"},
                "B": {"parent_jobs": "the job would set itself off: B → A → B"},
                "C": {"parent_jobs[0]": "there is no job 'B'"},
            },
            id="a cycle, and what hangs on it",
        ),
        pytest.param(
            [other("G")],
            "",
            {"G": {"id": "a job with this id has been deleted, and a run of it is still on"}},
            id="a deleted one whose run is on",
        ),
        pytest.param(
            [other("N")],
            "",
            {"N": {"id": "a job with this id has been deleted, and a notification of it is still to be sent"}},
            id="a deleted one that owes a notification",
        ),
        pytest.param([other("T")], "T", {}, id="a deleted one"),
    ],
)
@simulated
async def test_which_are_taken(jobs: list[Imported], imported: str, refused: dict[str, dict[str, str]]) -> None:
    """H is here; G, N and T have been deleted, a run of G is still on, and N owes a notification."""
    clock = TrioClock(NOW)
    driver = MemoryDriver(clock.now)
    async with store_on(driver, clock) as store:
        for job_id in "HGNT":
            await store.transact(new(job_id))

        def begun(record: Record) -> Change:
            more = {"now": NOW, "run_id": "r", "instance": "i", "slot": True}
            return register.ledger.start(record, **more)  # type: ignore[arg-type]

        def owing(record: Record) -> Change:
            about = Run("r", "N", NOW, Trigger.MANUAL, State.FAILED, NOW)
            return Change(replace(record, notices=(Notice("n", "failure", NOW, "http://a/", about),)))

        await store.change("G", begun)
        await store.change("N", owing)
        for job_id in "GNT":
            await store.transact(lambda draft, one=job_id: register.delete(one, draft, NOW))  # type: ignore[misc]
        assert await taken(store, clock, *jobs) == (imported, refused)
        there = set(store.roster.jobs)
    assert there == {"H", *imported}
    async with store_on(driver, clock) as again:
        assert set(again.roster.jobs) == there


LONG = 5_000


@pytest.mark.parametrize(
    ("last", "fault"),
    [
        (f"L{LONG}", "there is no job 'L"),
        ("L0", f"the job would set itself off, in circles of {LONG:,} jobs"),
    ],
    ids=["a line whose last parent is missing", "a circle"],
)
@simulated
async def test_what_cannot_be_taken_takes_no_longer_for_hanging_together(last: str, fault: str) -> None:
    # given jobs of which each is the next one's child
    parents = [*(f"L{number}" for number in range(1, LONG)), last]
    jobs = [
        Imported(f"L{number}", replace(job(), parent_jobs=[parent]), {}, []) for number, parent in enumerate(parents)
    ]
    clock = TrioClock(NOW)
    async with store_on(MemoryDriver(clock.now), clock) as store:
        begun = time.monotonic()
        imported, refused = await taken(store, clock, *jobs)
        # then all are refused, and soon: looking at all once for each one would take minutes
        assert time.monotonic() - begun < 20
    assert imported == ""
    assert len(refused) == LONG
    assert all(faults[next(iter(faults))].startswith(fault) for faults in refused.values())


@simulated
async def test_children_run_in_the_order_of_their_parents_lists() -> None:
    """Whatever the order of the jobs in the answer, and also for children of two parents."""
    clock = TrioClock(NOW)
    jobs = [
        other("P", children="Y"),
        other("Q", children="XYZ"),
        other("X", parents="Q"),
        other("Y", parents="PQ", children="K"),
        other("Z", parents="Q"),
        other("K", parents="Y"),
    ]
    for order in permutations(jobs):
        async with store_on(MemoryDriver(clock.now), clock) as store:
            await take_in(store, clock, order)
            assert store.roster.children("Q") == ["X", "Y", "Z"]
            assert store.roster.children("P") == ["Y"]
            assert store.roster.children("K") is None


@simulated
async def test_lists_that_contradict_each_other_and_lists_of_strangers() -> None:
    clock = TrioClock(NOW)
    jobs = [other("P", children="XYN"), other("Q", children="YX"), other("Y", parents="PQ"), other("X", parents="PQ")]
    async with store_on(MemoryDriver(clock.now), clock) as store:
        assert await taken(store, clock, *jobs) == ("PQXY", {})
        assert store.roster.children("P") == ["Y", "X"]


@simulated
async def test_when_another_daemon_writes_first_the_report_is_still_true() -> None:
    """Given A and its child K made by another daemon meanwhile, which this one has not heard of yet."""
    clock = TrioClock(NOW)
    driver = MemoryDriver(clock.now)
    async with store_on(driver, clock) as mine, store_on(driver, clock) as others:
        await others.transact(new("A"))
        assert await taken(mine, clock, other("A"), other("B"), other("C", parents="A")) == (
            "BC",
            {"A": {"id": "there is a job with this id already"}},
        )
    async with store_on(driver, clock) as again:
        assert set(again.roster.jobs) == {"A", "B", "C"}
        assert again.roster.jobs["A"].job.schedule == MINUTELY
