"""Parents, children and failure jobs: links that are refused, and what a deletion takes along."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import T0, Jobs, at, job, record, run

from kala import register
from kala.errors import Invalid
from kala.job import Job, Record, replace
from kala.states import State, Trigger

Graph = dict[str, tuple[tuple[str, ...], str]]  # of a job: its parents, and its failure job


def jobs(graph: Graph) -> Jobs:
    return Jobs(*(linked(one, parents, failure) for one, (parents, failure) in graph.items()))


def linked(one: str, parents: tuple[str, ...] = (), failure: str = "") -> Record:
    return record(job("", parent_jobs=list(parents) or None, on_failure_job=failure), id=one, cursor=None, remaining=0)


@pytest.mark.parametrize(
    ("graph", "one", "definition", "faults"),
    [
        pytest.param({}, "N", Job("n"), {}, id="no links"),
        pytest.param(
            {"A": ((), ""), "F": ((), "")}, "N", Job("n", parent_jobs=["A"], on_failure_job="F"), {}, id="both kinds"
        ),
        pytest.param(
            {"A": ((), "")},
            "N",
            Job("n", parent_jobs=["A"], on_failure_job="A"),
            {"parent_jobs": "the job would set itself off: N → A → N"},
            id="a parent as failure job",
        ),
        pytest.param(
            {"A": ((), "")},
            "N",
            Job("n", parent_jobs=["X", "A", "Y"], on_failure_job="Z"),
            {
                "parent_jobs[0]": "there is no job 'X'",
                "parent_jobs[2]": "there is no job 'Y'",
                "on_failure_job": "there is no job 'Z'",
            },
            id="all that are not there are named",
        ),
        pytest.param(
            {"A": ((), "")},
            "A",
            Job("a", parent_jobs=["A"]),
            {"parent_jobs": "the job would set itself off: A → A"},
            id="its own parent",
        ),
        pytest.param(
            {"A": ((), "")},
            "A",
            Job("a", on_failure_job="A"),
            {"on_failure_job": "the job would set itself off: A → A"},
            id="its own failure job",
        ),
        pytest.param(
            {"A": ((), ""), "B": (("A",), ""), "C": (("B",), "")},
            "A",
            Job("a", parent_jobs=["C"]),
            {"parent_jobs": "the job would set itself off: A → B → C → A"},
            id="over children",
        ),
        pytest.param(
            {"A": ((), ""), "B": ((), "A")},
            "A",
            Job("a", on_failure_job="B"),
            {"on_failure_job": "the job would set itself off: A → B → A"},
            id="over failure jobs",
        ),
        pytest.param(
            {"A": ((), ""), "B": (("A",), "C"), "C": ((), "")},
            "A",
            Job("a", parent_jobs=["C"]),
            {"parent_jobs": "the job would set itself off: A → B → C → A"},
            id="over a child and its failure job",
        ),
        pytest.param(
            {"A": ((), ""), "B": (("A",), ""), "C": (("A",), ""), "D": (("B", "C"), "")},
            "A",
            Job("a", on_failure_job="D"),
            {},
            id="several ways to a job are no cycle",
        ),
        pytest.param(
            {"A": ((), ""), "B": (("A",), "gone")},
            "A",
            Job("a", parent_jobs=[]),
            {},
            id="a failure job that was deleted",
        ),
    ],
)
def test_links(graph: Graph, one: str, definition: Job, faults: dict[str, str]) -> None:
    if faults:
        with pytest.raises(Invalid) as refused:
            register.check_links(one, definition, jobs(graph))
        assert refused.value.fields == faults
    else:
        register.check_links(one, definition, jobs(graph))


def test_a_deleted_job_is_not_there() -> None:
    with pytest.raises(Invalid):
        register.check_links("N", Job("n", parent_jobs=["A"]), Jobs(record(id="A", deleted=T0)))


def test_nothing_of_a_refused_job_is_kept() -> None:
    with pytest.raises(Invalid):
        register.create(Job("n", parent_jobs=["X"]), Jobs(), job_id="N", now=T0, disabled=False)


NAMES = "ABCDEF"
LINKS = st.tuples(st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple), st.sampled_from(["", *NAMES]))


@given(wanted=st.lists(st.tuples(st.sampled_from(NAMES), LINKS), max_size=12))
@settings(deadline=None)
def test_no_way_leads_back_to_a_job(wanted: list[tuple[str, tuple[tuple[str, ...], str]]]) -> None:
    """Edits one after another are refused exactly when a plain search finds a way from the job to itself."""
    graph: Graph = dict.fromkeys(NAMES, ((), ""))
    for one, links in wanted:
        edited = graph | {one: links}
        definition = linked(one, *links).job
        if leads_back(edited, one):
            with pytest.raises(Invalid) as refused:
                register.check_links(one, definition, jobs(graph))
            assert refused.value.fields.keys() == {"parent_jobs" if links[0] else "on_failure_job"}
        else:
            register.check_links(one, definition, jobs(graph))
            graph = edited


def leads_back(graph: Graph, one: str) -> bool:
    def following(job_id: str) -> set[str]:
        children = {other for other, (parents, _) in graph.items() if job_id in parents}
        failure = graph[job_id][1]
        return children | ({failure} if failure else set())

    reached, ahead = set[str](), following(one)
    while ahead - reached:
        reached |= ahead
        ahead = {other for job_id in reached for other in following(job_id)}
    return one in reached


# Deletions.


@pytest.mark.parametrize(
    ("graph", "gone", "kept"),
    [
        pytest.param({"A": (), "B": ("A",)}, "AB", {}, id="a child"),
        pytest.param({"A": (), "B": ("A",), "C": ("B",)}, "ABC", {}, id="and its child"),
        pytest.param({"A": (), "X": (), "B": ("A", "X")}, "A", {"B": ["X"]}, id="a child with another parent"),
        pytest.param({"A": (), "X": (), "B": ("A", "X"), "C": ("B",)}, "A", {"B": ["X"]}, id="whose children stay too"),
        pytest.param({"A": (), "B": ("A",), "C": ("A",), "D": ("B", "C")}, "ABCD", {}, id="all of whose parents go"),
        pytest.param(
            {"A": (), "B": ("A",), "X": (), "D": ("A", "B", "X")}, "AB", {"D": ["X"]}, id="one of whose parents stays"
        ),
        pytest.param({"A": (), "B": ("A",), "C": ("A", "B")}, "ABC", {}, id="a child and a grandchild at once"),
        pytest.param({"P": (), "A": ("P",), "B": ("A",)}, "AB", {}, id="its parent stays"),
        pytest.param({"A": (), "X": ()}, "A", {}, id="alone"),
        pytest.param({"A": ("B",), "B": ("A",)}, "AB", {}, id="a cycle, made by two daemons at once"),
    ],
)
def test_a_deletion_takes_along(graph: dict[str, tuple[str, ...]], gone: str, kept: dict[str, list[str]]) -> None:
    there = jobs({one: (parents, "") for one, parents in graph.items()})
    changes = list(register.delete("A", there, at(1)))
    assert len({change.record.id for change in changes}) == len(changes)
    assert {change.record.id for change in changes if change.record.deleted is not None} == set(gone)
    orphaned = {change.record.id: change.record for change in changes if change.record.deleted is None}
    assert {one: after.job.parent_jobs for one, after in orphaned.items()} == kept
    for one, after in orphaned.items():
        assert after.version > 1
        assert replace(after, job=there.records[one].job, version=1) == there.records[one]


@given(graph=st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)), min_size=1))
def test_a_deletion_leaves_no_link_to_what_is_gone(graph: dict[str, set[str]]) -> None:
    """Parents of a job come before it in the alphabet, so there are no cycles."""
    links = {one: (tuple(sorted(p for p in graph[one] if p < one and p in graph)), "") for one in graph}
    there, first = jobs(links), min(graph)
    for change in register.delete(first, there, at(1)):
        there.records[change.record.id] = change.record
    for one, (parents, _) in links.items():
        after = there.records[one]
        left = [parent for parent in parents if there.get(parent) is not None]
        if after.deleted is None:
            assert (after.job.parent_jobs or []) == left
        else:
            assert one == first or not left


def test_children_that_go_drop_what_waits_and_finish_what_is_on() -> None:
    parent = record(id="A")
    waits = run("w", at(0), State.WAITING, Trigger.PARENT, job_id="B")
    child = replace(linked("B", ("A",)), open=(run("r", trigger=Trigger.PARENT, job_id="B"), waits))
    changes = {change.record.id: change for change in register.delete("A", Jobs(parent, child), at(1))}
    assert [one.id for one in changes["B"].record.open] == ["r"]
    assert [(row.id, row.state, row.reason) for row in changes["B"].rows] == [("w", State.SKIPPED, "deleted")]


def test_decided_again_after_the_job_itself_is_gone_its_children_still_go() -> None:
    """Another daemon wrote a child in between: the second decision sees the job deleted and the child not."""
    there = jobs({"A": ((), ""), "B": (("A",), "")})
    there.records["A"] = replace(there.records["A"], deleted=at(1))
    changes = list(register.delete("A", there, at(1)))
    assert [(change.record.id, change.record.deleted) for change in changes] == [("B", at(1))]
