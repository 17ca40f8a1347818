"""What comes due, starts: this owns the timer of all jobs and the task of every run.

The agenda task sleeps to the agenda's head and hands over a claim for each occurrence that has come; when that is
durable the run gets its task, which is its process and its end. What waits (queued runs, retries, children, what is
above `--max-runs`) is durable in the records, and is looked for in each record that changes (`_look`).
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import outcome
import trio

from kala import events, ledger
from kala.agenda import Agenda
from kala.clock import Clock, Moment
from kala.draft import Draft
from kala.errors import JobNotFound, KalaError, Stale, StoreRefused, StoreUnavailable
from kala.events import Event
from kala.hub import Hub
from kala.ids import new_id
from kala.job import Attempt, Record, Run
from kala.lease import Lease
from kala.ledger import Change
from kala.states import State
from kala.stop import Stop
from kala.store import RETRY_FIRST, Store

log = logging.getLogger(__name__)
AGAIN = 60.0
"""Seconds until an occurrence whose claim the database does not take (too large) is tried again."""

RunAttempt = Callable[[Record, Run, Stop], Awaitable[tuple[Attempt, bytes]]]


class Scheduler:
    """Runs jobs: `run` is its life. `attempt` makes one attempt of a run; what it raises fails that run alone."""

    def __init__(
        self, store: Store, clock: Clock, hub: Hub, lease: Lease, attempt: RunAttempt, *, max_runs: int
    ) -> None:
        self._store, self._clock, self._hub, self._lease, self._attempt = store, clock, hub, lease, attempt
        self._agenda = Agenda()
        self._claiming: dict[str, Moment] = {}  # occurrences that have been handed over
        self._claimed_all = trio.Event()
        self._nap = trio.CancelScope()
        self._nap_until: Moment | None = None
        self._sleeps: set[trio.CancelScope] = set()  # what may yet start a run
        self._free = max_runs
        self._queue: deque[tuple[str, str]] = deque()  # runs whose turn it is, above the limit
        self._known: set[str] = set()  # waiting runs that have a task here, or are queued
        self._owed: set[tuple[str, str]] = set()  # outbox entries that have a task here
        self._stops: dict[str, Stop] = {}  # of the attempts that are on
        self._settled: dict[str, trio.Event] = {}
        self._tasks: trio.Nursery
        self.stopping = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Schedule until `stop_starting`; return when the runs that are on then have ended."""
        async with trio.open_nursery() as self._tasks:
            self._store.told = self._look
            for record in self._store.roster:
                self._look(None, record)
            task_status.started()
            with self._until_stopping():
                await self._keep_agenda()
            if self._claiming:
                await self._claimed_all.wait()

    def stop_starting(self) -> None:
        """From now on nothing starts."""
        self.stopping = True
        for scope in self._sleeps:
            scope.cancel()

    def end_runs(self, *, hurry: bool) -> None:
        """End the attempts that are on: TERM to their groups and later KILL, or, in a hurry, KILL at once."""
        for stop in list(self._stops.values()):
            stop.request()
            if hurry:
                stop.request()

    @property
    def running(self) -> int:
        """Attempts that are on."""
        return len(self._stops)

    async def start(self, job_id: str) -> str:
        """Start a job now; return the run's id when the run is durable.

        Raises `JobNotFound`, `JobDisabled`, `StoreUnavailable`.
        """
        run_id = new_id()

        def decision(record: Record) -> Change:
            if self.stopping:
                raise Stale("nothing is started any more")
            # It waits, be it for a moment: so it is begun whatever becomes of the caller.
            return ledger.start(record, now=self._clock.now(), run_id=run_id, instance="", slot=False)

        await self._store.change(job_id, decision)
        return run_id

    async def wait_settled(self, job_id: str, run_id: str) -> None:
        """Return when a run has ended, and all that it set off."""
        record = self._store.roster.get(job_id)
        if record is not None and _is_on(record, run_id):
            await self._settled.setdefault(run_id, trio.Event()).wait()

    # Occurrences.

    async def _keep_agenda(self) -> None:
        while True:
            await self._store.wait_up()
            head = self._agenda.head()
            if head is not None and head <= self._clock.now():
                for cursor, job_id in self._agenda.pop_until(self._clock.now()):
                    self._claim(job_id, cursor)
                continue
            with trio.CancelScope() as self._nap:
                self._nap_until = head
                if head is None:
                    await trio.sleep_forever()
                await self._clock.sleep_until(head)

    def _plan(self, record: Record) -> None:
        """Enter a job's next occurrence in the agenda, unless it is being claimed."""
        at = ledger.due(record)
        if at is not None and self._claiming.get(record.id) == at:
            return
        self._agenda.put(record.id, at)
        if at is not None and (self._nap_until is None or at < self._nap_until):
            self._nap.cancel()

    def _claim(self, job_id: str, cursor: Moment) -> None:
        """Hand over the claim of an occurrence that has come, with a place under the limit when one is free."""
        record = self._store.roster.jobs.get(job_id)
        if record is None:
            return
        run_id, version, slot = new_id(), record.version, self._free > 0

        def decide(draft: Draft) -> tuple[Change]:
            if self.stopping:
                raise Stale("nothing is started any more")
            if (current := draft.any(job_id)) is None:
                raise JobNotFound(job_id)
            now, instance = self._clock.now(), self._lease.id
            claim = ledger.claim(
                current, version=version, cursor=cursor, now=now, run_id=run_id, instance=instance, slot=slot
            )
            return (claim,)

        self._store.submit(decide, partial(self._claimed, job_id, run_id, slot))
        self._free -= slot
        self._claiming[job_id] = cursor

    def _claimed(self, job_id: str, run_id: str, slot: bool, came: outcome.Outcome[list[Change]]) -> None:
        """What came of a claim: a run that begins, or a non-run, or nothing. Called by the writer."""
        del self._claiming[job_id]
        run: Run | None = None
        again = True
        try:
            run = came.unwrap()[0].answer
        except (Stale, JobNotFound):
            pass  # the agenda has it again, if it is still to come
        except (StoreUnavailable, StoreRefused):
            self._tasks.start_soon(self._look_when_up, job_id, run_id)
        except Exception as fault:  # a bug in one claim, or a record that the database does not take, holds up no other
            told = {"fields": {"job": job_id}}
            log.error(
                "an occurrence cannot be claimed: %s", fault, extra=told, exc_info=not isinstance(fault, KalaError)
            )
            self._tasks.start_soon(self._plan_later, job_id)
            again = False
        if run is not None and run.state is State.CLAIMED:
            self._tasks.start_soon(self._attempts, job_id, run)
        elif slot:
            self._release()
        record = self._store.roster.jobs.get(job_id)
        if again and record is not None:
            self._plan(record)
        if self.stopping and not self._claiming:
            self._claimed_all.set()

    async def _plan_later(self, job_id: str) -> None:
        with self._until_stopping():
            await trio.sleep(AGAIN)
            if (record := self._store.roster.jobs.get(job_id)) is not None:
                self._plan(record)

    # Runs.

    def _look(self, before: Record | None, after: Record | None) -> None:
        """A record has changed: do what follows from it. Called by the store after each commit; never waits."""
        if before is not None and self._settled:
            for run_id in (*(run.id for run in before.open), *(entry.run for entry in before.outbox)):
                if run_id in self._settled and (after is None or not _is_on(after, run_id)):
                    self._settled.pop(run_id).set()
        if self.stopping:
            return
        if after is None:
            if before is not None:
                self._agenda.put(before.id, None)
            return
        self._plan(after)
        for run in ledger.next_up(after):
            if run.id not in self._known:
                self._known.add(run.id)
                if run.not_before is not None and run.not_before > self._clock.now():
                    self._tasks.start_soon(self._waiting, after.id, run.id, run.not_before)
                else:
                    self._admit(after.id, run.id)
        for entry in after.outbox:
            owed = (after.id, entry.run)
            if entry.instance == self._lease.id and owed not in self._owed:
                self._owed.add(owed)
                self._tasks.start_soon(self._deliver, *owed)

    async def _waiting(self, job_id: str, run_id: str, not_before: Moment) -> None:
        """A waiting run whose turn it is, but not yet its time."""
        with self._until_stopping():
            await self._clock.sleep_until(not_before)
        self._admit(job_id, run_id)

    def _admit(self, job_id: str, run_id: str) -> None:
        """A waiting run may begin: at once, or when a place under the limit is free, in order."""
        if self.stopping:
            return
        if self._free > 0:
            self._free -= 1
            self._tasks.start_soon(self._begin, job_id, run_id)
        else:
            self._queue.append((job_id, run_id))

    async def _begin(self, job_id: str, run_id: str) -> None:
        def decision(record: Record) -> Change:
            if self.stopping:
                raise Stale("nothing is started any more")
            return ledger.begin(record, run_id=run_id, instance=self._lease.id, now=self._clock.now())

        run: Run | None = None
        try:
            run = (await self._store.change(job_id, decision)).answer
            if run is not None and run.state is not State.CLAIMED:
                run = None  # epsilon had passed, and it ended as its last attempt left it
                self._known.discard(run_id)
        except (Stale, JobNotFound):
            self._known.discard(run_id)
        except (StoreUnavailable, StoreRefused):
            self._tasks.start_soon(self._look_when_up, job_id, run_id)
        except KalaError as fault:
            log.error("a run cannot be started: %s", fault, extra={"fields": {"job": job_id, "run": run_id}})
        finally:
            if run is None:
                self._release()
        if run is not None:
            await self._attempts(job_id, run)

    async def _look_when_up(self, job_id: str, run_id: str) -> None:
        """The claim of a run had no answer: when the database is back, it is known whether it was written."""
        with self._until_stopping() as scope:
            await self._store.wait_up()
        if scope.cancelled_caught or (record := self._store.roster.get(job_id)) is None:
            return
        self._known.discard(run_id)
        run = ledger.find(record, run_id)
        if run is not None and run.state is State.CLAIMED and run.instance == self._lease.id:
            if self._free <= 0:
                await self._put_back(job_id, run, ledger.LIMIT)
                return
            self._free -= 1
            await self._attempts(job_id, run)
        else:
            self._look(None, record)

    async def _attempts(self, job_id: str, run: Run) -> None:
        """The attempt of a claimed run that has a place under the limit, and its end."""
        if not self._lease.valid():
            with self._until_stopping():
                await self._lease.wait_valid()
        if self.stopping or run.instance != self._lease.id:
            await self._put_back(job_id, run, ledger.SHUTDOWN)
            self._release()
            return
        stop = Stop()
        self._stops[run.id] = stop
        try:
            attempt, output = await self._attempted(job_id, run, stop)
        finally:
            del self._stops[run.id]
        self._known.discard(run.id)
        try:
            await self._end(job_id, run, attempt, output)
        finally:
            self._release()

    async def _attempted(self, job_id: str, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        record = self._store.roster.get(job_id)
        started = self._clock.now()
        self._hub.publish_nowait([Event(events.RUN_STARTED, started, job_id, run.id, State.RUNNING.value)])
        try:
            if record is None:
                raise JobNotFound(job_id)
            return await self._attempt(record, run, stop)
        except Exception as bug:  # a bug in one run fails that run alone, loudly
            log.exception("run failed by an internal error", extra={"fields": {"job": job_id, "run": run.id}})
            number, error = len(run.attempts) + 1, f"internal error: {bug!r}"
            failed = Attempt(number, started, self._clock.now(), State.FAILED, error=error)
            return failed, b""

    async def _put_back(self, job_id: str, run: Run, reason: str) -> None:
        """What was claimed, and must not start, waits again."""
        now = self._clock.now()
        decide = partial(ledger.put_back, run_id=run.id, instance=run.instance, reason=reason, now=now)
        self._known.discard(run.id)
        try:
            await self._store.change(job_id, decide, patient=True)
        except (Stale, JobNotFound):
            pass  # another daemon has decided about it
        except KalaError as fault:
            log.error("a run could not be put back: %s", fault, extra={"fields": {"job": job_id, "run": run.id}})

    async def _end(self, job_id: str, run: Run, attempt: Attempt, output: bytes) -> None:
        def decision(draft: Draft) -> tuple[Change]:
            if (record := draft.any(job_id)) is None:
                raise JobNotFound(job_id)
            return (
                ledger.end_attempt(
                    record,
                    run_id=run.id,
                    attempt=attempt,
                    output=output,
                    now=self._clock.now(),
                    children=draft.children(job_id),
                    instance=run.instance,
                ),
            )

        fields = {"job": job_id, "run": run.id, "attempt": attempt.number, "state": attempt.state.value}
        try:
            await self._store.transact(decision, patient=True)
        except (Stale, JobNotFound) as late:
            log.warning("the end of a run came too late, and counts nothing: %s", late, extra={"fields": fields})
        except KalaError as fault:
            log.error("the end of a run could not be recorded: %s", fault, extra={"fields": fields})
        else:
            if attempt.state is State.SUCCEEDED:
                log.debug("run succeeded", extra={"fields": fields})
            else:
                told = {**fields, "error": attempt.error, "output": output[-1000:].decode(errors="replace")}
                log.warning("attempt failed", extra={"fields": told})

    def _release(self) -> None:
        """A place under the limit is free: for the first that waits for one."""
        if self._queue and not self.stopping:
            self._tasks.start_soon(self._begin, *self._queue.popleft())
        else:
            self._free += 1

    async def _deliver(self, job_id: str, run_id: str) -> None:
        """Set off what a finished run owes, one job after another, each when the one before has settled."""
        unsure = False
        with self._until_stopping():
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
                        deliver = partial(ledger.deliver, delivery=entry, parent=job_id, now=self._clock.now())
                        await self._store.change(target, deliver)
                    await self.wait_settled(target, caused)
                except JobNotFound:
                    pass  # it has been deleted since: nothing is owed to it
                except (StoreUnavailable, StoreRefused):
                    unsure = True
                    await self._store.wait_up()
                    await trio.sleep(RETRY_FIRST)  # it may be reading alone that fails
                    continue
                except KalaError as fault:
                    told = {"fields": {"job": target, "parent_run": run_id}}
                    log.error("what a run sets off cannot be delivered: %s", fault, extra=told)
                try:
                    await self._store.change(
                        job_id, partial(ledger.advance, run_id=run_id, job_id=target), patient=True
                    )
                except (Stale, JobNotFound):
                    break
                unsure = False
        self._owed.discard((job_id, run_id))

    async def _is_delivered(self, job_id: str, run_id: str) -> bool:
        """Whether a run that was to be caused is there: open, or ended (looked for then, as it may be ending now)."""
        record = self._store.roster.get(job_id)
        if record is not None and ledger.find(record, run_id) is not None:
            return True
        return await self._store.run(run_id) is not None

    @contextmanager
    def _until_stopping(self) -> Iterator[trio.CancelScope]:
        """Whatever is slept or waited for within is cut short when the daemon stops starting things."""
        scope = trio.CancelScope()
        self._sleeps.add(scope)
        try:
            with scope:
                if self.stopping:
                    scope.cancel()
                yield scope
        finally:
            self._sleeps.discard(scope)


def _is_on(record: Record, run_id: str) -> bool:
    return ledger.find(record, run_id) is not None or any(entry.run == run_id for entry in record.outbox)
