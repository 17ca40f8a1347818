"""What is left behind: by instances that died, by jobs disabled or deleted, by schedules that were replaced."""

import pytest
from records import ONCE, at, attempt, decided, job, lines, record, run, standing

from kala import events, ledger
from kala.errors import Stale
from kala.job import Delivery, Job, Record, Run, replace, unpacked
from kala.ledger import DELETED, DISABLED, Change
from kala.states import State, Trigger

FAILED, WAITING = State.FAILED, State.WAITING
BECAUSE = "instance dead ended while it was on"
LEFT = run(instance="dead")


def take_over(before: Record, *, now: int = at(5)) -> Change:
    return decided(ledger.take_over, before, alive=frozenset({"alive", "me"}), instance="me", now=now)


@pytest.mark.parametrize(
    ("definition", "stopped", "then", "rows"),
    [
        pytest.param(job(), {}, [], [f"schedule 0 lost {BECAUSE}"], id="record: lost"),
        pytest.param(job(on_lost="rerun"), {}, [f"schedule 0 waiting {BECAUSE}"], [], id="rerun: it waits again"),
        pytest.param(
            job(on_lost="rerun"), {"disabled": True}, [], [f"schedule 0 lost {BECAUSE}"], id="rerun, but disabled"
        ),
        pytest.param(
            job(on_lost="rerun"), {"deleted": at(1)}, [], [f"schedule 0 lost {BECAUSE}"], id="rerun, but deleted"
        ),
        pytest.param(
            job(retries=3, on_failure_job="F"), {}, [], [f"schedule 0 lost {BECAUSE}"], id="lost is not failed"
        ),
    ],
)
@pytest.mark.parametrize("state", [State.CLAIMED, State.RUNNING])
def test_a_run_of_a_dead_instance(
    definition: Job, stopped: dict[str, object], then: list[str], rows: list[str], state: State
) -> None:
    change = take_over(record(definition, cursor=at(1), open=(replace(LEFT, state=state),), **stopped))
    assert lines(change.record.open) == then
    assert lines(change.rows) == rows
    assert change.record.outbox == ()
    if rows:
        assert (change.record.errors, change.record.last_error, change.record.finished) == (1, at(5), 1)
        assert [one.state for one in unpacked(change.record.results)] == [State.LOST]
        assert [event.type for event in change.events] == [events.RUN_FINISHED]
    else:
        again = change.record.open[0]
        assert again.instance == ""
        assert [(one.number, one.state, one.error) for one in again.attempts] == [(1, State.LOST, BECAUSE)]
        assert list(ledger.next_up(change.record)) == [again]
    with pytest.raises(Stale):
        take_over(change.record)


def test_who_lives_and_what_waits_is_left_alone() -> None:
    alive, mine = run("a", instance="alive"), run("m", instance="me")
    waits = run("w", state=WAITING, instance="dead")  # since an instance's shutdown
    with pytest.raises(Stale):
        take_over(record(job(overlap="allow"), open=(alive, mine, waits)))
    change = take_over(record(job(overlap="allow"), open=(alive, LEFT, mine, waits)))
    assert change.record.open == (alive, mine, waits)


def test_several_at_once() -> None:
    change = take_over(record(job(overlap="allow"), cursor=at(2), open=(LEFT, run("s", at(1), instance="gone"))))
    assert [(row.id, row.state) for row in change.rows] == [("r", State.LOST), ("s", State.LOST)]
    assert change.record.finished == 2


def test_what_a_dead_instance_owed_is_owed_by_us() -> None:
    dead = Delivery("r0", Trigger.PARENT, ("K", "L"), "dead")
    alive = Delivery("r1", Trigger.PARENT, ("K",), "alive")
    change = take_over(record(outbox=(dead, alive)))
    assert change.record.outbox == (replace(dead, instance="me", recovered=True), alive)
    with pytest.raises(Stale):
        take_over(change.record)


