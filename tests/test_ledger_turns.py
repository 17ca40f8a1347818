"""Runs that were asked for, by hand or by a run that ended, and whose turn it is."""

import pytest
from records import ONCE, at, attempt, decided, job, lines, record, run, standing

from kala import events, ledger
from kala.errors import JobDisabled, JobNotFound, Stale
from kala.job import Delivery, Record, Run, replace
from kala.ledger import Change
from kala.states import State, Trigger

OWING = (Delivery("r0", Trigger.PARENT, ("K",), "i"),)
WAITING, MANUAL, PARENT = State.WAITING, Trigger.MANUAL, Trigger.PARENT
PARENT_RUN = "8a8a2bd4-6a86-4a3e-9d0b-9b7f2c6de001"
RETRYING = run("w", state=WAITING, reason="retry", attempts=(attempt(State.FAILED),))


def start(before: Record, *, run_id: str = "new", slot: bool = True) -> Change:
    return decided(ledger.start, before, now=at(5), run_id=run_id, instance="i", slot=slot)


def deliver(before: Record, *, trigger: Trigger = PARENT) -> Change:
    delivery = Delivery(PARENT_RUN, trigger, (before.id, "other"), "i")
    return decided(ledger.deliver, before, delivery=delivery, parent="P", now=at(5))


def begin(before: Record, run_id: str, now: int = at(6)) -> Change:
    return decided(ledger.begin, before, run_id=run_id, instance="me", now=now)


CASES = [
    pytest.param("queue", {}, "claimed", id="nothing is on"),
    pytest.param("queue", {"open": (run(),)}, "waiting overlap", id="queue: after the run that is on"),
    pytest.param("queue", {"outbox": OWING}, "waiting overlap", id="queue: after the children of the one before"),
    pytest.param("queue", {"open": (RETRYING,)}, "waiting overlap", id="queue: after the retries of the one before"),
    pytest.param("skip", {}, "claimed", id="skip: nothing is on"),
    pytest.param("skip", {"open": (run(),)}, "waiting overlap", id="skip: it waits all the same"),
    pytest.param("skip", {"outbox": OWING}, "waiting overlap", id="skip: it waits for the children all the same"),
    pytest.param("allow", {"open": (run(),), "outbox": OWING}, "claimed", id="allow: beside it"),
]


@pytest.mark.parametrize(("overlap", "given", "then"), CASES)
@pytest.mark.parametrize("slot", [True, False])
def test_started_by_hand(overlap: str, given: dict[str, tuple[Run, ...]], then: str, slot: bool) -> None:
    before = record(job(overlap=overlap), cursor=at(9), **given)
    change = start(before, slot=slot)
    then = then if slot else then.replace("claimed", "waiting limit")
    assert lines(change.record.open) == [*lines(before.open), f"manual 5 {then}"]
    assert change.answer is change.record.open[-1]
    assert change.answer.instance == ("i" if then == "claimed" else "")
    assert standing(change.record) == standing(before)
    assert [event.type for event in change.events] == [events.RUN_CLAIMED]


@pytest.mark.parametrize(("overlap", "given", "then"), CASES)
@pytest.mark.parametrize("trigger", [PARENT, Trigger.FAILURE])
def test_set_off_by_a_run(overlap: str, given: dict[str, tuple[Run, ...]], then: str, trigger: Trigger) -> None:
    before = record(job(overlap=overlap), cursor=at(9), **given)
    change = deliver(before, trigger=trigger)
    then = then.replace("claimed", "waiting limit")  # whoever delivers does not run it
    assert lines(change.record.open) == [*lines(before.open), f"{trigger} 5 {then}"]
    assert change.answer is not None
    assert change.answer.id == ledger.child_run_id(PARENT_RUN, "J")
    assert (change.answer.parent_job, change.answer.parent_run) == ("P", PARENT_RUN)
    assert standing(change.record) == standing(before)


def test_a_start_uses_up_nothing_of_the_schedule() -> None:
    change = start(record(job(ONCE), cursor=at(9), remaining=1))
    assert standing(change.record) == "next 9, 1 left"


