"""Waiting runs that have their places now are made durable as claimed, in their order, so many at a time."""

from collections import deque
from collections.abc import Callable
from functools import partial

import outcome
import trio

from kala import ledger
from kala.admission import Begin
from kala.clock import Clock
from kala.errors import JobNotFound, Stale
from kala.job import Record
from kala.lease import Lease
from kala.ledger import Change
from kala.pools import Line
from kala.store import Store
from kala.store.draft import Draft
from kala.tasks import Tasks

AT_ONCE = 128
"""Beginnings that may be on their way to the database: others are not to wait behind more of them."""
Begun = Callable[[Begin, outcome.Outcome[list[Change]]], None]


class Beginning:
    """Owns the waiting runs that have their places. `is_of` says whether places are those that a job needs; `begun`
    hears what came of each. While the database is away they keep their places, and wait."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        lease: Lease,
        tasks: Tasks,
        is_of: Callable[[Line, Record], bool],
        begun: Begun,
    ) -> None:
        self._store, self._clock, self._lease, self._tasks = store, clock, lease, tasks
        self._is_of, self._begun = is_of, begun
        self._waiting: deque[Begin] = deque()
        self._are_begun = False  # there is a task for these
        self._on_their_way = 0
        self._some_came, self._all_came = trio.Event(), trio.Event()

    def add(self, begin: Begin) -> None:
        """It has its places: let it begin."""
        self._waiting.append(begin)
        if not self._are_begun:
            self._are_begun = True
            self._tasks.nursery.start_soon(self._begin_all)

    def clear(self) -> list[Begin]:
        """Nothing is to begin: those that would have, but for what is on its way."""
        left = list(self._waiting)
        self._waiting.clear()
        return left

    async def wait_none(self) -> None:
        """Return when nothing is on its way to the database."""
        while self._on_their_way:
            self._all_came = trio.Event()
            await self._all_came.wait()

    async def _begin_all(self) -> None:
        with self._tasks.until_stopping():
            while self._waiting and not self._tasks.held:
                await self._store.wait_up()
                while self._waiting and self._may_go():
                    self._begin(self._waiting.popleft())
                if self._waiting and self._on_their_way >= AT_ONCE:
                    self._some_came = trio.Event()
                    await self._some_came.wait()
        self._are_begun = False

    def _may_go(self) -> bool:
        return self._on_their_way < AT_ONCE and self._store.fault is None and not self._tasks.held

    def _begin(self, begin: Begin) -> None:
        def decide(draft: Draft) -> tuple[Change]:
            if self._tasks.held:
                raise Stale("nothing is started now")
            if (record := draft.any(begin.job_id)) is None:
                raise JobNotFound(begin.job_id)
            if not self._is_of(begin.line, record):
                raise Stale("it needs other places: its job has got other labels")
            return (ledger.begin(record, run_id=begin.run_id, instance=self._lease.id, now=self._clock.now()),)

        self._store.submit(decide, partial(self._came, begin))
        self._on_their_way += 1

    def _came(self, begin: Begin, came: outcome.Outcome[list[Change]]) -> None:
        """Called by the writer."""
        self._on_their_way -= 1
        if self._on_their_way <= AT_ONCE // 2:
            self._some_came.set()
        self._begun(begin, came)
        if not self._on_their_way:
            self._all_came.set()
