"""Values that are not to be seen, replaced as they pass in whatever pieces."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.masking import Mask
from kala.tail import Tail


def expected(data: bytes, values: Sequence[bytes]) -> bytes:
    """By definition: every byte that belongs to a value, where values that overlap are one."""
    shown, end = b"", 0
    places = sorted((at, at + len(v)) for v in values for at in range(len(data)) if data.startswith(v, at))
    for start, stop in places:
        if start >= end:
            shown += data[end:start] + b"***"
        end = max(end, stop)
    return shown + data[end:]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(at)]


ALIKE = st.lists(st.sampled_from(b"ab"), min_size=6, max_size=12).map(bytes)  # overlapping, nested, repeating
VALUES = st.lists(ALIKE, min_size=1, max_size=4)


@given(VALUES, st.data(), st.lists(st.integers(0, 400), max_size=60))
def test_the_pieces_do_not_matter(values: list[bytes], data: st.DataObject, places: list[int]) -> None:
    words = st.one_of(st.sampled_from(values), st.lists(st.sampled_from(b"abx"), max_size=8).map(bytes))
    text = b"".join(data.draw(st.lists(words, max_size=20)))
    mask, shown = Mask(values), b""
    for piece in cut(text, places):
        shown += mask.feed(piece)
        assert len(mask._held) < max(map(len, values))
    shown += mask.feed(b"", last=True)
    assert shown == expected(text, values)
    assert mask.feed(b"", last=True) == b""


def test_what_cannot_begin_a_value_is_not_held_back() -> None:
    mask = Mask([b"x" * 1_000, b"password"])
    assert mask.feed(b"progress 1%\r") == b"progress 1%\r"
    assert mask.feed(b"progress 2%, pass") == b"progress 2%, "
    assert mask.feed(b"ed\n") == b"passed\n"
    assert mask.feed(b"pass") == b""
    assert mask.feed(b"word") == b"***"


@pytest.mark.parametrize(
    ("values", "text", "shown"),
    [
        ([b"abcdef", b"abcdefgh"], b"abcdefgh abcdef abcdefg", b"*** *** ***g"),
        ([b"abcdefghijkl", b"cdefgh"], b"-abcdefghijkl-", b"-***-"),
        ([b"abcdef", b"defxyz"], b"-abcdefxyz-", b"-***-"),
        ([b"abcdef"], b"abcdefabcdef", b"******"),
        ([b"ababab"], b"abababab", b"***"),
        ([b"short"], b"short", b"short"),
        ([b"line 1\nline 2"], b"line 1\nline 2\nline 1", b"***\nline 1"),
        ([], b"abcdef", b"abcdef"),
    ],
)
def test_what_is_masked(values: list[bytes], text: bytes, shown: bytes) -> None:
    assert Mask(values).feed(text, last=True) == shown
    mask = Mask(values)
    assert b"".join(mask.feed(text[at : at + 1]) for at in range(len(text))) + mask.feed(b"", last=True) == shown


def test_a_sentence_that_was_cut_off_shows_no_beginning() -> None:
    mask = Mask([b"correct-horse-battery"])
    assert mask.text("no such program: correct-horse-battery") == "no such program: ***"
    assert mask.text("no such program: correct-hor…, too long") == "no such program: ***…, too long"
    assert mask.text("half a pair: \ud800, and correct-horse-battery") == "half a pair: ?, and ***"
    assert mask.text("half a pair: \ud800") == "half a pair: \ud800"


@pytest.mark.parametrize("first", [False, True])
def test_a_tail_keeps_and_counts_what_the_mask_gives(first: bool) -> None:
    tail = Tail(8, Mask([b"password"]))
    add = tail.add_first if first else tail.add
    add(b"the pass")
    assert tail.last() == (0, b"the ")
    add(bytearray(b"word is pass"))
    assert tail.size == len(b"the *** is ")
    tail.finish(first=first)
    assert tail.size == len(b"the *** is pass")
    assert tail.last()[1] == (b"the *** " if first else b" is pass")
