"""Circles: held to what a plain search from each one finds, and in time that grows with the ways alone."""

import time
from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kala.circles import circles, way_round

NAMES = st.sampled_from("abcdefgh")


def reached(ways: dict[str, list[str]], one: str) -> set[str]:
    """All that one leads to."""
    found: set[str] = set()
    todo = list(ways[one])
    while todo:
        if (other := todo.pop()) not in found:
            found.add(other)
            todo += ways[other]
    return found


@given(st.lists(st.tuples(NAMES, NAMES), max_size=20), st.lists(NAMES))
def test_each_that_leads_back_to_itself_is_with_all_that_do_so_over_it(
    edges: list[tuple[str, str]], starts: list[str]
) -> None:
    ways: dict[str, list[str]] = defaultdict(list)
    for one, other in edges:
        ways[one].append(other)
    known = set(starts).union(*(reached(ways, start) for start in starts))
    assert circles(starts, ways.__getitem__) == {
        one: {other for other in known if one in reached(ways, other) and other in reached(ways, one)}
        for one in known
        if one in reached(ways, one)
    }


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=20))
def test_a_way_round_is_one_and_within(edges: list[tuple[str, str]]) -> None:
    ways: dict[str, list[str]] = defaultdict(list)
    for one, other in edges:
        ways[one].append(other)
    for one, within in circles(list(ways), ways.__getitem__).items():
        way = way_round(one, within, ways.__getitem__)
        assert way[0] == way[-1] == one
        assert set(way) <= within
        assert all(after in ways[before] for before, after in pairwise(way))
        assert len(set(way)) == len(way) - 1


def test_a_line_and_a_circle_of_a_hundred_thousand() -> None:
    begun = time.monotonic()
    assert circles(["0"], lambda one: [str(int(one) + 1)] if one != "100000" else []) == {}
    found = circles(["0"], lambda one: [str((int(one) + 1) % 100_000)])
    assert len(found) == 100_000
    assert time.monotonic() - begun < 20  # of which it takes less than one
