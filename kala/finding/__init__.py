"""Finding jobs among all: what meets conditions, in an order, in pages.

What is needed for that is made when it is first asked for, in slices, brought up to date whenever it is asked for
again, and dropped when nobody has asked for some minutes: who never asks pays nothing. Meanwhile the roster notes which
jobs change.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import trio

from kala.errors import JobNotFound
from kala.finding.conditions import Condition
from kala.finding.table import Table
from kala.slices import in_slices
from kala.store.roster import Roster

KEPT = 300.0
"""Seconds without a question after which what answers it is dropped."""
AT_ONCE = 50
"""Changed jobs in a step: each takes some microseconds an order."""


class Found(NamedTuple):
    """The ids of jobs, in order, and how many there are on all pages."""

    ids: list[str]
    total: int


class Finder:
    """Of all jobs of a roster, which must be loaded."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._one_by_one = trio.Lock()
        self._table: Table | None = None
        self._noted: dict[str, bool] = {}  # by the roster
        self._changed = deque[tuple[str, bool]]()  # the same, noted before: what the table does not know yet either
        self._made, self._asked = trio.Event(), 0.0

    async def find(
        self, conditions: Sequence[Condition], sort: str, *, backwards: bool, after: str | None, most: int | None
    ) -> Found:
        """The jobs that meet all conditions, by one of `orders.KEYS`, `most` of them; with `after` those that follow
        this one, which may have been deleted lately. Raises `JobNotFound` for an `after` that is not known."""
        async with self._one_by_one:
            self._asked = trio.current_time()
            self._made.set()
            table = self._table
            if table is None or table.is_sparse:
                self._drop()
                self._roster.changed = self._noted = {}
                table = Table(self._roster.jobs)
                await in_slices(table.begin())
                self._table = table
            await in_slices(table.prepare(conditions, sort))
            await in_slices(self._applied(table))
            place = None if after is None else self._roster.get(after)
            if place is None and after is not None:
                raise JobNotFound(after)
            marks, found = table.matching(conditions), list[str]()
            total = marks.count(1)
            await in_slices(self._gathered(table.walk(marks, sort, backwards, place), found, most))
            return Found(found[:most], total)

    def _applied(self, table: Table) -> Iterator[None]:
        while self._noted or self._changed:
            self._changed += self._noted.items()
            self._noted.clear()
            for _ in range(min(AT_ONCE, len(self._changed))):
                table.apply(*self._changed.popleft())
            yield

    def _gathered(self, pieces: Iterator[Sequence[str]], found: list[str], most: int | None) -> Iterator[None]:
        for piece in pieces:
            found += piece
            if most is not None and len(found) >= most:
                break
            yield

    async def run(self) -> None:
        """Drop what nobody has asked for. Runs until cancelled."""
        while True:
            await self._made.wait()
            while trio.current_time() < self._asked + KEPT:  # noqa: ASYNC110  # it grows with each question
                await trio.sleep_until(self._asked + KEPT)
            async with self._one_by_one:
                if self._asked + KEPT <= trio.current_time():
                    self._made, table = trio.Event(), self._table
                    self._drop()
                    if table is not None:
                        await in_slices(table.dismantle())

    def _drop(self) -> None:
        self._roster.changed = self._table = None
        self._changed.clear()