def test_a_job_that_is_done_can_be_started() -> None:
    change = start(record(job(ONCE), cursor=None, remaining=0))
    assert lines(change.record.open) == ["manual 5 claimed"]


def test_starts_that_are_refused() -> None:
    with pytest.raises(JobDisabled):
        start(record(disabled=True))
    with pytest.raises(JobNotFound):
        start(record(deleted=at(4)))
    with pytest.raises(JobNotFound):
        deliver(record(deleted=at(4)))


def test_asked_for_twice_is_there_once() -> None:
    for once in (start(record()), deliver(record())):
        again = start(once.record) if once.answer.trigger is MANUAL else deliver(once.record)  # type: ignore[union-attr]
        assert again.record is once.record
        assert again.answer == once.answer
        assert again.events == ()


def test_a_disabled_child_does_not_run_and_says_so() -> None:
    before = record(job("", parent_jobs=["P"]), cursor=None, remaining=0, disabled=True)
    change = deliver(before)
    assert change.record is before
    assert lines(change.rows) == ["parent 5 skipped disabled"]
    assert change.rows[0].id == ledger.child_run_id(PARENT_RUN, "J")
    assert [event.type for event in change.events] == [events.OCCURRENCE_SKIPPED]


def test_the_run_that_another_causes_has_always_the_same_id() -> None:
    first = ledger.child_run_id(PARENT_RUN, "J")
    assert first == ledger.child_run_id(PARENT_RUN, "J")
    others = [ledger.child_run_id(PARENT_RUN, "K"), ledger.child_run_id("r", "J"), ledger.child_run_id("s", "J")]
    assert len({first, *others}) == 4


# Turns.


@pytest.mark.parametrize(
    ("overlap", "given", "turns"),
    [
        pytest.param("queue", {}, "", id="nothing is there"),
        pytest.param("queue", {"open": (run("a", state=WAITING), run("b", state=WAITING))}, "a", id="queue: the first"),
        pytest.param("queue", {"open": (run("a"), run("b", state=WAITING))}, "", id="queue: one is on"),
        pytest.param("queue", {"open": (RETRYING, run("b", state=WAITING))}, "w", id="queue: a retry keeps its place"),
        pytest.param(
            "queue", {"open": (run("a", state=WAITING),), "outbox": OWING}, "", id="queue: one has not settled"
        ),
        pytest.param(
            "queue", {"open": (run("a", state=WAITING), run("b"))}, "", id="queue, edited from allow: a later one is on"
        ),
        pytest.param("skip", {"open": (run("a", state=WAITING), run("b", state=WAITING))}, "a", id="skip: the first"),
        pytest.param("skip", {"open": (run("a"), run("b", state=WAITING))}, "", id="skip: one is on"),
        pytest.param(
            "allow",
            {"open": (run("a"), run("b", state=WAITING), run("c", state=WAITING)), "outbox": OWING},
            "bc",
            id="allow: all",
        ),
    ],
)
def test_whose_turn_it_is(overlap: str, given: dict[str, tuple[Run, ...]], turns: str) -> None:
    before = record(job(overlap=overlap, retries=1), **given)
    assert [one.id for one in ledger.next_up(before)] == list(turns)
    for one in before.open:
        if one.id in turns:
            change = begin(before, one.id)
            then = ledger.find(change.record, one.id)
            assert then is not None
            assert change.answer is then
            assert (then.state, then.instance, then.reason, then.not_before) == (State.CLAIMED, "me", "", None)
            assert [other.id for other in change.record.open] == [other.id for other in before.open]
            assert (change.rows, change.events) == ((), ())
            with pytest.raises(Stale):
                begin(change.record, one.id)
        else:
            with pytest.raises(Stale):
                begin(before, one.id)


def test_a_run_that_is_not_there_does_not_begin() -> None:
    with pytest.raises(Stale):
        begin(record(), "r")


# Claimed, and not started after all: the lease is not valid, or there is no place.