def test_a_run_that_is_to_run_again_is_not_replaced_by_a_later_one() -> None:
    """It may have run: to call it skipped would be untrue."""
    again = take_over(record(job(on_lost="rerun"), cursor=at(5), open=(LEFT,))).record
    change = decided(ledger.claim, again, version=1, cursor=at(5), now=at(5), run_id="new", instance="me", slot=True)
    assert lines(change.record.open) == [f"schedule 0 waiting {BECAUSE}", "schedule 5 waiting overlap"]


# Disabled, deleted: what waits is dropped.


def drop(before: Record, reason: str = DISABLED) -> Change:
    return decided(ledger.drop_waiting, before, reason, at(5), "i")


RETRYING = run("w", state=WAITING, reason="retry", attempts=(attempt(FAILED),))


@pytest.mark.parametrize(
    ("waiting", "row"),
    [
        pytest.param(run("w", at(1), WAITING), "schedule 1 skipped disabled", id="an occurrence"),
        pytest.param(run("w", at(1), WAITING, Trigger.CATCH_UP), "catch-up 1 skipped disabled", id="caught up with"),
        pytest.param(run("w", at(1), WAITING, Trigger.MANUAL), "manual 1 skipped disabled", id="by hand"),
        pytest.param(run("w", at(1), WAITING, Trigger.PARENT), "parent 1 skipped disabled", id="a child's"),
        pytest.param(RETRYING, "schedule 0 failed disabled", id="after an attempt that failed"),
        pytest.param(
            replace(RETRYING, attempts=(attempt(State.CANCELLED),)),
            "schedule 0 cancelled disabled",
            id="after an attempt that was cut off",
        ),
    ],
)
def test_what_waits_is_dropped(waiting: Run, row: str) -> None:
    claimed = run("r")
    change = drop(record(job(overlap="allow"), cursor=at(6), open=(claimed, waiting)))
    assert change.record.open == (claimed,)
    assert lines(change.rows) == [row]
    assert (change.rows[0].id, change.rows[0].ended) == ("w", at(5))
    assert len(change.events) == 1
    assert drop(change.record).record is change.record


@pytest.mark.parametrize("last", [State.CANCELLED, State.LOST])
def test_a_dropped_run_that_was_cut_off_is_an_error(last: State) -> None:
    waits = replace(RETRYING, attempts=(attempt(last),))
    change = drop(record(job(on_failure_job="F"), cursor=at(6), open=(waits,)))
    assert (change.record.finished, change.record.errors, change.record.last_error) == (1, 1, at(5))
    assert change.record.outbox == ()


def test_a_dropped_retry_was_the_last_attempt() -> None:
    change = drop(record(job(on_failure_job="F"), cursor=at(6), open=(RETRYING,), errors=1))
    assert [one.to for one in change.record.outbox] == [("F",)]
    assert (change.record.finished, change.record.errors) == (1, 1)


THREE = "R2/2030-01-01T00:00:00Z/PT1M"


@pytest.mark.parametrize(
    ("definition", "given", "rows", "after"),
    [
        pytest.param(
            job(THREE),
            {"cursor": at(2), "remaining": 1, "last_due": at(1), "open": (run("w", at(1), WAITING),)},
            ["schedule 1 skipped disabled"],
            "next 2, 2 left",
            id="its count is given back",
        ),
        pytest.param(
            job(THREE),
            {"cursor": None, "remaining": 0, "last_due": at(2), "open": (run("w", at(2), WAITING),)},
            ["schedule 2 skipped disabled"],
            "next 3, 1 left",
            id="the last one: the schedule goes on",
        ),
        pytest.param(
            job(THREE, catch_up="all"),
            {
                "cursor": None,
                "remaining": 0,
                "last_due": at(2),
                "open": tuple(run(f"w{k}", at(k), WAITING, Trigger.CATCH_UP) for k in (1, 2)),
            },
            ["catch-up 1 skipped disabled", "catch-up 2 skipped disabled"],
            "next 3, 2 left",
            id="several",
        ),
        pytest.param(
            job(THREE),
            {"cursor": at(2), "remaining": 1, "open": (run("w", at(1), WAITING, Trigger.MANUAL),)},
            ["manual 1 skipped disabled"],
            "next 2, 1 left",
            id="by hand: it had used up nothing",
        ),
        pytest.param(
            job(ONCE),
            {"cursor": None, "remaining": 0, "last_due": at(0), "open": (run("w", at(0), WAITING),)},
            [],
            "next 0, 1 left",
            id="R0: it is still to come",
        ),
        pytest.param(
            job(""),
            {"cursor": None, "remaining": 0, "last_due": at(0), "open": (run("w", at(0), WAITING, Trigger.NOW),)},
            [],
            "next 0, 1 left",
            id="no schedule: it is still to come",
        ),
    ],
)
def test_what_was_claimed_and_has_not_begun_uses_up_nothing(
    definition: Job, given: dict[str, object], rows: list[str], after: str
) -> None:
    change = drop(record(definition, **given))
    assert change.record.open == ()
    assert lines(change.rows) == rows
    assert standing(change.record) == after
    assert not change.record.is_done


