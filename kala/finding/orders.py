"""The orders that jobs can be listed in, and each kept in order while jobs change."""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kala.clock import Moment
from kala.job import Record
from kala.wire.jobjson import next_run_at

Key = tuple[Any, ...]
PART = 500
"""Entries of a part of an order, up to twice as many: entering one moves some 4 KB."""


def _placed(record: Record) -> Key:
    return record.created, record.id


def _or_last(moment: Moment | None) -> tuple[bool, Moment]:
    return moment is None, moment or 0


CREATED = "created"
KEYS: dict[str, Callable[[Record], Key]] = {
    CREATED: _placed,
    "name": lambda record: (*_folded(record.job.name), *_placed(record)),
    "owner": lambda record: (*_folded(record.job.owner), *_placed(record)),
    "next_run_at": lambda record: (*_or_last(next_run_at(record)), *_placed(record)),
    "last_attempted_run": lambda record: (*_or_last(record.last_attempted), *_placed(record)),
}
"""What jobs are sorted by: no two have the same key."""
MOMENTS = frozenset({"next_run_at", "last_attempted_run"})
"""What has no such moment comes last, backwards as well."""
WITHOUT = (True,)
"""Comes before the keys, by one of `MOMENTS`, of all that has none, and after all others."""


def _folded(text: str) -> tuple[str, str]:
    folded = text.casefold()
    return (text, text) if folded == text else (folded, text)  # mostly they are the same: one is kept


class Order:
    """Jobs by the key of their records, each with its place (a column, as in `columns.py`): a list of sorted lists."""

    def __init__(self, sort: str) -> None:
        self._key, self._has_last = KEYS[sort], sort in MOMENTS
        self._entries: list[Key | None] = []  # by place: what stands for it in the parts, key and place
        self._parts: list[list[Key]] = [[]]
        self._firsts: list[Key] = []  # of all parts but the first, which takes what comes before those

    def fill(self, ids: Sequence[str], jobs: Mapping[str, Record]) -> None:
        for record in map(jobs.get, ids):
            self.put(len(self._entries), record)

    def put(self, place: int, record: Record | None) -> None:
        entry = None if record is None else (*self._key(record), place)
        if place == len(self._entries):
            self._entries.append(None)
        before = self._entries[place]
        if entry == before:
            return
        if before is not None:
            self._take_out(before)
        if entry is not None:
            self._enter(entry)
        self._entries[place] = entry

    def _enter(self, entry: Key) -> None:
        number = bisect_right(self._firsts, entry)
        part = self._parts[number]
        insort(part, entry)
        if len(part) > 2 * PART:
            self._parts.insert(number + 1, part[PART:])
            self._firsts.insert(number, part[PART])
            del part[PART:]

    def _take_out(self, entry: Key) -> None:
        number = bisect_right(self._firsts, entry)
        part = self._parts[number]
        del part[bisect_left(part, entry)]
        if not part and number:
            del self._parts[number], self._firsts[number - 1]

    def walk(self, after: Key | None, backwards: bool) -> Iterator[list[Key]]:
        """The entries in order, some at a time, those that follow the key `after` (None: all). The last of each is the
        place."""
        if not backwards:
            # behind the entry that begins with that key
            yield from self._span(None if after is None else (*after, math.inf), None, False)
        elif self._has_last and after is not None and after >= WITHOUT:
            yield from self._span(WITHOUT, after, True)
        else:
            yield from self._span(None, after or (WITHOUT if self._has_last else None), True)
            if self._has_last:
                yield from self._span(WITHOUT, None, True)

    def _span(self, low: Key | None, high: Key | None, backwards: bool) -> Iterator[list[Key]]:
        """From `low` on until before `high`; None: without an end."""
        first = 0 if low is None else bisect_right(self._firsts, low)
        last = len(self._parts) - 1 if high is None else bisect_right(self._firsts, high)
        for number in range(last, first - 1, -1) if backwards else range(first, last + 1):
            part = self._parts[number]
            begin = bisect_left(part, low) if low is not None and number == first else 0
            end = bisect_left(part, high) if high is not None and number == last else len(part)
            yield part[begin:end][:: -1 if backwards else 1]
