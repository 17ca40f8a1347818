"""What a batch of decisions comes to, before it is written."""

from hypothesis import given
from hypothesis import strategies as st
from records import T0, at, attempt, job, record, run

from kala import ledger, register
from kala.drivers.contract import Element
from kala.job import Output, Record, decode_record, replace
from kala.ledger import Change
from kala.states import State
from kala.store.draft import JOB, Draft
from kala.store.roster import Roster


def roster_of(*records: Record) -> Roster:
    roster = Roster()
    for one in records:
        roster.put(one)
    return roster


def elements(draft: Draft) -> dict[str, Element]:
    found = list(draft.elements())
    assert len({element.key for element in found}) == len(found)
    assert all(element.kind == JOB for element in found)
    return {element.key: element for element in found}


def written(element: Element) -> Record:
    assert element.value is not None
    return decode_record(element.value)


def test_a_new_job_is_expected_not_to_be_there() -> None:
    draft = Draft(roster_of())
    draft.add(Change(record(id="A")))
    element = elements(draft)["A"]
    assert (element.expected, element.revision) == (0, 1)
    assert written(element) == record(id="A", revision=1)


def test_several_decisions_on_one_job_are_one_write_with_all_their_history() -> None:
    before = record(id="A", revision=7, cursor=at(9), open=(run("a", job_id="A"), run("b", job_id="A")))
    draft = Draft(roster_of(before))
    for run_id in ("a", "b"):
        now = draft.get("A")
        assert now is not None
        more = {"now": at(1), "children": (), "instance": "i", "output": run_id.encode()}
        draft.add(ledger.end_attempt(now, run_id=run_id, attempt=attempt(), **more))  # type: ignore[arg-type]
    element = elements(draft)["A"]
    assert (element.expected, element.revision) == (7, 8)
    assert [one.id for one in element.runs] == ["a", "b"]
    assert element.outputs == [Output("a", 1, b"a", 0), Output("b", 1, b"b", 0)]
    after = written(element)
    assert (after.finished, after.open, after.revision) == (2, (), 8)


def test_what_changes_nothing_is_not_written() -> None:
    before = record(id="A", revision=7)
    draft = Draft(roster_of(before))
    draft.add(Change(before))
    assert elements(draft) == {}
    row = run("r", state=State.SKIPPED, job_id="A", ended=at(1))
    draft.add(Change(before, rows=(row,)))
    assert elements(draft)["A"].runs == [row]
    assert written(elements(draft)["A"]) == replace(before, revision=8)


def test_a_tombstone_stays_and_in_the_end_goes() -> None:
    draft = Draft(roster_of(record(id="A", revision=3), record(id="B", revision=5, cursor=None, deleted=T0)))
    for change in register.delete("A", draft, at(1)):
        draft.add(change)
    assert draft.get("A") is None
    assert (deleted := draft.any("A")) is not None
    assert deleted.deleted == at(1)
    gone = draft.any("B")
    assert gone is not None
    draft.add(register.purge(gone, T0 + register.TOMBSTONE))
    assert draft.any("B") is None
    assert {key: element.value is None for key, element in elements(draft).items()} == {"A": False, "B": True}
    assert elements(draft)["B"].expected == 5


def test_an_id_that_was_deleted_is_written_over_its_tombstone() -> None:
    draft = Draft(roster_of(record(id="A", revision=5, cursor=None, deleted=T0)))
    draft.add(register.create(job(), draft, job_id="A", now=at(1), disabled=False))
    assert (elements(draft)["A"].expected, elements(draft)["A"].revision) == (5, 6)


def test_decisions_of_one_batch_see_each_other() -> None:
    """A child made in the same batch as its parent, and deleted with it."""
    draft = Draft(roster_of())
    draft.add(register.create(job(), draft, job_id="A", now=at(1), disabled=False))
    draft.add(register.create(job("", parent_jobs=["A"]), draft, job_id="B", now=at(2), disabled=False))
    assert draft.children("A") == ["B"]
    for change in register.delete("A", draft, at(3)):
        draft.add(change)
    assert draft.children("A") == []
    assert [written(element).deleted for element in draft.elements()] == [at(3), at(3)]


IDS = "ABC"
RECORDS = st.builds(
    lambda one, created, parents, deleted: Record(
        one, job("", parent_jobs=sorted(parents) or None), created, deleted=T0 if deleted else None
    ),
    st.sampled_from(IDS),
    st.integers(0, 3),
    st.sets(st.sampled_from(IDS), max_size=2),
    st.booleans(),
)


@given(stored=st.lists(RECORDS, max_size=6), changed=st.lists(st.tuples(RECORDS, st.booleans()), max_size=6))
def test_a_draft_answers_as_the_roster_will(stored: list[Record], changed: list[tuple[Record, bool]]) -> None:
    roster, draft = roster_of(*stored), Draft(roster_of(*stored))
    for one, purged in changed:
        draft.add(Change(one, purge=purged))
        if purged:
            roster.drop(one.id)
        else:
            roster.put(one)
        for job_id in IDS:
            assert draft.any(job_id) == roster.get(job_id)
            assert draft.get(job_id) == roster.jobs.get(job_id)
            assert draft.children(job_id) == (roster.children(job_id) or [])
