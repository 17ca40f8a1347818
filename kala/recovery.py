"""What daemons that died have left behind: results that they could not write, and then their leases are ended, their
processes, and their runs decided."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import outcome
import trio

from kala import ledger, threads
from kala.clock import Clock, rfc3339
from kala.errors import JobNotFound, KalaError, Stale
from kala.job import Record
from kala.lease import Lease
from kala.ledger import Change
from kala.logs import fields
from kala.processes.leftovers import end_leftovers
from kala.slices import in_slices
from kala.states import State
from kala.store import Store, Threads
from kala.store.draft import Draft
from kala.store.results import Result

log = logging.getLogger(__name__)


async def take_kept(store: Store, clock: Clock) -> int:
    """Record the results that earlier starts kept since their database was away. Returns how many there were.

    Raises `StoreUnavailable`, `StoreRefused`; what has been recorded then counts for nothing the next time.
    """
    count = 0
    with ExitStack() as files:
        found = await store.left()
        for left in found:
            files.callback(left.close)
        for left in found:
            for result, came in zip(left.results, await _recorded(store, clock, left.results), strict=True):
                await _tell(store, result, came)
            left.remove()
            count += len(left.results)
            log.warning("results of an earlier start have been recorded", extra=fields(file=left.path, results=count))
    return count


async def _recorded(store: Store, clock: Clock, results: Sequence[Result]) -> list[outcome.Outcome[list[Change]]]:
    """What came of each. Raises `StoreUnavailable`."""
    came: dict[int, outcome.Outcome[list[Change]]] = {}
    all_came = trio.Event()

    def answered(place: int, one: outcome.Outcome[list[Change]]) -> None:
        came[place] = one
        if len(came) == len(results):
            all_came.set()

    for place, result in enumerate(results):
        store.submit(partial(result.decide, now=clock.now()), partial(answered, place))
    if results:
        await all_came.wait()
    return [came[place] for place in range(len(results))]


async def _tell(store: Store, result: Result, came: outcome.Outcome[list[Change]]) -> None:
    """Raises `StoreUnavailable`, `StoreRefused`."""
    try:
        came.unwrap()
        return
    except (Stale, JobNotFound) as fault:
        late: KalaError = fault
    run = await store.run(result.run_id)
    if result.attempt is not None and (run is None or result.attempt not in run.attempts):
        told = fields(job=result.job_id, run=result.run_id, attempt=result.attempt.number, state=result.attempt.state)
        log.warning("the end of a run came too late, and counts nothing: %s", late, extra=told)


async def take_over(store: Store, lease: Lease, clock: Clock, in_thread: Threads = threads.in_thread) -> int:
    """Decide all runs of instances that do not live. Returns how many runs they had on.

    Raises `StoreUnavailable`, `StoreRefused`.
    """
    # Before the leases are looked at: what an instance that starts meanwhile claims is not for us to decide.
    named = set[str]()
    await in_slices(_name(store, named))
    alive, dead = await in_thread(lease.bury)
    gone = named - alive
    for instance in dead:
        log.warning("an instance has died", extra=fields(instance=instance.id, node=instance.node, pid=instance.pid))
    if not gone:
        return 0
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


def _name(store: Store, named: set[str]) -> Iterator[None]:
    """Add the instances that have runs on, or owe something. In steps: very many jobs may be waiting."""
    for record in _busy(store):
        named.update(run.instance for run in record.open if run.state is not State.WAITING)
        if record.outbox or record.notices:
            named |= _owing(record)
        yield


def _owing(record: Record) -> set[str]:
    """The instances that are to deliver what the record owes to other jobs, or notifications."""
    return {entry.instance for entry in record.outbox} | {notice.instance for notice in record.notices}


def _busy(store: Store) -> list[Record]:
    return [record for job_id in store.roster.busy if (record := store.roster.get(job_id)) is not None]
