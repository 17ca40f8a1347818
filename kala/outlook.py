"""What is to come, for whoever asks: worked out in slices, once for all who ask meanwhile, and good for a while."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import trio

from kala.clock import Clock, Moment
from kala.forecast import Due, Load
from kala.slices import in_slices
from kala.store import Store

AT_ONCE = 20
"""Jobs that are looked at before the time is: each takes 2 to 50 µs."""
KNOWN = 30.0
"""Seconds for which an answer is good, while no job is saved or deleted."""
SOON = 2.0
"""Seconds for which it is good in any case, or `SHARE` times what it took: so it never takes more of the loop."""
SHARE = 10
ANSWERS = 4
"""So many different ones are kept. One that names all of a hundred thousand jobs has 15 MB."""


class _Kept(NamedTuple):
    answer: Load | Due
    edits: int  # when it was begun
    soon: float  # good in any case until then, by Trio's clock
    until: float


class Outlook:
    """`edits` says how often a job has been saved or deleted."""

    def __init__(self, store: Store, clock: Clock, edits: Callable[[], int]) -> None:
        self._store, self._clock, self._edits = store, clock, edits
        self._one_by_one = trio.Lock()
        self._kept: dict[tuple[str, Moment, int], _Kept] = {}

    async def load(self, since: Moment, minutes: int) -> Load:
        """What comes in each minute. Raises `StoreUnavailable` before the jobs are loaded."""
        answer = await self._known("load", since, minutes)
        assert isinstance(answer, Load)  # noqa: S101  # by its key
        return answer

    async def due(self, since: Moment, until: Moment) -> Due:
        """Which jobs have occurrences from `since` until before `until`. Raises `StoreUnavailable` before the jobs are
        loaded."""
        answer = await self._known("due", since, until)
        assert isinstance(answer, Due)  # noqa: S101  # by its key
        return answer

    async def _known(self, kind: str, since: Moment, end: int) -> Load | Due:
        self._store.demand_loaded()
        key = (kind, since, end)
        async with self._one_by_one:
            begun, edits = trio.current_time(), self._edits()
            kept = self._kept.pop(key, None)
            if kept is None or begun >= kept.until or (edits != kept.edits and begun >= kept.soon):
                answer = await self._worked_out(kind, since, end)
                ended = trio.current_time()
                kept = _Kept(answer, edits, ended + max(SOON, SHARE * (ended - begun)), ended + KNOWN)
            self._kept[key] = kept
            while len(self._kept) > ANSWERS:
                del self._kept[next(iter(self._kept))]
            return kept.answer

    async def _worked_out(self, kind: str, since: Moment, end: int) -> Load | Due:
        now = self._clock.now()
        if kind == "load":
            load = Load(now, since, end)
            await in_slices(self._each(load))
            await in_slices(load.finish())
            return load
        due = Due(now, since, end)
        await in_slices(self._each(due))
        due.close()
        return due

    def _each(self, answer: Load | Due) -> Iterator[None]:
        """Jobs that go meanwhile are passed over."""
        jobs = self._store.roster.jobs
        for number, job_id in enumerate(list(jobs)):
            if (record := jobs.get(job_id)) is not None:
                answer.add(record)
            if number % AT_ONCE == 0:
                yield