def test_of_a_deleted_job_nothing_is_given_back() -> None:
    tombstone = record(
        job(THREE), cursor=None, remaining=0, last_due=at(2), deleted=at(5), open=(run("w", at(2), WAITING),)
    )
    change = drop(tombstone, DELETED)
    assert lines(change.rows) == ["schedule 2 skipped deleted"]
    assert standing(change.record) == "next -, 0 left"


# Another schedule.

GAP = run("gap", at(0), State.SKIPPED, reason="disabled", until=at(2), count=3)


@pytest.mark.parametrize(
    ("given", "then", "rows"),
    [
        pytest.param({"cursor": at(6)}, [], [], id="nothing is left"),
        pytest.param({"cursor": None, "remaining": 0}, [], [], id="the schedule has ended"),
        pytest.param(
            {"cursor": at(6), "open": (run(), run("w", at(5), WAITING))},
            ["schedule 0 claimed"],
            ["schedule 5 skipped edited"],
            id="what waits goes, what is on stays",
        ),
        pytest.param(
            {"cursor": at(6), "open": (RETRYING, run("m", at(5), WAITING, Trigger.MANUAL))},
            ["schedule 0 waiting retry", "manual 5 waiting"],
            [],
            id="what has begun or was asked for stays",
        ),
        pytest.param({"cursor": at(3)}, [], ["skipped edited 3..5 ×3"], id="what has passed unclaimed"),
        pytest.param(
            {"cursor": at(3), "disabled": True}, [], ["skipped disabled 3..5 ×3"], id="what has passed disabled"
        ),
        pytest.param({"cursor": at(6), "gap": GAP}, [], ["skipped disabled 0..2 ×3"], id="a range is of one schedule"),
        pytest.param(
            {"cursor": at(3), "disabled": True, "gap": GAP}, [], ["skipped disabled 0..5 ×6"], id="a range that grows"
        ),
    ],
)
def test_a_schedule_is_left(given: dict[str, object], then: list[str], rows: list[str]) -> None:
    change = decided(ledger.leave_schedule, record(**given), now=at(5), run_id="new")
    assert lines(change.record.open) == then
    assert lines(change.rows) == rows
    assert change.record.gap is None


@pytest.mark.parametrize(
    ("now", "then", "rows"),
    [
        pytest.param(at(5) - 1, ["schedule 5 waiting"], [], id="before its moment it cannot have begun"),
        pytest.param(at(5), [], [f"schedule 5 lost {BECAUSE}"], id="at its moment it may have"),
    ],
)
def test_what_a_dead_instance_had_claimed_early(now: int, then: list[str], rows: list[str]) -> None:
    early = run("r", at(5), instance="dead", not_before=at(5))
    change = take_over(record(cursor=at(6), open=(early,)), now=now)
    assert (lines(change.record.open), lines(change.rows)) == (then, rows)


def test_an_attempt_that_was_cut_off_began_after_the_one_before() -> None:
    left = replace(LEFT, attempts=(attempt(FAILED, ended=at(3)),))
    (again,) = take_over(record(job(on_lost="rerun"), open=(left,))).record.open
    assert [(one.number, one.started, one.ended) for one in again.attempts[1:]] == [(2, at(3), at(5))]
