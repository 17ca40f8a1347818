"""What daemons that died have left behind: their leases are ended, their processes, and then their runs decided."""

import logging

import trio

from kala import ledger
from kala.clock import Clock, rfc3339
from kala.errors import Stale
from kala.job import Record
from kala.lease import Lease
from kala.ledger import Change
from kala.logs import fields
from kala.processes.leftovers import end_leftovers
from kala.states import State
from kala.store import Store, Threads
from kala.store.draft import Draft

log = logging.getLogger(__name__)


async def take_over(store: Store, lease: Lease, clock: Clock, in_thread: Threads = trio.to_thread.run_sync) -> int:
    """Decide all runs of instances that do not live. Returns how many runs they had on.

    Raises `StoreUnavailable`, `StoreRefused`.
    """
    # Before the leases are looked at: what an instance that starts meanwhile claims is not for us to decide.
    named = {run.instance for record in _busy(store) for run in record.open if run.state is not State.WAITING}
    named |= {instance for record in _busy(store) for instance in _owing(record)}
    alive, dead = await in_thread(lease.bury)
    gone = named - alive
    for instance in dead:
        log.warning("an instance has died", extra=fields(instance=instance.id, node=instance.node, pid=instance.pid))
    left = {
        run.id: (record.id, run)
        for record in _busy(store)
        for run in record.open
        if run.state is not State.WAITING and run.instance in gone
    }
    owing = [record.id for record in _busy(store) if _owing(record) & gone]
    if not left and not owing:
        return 0
    if ended := await end_leftovers(left):
        log.warning("processes of a dead daemon were ended", extra=fields(pids=ended))
    now = clock.now()
    jobs = dict.fromkeys([*(job_id for job_id, _ in left.values()), *owing])

    def decide(draft: Draft) -> list[Change]:
        changes = []
        for job_id in jobs:
            record = draft.any(job_id)
            try:
                if record is not None:
                    going_on = {run.instance for run in record.open} | _owing(record)
                    still = frozenset(going_on - gone)
                    changes.append(ledger.take_over(record, alive=still, instance=lease.id, now=now))
            except Stale:
                continue  # another daemon was first
        return changes

    for change in await store.transact(decide):
        for run in (*change.rows, *change.record.open):
            if run.id in left:
                log.warning(
                    "a run was cut off",
                    extra=fields(
                        job=run.job_id,
                        run=run.id,
                        scheduled_for=rfc3339(run.scheduled_for),
                        now=run.state.value,
                        reason=run.reason,
                    ),
                )
    return len(left)


def _owing(record: Record) -> set[str]:
    """The instances that are to deliver what the record owes to other jobs, or notifications."""
    return {entry.instance for entry in record.outbox} | {notice.instance for notice in record.notices}


def _busy(store: Store) -> list[Record]:
    return [record for job_id in store.roster.busy if (record := store.roster.get(job_id)) is not None]
