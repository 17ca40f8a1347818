"""All records in memory: who is whose child, who is whose failure job, what they come to in all."""

from hypothesis import given
from hypothesis import strategies as st
from records import T0, at, job, record, run

from kala.job import Delivery, Job, Record, replace
from kala.states import State, Trigger
from kala.store import texts
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


OPEN = st.sampled_from([(), (run("r1"),), (run("r1", state=State.WAITING, reason="overlap"), run("r2"))])
GAPS = st.sampled_from([None, run("g", state=State.MISSED)])


@given(st.lists(st.builds(lambda one, open, gap: replace(one, open=open, gap=gap), RECORDS, OPEN, GAPS), max_size=12))
def test_entered_together_is_as_one_after_the_other(records: list[Record]) -> None:
    one_by_one, together = Roster(), Roster()
    for one in records:
        one_by_one.put(one)
    together.become(Roster.of(records))

    def everything(roster: Roster) -> list[object]:
        about = [(roster.children(one), roster.is_failure_job(one), roster.runs(one)) for one in IDS]
        runs = [roster.run(one) for one in ("r1", "r2", "g")]
        kept = [list(roster), list(roster.jobs), roster.busy, roster.gapped, roster.waiting, roster.waits, roster.owed]
        return [roster.totals(), roster.coming(9), roster.first_due(), about, runs, *kept]

    assert everything(together) == everything(one_by_one)
    for roster in one_by_one, together:
        for name in IDS:
            roster.drop(name)
    assert everything(together) == everything(one_by_one)


def read(number: int) -> Record:
    """A record whose texts are objects of their own, as read from a database."""
    texts = "/bin/true", "R/2030-01-01T00:00:00Z/PT1M", "somebody", "Europe/Berlin"
    command, schedule, owner, zone = (text.encode().decode() for text in texts)
    return record(Job(f"job {number}", command, owner, schedule, time_zone=zone), id=str(number))


def test_texts_of_many_jobs_are_there_once() -> None:
    roster = Roster.of([read(1), read(2)])
    roster.put(read(3))
    assert [roster.jobs[one].job for one in "123"] == [read(number).job for number in (1, 2, 3)]
    for member in ("command", "schedule", "owner", "time_zone"):
        assert len({id(getattr(roster.jobs[one].job, member)) for one in "123"}) == 1


def test_texts_that_all_differ_are_not_remembered_without_end() -> None:
    roster = Roster()
    for number in range(texts.MOST + 100):
        roster.put(record(Job("", f"command {number}"), id="A"))
    assert len(roster._texts._known) == texts.MOST
    assert roster.jobs["A"].job.command == f"command {texts.MOST + 99}"


def test_which_jobs_have_changed_is_noted_for_who_wants_to_know() -> None:
    roster = Roster()
    for one in "ABCD":
        roster.put(record(id=one))
    assert roster.changed is None  # nobody wants to
    roster.changed = {}
    # a change, an end, one that comes and changes, one that goes and comes back and is so the last
    roster.put(record(id="C", disabled=True))
    roster.put(record(id="B", cursor=None, deleted=at(1)))
    roster.drop("A")
    roster.put(record(id="E"))
    roster.put(record(id="E", disabled=True))
    roster.put(record(id="A"))
    assert list(roster.changed.items()) == [("C", False), ("B", False), ("E", True), ("A", True)]
