"""All records in memory: who is whose child, who is whose failure job, what they come to in all."""

from hypothesis import given
from hypothesis import strategies as st
from records import T0, at, job, record, run

from kala.job import Delivery, Record, replace
from kala.states import Trigger
from kala.store.roster import Roster, Totals

IDS = "ABCD"
RECORDS = st.builds(
    lambda one, created, parents, failure, disabled, deleted, cursor, counts, attempted: Record(
        one,
        job("", parent_jobs=sorted(parents) or None, on_failure_job=failure),
        created,
        disabled=disabled,
        deleted=T0 if deleted else None,
        cursor=None if deleted else cursor,
        errors=counts[0],
        successes=counts[1],
        last_attempted=attempted,
    ),
    st.sampled_from(IDS),
    st.integers(0, 5),
    st.sets(st.sampled_from(IDS), max_size=2),
    st.sampled_from(["", *IDS]),
    st.booleans(),
    st.integers(0, 4).map(lambda k: k == 0),
    st.none() | st.integers(1, 9).map(at),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.none() | st.integers(1, 9).map(at),
)


def test_nothing() -> None:
    roster = Roster()
    assert roster.totals() == Totals(0, 0, 0, 0, 0, None, None)
    assert list(roster) == []
    assert roster.get("A") is None
    assert roster.children("A") is None
    assert not roster.is_failure_job("A")


def test_children_are_in_the_order_in_which_they_were_added() -> None:
    roster = Roster()
    for created, one in [(3, "C"), (1, "B"), (1, "A"), (2, "D")]:
        roster.put(replace(record(job("", parent_jobs=["P"]), id=one), created=created))
    assert roster.children("P") == ["A", "B", "D", "C"]


def test_a_list_of_children_that_became_empty_is_not_one_that_never_was() -> None:
    """As in Kala: the first is shown as [], the second as null."""
    roster = Roster()
    for one in (record(id="P"), record(id="Q"), record(job("", parent_jobs=["P"]), id="K")):
        roster.put(one)
    assert (roster.children("P"), roster.children("Q")) == (["K"], None)
    roster.put(record(job("", parent_jobs=["P"]), id="K", cursor=None, deleted=at(1)))
    assert (roster.children("P"), roster.children("Q")) == ([], None)


def test_what_is_gone_for_ever_leaves_nothing_behind() -> None:
    roster = Roster()
    roster.put(record(id="P"))
    roster.put(record(job("", parent_jobs=["P"], on_failure_job="P"), id="K"))
    for one in ("K", "P"):
        roster.drop(one)
    assert roster.children("P") is None
    assert not roster.is_failure_job("P")
    assert roster.totals() == Totals(0, 0, 0, 0, 0, None, None)


def test_a_parent_that_went_before_its_child_is_still_named_by_it() -> None:
    roster = Roster()
    roster.put(record(job("", parent_jobs=["P"]), id="K"))
    roster.drop("P")
    assert roster.children("P") == ["K"]


def test_the_next_run_is_of_enabled_jobs_while_there_is_one() -> None:
    roster = Roster()
    roster.put(record(id="A", cursor=at(1), disabled=True))
    assert roster.totals().next_run_at == at(1)
    roster.put(record(id="B", cursor=at(2)))
    assert roster.totals().next_run_at == at(2)
    roster.put(record(id="B", cursor=None))
    assert roster.totals().next_run_at == at(1)


@given(steps=st.lists(RECORDS | st.sampled_from(IDS), max_size=30))
def test_all_is_as_if_it_were_counted_each_time(steps: list[Record | str]) -> None:
    """Records put and dropped in any order."""
    roster, table, had_children = Roster(), dict[str, Record](), set[str]()
    for step in steps:
        if isinstance(step, str):
            roster.drop(step)
            table.pop(step, None)
        else:
            roster.put(step)
            table[step.id] = step
        live = [one for one in table.values() if one.deleted is None]
        for one in IDS:
            assert roster.get(one) == table.get(one)
            named = [other for other in live if one in (other.job.parent_jobs or ())]
            children = [other.id for other in sorted(named, key=lambda other: (other.created, other.id))]
            if children:
                had_children.add(one)
            elif step == one:
                had_children.discard(one)
            assert roster.children(one) == (children if one in had_children else None)
            assert roster.is_failure_job(one) == any(other.job.on_failure_job == one for other in live)
        assert roster.jobs == {one.id: one for one in live}
        assert roster.tombstones == {one.id: one for one in table.values() if one.deleted is not None}
        assert sorted(one.id for one in roster) == sorted(table)
        enabled = [one.cursor for one in live if not one.disabled and one.cursor is not None]
        dormant = [one.cursor for one in live if one.disabled and one.cursor is not None]
        assert roster.totals() == Totals(
            active=sum(not one.disabled for one in live),
            disabled=sum(one.disabled for one in live),
            jobs=len(live),
            errors=sum(one.errors for one in live),
            successes=sum(one.successes for one in live),
            next_run_at=min(enabled, default=None) or min(dormant, default=None),
            last_attempted=max((one.last_attempted for one in live if one.last_attempted is not None), default=None),
        )


def test_busy_are_the_jobs_with_open_runs_or_deliveries() -> None:
    roster = Roster()
    idle, on = record(id="idle"), record(id="on", open=(run(),))
    owing = record(id="owing", outbox=(Delivery("r", Trigger.PARENT, ("idle",)),))
    for one in (idle, on, owing):
        roster.put(one)
    assert roster.busy == {"on", "owing"}

    roster.put(replace(on, open=()))
    roster.drop("owing")
    assert roster.busy == set()
