"""What clients may ask of the daemon. The web's routes and `kala import` are thin over it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import trio

from kala import printed, register
from kala.clock import Clock, Moment
from kala.creation import Creation
from kala.errors import Invalid, JobNotFound, KalaError, RunEnded, Stale, Stopping, ValueTooLarge
from kala.events import Event
from kala.finding import Finder
from kala.history import History
from kala.hub import Hub
from kala.ids import new_id
from kala.intake import ImportReport, take_in
from kala.job import Job, Record, Run
from kala.lease import Lease
from kala.ledger import Change, derived_id
from kala.metrics import Metrics
from kala.nodes import Nodes
from kala.outlook import Outlook
from kala.pause import Span
from kala.printed import Piece
from kala.recent import Recent
from kala.scheduler import Scheduler
from kala.secrets import Secrets
from kala.store import Store
from kala.store.draft import Draft
from kala.store.roster import Totals
from kala.wire.jobimport import Imported
from kala.wire.jobread import NewJob


class Service:
    """All of it raises the errors of `errors.py`. What was asked for is not withdrawn when the caller is cancelled."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        lease: Lease,
        clock: Clock,
        hub: Hub,
        *,
        default_owner: str = "",
        keep_runs: int = 100,
        secrets: Secrets | None = None,
    ) -> None:
        self._store, self._scheduler, self._lease = store, scheduler, lease
        self._keep_runs, self._one_by_one = keep_runs, trio.Lock()
        self.secrets = secrets or Secrets()
        self.history = History(store, scheduler.started, scheduler.why_waits)
        self.clock, self.hub, self.default_owner = clock, hub, default_owner
        self.nodes, self.recent = Nodes(store, scheduler, lease), Recent(clock)
        self.metrics = Metrics(store, scheduler, lease, clock, hub)
        hub.told = self._told
        self.outlook = Outlook(store, clock, lambda: self.recent.edits)
        self.finder = Finder(store.roster)

    def _told(self, told: Sequence[Event]) -> None:
        self.recent.count(told)
        self.metrics.counted.count(told)

    # How it is.

    @property
    def stopping(self) -> bool:
        return self._scheduler.stopping

    @property
    def ready(self) -> bool:
        """Jobs are loaded, the database can be written, and runs are started."""
        return not self.not_ready_because

    @property
    def not_ready_because(self) -> str:
        """One sentence when it is not ready."""
        if self.stopping:
            return str(Stopping())
        if self._store.fault is not None:
            return str(self._store.fault)
        if not self._lease.valid():
            return "the lease is not valid: nothing is started until it has been renewed"
        return "" if self._scheduler.begun else "what earlier starts have left is being decided"

    @property
    def away_since(self) -> Moment | None:
        """Since when the database is away; None while it is not."""
        return self._store.down_since

    @property
    def waiting(self) -> int:
        """Results, and other writes, that wait for the database."""
        return self._store.waiting

    def totals(self) -> Totals:
        """Of all jobs, in constant time. Raises `StoreUnavailable` before they are loaded."""
        self._store.demand_loaded()
        return self._store.roster.totals()

    # Reading.

    def demand_loaded(self) -> None:
        """Raises `StoreUnavailable` before the jobs are loaded."""
        self._store.demand_loaded()

    def job(self, job_id: str) -> Record:
        """Raises `JobNotFound`, and `StoreUnavailable` before the jobs are loaded."""
        self._store.demand_loaded()
        return self._store.job(job_id)

    def peek(self, job_id: str) -> Record | None:
        return self._store.roster.jobs.get(job_id)

    def remembered(self, job_id: str) -> Record | None:
        """A job, also one that was lately deleted."""
        return self._store.roster.get(job_id)

    def made_with(self, key: str) -> Record | None:
        """The job that was created with this idempotency key, be it deleted since."""
        return self.remembered(derived_id("job", key))

    def labels(self, job_id: str) -> Mapping[str, str]:
        """Those of a job, also of one that was lately deleted."""
        record = self._store.roster.get(job_id)
        return {} if record is None else record.job.labels or {}

    def job_ids(self) -> list[str]:
        """All jobs, in the order in which they were added. Raises `StoreUnavailable` before they are loaded."""
        self._store.demand_loaded()
        return list(self._store.roster.jobs)

    def coming(self, count: int) -> list[tuple[Moment, Record]]:
        """The jobs that are due next, and when, in order. Raises `StoreUnavailable` before they are loaded."""
        self._store.demand_loaded()
        return self._store.roster.coming(count)

    def children(self, job_id: str) -> list[str] | None:
        """Jobs with this parent, in the order in which they were added; None when it never had any."""
        return self._store.roster.children(job_id)

    async def ended_runs(self, record: Record) -> list[Run]:
        """All runs of a job that are kept, oldest first."""
        return await self._store.ended_runs(record.id, self._keep_runs)

    async def output(self, run_id: str, attempt: int | None = None, *, coming: bool = False) -> Piece:
        """What is kept of what an attempt of a run printed; without its number, the one that is on, or else the last.

        Raises `RunNotFound`, `Invalid` when there is no such attempt.
        """
        self._store.demand_loaded()
        return await printed.kept(self._store, run_id, attempt, coming=coming)

    def follow_output(self, piece: Piece, *, alone: bool = False) -> AsyncIterator[bytes]:
        """The same, and what comes after it, until the run has ended; `alone`: until the attempt has, or bytes would be
        passed over."""
        return printed.follow_alone(piece) if alone else printed.follow(self._store, piece)

    # Writing.

    async def create(self, job: Job, *, disabled: bool = False, key: str = "") -> Record:
        """A new job. The same `key` again is the same job again, unless that was to be another: `KeyUsed`.

        Raises `Invalid` when its parents or its failure job are not there or would make a cycle.
        """
        self._demand_going_on()
        job_id = derived_id("job", key) if key else new_id()
        created, now = self._store.new_moment(), self.clock.now()

        def decide(draft: Draft) -> list[Change]:
            if (before := draft.any(job_id)) is not None and key:
                return [register.created_before(before, job, disabled)]
            return [register.create(job, draft, job_id=job_id, now=now, disabled=disabled, created=created)]

        return (await self._store.transact(decide))[0].record

    def create_many(self, jobs: Sequence[NewJob]) -> Creation:
        """New jobs, each by itself, handed over at once. Awaiting it gives what came of each. Raises `Stopping`."""
        self._demand_going_on()
        return Creation(self._store, self.clock, jobs, self._made)

    async def _made(self, new: NewJob) -> Record | KalaError:
        try:
            return await self.create(new.job, disabled=new.disabled)
        except (Invalid, ValueTooLarge) as fault:
            return fault

    async def edit(self, job_id: str, change: Callable[[Record], NewJob], *, expected: str | None = None) -> Record:
        """Another definition, made by `change` from the present one. Raises `VersionChanged`, `Invalid`."""
        self._demand_going_on()
        run_id = new_id()

        def decide(draft: Draft) -> list[Change]:
            if (record := draft.get(job_id)) is None:
                raise JobNotFound(job_id)
            new, now = change(record), self.clock.now()
            return [
                register.edit(
                    record,
                    new.job,
                    draft,
                    disabled=new.disabled,
                    expected=expected,
                    now=now,
                    instance=self._lease.id,
                    run_id=run_id,
                )
            ]

        return (await self._store.transact(decide))[0].record

    async def set_disabled(self, job_id: str, disabled: bool) -> None:
        """Disable or enable; nothing when it is so already."""
        self._demand_going_on()
        run_id = new_id()

        def decide(record: Record) -> Change:
            if record.deleted is not None:
                raise JobNotFound(job_id)
            now = self.clock.now()
            return register.set_disabled(record, disabled, now=now, instance=self._lease.id, run_id=run_id)

        await self._store.change(job_id, decide)

    async def delete(self, job_id: str) -> None:
        """Delete a job, and each child that has no other parent. Runs that are on go on to their end."""
        self._demand_going_on()
        await self._store.transact(lambda draft: register.delete(job_id, draft, self.clock.now()))

    async def delete_all(self) -> None:
        self._demand_going_on()
        await self._store.transact(
            lambda draft: register.delete_all(list(self._store.roster.jobs), draft, self.clock.now())
        )

    async def start(self, job_id: str, *, key: str = "") -> str:
        """Run a job now, after what is on of it; return the run's id when that is durable. The same `key` again is the
        same run again, be it over. Raises `JobDisabled`, `Paused`."""
        self._demand_going_on()
        run_id = derived_id(job_id, f"start {key}") if key else new_id()
        if key:
            self.job(job_id)
            async with self._one_by_one:  # of two that come at once, the second finds the run of the first
                if self._store.roster.run(run_id) is None and await self._store.run(run_id) is None:
                    await self._begin(job_id, run_id)
        else:
            await self._begin(job_id, run_id)
        return run_id

    async def _begin(self, job_id: str, run_id: str) -> None:
        try:
            await self._scheduler.start(job_id, run_id)
        except Stale:
            raise Stopping from None

    async def cancel(self, run_id: str) -> Run:
        """End a run, and do not retry it; return it as it then is: it may take its time to end.

        Raises `RunNotFound`, and `RunEnded` when it has ended.
        """
        self._store.demand_loaded()
        if (found := self._store.roster.run(run_id)) is not None:
            try:
                return self.history.as_it_is(await self._scheduler.cancel(found[0].id, run_id))
            except (Stale, JobNotFound):
                pass  # it has just ended
        ended = await self.history.run(run_id)
        raise RunEnded(run_id, ended.state.value)

    @property
    def pause(self) -> Span:
        """The present pause, or the last one."""
        return self._scheduler.pause.span

    @property
    def paused(self) -> bool:
        return self._scheduler.pause.on

    async def set_paused(self, on: bool, reason: str = "") -> None:
        """Pause or resume all daemons on the database; nothing when it is so already."""
        self._demand_going_on()
        await self._scheduler.pause.set(on, reason)

    async def wait_settled(self, job_id: str, run_id: str) -> None:
        """Return when the run, and all it set off, has ended. Raises `Stopping` when the daemon stops before: what is
        left of it waits in the records."""
        await self._scheduler.wait_settled(job_id, run_id)

    def _demand_going_on(self) -> None:
        if self.stopping:
            raise Stopping

    async def import_jobs(self, jobs: Sequence[Imported]) -> ImportReport:
        """Take over jobs of another server, with their ids, counters and links; each that can be."""
        self._demand_going_on()
        return await take_in(self._store, self.clock, jobs)
