"""What finished runs set off: the outboxes of the records, delivered one job after another."""

import logging
from collections.abc import Callable
from functools import partial

import trio

from kala import ledger
from kala.clock import Clock
from kala.errors import JobNotFound, KalaError, Stale, Stopping, StoreRefused, StoreUnavailable
from kala.job import Delivery, Record
from kala.lease import Lease
from kala.ledger import Change
from kala.logs import fields
from kala.store import RETRY_FIRST, Store
from kala.tasks import Tasks

log = logging.getLogger(__name__)


class Deliveries:
    """Owns a task for every outbox entry of this instance, and who waits for a run to settle."""

    def __init__(self, store: Store, clock: Clock, lease: Lease, tasks: Tasks) -> None:
        self._store, self._clock, self._lease, self._tasks = store, clock, lease, tasks
        self._owed: set[tuple[str, str]] = set()  # outbox entries that have a task here
        self._settled: dict[str, trio.Event] = {}
        self._over = False

    async def wait_settled(self, job_id: str, run_id: str) -> None:
        """Return when a run has ended, and all that it set off. Raises `Stopping` when the scheduler ends before."""
        record = self._store.roster.get(job_id)
        if record is not None and _is_on(record, run_id):
            if self._over:
                raise Stopping
            await self._settled.setdefault(run_id, trio.Event()).wait()
            if self._over:
                raise Stopping

    def let_go(self) -> None:
        """Nothing will settle any more: tell who waits."""
        self._over = True
        for event in self._settled.values():
            event.set()

    def settle(self, before: Record | None, after: Record | None) -> None:
        """A record has changed: wake who waits for what has settled by it."""
        if before is not None and self._settled:
            for run_id in (*(run.id for run in before.open), *(entry.run for entry in before.outbox)):
                if run_id in self._settled and (after is None or not _is_on(after, run_id)):
                    self._settled.pop(run_id).set()

    def look(self, record: Record) -> None:
        """Deliver what the record owes, and is not being delivered."""
        for entry in record.outbox:
            owed = (record.id, entry.run)
            if entry.instance == self._lease.id and owed not in self._owed:
                self._owed.add(owed)
                self._tasks.nursery.start_soon(self._deliver, *owed)

    async def _deliver(self, job_id: str, run_id: str) -> None:
        """Set off what a finished run owes, one job after another, each when the one before has settled."""
        unsure = False
        with self._tasks.until_stopping():
            while True:
                await self._lease.wait_valid()
                record = self._store.roster.get(job_id)
                entry = next((entry for entry in record.outbox if entry.run == run_id), None) if record else None
                if entry is None or entry.instance != self._lease.id:
                    break
                target = entry.to[0]
                caused = ledger.child_run_id(run_id, target)
                try:
                    if not ((entry.recovered or unsure) and await self._is_delivered(target, caused)):
                        await self._store.change(target, self._once(entry, job_id))
                    await self.wait_settled(target, caused)
                except JobNotFound:
                    pass  # it has been deleted since: nothing is owed to it
                except Stale:
                    unsure = True
                    continue
                except (StoreUnavailable, StoreRefused):
                    unsure = True
                    await self._store.wait_up()
                    await trio.sleep(RETRY_FIRST)  # it may be reading alone that fails
                    continue
                except KalaError as fault:
                    told = fields(job=target, parent_run=run_id)
                    log.error("what a run sets off cannot be delivered: %s", fault, extra=told)
                try:
                    await self._store.change(
                        job_id, partial(ledger.advance, run_id=run_id, job_id=target), patient=True
                    )
                except (Stale, JobNotFound):
                    continue  # it is recorded, or somebody else has decided: look again
                except KalaError as fault:  # the next start delivers again, which is delivering once
                    log.error("that a delivery has settled could not be recorded: %s", fault)
                    break
                unsure = False
        self._owed.discard((job_id, run_id))

    def _once(self, entry: Delivery, parent: str) -> Callable[[Record], Change]:
        """Decides a delivery, once, and while this instance is sure to be the one that owes it. Others may have written
        in between, or taken over, and their run may have ended since: that is not seen in a record. Raises `Stale`."""
        has_decided = False

        def decide(record: Record) -> Change:
            nonlocal has_decided
            if has_decided or not self._lease.valid() or self._lease.id != entry.instance:
                raise Stale(f"what run {entry.run} sets off may have been delivered meanwhile")
            has_decided = True
            return ledger.deliver(record, delivery=entry, parent=parent, now=self._clock.now())

        return decide

    async def _is_delivered(self, job_id: str, run_id: str) -> bool:
        """Whether a run that was to be caused is there: open, or ended (looked for then, as it may be ending now)."""
        record = self._store.roster.get(job_id)
        if record is not None and ledger.find(record, run_id) is not None:
            return True
        return await self._store.run(run_id) is not None


def _is_on(record: Record, run_id: str) -> bool:
    return ledger.find(record, run_id) is not None or any(entry.run == run_id for entry in record.outbox)
