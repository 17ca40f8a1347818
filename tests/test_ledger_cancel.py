"""Someone wants a run to end: whatever it is doing, it ends, and is not retried."""

import pytest
from records import at, attempt, decided, job, lines, record, run, standing

from kala import events, ledger
from kala.errors import Stale
from kala.job import Delivery, Record, Run, replace
from kala.ledger import CANCELLED, REPLACED, Change
from kala.states import State, Trigger

FAILED = attempt(State.FAILED)
EARLY = run("r", at(3), created=at(3) - ledger.LEAD, not_before=at(3))
WAITING = State.WAITING


def cancel(before: Record, run_id: str = "r", now: int = at(2)) -> Change:
    return decided(ledger.cancel, before, run_id=run_id, now=now, instance="me")


def holding(*runs: Run, **more: object) -> Record:
    members = {"retries": 3, "on_failure_job": "F", "on_lost": more.pop("on_lost", "record")}
    return record(job("R9/2030-01-01T00:00:00Z/PT1M", **members), cursor=at(4), remaining=5, open=runs, **more)


@pytest.mark.parametrize(
    ("waits", "row"),
    [
        pytest.param(run(state=WAITING, reason="overlap"), "schedule 0 cancelled cancelled", id="its turn"),
        pytest.param(run(state=WAITING, reason="limit"), "schedule 0 cancelled cancelled", id="a place"),
        pytest.param(run(state=WAITING, reason="paused"), "schedule 0 cancelled cancelled", id="the end of a pause"),
        pytest.param(
            run(state=WAITING, reason="retry", attempts=(FAILED,), not_before=at(9)),
            "schedule 0 cancelled cancelled",
            id="its retry",
        ),
        pytest.param(
            run(state=WAITING, trigger=Trigger.MANUAL), "manual 0 cancelled cancelled", id="its turn, by hand"
        ),
        pytest.param(
            run(state=WAITING, attempts=(attempt(State.LOST),), reason="instance x ended"),
            "schedule 0 cancelled cancelled",
            id="its rerun",
        ),
    ],
)
def test_a_run_that_waits_has_ended_with_it(waits: Run, row: str) -> None:
    behind = run("b", at(1), WAITING)
    change = cancel(holding(waits, behind, errors=len(waits.attempts)))
    assert lines(change.rows) == [row]
    assert change.answer is change.rows[0]
    assert (change.answer.ended, change.answer.not_before) == (at(2), None)
    assert [(event.type, event.state, event.reason) for event in change.events] == [
        (events.RUN_FINISHED, "cancelled", CANCELLED)
    ]
    after = change.record
    # it has used up its claim, set nothing off, and is no error; who waited behind it is next
    assert standing(after) == "next 4, 5 left"
    assert (after.outbox, after.errors, after.finished, after.failing) == ((), len(waits.attempts), 1, False)
    assert after.last_attempted == waits.started
    assert [one.id for one in ledger.next_up(after)] == ["b"]
    with pytest.raises(Stale):
        cancel(after)


@pytest.mark.parametrize(
    "given", [holding(), holding(run("other")), holding(outbox=(Delivery("r", Trigger.PARENT, ("K",)),))]
)
def test_a_run_that_has_ended_or_never_was_is_not_cancelled(given: Record) -> None:
    with pytest.raises(Stale):
        cancel(given)


def test_a_range_is_no_run() -> None:
    gap = run("r", at(0), State.SKIPPED, reason="overlap", until=at(1), count=2)
    with pytest.raises(Stale):
        cancel(holding(gap=gap))


def test_a_run_that_is_on_is_ended_by_who_has_it() -> None:
    change = cancel(holding(run()))
    (on,) = change.record.open
    assert (on.state, on.instance, on.cancel) == (State.CLAIMED, "i", CANCELLED)
    assert change.answer is on
    assert (change.rows, change.events) == ((), ())
    assert not ledger.is_wanted(change.record, run())
    assert cancel(change.record).record == change.record
    # what replaces it already is its reason
    assert cancel(holding(run(cancel=REPLACED))).record.open[0].cancel == REPLACED


