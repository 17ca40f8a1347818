"""What is being printed, from the thread that reads it to those who read along."""

import threading
from random import Random

import pytest

from kala.tail import CHUNK, Tail


def printed(size: int, start: int = 0) -> bytes:
    """Bytes that tell where they stand."""
    first = start // 8
    text = b"".join(b"%07d " % number for number in range(first, first + size // 8 + 2))
    return text[start - first * 8 :][:size]


@pytest.mark.parametrize("room", [0, 70_000])
@pytest.mark.parametrize("limit", [0, 1, 100, CHUNK])
@pytest.mark.parametrize("size", [0, 1, 100, 101, CHUNK, 3 * CHUNK, 7 * CHUNK + 5])
def test_the_last_bytes_are_kept_whatever_the_pieces(size: int, limit: int, room: int) -> None:
    random, tail = Random(size), Tail(limit)
    tail.room = room
    while tail.size < size:
        tail.add(printed(min(random.choice([1, 100, CHUNK]), size - tail.size), tail.size))
        assert len(tail.kept[1]) <= 2 * max(limit, room) + CHUNK
        held, data = tail.read(0, tail.size)
        assert data == printed(len(data), held)
        assert held + len(data) == tail.end == tail.size
        assert len(data) >= min(max(limit, room), tail.size)
    assert tail.last() == (size - min(size, limit), printed(size)[-limit:] if limit else b"")


@pytest.mark.parametrize("limit", [0, 1, 100, 1_000])
def test_or_the_first(limit: int) -> None:
    tail = Tail(limit)
    for start in range(0, 990, 99):
        tail.add_first(printed(99, start))
        assert tail.end == min(tail.size, limit)
        assert tail.last() == (0, printed(tail.end))
    assert tail.size == 990


def test_reading_along_goes_on_from_any_place() -> None:
    tail = Tail(CHUNK)
    tail.add(printed(1000))
    assert tail.read(10, 5) == (10, printed(5, 10))
    assert tail.read(990) == (990, printed(10, 990))
    assert tail.read(1000) == (1000, b"")
    tail.add(printed(4 * CHUNK, 1000))
    begin, data = tail.read(10, 5)
    assert (begin, data) == (tail.end - CHUNK, printed(5, tail.end - CHUNK))


def test_growth_is_told_once_until_it_was_heard_of() -> None:
    class Wanted(Tail):
        def is_wanted(self) -> bool:
            return True

    assert not Tail(10).add(b"x")
    for add in Wanted(10).add, Wanted(10).add_first:
        assert [add(b"x"), add(b"x")] == [True, False]
    tail = Wanted(10)
    tail.add(b"x")
    tail.told = False
    assert tail.add(b"x")


def test_what_is_read_beside_the_thread_that_adds_is_true() -> None:
    """Whatever the two meet at, a piece is what stands there, and where it says."""
    tail, over = Tail(1_000), threading.Event()

    def add() -> None:
        while not over.is_set():
            tail.add(printed(9_999, tail.size))

    thread = threading.Thread(target=add)
    thread.start()
    try:
        offset, passed = 0, 0
        while passed < 100 or offset < 10_000_000:
            begin, data = tail.read(offset)
            assert begin >= offset
            assert data == printed(len(data), begin)
            passed += begin > offset
            offset = begin + len(data)
            kept_at, kept = tail.last()
            assert kept == printed(len(kept), kept_at)
    finally:
        over.set()
        thread.join()
