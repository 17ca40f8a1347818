"""Cutting JSON as it comes: the same elements, whatever the pieces."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.web.elements import LARGEST, Broken, Cutter, Items, Lines

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(['"', "\\", ",]}[{", "é\u2028", "\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def cut(cutter: Cutter, data: bytes, sizes: list[int]) -> tuple[list[tuple[int, bytes]], str]:
    """The elements and the fault, when the data comes in pieces of these sizes, again and again."""
    found: list[tuple[int, bytes]] = []
    at = 0
    try:
        while at < len(data):
            for size in sizes or [len(data)]:
                found += cutter.feed(data[at : at + size])
                at += size
        found += cutter.end()
    except Broken as broken:
        return found, str(broken)
    return found, ""


@settings(deadline=None, max_examples=200)
@given(st.lists(VALUES, max_size=5), st.lists(st.integers(1, 9), max_size=3), st.sampled_from([None, 1]), st.booleans())
def test_an_array_is_cut_into_its_elements(
    values: list[object], sizes: list[int], indent: int | None, ascii_only: bool
) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    found, fault = cut(Items(), b" \r\n" + data + b"\n ", sizes)
    assert fault == ""
    assert [(number, json.loads(element)) for number, element in found] == list(enumerate(values, 1))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.none() | VALUES.map(lambda one: [one]), max_size=5), st.lists(st.integers(1, 9), max_size=3))
def test_lines_are_cut_and_empty_ones_count(values: list[object], sizes: list[int]) -> None:
    data = b"\r\n".join(b"  " if one is None else json.dumps(one).encode() for one in values)
    found, fault = cut(Lines(), data, sizes)
    assert fault == ""
    assert [(number, json.loads(element)) for number, element in found] == [
        (number, one) for number, one in enumerate(values, 1) if one is not None
    ]


@settings(deadline=None)
@given(
    st.binary(max_size=40) | st.text('[]{},"\\ a1', max_size=40).map(str.encode),
    st.lists(st.integers(1, 5), max_size=3),
)
def test_whatever_comes_the_pieces_make_no_difference(data: bytes, sizes: list[int]) -> None:
    for kind in (Items, Lines):
        assert cut(kind(), data, sizes) == cut(kind(), data, [])


@pytest.mark.parametrize(
    ("data", "whole", "fault"),
    [
        (b"[]", 0, ""),
        (b"[ ]\n", 0, ""),
        (b"[1,2]", 2, ""),
        (b"", 0, "1: the array breaks off"),
        (b"[", 0, "1: the array breaks off"),
        (b"[1,2", 1, "2: the array breaks off"),
        (b'[1,"', 1, "2: the array breaks off"),
        (b'[{"a":1},{"b":', 1, "2: the array breaks off"),
        (b"[1,]", 1, "2: nothing is there"),
        (b"[,1]", 0, "1: nothing is there"),
        (b"[1,,2]", 1, "2: nothing is there"),
        (b"[1] [2]", 1, "2: something follows"),
        (b"[1],", 1, "2: something follows"),
        (b"{}", 0, "1: this is no array"),
        (b'["%s"]' % (b"x" * LARGEST), 0, "1: larger than"),
        (b'[1,"%s' % (b"x" * LARGEST), 1, "2: larger than"),
        (b'["%s"]' % (b"x" * (LARGEST - 2)), 1, ""),
    ],
)
@pytest.mark.parametrize("sizes", [[], [60_000]])
def test_arrays_that_are_broken(data: bytes, whole: int, fault: str, sizes: list[int]) -> None:
    found, said = cut(Items(), data, sizes)
    assert len(found) == whole
    assert said.startswith(fault)
    assert bool(said) == bool(fault)


def test_a_line_that_is_too_large() -> None:
    for data in (b"1\n" + b"x" * (LARGEST + 1), b"1\n" + b"x" * (LARGEST + 1) + b"\n2\n"):
        found, said = cut(Lines(), data, [60_000])
        assert found == [(1, b"1")]
        assert said.startswith("2: larger than")


@pytest.mark.parametrize("kind", [Items, Lines])
def test_bytes_one_by_one_are_each_looked_at_once(kind: type[Cutter]) -> None:
    # a text of half a megabyte, a byte at a time: were it looked at from its beginning with each, this took hours
    data = b'["' + b"x\\\\" * 2**17 + b'"]'
    found, said = cut(kind(), data, [1])
    assert (len(found), said) == (1, "")
