"""All jobs by their places, which are those of their coming, and columns beside them: sorted orders, and what meets a
condition. Plain data; what takes long is a generator of steps (`slices.py`)."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import compress
from operator import and_
from typing import Any

from kala.finding.columns import Column, Mask, Values
from kala.finding.conditions import Condition
from kala.finding.orders import CREATED, KEYS, Order
from kala.job import Record

AT_ONCE = 400
"""Jobs in a step."""
LOOKED_THROUGH = 4_000
"""Places in a step of what looks at marks alone."""
MASKS = 12
"""Conditions of which it is kept what meets them, the latest ones: a byte a job each."""


class Table:
    """`jobs` are the records by id, as they are at any time. What has changed there is told by `apply`."""

    def __init__(self, jobs: Mapping[str, Record]) -> None:
        self._jobs = jobs
        self.ids = list(jobs)  # by place; empty where the job has gone
        self._places: dict[str, int] = {}
        self._there = bytearray()  # by place: whether the job has not gone
        self._masks: dict[Condition, Mask] = {}
        self._orders: dict[str, Order] = {}
        self._values: dict[str, Values] = {}  # by the kinds of conditions

    @property
    def is_sparse(self) -> bool:
        """Most of its jobs have gone: it is better made anew."""
        return len(self.ids) > 2 * len(self._places) + 1_000

    @property
    def _columns(self) -> Iterator[Column]:
        yield from self._values.values()  # these first: masks are made from them
        yield from self._masks.values()
        yield from self._orders.values()

    # Making it, and keeping it.

    def begin(self) -> Iterator[None]:
        """To be called once, first of all."""
        for first in range(0, len(self.ids), AT_ONCE):
            ids = self.ids[first : first + AT_ONCE]
            self._places.update(zip(ids, range(first, first + len(ids)), strict=True))
            self._there += b"\1" * len(ids)
            yield

    def prepare(self, conditions: Iterable[Condition], sort: str) -> Iterator[None]:
        """Have the columns for these. When it is not taken to its end, the one under way is as if never begun."""
        for condition in conditions:
            mask = self._masks.pop(condition, None)
            if mask is None:
                if condition.kind not in self._values:
                    values = Values(condition.kind)
                    yield from self._filled(values)
                    self._values[condition.kind] = values
                mask = Mask(condition, self._values[condition.kind])
                yield from self._filled(mask)
            self._masks[condition] = mask
        for condition in list(self._masks)[:-MASKS]:
            del self._masks[condition]
        if sort != CREATED and sort not in self._orders:
            order = Order(sort)
            yield from self._filled(order)
            self._orders[sort] = order

    def _filled(self, column: Column) -> Iterator[None]:
        for first in range(0, len(self.ids), AT_ONCE):
            column.fill(self.ids[first : first + AT_ONCE], self._jobs)
            yield

    def dismantle(self) -> Iterator[None]:
        """Give its memory back by parts; afterwards it is of no use."""
        columns: dict[Any, Any]
        for columns in (self._masks, self._values, self._orders):
            while columns:
                columns.popitem()
                yield

    def apply(self, job_id: str, is_new: bool) -> None:
        """A job has changed, come or gone; `is_new`: it has come, though one with its id may have been there."""
        record, place = self._jobs.get(job_id), self._places.get(job_id)
        if place is not None and (is_new or record is None):
            self.ids[place] = ""
            self._there[place] = 0
            del self._places[job_id]
            self._put(place, None)
            place = None
        if record is None:
            return
        if place is None:
            place = self._places[job_id] = len(self.ids)
            self.ids.append(job_id)
            self._there.append(1)
        self._put(place, record)

    def _put(self, place: int, record: Record | None) -> None:
        for column in self._columns:
            column.put(place, record)

    # Asking.

    def matching(self, conditions: Sequence[Condition]) -> bytes:
        """A byte for each place: whether its job meets all of these, which were prepared."""
        masks = [self._there, *(self._masks[condition].marks for condition in conditions)]
        return reduce(and_, (int.from_bytes(marks, "little") for marks in masks)).to_bytes(len(self.ids), "little")

    def walk(self, marks: bytes, sort: str, backwards: bool, after: Record | None) -> Iterator[Sequence[str]]:
        """The ids of the jobs that are marked, in order, some at a time; with `after` those that follow it, which may
        have gone."""
        if sort == CREATED:
            yield from self._walk_places(marks, backwards, after)
            return
        ids, order = self.ids, self._orders[sort]
        for entries in order.walk(None if after is None else KEYS[sort](after), backwards):
            yield [ids[entry[-1]] for entry in entries if marks[entry[-1]]]

    def _walk_places(self, marks: bytes, backwards: bool, after: Record | None) -> Iterator[Sequence[str]]:
        begin, end = 0, len(self.ids)
        if after is not None:
            place = self._places.get(after.id)
            if place is not None:
                begin, end = (begin, place) if backwards else (place + 1, end)
            else:
                place = yield from self._place_behind(after)
                begin, end = (begin, place) if backwards else (place, end)
        if not backwards:
            while (begin := marks.find(1, begin, end)) >= 0:  # what is far apart is soon found
                last = min(begin + LOOKED_THROUGH, end)
                yield list(compress(self.ids[begin:last], marks[begin:last]))
                begin = last
        else:
            while end := marks.rfind(1, begin, end) + 1:
                first = max(end - LOOKED_THROUGH, begin)
                yield list(compress(self.ids[first:end], marks[first:end]))[::-1]
                end = first

    def _place_behind(self, gone: Record) -> Generator[Sequence[str], None, int]:
        """Where the jobs begin that were created after one that has gone."""
        for place, job_id in enumerate(self.ids):
            record = self._jobs.get(job_id)
            if record is not None and record.created > gone.created:
                return place
            if place % AT_ONCE == 0:
                yield ()
        return len(self.ids)
