"""What is looked after beside the runs: what dead daemons left, what others write, whether the database is there."""

import logging

import trio

from kala import recovery, threads
from kala.clock import Clock
from kala.errors import KalaError, StoreRefused, StoreUnavailable
from kala.lease import TTL, Lease
from kala.pause import Pause
from kala.store import RETRY_LAST, Store, Threads

log = logging.getLogger(__name__)
SYNC = 1.0
"""Seconds between looks at what other daemons have written to a shared database."""

FAILING = 3
"""Rounds for which a lease cannot be renewed before the database is suspected: by then it has been tried again."""


class Upkeep:
    """`stop` is set when the daemon is to stop. `in_thread(function, *arguments)` runs a blocking call."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        clock: Clock,
        pause: Pause,
        *,
        shared: bool,
        stop: trio.Event,
        in_thread: Threads = threads.in_thread,
    ) -> None:
        self._store, self._lease, self._clock, self._pause = store, lease, clock, pause
        self._shared, self._stop, self._in_thread = shared, stop, in_thread

    async def take_over(self) -> bool:
        """Record what earlier starts could not, and decide what dead daemons left, before anything starts, however long
        the database is away; False when told to stop meanwhile."""
        told = False
        while not self._stop.is_set():
            try:
                await recovery.take_kept(self._store, self._clock)
                await recovery.take_over(self._store, self._lease, self._clock, self._in_thread)
            except (StoreUnavailable, StoreRefused, OSError) as fault:  # OSError: no descriptor to look for processes
                if isinstance(fault, KalaError):
                    self._store.suspect(fault)
                if not told:
                    log.error("what dead daemons left cannot be decided yet: %s", fault)
                told = True
                with trio.move_on_after(RETRY_LAST):
                    await self._stop.wait()
            else:
                return True
        return False

    async def run(self) -> None:
        """Runs until cancelled."""
        rounds = failing = 0
        while True:
            await trio.sleep(SYNC)
            rounds += 1
            failing = 0 if self._lease.fault is None else failing + 1
            if self._lease.fault is not None and failing >= FAILING:
                self._store.suspect(self._lease.fault)
            if self._store.fault is not None:
                await self._store.wait_up()
                failing = 0
            try:
                if self._pause.in_doubt:
                    await self._pause.load()
                if self._shared:
                    await self._store.sync()
                if rounds % (TTL // 3) == 0:
                    await recovery.take_over(self._store, self._lease, self._clock, self._in_thread)
            except (StoreUnavailable, StoreRefused) as fault:
                log.debug("other daemons cannot be looked after: %s", fault)
                self._store.suspect(fault)
            except OSError as fault:  # no descriptor to look for processes: nothing has been decided
                log.warning("processes of a dead daemon cannot be looked for yet: %s", fault)
