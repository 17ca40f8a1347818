"""How an import is cut into portions."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kala.portions import Portion, families, portions


def cut(jobs: dict[str, Any], **limits: int) -> list[Portion]:
    return list(portions({name: msgspec.Raw(json.dumps(one).encode()) for name, one in jobs.items()}, **limits))


def names(portion: Portion) -> list[str]:
    return list(json.loads(portion.data)["jobs"])


ids = [f"job {number}" for number in range(12)]
graphs = st.fixed_dictionaries(
    {
        one: st.fixed_dictionaries(
            {
                "parent_jobs": st.none() | st.lists(st.sampled_from([*ids, "gone"]), max_size=2),
                "on_failure_job": st.sampled_from(["", "", *ids, "gone"]),
            }
        )
        for one in ids
    }
)


@given(jobs=graphs, most=st.integers(1, 13))
def test_what_belongs_together_stays_together_in_order(jobs: dict[str, Any], most: int) -> None:
    found = cut(jobs, most=most)
    place = {name: number for number, portion in enumerate(found) for name in names(portion)}
    assert sorted(place) == sorted(ids)
    assert sum(portion.jobs for portion in found) == len(ids)
    for name, one in jobs.items():
        for parent in one["parent_jobs"] or ():
            assert place.get(parent, place[name]) == place[name]
        assert place.get(one["on_failure_job"], 0) <= place[name]


@given(jobs=graphs)
def test_only_what_cannot_be_cut_is_too_large(jobs: dict[str, Any]) -> None:
    for portion in cut(jobs, most=2):
        if portion.jobs > 2:
            inside = {name: jobs[name] for name in names(portion)}
            assert [one.jobs for one in cut(inside, most=1)] == [portion.jobs]


def test_full_portions() -> None:
    jobs: dict[str, Any] = {str(number): {} for number in range(1_001)}
    assert [portion.jobs for portion in cut(jobs)] == [500, 500, 1]
    assert [portion.jobs for portion in cut({one: {"command": "x" * 100} for one in "abc"}, most_bytes=250)] == [2, 1]


def test_what_cannot_be_read_is_left_to_whoever_takes_it() -> None:
    jobs = {"a": {"parent_jobs": 5}, "b": None, "c": {"parent_jobs": ["a"]}}
    assert [portion.jobs for portion in cut(jobs)] == [3]
    assert cut({}) == []


def test_a_long_line_of_jobs() -> None:
    length = 50_000  # deeper than Python's own stack
    links = {str(number): [str(number + 1)] for number in range(length)} | {str(length): []}
    assert [len(family) for family in families(links)] == [1] * (length + 1)
    assert next(families(links)) == [str(length)]
    links[str(length)] = ["0"]
    assert [len(family) for family in families(links)] == [length + 1]
