"""What is removed with time: history beyond what is kept, tombstones, and one-off jobs that are long done."""

import logging

import trio

from kala import register
from kala.clock import SECOND, Clock, Moment
from kala.errors import KalaError, StoreRefused, StoreUnavailable
from kala.job import Record
from kala.ledger import Change
from kala.logs import fields
from kala.store import Store
from kala.store.draft import Draft

log = logging.getLogger(__name__)
EVERY = 60 * SECOND
SLICE = 1000
"""Records looked at before others get their turn."""


class Housekeeping:
    """Keeps `keep` ended runs a job, history for `history_age`, done jobs for `done_ttl` (microseconds; None: ever),
    and `output_total` bytes of what was printed (0: all)."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        keep: int,
        history_age: int | None,
        output_total: int,
        done_ttl: int | None,
    ) -> None:
        self._store, self._clock = store, clock
        self._keep, self._history_age, self._done_ttl = keep, history_age, done_ttl
        self._output_total = output_total

    async def run(self) -> None:
        """Tidy every minute. A database that is away is tidied when it is back."""
        while True:
            await self._clock.sleep_until(self._clock.now() + EVERY)
            await self._store.wait_up()
            try:
                await self.tidy()
            except (StoreUnavailable, StoreRefused) as fault:
                log.debug("housekeeping was put off: %s", fault)  # the store tells of it
            except KalaError as fault:
                log.warning("housekeeping was put off: %s", fault)

    async def tidy(self) -> None:
        """Once. Raises `StoreUnavailable`."""
        now = self._clock.now()
        grown, self._store.grown = self._store.grown, set()
        try:
            older_than = None if self._history_age is None else now - self._history_age
            if grown or older_than is not None:
                await self._store.prune(sorted(grown), keep=self._keep, older_than=older_than)
        except KalaError:
            self._store.grown |= grown
            raise
        if self._output_total and (dropped := await self._store.trim_outputs(self._output_total)):
            log.info("the oldest outputs have been dropped", extra=fields(bytes=dropped))
        old = [record.id for record in self._store.roster.tombstones.values() if _is_forgotten(record, now)]
        if old:
            await self._store.transact(lambda draft: [register.purge(r, now) for one in old if (r := draft.any(one))])
            await self._store.forget(old)
        if self._done_ttl is not None:
            await self._drop_done(now, self._done_ttl)

    async def _drop_done(self, now: Moment, ttl: int) -> None:
        done = []
        for number, record in enumerate(list(self._store.roster.jobs.values())):
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
            if self._is_over(record, now - ttl):
                done.append(record.id)

        def decide(draft: Draft) -> list[Change]:
            still = [one for one in done if (record := draft.get(one)) and self._is_over(record, now - ttl)]
            return [change for one in still for change in register.delete(one, draft, now)]

        if done:
            await self._store.transact(decide)
            log.info("jobs that were done have been deleted", extra=fields(jobs=len(done)))

    def _is_over(self, record: Record, before: Moment) -> bool:
        """It is done since then, and no other job has to do with it."""
        return (
            record.is_done
            and not record.is_child
            and not record.outbox
            and not record.notices
            and (record.last_attempted or record.created) < before
            and not self._store.roster.children(record.id)
            and not self._store.roster.is_failure_job(record.id)
        )


def _is_forgotten(record: Record, now: Moment) -> bool:
    return (
        record.deleted is not None
        and not record.open
        and not record.notices
        and now - record.deleted >= register.TOMBSTONE
    )
