"""Jobs that wait for all of their parents: whose success is still to come, and which has been used."""

import pytest
from records import Jobs, at, decided, job, record

from kala import ledger, register
from kala.job import Delivery, Record, replace
from kala.states import State, Trigger

CHILD = record(job("", parent_jobs=["A", "B", "C"], parents_mode="all"), id="K", cursor=None, remaining=0)


def arrive(before: Record, parent: str, run: str, trigger: Trigger = Trigger.PARENT) -> Record:
    """A run of a parent has succeeded, and is delivered. What is on of the child has ended since the last one."""
    delivery = Delivery(run, trigger, (before.id,), "i")
    before = replace(before, open=())
    return decided(ledger.deliver, before, delivery=delivery, parent=parent, now=at(1)).record


def causes(*successes: str, child: Record = CHILD) -> list[str]:
    """Which of these runs, each named after its parent and a number, sets the child off."""
    found = []
    for run in successes:
        child = arrive(child, run[0], run)
        found += [one.parent_run for one in child.open]
    return found


@pytest.mark.parametrize(
    ("successes", "then"),
    [
        pytest.param("A1 B1", [], id="one is still to come"),
        pytest.param("A1 B1 C1", ["C1"], id="the last one sets it off"),
        pytest.param("C1 A1 B1", ["B1"], id="in any order"),
        pytest.param("A1 A2 A3 B1 C1", ["C1"], id="one several times is there once"),
        pytest.param("A1 B1 C1 A2 B2", ["C1"], id="each success is for one run"),
        pytest.param("A1 B1 C1 A2 B2 C2", ["C1", "C2"], id="and so on"),
        pytest.param("A1 A2 B1 C1 B2 C2", ["C1"], id="what came twice before is not for two runs"),
        pytest.param("A1 A1 B1 B1 C1 C1", ["C1"], id="the same is delivered again, the last after the run"),
        pytest.param("A1 B1 C1 A1 B1 C1", ["C1"], id="all are delivered again after the run"),
        pytest.param("A1 B1 C1 A2 A1 B2 C2", ["C1", "C2"], id="an old one is delivered again among new ones"),
    ],
)
def test_a_run_follows_from_a_success_of_each(successes: str, then: list[str]) -> None:
    assert causes(*successes.split()) == then


def test_the_run_names_its_last_parent() -> None:
    child = arrive(arrive(arrive(CHILD, "A", "A1"), "B", "B1"), "C", "C1")
    (run,) = child.open
    assert (run.trigger, run.parent_job, run.parent_run) == (Trigger.PARENT, "C", "C1")
    assert run.id == ledger.child_run_id("C1", "K")


def test_delivered_again_while_the_run_is_open_it_is_that_one() -> None:
    child = arrive(arrive(arrive(CHILD, "A", "A1"), "B", "B1"), "C", "C1")
    delivery = Delivery("C1", Trigger.PARENT, ("K",), "i")
    again = decided(ledger.deliver, child, delivery=delivery, parent="C", now=at(2))
    assert again.record is child
    assert again.answer is child.open[0]


def test_an_arrival_that_is_known_is_no_write() -> None:
    child = arrive(CHILD, "A", "A1")
    again = decided(ledger.deliver, child, delivery=Delivery("A1", Trigger.PARENT, ("K",), "i"), parent="A", now=at(2))
    assert again.record is child


def test_a_failure_sets_it_off_whatever_its_parents_do() -> None:
    child = arrive(CHILD, "X", "X1", Trigger.FAILURE)
    assert [run.trigger for run in child.open] == [Trigger.FAILURE]
    assert child.arrivals is None


def edit(before: Record, *parents: str, mode: str = "all") -> Record:
    others = Jobs(before, *(record(id=one) for one in "ABCD"))
    definition = replace(before.job, parent_jobs=list(parents), parents_mode=mode)
    more = {"disabled": False, "expected": None, "now": at(1), "instance": "i", "run_id": "e"}
    return decided(register.edit, before, definition, others, **more).record


def test_other_parents() -> None:
    one, two = arrive(CHILD, "A", "A1"), arrive(arrive(CHILD, "A", "A1"), "B", "B1")
    # one parent less, which had not succeeded: the next success of any sets it off
    assert causes("A2", child=edit(two, "A", "B")) == ["A2"]
    # one more: it is waited for, too
    assert causes("C1", "D1", child=edit(two, "A", "B", "C", "D")) == ["D1"]
    # what a former parent has owed since does not count, and what it did is forgotten then
    former = edit(two, "B", "C")
    assert causes("C1", child=former) == ["C1"]
    assert set(arrive(former, "B", "B2").arrivals or {}) == {"B"}
    # nor does it set off what the others would
    assert causes("B1", "A2", child=edit(one, "A")) == ["A2"]
    # any: each sets it off
    assert causes("B1", "C1", child=edit(one, "A", "B", "C", mode="any")) == ["B1", "C1"]


def test_a_deleted_parent_is_waited_for_no_more() -> None:
    child = arrive(arrive(CHILD, "A", "A1"), "B", "B1")
    jobs = Jobs(child, *(record(id=one) for one in "ABC"))
    changes = {change.record.id: change.record for change in register.delete("C", jobs, at(2))}
    assert changes["K"].job.parent_jobs == ["A", "B"]
    assert causes("A2", child=changes["K"]) == ["A2"]


def test_while_disabled_nothing_follows_and_what_came_is_used() -> None:
    child = replace(CHILD, disabled=True)
    for run in ("A1", "B1"):
        child = arrive(child, run[0], run)
    delivery = Delivery("C1", Trigger.PARENT, ("K",), "i")
    change = decided(ledger.deliver, child, delivery=delivery, parent="C", now=at(1))
    assert [(row.state, row.reason, row.parent_run) for row in change.rows] == [(State.SKIPPED, "disabled", "C1")]
    enabled = decided(register.set_disabled, change.record, False, now=at(2), instance="i", run_id="e").record
    assert causes("C2", "A2", "B2", child=enabled) == ["B2"]


def test_a_run_by_hand_uses_up_nothing() -> None:
    child = arrive(arrive(CHILD, "A", "A1"), "B", "B1")
    started = decided(ledger.start, child, now=at(2), run_id="m", instance="i", slot=True).record
    assert causes("C1", child=started) == ["C1"]
