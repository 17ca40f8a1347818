"""Claimed runs start at their moment, in the order in which they were claimed, and a few at a time."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

from kala.clock import Clock, Moment
from kala.job import Run
from kala.pools import Line
from kala.tasks import Tasks

AT_ONCE = 16
"""Attempts that start before others have their turn: two milliseconds."""


class Claimed(NamedTuple):
    """A claimed run that has its places."""

    job_id: str
    run: Run
    places: Line


class Starting:
    """Owns the claimed runs that have no task yet. `attempts` is the life of one that starts; when nothing is to start
    any more, it is started all the same, and gives the run back. `room(more)` returns when it makes sense to start
    others; `more`: there are such."""

    def __init__(
        self,
        clock: Clock,
        tasks: Tasks,
        attempts: Callable[[str, Run, Line], Awaitable[None]],
        room: Callable[[bool], Awaitable[None]] | None = None,
    ) -> None:
        self._clock, self._tasks, self._attempts, self._room = clock, tasks, attempts, room
        self._moments: dict[Moment, list[Claimed]] = {}  # those whose moment is to come
        self._ready: deque[Claimed] = deque()  # those that start now
        self._are_starting = False  # there is a task for these

    def add(self, claimed: Claimed) -> None:
        """It starts when its moment has come. All of one moment share a timer."""
        moment = claimed.run.not_before
        if moment is None or moment <= self._clock.now():
            self._ready.append(claimed)
            self._start_soon()
        elif (others := self._moments.get(moment)) is not None:
            others.append(claimed)
        else:
            self._moments[moment] = [claimed]
            self._tasks.nursery.start_soon(self._ring, moment)

    async def _ring(self, moment: Moment) -> None:
        with self._tasks.until_stopping():
            await self._clock.sleep_until(moment, exactly=True)
        self._ready += self._moments.pop(moment)
        self._start_soon()

    def _start_soon(self) -> None:
        if not self._are_starting:
            self._are_starting = True
            self._tasks.nursery.start_soon(self._start)

    async def _start(self) -> None:
        """Each in a task of its own. Trio runs tasks in no order: only what is started here at once may change
        places."""
        while self._ready:
            for _ in range(min(AT_ONCE, len(self._ready))):
                self._tasks.nursery.start_soon(self._attempts, *self._ready.popleft())
            await trio.lowlevel.checkpoint()  # these run now
            if self._room is not None:
                await self._room(bool(self._ready) and not self._tasks.stopping)
        self._are_starting = False
