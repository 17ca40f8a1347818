"""An occurrence is claimed a little before its moment, and starts at it: what may still come in between."""

from records import at, decided, job, record, run
from world import START, World, every, simulated

from kala import ledger
from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.job import Record, replace
from kala.states import State
from kala.wire.jobread import NewJob

SOON = at(1) - ledger.LEAD
EARLY = run("r", at(1), created=SOON, not_before=at(1))


def test_a_claim_before_its_moment_says_when_the_run_may_start() -> None:
    before = record(cursor=at(1))

    change = decided(ledger.claim, before, version=1, cursor=at(1), now=SOON, run_id="r", instance="i", slot=True)

    (made,) = change.record.open
    assert (made.state, made.scheduled_for, made.not_before) == (State.CLAIMED, at(1), at(1))
    assert ledger.claimable(before) == SOON
    assert ledger.claimable(change.record) == at(2)  # a run is on


def put_back(before: Record) -> ledger.Change:
    return decided(ledger.put_back, before, run_id="r", instance="i", reason="shutdown", now=SOON)


def test_stopped_before_its_moment_it_waits_for_it() -> None:
    change = put_back(record(cursor=at(2), open=(EARLY,)))

    (waiting,) = change.record.open
    assert (waiting.state, waiting.not_before) == (State.WAITING, at(1))


def test_disabled_before_its_moment_it_does_not_run_and_gives_its_claim_back() -> None:
    change = put_back(
        record(job("R3/2030-01-01T00:00:00Z/PT1M"), cursor=at(2), remaining=2, disabled=True, open=(EARLY,))
    )

    assert change.record.open == ()
    assert change.record.remaining == 3
    assert [row.state for row in change.rows] == [State.SKIPPED]


def test_rescheduled_before_its_moment_it_does_not_run() -> None:
    change = put_back(record(cursor=at(5), version=2, schedule_version=2, open=(EARLY,)))

    assert change.record.open == ()
    assert [(row.state, row.reason) for row in change.rows] == [(State.SKIPPED, ledger.EDITED)]


def test_a_dead_instance_did_not_start_what_was_not_to_start_yet() -> None:
    before = record(cursor=at(2), open=(EARLY,))

    soon = decided(ledger.take_over, before, alive=frozenset({"other"}), instance="other", now=at(1) - 1)
    late = decided(ledger.take_over, before, alive=frozenset({"other"}), instance="other", now=at(1))

    assert [one.state for one in soon.record.open] == [State.WAITING]
    assert [row.state for row in late.rows] == [State.LOST]


@simulated
async def test_runs_are_durable_before_their_moment_and_start_at_it() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        jobs = [await world.create(f"{number}", schedule=every("PT10S", first=10)) for number in range(5)]
        await world.until(9.95)
        assert world.starts() == []
        for one in jobs:
            (claimed,) = world.service.job(one).open
            assert claimed.state is State.CLAIMED
        await world.until(10)
        assert world.starts() == [10.0] * 5


@simulated
async def test_disabling_deleting_or_editing_in_the_last_moment_holds_the_run_back() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        disabled = await world.create("disabled", schedule=every("PT10S", first=10))
        deleted = await world.create("deleted", schedule=every("PT10S", first=10))
        edited = await world.create("edited", schedule=every("PT10S", first=10))
        await world.until(9.95)

        await world.service.set_disabled(disabled, True)
        await world.service.delete(deleted)
        later = replace(world.record(edited).job, schedule=every("PT10S", first=15))
        await world.service.edit(edited, lambda record: NewJob(later, False, []))

        await world.until(14)
        assert world.starts() == []
        assert {row.reason for row in world.history()} == {"disabled", "deleted", "edited"}
        await world.until(15)
        assert world.starts() == [15]