@pytest.mark.parametrize(
    ("state", "row", "owed", "errors"),
    [
        pytest.param(State.CANCELLED, "schedule 0 cancelled cancelled", [], 0, id="it was ended"),
        pytest.param(State.FAILED, "schedule 0 failed", ["failure"], 1, id="it failed before: no retry"),
        pytest.param(State.TIMED_OUT, "schedule 0 timed_out", ["failure"], 1, id="its time ran out before: no retry"),
        pytest.param(State.SUCCEEDED, "schedule 0 succeeded", ["parent"], 0, id="it succeeded before"),
    ],
)
@pytest.mark.parametrize("on_lost", ["record", "rerun"])
def test_how_a_cancelled_attempt_may_end(on_lost: str, state: State, row: str, owed: list[str], errors: int) -> None:
    change = decided(
        ledger.end_attempt,
        cancel(holding(run(), on_lost=on_lost)).record,
        run_id="r",
        attempt=attempt(state, ended=at(2)),
        output=b"",
        now=at(2),
        children=("K",),
        instance="i",
    )
    assert lines(change.rows) == [row]
    assert change.record.open == ()
    assert [entry.trigger for entry in change.record.outbox] == owed
    assert (change.record.errors, change.record.finished) == (errors, 1)


@pytest.mark.parametrize("reason", [CANCELLED, REPLACED])
@pytest.mark.parametrize("on_lost", ["record", "rerun"])
@pytest.mark.parametrize("of", [run(), EARLY, run(attempts=(FAILED,))])
def test_an_instance_that_dies_before_it_has_ended_the_run(of: Run, on_lost: str, reason: str) -> None:
    given = holding(replace(of, cancel=reason), on_lost=on_lost, errors=len(of.attempts))
    now = of.scheduled_for - 1
    change = decided(ledger.take_over, given, alive=frozenset({"me"}), instance="me", now=now)
    assert [(row.state, row.reason) for row in change.rows] == [(State.CANCELLED, reason)]
    assert (change.record.open, change.record.errors) == ((), len(of.attempts))


@pytest.mark.parametrize("more", [{}, {"disabled": True}, {"deleted": at(2)}, {"version": 2, "schedule_version": 2}])
def test_cancelled_before_its_moment_it_does_not_start(more: dict[str, object]) -> None:
    """Given a run that was claimed a little early: it is put back at its moment, whatever else has come."""
    asked = cancel(holding(EARLY, **more), now=at(3) - 1).record
    assert not ledger.is_wanted(asked, EARLY)
    change = decided(ledger.put_back, asked, run_id="r", instance="i", reason="shutdown", now=at(3))
    assert lines(change.rows) == ["schedule 3 cancelled cancelled"]
    assert (change.record.open, change.record.last_attempted) == ((), None)
    assert standing(change.record) == "next 4, 5 left"


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (holding(run()), True),
        (holding(run(), version=2, schedule_version=2), True),
        (holding(run(), disabled=True), False),
        (holding(run(), deleted=at(1)), False),
        (holding(), False),
        (holding(run("other")), False),
        (holding(run(instance="another")), False),
        (holding(run(state=WAITING)), False),
    ],
)
def test_a_claimed_run_is_still_to_start(held: Record, wanted: bool) -> None:
    """Not when another instance has decided about it."""
    assert ledger.is_wanted(held, run()) is wanted


def test_a_retry_is_not_begun_before_its_time() -> None:
    waits = run(state=WAITING, reason="retry", attempts=(FAILED,), not_before=at(3))
    with pytest.raises(Stale):
        decided(ledger.begin, holding(waits), run_id="r", instance="i", now=at(3) - 1)
    (on,) = decided(ledger.begin, holding(waits), run_id="r", instance="i", now=at(3)).record.open
    assert (on.state, on.not_before) == (State.CLAIMED, None)
