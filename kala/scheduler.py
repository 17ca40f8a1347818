"""What comes due, starts: this owns the timer of all jobs.

The agenda task sleeps to the agenda's head and hands over a claim for each occurrence that has come; when that is
durable the run gets its task, which is its process and its end (`turns.py`). What waits (queued runs, retries, what is
above a limit) or is owed (`deliveries.py`, `notices.py`) is durable in the records, and is looked for in each
record that changes (`_look`).
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial

import outcome
import trio

from kala import ledger
from kala.agenda import Agenda
from kala.clock import Clock, Moment
from kala.deliveries import Deliveries
from kala.errors import JobNotFound, KalaError, Paused, Stale, StoreRefused, StoreUnavailable
from kala.hub import Hub
from kala.ids import new_ids
from kala.job import Record, Run
from kala.lease import Lease
from kala.ledger import Change
from kala.logs import fields
from kala.notices import Notices, Post
from kala.pause import Pause
from kala.pools import Line, PoolRow
from kala.slices import in_slices
from kala.states import State
from kala.store import Store
from kala.store.draft import Draft
from kala.tasks import Tasks
from kala.turns import RunAttempt, Turns
from kala.values import LabelLimit

__all__ = ["RunAttempt", "Scheduler"]

log = logging.getLogger(__name__)
AGAIN = 60.0
"""Seconds until an occurrence whose claim the database does not take (too large) is tried again."""
CLAIMS = 128
"""Claims that may be on their way to the database. What is due besides stays in the agenda: a request that changes a
job waits behind these, which take some 10 ms, and not behind all that came due with them."""


class Scheduler:
    """Runs jobs: `run` is its life. `attempt` makes one attempt of a run; what it raises fails that run alone. At most
    `max_runs` are on, and of jobs with a label as many as `limits` say. `room` returns when it makes sense to start
    more. `post` posts a notification; without it they stay owed."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        hub: Hub,
        lease: Lease,
        attempt: RunAttempt,
        *,
        max_runs: int,
        limits: Iterable[LabelLimit] = (),
        room: Callable[[bool], Awaitable[None]] | None = None,
        post: Post | None = None,
    ) -> None:
        self._store, self._clock, self._lease = store, clock, lease
        self._tasks = Tasks()
        self.pause = Pause(store, clock, hub)
        limits = self.limits = tuple(limits)
        self._turns = Turns(store, clock, hub, lease, attempt, self._tasks, max_runs=max_runs, limits=limits, room=room)
        self._deliveries = Deliveries(store, clock, lease, self._tasks)
        self._notices = Notices(store, clock, lease, self._tasks, post)
        self.posts = self._notices.posts
        self._agenda = Agenda()
        # Occurrences that have been handed over, by job and moment: of one job there may be two, when another daemon
        # has claimed the first meanwhile.
        self._claiming: set[tuple[str, Moment]] = set()
        self._claimed_all, self._claimed_some = trio.Event(), trio.Event()
        self._nap = trio.CancelScope()
        self._nap_until: Moment | None = None
        self.begun = False  # runs are started

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Schedule until `stop_starting`; return when the runs that are on then have ended."""
        async with trio.open_nursery() as self._tasks.nursery:
            self._store.told = self._look
            self.pause.told = self._paused_or_resumed
            self._tasks.paused = self.pause.on
            await in_slices(self._plan_all())
            self._tasks.nursery.start_soon(self._notices.run)
            self.begun = True
            task_status.started()
            with self._tasks.until_stopping():
                await in_slices(self._look_at_busy())  # first: what has waited is not overtaken by what comes due
                await self._keep_agenda()
            if self._claiming:
                await self._claimed_all.wait()
            await self._turns.wait_begun()
        self._deliveries.let_go()

    def stop_starting(self) -> None:
        """From now on nothing starts."""
        self._tasks.stop_starting()

    @property
    def stopping(self) -> bool:
        """Nothing starts any more."""
        return self._tasks.stopping

    def end_runs(self, *, hurry: bool) -> None:
        """End the attempts that are on: TERM to their groups and later KILL, or, in a hurry, KILL at once. Posts that
        are on are broken off."""
        self._turns.end_runs(hurry=hurry)
        self._notices.end()

    def started(self, run_id: str) -> Moment | None:
        """Since when an attempt of the run is on here; None when none is."""
        return self._turns.started(run_id)

    @property
    def running(self) -> int:
        """Attempts that are on."""
        return self._turns.running

    def pools(self) -> list[PoolRow]:
        """How many runs the limits of labels let be on, how many are, and how many wait."""
        return self._turns.pools()

    def why_waits(self, run_id: str) -> str | None:
        """The reason for which a run, whose turn it is, waits for a place here; None when it does not."""
        return self._turns.why_waits(run_id)

    @property
    def max_runs(self) -> int:
        """So many may be on."""
        return self._turns.most

    async def start(self, job_id: str, run_id: str) -> None:
        """Start a job now; return when the run is durable. With the id of an open run, it is that one.

        Raises `JobNotFound`, `JobDisabled`, `Paused`, `StoreUnavailable`.
        """

        def decision(record: Record) -> Change:
            if self._tasks.stopping:
                raise Stale("nothing is started any more")
            if self._tasks.paused and ledger.find(record, run_id) is None:
                raise Paused
            # It waits, be it for a moment: so it is begun whatever becomes of the caller.
            limit = self._turns.why_would_wait(record)
            return ledger.start(record, now=self._clock.now(), run_id=run_id, instance="", slot=False, limit=limit)

        await self._store.change(job_id, decision)

    async def cancel(self, job_id: str, run_id: str) -> Run:
        """End a run, and do not retry it; return it as it then is. Raises `Stale` when it is not open,
        `StoreUnavailable`."""

        def decision(record: Record) -> Change:
            return ledger.cancel(record, run_id=run_id, now=self._clock.now(), instance=self._lease.id)

        run = (await self._store.change(job_id, decision)).answer
        assert run is not None  # noqa: S101  # what `ledger.cancel` always gives
        return run

    async def wait_settled(self, job_id: str, run_id: str) -> None:
        """Return when a run has ended, and all that it set off. Raises `Stopping` when the scheduler ends before."""
        await self._deliveries.wait_settled(job_id, run_id)

    def _look(self, before: Record | None, after: Record | None) -> None:
        """A record has changed: do what follows from it. Called by the store after each commit; never waits."""
        self._deliveries.settle(before, after)
        self._turns.heed(before, after)
        if self._tasks.stopping:
            return
        if after is None:
            if before is not None:
                self._agenda.put(before.id, None)
            return
        self._plan(after)
        self._look_at(after)

    def _look_at(self, record: Record) -> None:
        """Let begin what waits in a record, and is owed by it."""
        if record.open:
            self._turns.look(record)
        if record.outbox:
            self._deliveries.look(record)
        if record.notices:
            self._notices.look(record)

    def _plan_all(self) -> Iterator[None]:
        """`_plan` each job there is, in less time. In steps: meanwhile jobs that change are planned by that."""
        roster = self._store.roster
        for count, job_id in enumerate(list(roster.jobs)):
            if (record := roster.jobs.get(job_id)) is not None:
                self._agenda.put(job_id, ledger.claimable(record))
            if count % 50 == 0:
                yield

    def _look_at_busy(self) -> Iterator[None]:
        """Look at the records that have open runs or owe something, the longest waiting first. In steps: meanwhile
        others are looked at as they change."""
        roster = self._store.roster
        busy = [record for job_id in roster.busy if (record := roster.get(job_id)) is not None]
        busy.sort(key=lambda record: (min((run.created for run in record.open), default=0), record.id))
        for job_id in [record.id for record in busy]:
            if (record := roster.get(job_id)) is not None and not self._tasks.stopping:
                self._look_at(record)
            yield

    def _paused_or_resumed(self) -> None:
        self._tasks.paused = self.pause.on
        if self.pause.on:
            self._turns.hold()
        elif not self._tasks.stopping:
            self._tasks.nursery.start_soon(in_slices, self._look_at_busy())

    # Occurrences.

    async def _keep_agenda(self) -> None:
        while True:
            if self._store.fault is not None or self.pause.on:
                await self.pause.wait_off()
                await self._store.wait_up()
                continue
            head = self._agenda.head()
            if head is not None and head <= (now := self._clock.now()):
                if (room := CLAIMS - len(self._claiming)) > 0:
                    due = self._agenda.pop_until(now, room)
                    for (_, job_id), run_id in zip(due, new_ids(len(due)), strict=True):
                        self._claim(job_id, run_id)
                    await trio.lowlevel.checkpoint()
                else:
                    self._claimed_some = trio.Event()
                    await self._claimed_some.wait()
                continue
            with trio.CancelScope() as self._nap:
                self._nap_until = head
                if head is None:
                    await trio.sleep_forever()
                await self._clock.sleep_until(head)

    def _plan(self, record: Record) -> None:
        """Enter a job's next occurrence in the agenda, unless it is being claimed."""
        at = ledger.claimable(record)
        if at is not None and (record.id, record.cursor) in self._claiming:
            return
        self._agenda.put(record.id, at)
        if at is not None and (self._nap_until is None or at < self._nap_until):
            self._nap.cancel()

    def _claim(self, job_id: str, run_id: str) -> None:
        """Hand over the claim of an occurrence that comes, with the places that its run needs when they are free."""
        record = self._store.roster.jobs.get(job_id)
        if record is None or (moment := ledger.due(record)) is None or (cursor := record.cursor) is None:
            return
        version, places = record.version, self._turns.take_places(record)
        limit = ledger.LIMIT if places is not None else self._turns.why_would_wait(record)

        def decide(draft: Draft) -> tuple[Change]:
            if self._tasks.held:
                raise Stale("nothing is started now")
            if (current := draft.any(job_id)) is None:
                raise JobNotFound(job_id)
            now, instance = self._clock.now(), self._lease.id
            claim = ledger.claim(
                current,
                version=version,
                cursor=cursor,
                now=now,
                run_id=run_id,
                instance=instance,
                slot=places is not None,
                limit=limit,
                because=ledger.PAUSED if self.pause.covers(moment) else ledger.DOWN,
            )
            return (claim,)

        self._store.submit(decide, partial(self._claimed, job_id, cursor, run_id, places))
        self._claiming.add((job_id, cursor))

    def _claimed(
        self, job_id: str, cursor: Moment, run_id: str, places: Line | None, came: outcome.Outcome[list[Change]]
    ) -> None:
        """What came of a claim: a run that begins, or a non-run, or nothing. Called by the writer."""
        self._claiming.discard((job_id, cursor))
        if len(self._claiming) <= CLAIMS // 2:
            self._claimed_some.set()
        run: Run | None = None
        again = True
        try:
            run = came.unwrap()[0].answer
        except (Stale, JobNotFound):
            pass  # the agenda has it again, if it is still to come
        except (StoreUnavailable, StoreRefused):
            self._turns.find_out_soon(job_id, run_id)
        except Exception as fault:  # a bug in one claim, or a record that the database does not take, holds up no other
            told = fields(job=job_id)
            log.error(
                "an occurrence cannot be claimed: %s", fault, extra=told, exc_info=not isinstance(fault, KalaError)
            )
            self._tasks.nursery.start_soon(self._plan_later, job_id)
            again = False
        if run is not None and run.state is State.CLAIMED and places is not None:
            self._turns.attempt_soon(job_id, run, places)
        elif places is not None:
            self._turns.release(places)
        record = self._store.roster.jobs.get(job_id)
        if again and record is not None:
            self._plan(record)
        if self._tasks.stopping and not self._claiming:
            self._claimed_all.set()

    async def _plan_later(self, job_id: str) -> None:
        with self._tasks.until_stopping():
            await trio.sleep(AGAIN)
            if (record := self._store.roster.jobs.get(job_id)) is not None:
                self._plan(record)
