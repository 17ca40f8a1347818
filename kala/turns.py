"""What becomes of runs: their turn, their places under the limits, their attempt and their end."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import outcome

from kala import events, ledger
from kala.admission import Admission, Begin
from kala.beginning import Beginning
from kala.clock import Clock, Moment
from kala.errors import JobNotFound, KalaError, Kept, Stale, StoreRefused, StoreUnavailable
from kala.hub import Hub
from kala.job import Attempt, Record, Run, replace
from kala.lease import Lease
from kala.ledger import Change
from kala.logs import fields
from kala.pools import Line, PoolRow
from kala.starting import Claimed, Starting
from kala.states import State
from kala.stop import Stop
from kala.store import Store
from kala.store.results import Result
from kala.tasks import Tasks
from kala.values import LabelLimit

log = logging.getLogger(__name__)
RunAttempt = Callable[[Record, Run, Stop], Awaitable[tuple[Attempt, bytes]]]


class Turns:
    """Owns the places under the limits, the waiting runs whose turn it is, and the attempts that are on.

    `attempt` makes one attempt of a run; what it raises fails that run alone. `most` attempts may be on, and of jobs
    with a label as many as `limits` say. `room` returns when it makes sense to start more.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        hub: Hub,
        lease: Lease,
        attempt: RunAttempt,
        tasks: Tasks,
        *,
        max_runs: int,
        limits: Iterable[LabelLimit] = (),
        room: Callable[[bool], Awaitable[None]] | None = None,
    ) -> None:
        self._store, self._clock, self._hub, self._lease = store, clock, hub, lease
        self._attempt, self._tasks = attempt, tasks
        self._admission = Admission(max_runs, limits)  # of runs whose turn it is
        self._known: set[str] = set()  # waiting runs that have a task here, or wait for places
        self._later: dict[Moment, list[tuple[str, str]]] = {}  # of these, by job and run, those whose time is to come
        self._stops: dict[str, Stop] = {}  # of the attempts that are on
        self._starts: dict[str, Moment] = {}  # since when they are on, and those whose end is not durable yet
        self._beginning = Beginning(store, clock, lease, tasks, self._is_of, self._begun)
        self._starting = Starting(clock, tasks, self._attempts, room)

    @property
    def running(self) -> int:
        """Attempts that are on."""
        return len(self._stops)

    @property
    def most(self) -> int:
        return self._admission.most

    def pools(self) -> list[PoolRow]:
        """How many runs the limits of labels let be on, how many are, and how many wait."""
        return self._admission.rows()

    def why_waits(self, run_id: str) -> str | None:
        """The reason for which a run, whose turn it is, waits for a place here; None when it does not."""
        return self._admission.why_waits(run_id)

    def why_would_wait(self, record: Record) -> str:
        """The reason for which a run of a job waits now, if it has to wait for a place."""
        return self._admission.why(record.job.labels)

    def started(self, run_id: str) -> Moment | None:
        """Since when an attempt of the run is on here, or was until its end, which is not durable yet."""
        return self._starts.get(run_id)

    def end_runs(self, *, hurry: bool) -> None:
        """End the attempts that are on: TERM to their groups and later KILL, or, in a hurry, KILL at once."""
        for stop in list(self._stops.values()):
            stop.request()
            if hurry:
                stop.request()

    def hold(self) -> None:
        """Nothing starts until all records are looked at again."""
        self._known.difference_update(self._admission.clear())
        for begin in self._beginning.clear():
            self._known.discard(begin.run_id)
            self._admission.give_back(begin.line)

    def heed(self, before: Record | None, after: Record | None) -> None:
        """End the attempts of runs that are to be cancelled, and of those about which another daemon has decided, since
        it took this one for dead: they may run elsewhere by now. What waits for places, and is not to start, leaves."""
        if before is None or not before.open:
            return
        if self._admission.waiting:
            self._leave(before, after)
        if not self._stops:
            return
        for run in before.open:
            if (stop := self._stops.get(run.id)) is None or stop.requests:
                continue
            current = None if after is None else ledger.find(after, run.id)
            if current is None or current.state is not State.CLAIMED or current.instance != run.instance:
                log.warning(
                    "a run was taken over by another daemon, and is ended here",
                    extra=fields(job=run.job_id, run=run.id),
                )
                stop.request()
            elif current.cancel:
                stop.request()

    def look(self, record: Record) -> None:
        """Let the waiting runs whose turn has come begin."""
        if self._tasks.paused:
            return
        for run in ledger.next_up(record):
            if self._admission.is_misplaced(run.id, record.job.labels):  # its job has got other labels
                self._admission.leave(run.id)
                self._admit(record.id, run.id)
            elif run.id not in self._known:
                self._known.add(run.id)
                if run.not_before is not None and run.not_before > self._clock.now():
                    self._admit_at(run.not_before, record.id, run.id)
                else:
                    self._admit(record.id, run.id)

    def take_places(self, record: Record) -> Line | None:
        """Take the places that a run of a job needs, if all are free. They are given on with `attempt_soon`, or back
        with `release`, whatever labels the job has by then."""
        return self._admission.take(record.job.labels)

    def release(self, places: Line) -> None:
        """Places are free: for those that wait, in their order."""
        self._admission.give_back(places)
        while not self._tasks.held and (begin := self._admission.next()) is not None:
            self._beginning.add(begin)

    def attempt_soon(self, job_id: str, run: Run, places: Line) -> None:
        """A run was claimed, and has its places: its attempt, and its end, in a task of its own, at its moment."""
        self._starting.add(Claimed(job_id, run, places))

    async def wait_begun(self) -> None:
        """Return when nothing is on its way to the database that could begin a run."""
        await self._beginning.wait_none()

    def find_out_soon(self, job_id: str, run_id: str) -> None:
        """The claim of a run had no answer."""
        self._tasks.nursery.start_soon(self._find_out, job_id, run_id)

    def _admit_at(self, moment: Moment, job_id: str, run_id: str) -> None:
        """A waiting run whose turn it is, but not yet its time. All of one moment share a timer."""
        if (others := self._later.get(moment)) is not None:
            others.append((job_id, run_id))
        else:
            self._later[moment] = [(job_id, run_id)]
            self._tasks.nursery.start_soon(self._admit_all_of, moment)

    async def _admit_all_of(self, moment: Moment) -> None:
        with self._tasks.until_stopping():
            await self._clock.sleep_until(moment)
        for job_id, run_id in self._later.pop(moment):
            record = self._store.roster.get(job_id)
            run = None if record is None else ledger.find(record, run_id)
            if run is not None and run.state is State.WAITING:
                self._admit(job_id, run_id)
            else:
                self._known.discard(run_id)

    def _admit(self, job_id: str, run_id: str) -> None:
        """A waiting run may begin: at once, or when the places that it needs are free, in order."""
        record = self._store.roster.get(job_id)
        if self._tasks.held or record is None:
            self._known.discard(run_id)
            return
        if (places := self.take_places(record)) is not None:
            self._beginning.add(Begin(job_id, run_id, places))
        else:
            self._admission.wait(job_id, run_id, record.job.labels)

    def _leave(self, before: Record, after: Record | None) -> None:
        """Runs that wait for places, and are not to start any more, wait no more."""
        waiting = {run.id for run in after.open if run.state is State.WAITING} if after is not None else ()
        for run in before.open:
            if run.id not in waiting and self._admission.leave(run.id):
                self._known.discard(run.id)

    def _is_of(self, places: Line, record: Record) -> bool:
        return self._admission.is_of(places, record.job.labels)

    def _begun(self, begin: Begin, came: outcome.Outcome[list[Change]]) -> None:
        """What came of letting a run begin: its attempt, or its places for others. Called by the writer."""
        job_id, run_id, places = begin
        run: Run | None = None
        try:
            run = came.unwrap()[0].answer
            if run is not None and run.state is not State.CLAIMED:
                run = None  # epsilon had passed, and it ended as its last attempt left it
                self._known.discard(run_id)
        except (Stale, JobNotFound):
            self._known.discard(run_id)
        except (StoreUnavailable, StoreRefused):
            self.find_out_soon(job_id, run_id)
        except Exception as fault:  # a bug in one beginning, or a record that is too large, holds up no other
            told = fields(job=job_id, run=run_id)
            log.error("a run cannot be started: %s", fault, extra=told, exc_info=not isinstance(fault, KalaError))
        if run is not None:
            self.attempt_soon(job_id, run, places)
        else:
            self.release(places)
            if not self._tasks.stopping and (record := self._store.roster.get(job_id)) is not None:
                self.look(record)  # it may wait anew: for another time, or because of a pause that is over

    async def _find_out(self, job_id: str, run_id: str) -> None:
        """The claim of a run had no answer: when the database is back, it is known whether it was written. When nothing
        is to start any more, it is given back, if there is any."""
        instance = self._lease.id
        with self._tasks.until_stopping() as scope:
            await self._store.wait_up()
        if scope.cancelled_caught:
            await self._give_back(Result(job_id, run_id, instance, reason=ledger.SHUTDOWN))
            return
        if (record := self._store.roster.get(job_id)) is None:
            return
        self._known.discard(run_id)
        run = ledger.find(record, run_id)
        if run is not None and run.state is State.CLAIMED and run.instance == self._lease.id:
            if (places := self.take_places(record)) is not None:
                self.attempt_soon(job_id, run, places)
            else:
                await self._put_back(job_id, run, self.why_would_wait(record))
        elif not self._tasks.stopping:
            self.look(record)

    async def _attempts(self, job_id: str, run: Run, places: Line) -> None:
        """The attempt of a claimed run that has its places, and its end."""
        if not self._lease.valid():
            with self._tasks.until_stopping():
                await self._lease.wait_valid()
        record = self._store.roster.get(job_id)
        wanted = record is not None and ledger.is_wanted(record, run)
        if self._tasks.held or not wanted or run.instance != self._lease.id:
            await self._put_back(job_id, run, ledger.PAUSED if self._tasks.paused else ledger.SHUTDOWN)
            self.release(places)
            return
        stop = Stop()
        self._stops[run.id] = stop
        self._starts[run.id] = self._clock.now()
        try:
            attempt, output = await self._attempted(job_id, run, stop)
        finally:
            del self._stops[run.id]
        self._known.discard(run.id)
        try:
            await self._end(job_id, run, attempt, output)
        finally:
            del self._starts[run.id]
            self._store.outputs.drop(run.id, attempt.number)
            self.release(places)

    async def _attempted(self, job_id: str, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        record = self._store.roster.get(job_id)
        started = self._starts[run.id]
        job = None if record is None else record.job
        told = ledger.event_of(events.RUN_STARTED, started, replace(run, state=State.RUNNING), job)
        self._hub.publish_nowait(
            [replace(told, started=started, duration=None, error="", attempt=len(run.attempts) + 1)]
        )
        try:
            if record is None:
                raise JobNotFound(job_id)
            return await self._attempt(record, run, stop)
        except Exception as bug:  # a bug in one run fails that run alone, loudly
            log.exception("run failed by an internal error", extra=fields(job=job_id, run=run.id))
            number, error = len(run.attempts) + 1, f"internal error: {bug!r}"
            failed = Attempt(number, started, self._clock.now(), State.FAILED, error=error)
            return failed, b""

    async def _put_back(self, job_id: str, run: Run, reason: str) -> None:
        """What was claimed, and must not start, waits again."""
        self._known.discard(run.id)
        await self._give_back(Result(job_id, run.id, run.instance, reason=reason))

    async def _give_back(self, result: Result) -> None:
        told = fields(job=result.job_id, run=result.run_id)
        try:
            await self._store.record(result)
        except (Stale, JobNotFound):
            pass  # another daemon has decided about it
        except Kept as kept:
            log.debug("that a run was not started is kept for the next start: %s", kept, extra=told)
        except KalaError as fault:
            log.error("a run could not be put back: %s", fault, extra=told)

    async def _end(self, job_id: str, run: Run, attempt: Attempt, output: bytes) -> None:
        about = partial(fields, job=job_id, run=run.id, attempt=attempt.number, state=attempt.state.value)
        try:
            await self._store.record(Result(job_id, run.id, run.instance, attempt, output))
        except (Stale, JobNotFound) as late:
            log.warning("the end of a run came too late, and counts nothing: %s", late, extra=about())
        except Kept as kept:
            log.debug("the end of a run is kept for the next start: %s", kept, extra=about())
        except KalaError as fault:
            log.error("the end of a run could not be recorded: %s", fault, extra=about())
        else:
            if attempt.state is State.SUCCEEDED:
                if log.isEnabledFor(logging.DEBUG):
                    log.debug("run succeeded", extra=about())
            elif attempt.state is State.CANCELLED:
                log.info("attempt was cancelled", extra=about())
            else:
                printed = output[-1000:].decode(errors="replace")
                log.warning("attempt failed", extra=about(error=attempt.error, output=printed))