@pytest.mark.parametrize(
    ("stopped", "then", "rows", "after"),
    [
        pytest.param({}, ["schedule 0 waiting limit"], [], "next -, 0 left", id="it waits again"),
        pytest.param({"disabled": True}, [], [], "next 0, 1 left", id="disabled meanwhile: it is still to come"),
        pytest.param({"deleted": at(4)}, [], ["schedule 0 skipped deleted"], "next -, 0 left", id="deleted meanwhile"),
    ],
)
def test_put_back(stopped: dict[str, object], then: list[str], rows: list[str], after: str) -> None:
    before = record(job(ONCE), cursor=None, remaining=0, last_due=at(0), open=(run(),), **stopped)
    more = {"run_id": "r", "reason": "limit", "now": at(5)}
    change = decided(ledger.put_back, before, instance="i", **more)
    assert lines(change.record.open) == then
    assert lines(change.rows) == rows
    assert standing(change.record) == after
    assert list(ledger.next_up(change.record)) == list(change.record.open)
    for late, instance in ((change.record, "i"), (before, "another")):
        with pytest.raises(Stale):
            ledger.put_back(late, instance=instance, **more)


def test_of_a_deleted_job_that_is_put_back_nothing_stays_open() -> None:
    gap = run("gap", at(-3), State.SKIPPED, reason="overlap", until=at(-1), count=3)
    before = record(cursor=None, remaining=0, deleted=at(4), open=(run(),), gap=gap)
    change = decided(ledger.put_back, before, run_id="r", instance="i", reason="limit", now=at(5))
    assert lines(change.rows) == ["schedule 0 skipped deleted", "skipped overlap -3..-1 ×3"]
    assert change.record.gap is None


def test_two_starts_run_in_order() -> None:
    """Given two starts at once, when the first has ended and settled, then the second begins."""
    first = start(record(cursor=at(9)), run_id="one")
    second = start(first.record, run_id="two")
    assert lines(second.record.open) == ["manual 5 claimed", "manual 5 waiting overlap"]
    ended = decided(
        ledger.end_attempt,
        second.record,
        run_id="one",
        attempt=attempt(ended=at(6)),
        output=b"",
        now=at(6),
        children=("K",),
        instance="i",
    )
    with pytest.raises(Stale):
        begin(ended.record, "two")
    settled = decided(ledger.advance, ended.record, run_id="one", job_id="K")
    assert [one.id for one in ledger.next_up(settled.record)] == ["two"]
    assert lines(begin(settled.record, "two").record.open) == ["manual 5 claimed"]


@pytest.mark.parametrize(
    ("seconds", "changed", "then", "rows"),
    [
        pytest.param(30, {}, ["schedule 0 claimed"], [], id="epsilon has just not passed"),
        pytest.param(31, {}, [], ["schedule 0 failed"], id="epsilon passed while it waited"),
        pytest.param(31, {"epsilon": ""}, ["schedule 0 claimed"], [], id="there is none"),
        pytest.param(3, {"retries": 0}, [], ["schedule 0 failed"], id="edited: no retries any more"),
    ],
)
def test_a_retry_never_begins_after_epsilon(
    seconds: int, changed: dict[str, object], then: list[str], rows: list[str]
) -> None:
    """Between two attempts the daemon may have stopped, or too many runs be on."""
    definition = replace(job(retries=1, epsilon="PT30S", on_failure_job="F"), **changed)
    change = begin(record(definition, cursor=at(9), open=(RETRYING,), errors=1), "w", at(0, seconds))
    assert lines(change.record.open) == then
    assert lines(change.rows) == rows
    if rows:
        assert change.answer is change.rows[0]
        assert change.record.outbox == (Delivery("w", Trigger.FAILURE, ("F",), "me"),)
        assert (change.record.finished, change.record.errors) == (1, 1)


def test_epsilon_does_not_hold_up_a_first_attempt_or_one_that_was_cut_off() -> None:
    definition = job(retries=1, epsilon="PT1S")
    cut_off = run("c", state=WAITING, reason="shutdown", attempts=(attempt(State.CANCELLED),))
    for waits in (run("c", state=WAITING, reason="overlap"), cut_off):
        change = begin(record(definition, cursor=at(9), open=(waits,)), "c")
        assert lines(change.record.open) == ["schedule 0 claimed"]
