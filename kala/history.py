"""Runs and non-runs, those that are open and those that have ended, as one list: the newest first."""

import re
from collections.abc import Callable
from heapq import nlargest

import trio
from msgspec import Struct

from kala.clock import Moment
from kala.drivers.contract import RunQuery
from kala.errors import Invalid, RunNotFound, StoreRefused, StoreUnavailable
from kala.job import OnNow, Run, replace
from kala.states import OPEN, State
from kala.store import Store
from kala.store.roster import Roster

IN_MEMORY, ENDED = "o", "h"
"""How the tokens of pages begin: where the next page goes on."""
AT_ONCE = 1_000
"""Records that are looked at without a pause: under a millisecond. After a time in which nothing was up, every job may
have a range that grows."""
_PLACE = re.compile("[0-9]{20}.+")


class Page(Struct, frozen=True):
    """Runs, and the token of the next page (None: that was all). `stale`: the database is away, and of what has ended
    nothing is here."""

    runs: list[Run]
    next: str | None
    stale: bool = False


class History:
    """Reads what is in memory and in the database. `started` says since when an attempt of a run is on here, and
    `why_waits` for which place one waits here that may begin."""

    def __init__(
        self,
        store: Store,
        started: Callable[[str], Moment | None],
        why_waits: Callable[[str], str | None] = lambda run_id: None,
    ) -> None:
        self._store, self.started, self._why_waits = store, started, why_waits

    @property
    def _roster(self) -> Roster:
        return self._store.roster

    async def run(self, run_id: str) -> Run:
        """Raises `RunNotFound`, `StoreUnavailable`."""
        self._store.demand_loaded()
        if (run := self.open_run(run_id) or await self._store.run(run_id) or self.open_run(run_id)) is None:
            raise RunNotFound(run_id)
        return run

    def open_run(self, run_id: str) -> Run | None:
        """A run, or a growing range, that is not in the history yet."""
        found = self._roster.run(run_id)
        return None if found is None else self.as_it_is(found[1])

    def on_now(self, run_id: str) -> OnNow | None:
        """The attempt of a run that is on here."""
        if (started := self.started(run_id)) is None:
            return None
        live = self._store.outputs.get(run_id)
        return OnNow(started, 0 if live is None else live.size)

    async def page(self, query: RunQuery) -> Page:
        """What is open or grows comes before what has ended. A run that ends between two pages may be in both; none
        is left out. While the database is away a page with open ones is `stale`, and its `next` goes on with the rest.

        Raises `StoreUnavailable` when there is nothing else to show, and `Invalid` for an `after` that no page gave.
        """
        self._store.demand_loaded()
        runs: list[Run] = []
        where, token = (query.after[:1], query.after[1:]) if query.after is not None else (IN_MEMORY, "")
        if where not in (IN_MEMORY, ENDED) or (where == IN_MEMORY and token and not _PLACE.fullmatch(token)):
            raise Invalid({"after": "is not the `next` of a page"})
        if where == IN_MEMORY:
            runs = await self._in_memory(query, token)
            if len(runs) > query.limit:
                runs = runs[: query.limit]
                return Page(runs, IN_MEMORY + _place(runs[-1]))
            token = ""
        ended = None if query.states is None else query.states - OPEN
        left = query.limit - len(runs)
        if (ended is not None and not ended) or not left:
            return Page(runs, None if ended is not None and not ended else ENDED)
        try:
            page = await self._store.runs(replace(query, states=ended, after=token or None, limit=left))
        except (StoreUnavailable, StoreRefused):
            if not runs:
                raise
            return Page(runs, ENDED, stale=True)
        known = {run.id for run in runs}
        found = [*runs, *(run for run in page.runs if run.id not in known)]
        return Page(found, None if page.next is None else ENDED + page.next)

    async def _in_memory(self, query: RunQuery, token: str) -> list[Run]:
        """The first of them after `token`, one more than a page has. What ends meanwhile is in the history by then."""
        found: list[Run] = []
        jobs = self._roster.unfinished() if query.job_id is None else [query.job_id]
        for first in range(0, len(jobs), AT_ONCE):
            await trio.lowlevel.checkpoint()
            for one in jobs[first : first + AT_ONCE]:
                runs = map(self.as_it_is, self._roster.runs(one))
                fitting = [run for run in runs if query.fits(run.state, run.scheduled_for)]
                found += [run for run in fitting if not token or _place(run) < token]
            found = nlargest(query.limit + 1, found, key=_place)
        return found

    def as_it_is(self, run: Run) -> Run:
        """A record does not know that an attempt is on, and for what it waits now that its turn has come."""
        if run.state is State.CLAIMED and self.started(run.id) is not None:
            return replace(run, state=State.RUNNING)
        if run.state is State.WAITING and (reason := self._why_waits(run.id)) is not None:
            return replace(run, reason=reason)
        return run


def _place(run: Run) -> str:
    return f"{run.created:020d}{run.id}"
