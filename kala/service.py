"""What clients may ask of the daemon. The web's routes and `kala import` are thin over it."""

from collections.abc import Callable, Sequence

from kala import register
from kala.clock import Clock
from kala.draft import Draft
from kala.errors import JobNotFound, Stale, Stopping
from kala.hub import Hub
from kala.ids import new_id
from kala.intake import ImportReport, take_in
from kala.job import Job, Record, Run
from kala.jobimport import Imported
from kala.jobread import NewJob
from kala.lease import Lease
from kala.ledger import Change
from kala.roster import Totals
from kala.scheduler import Scheduler
from kala.store import Store


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
    ) -> None:
        self._store, self._scheduler, self._lease = store, scheduler, lease
        self._keep_runs = keep_runs
        self.clock, self.hub, self.default_owner = clock, hub, default_owner

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
        return "" if self._lease.valid() else "the lease is not valid: nothing is started until it has been renewed"

    def totals(self) -> Totals:
        """Of all jobs, in constant time. Raises `StoreUnavailable` before they are loaded."""
        self._demand_loaded()
        return self._store.roster.totals()

    # Reading.

    def job(self, job_id: str) -> Record:
        """Raises `JobNotFound`, and `StoreUnavailable` before the jobs are loaded."""
        self._demand_loaded()
        return self._store.job(job_id)

    def peek(self, job_id: str) -> Record | None:
        return self._store.roster.jobs.get(job_id)

    def job_ids(self) -> list[str]:
        """All jobs, in the order in which they were added. Raises `StoreUnavailable` before they are loaded."""
        self._demand_loaded()
        return list(self._store.roster.jobs)

    def children(self, job_id: str) -> list[str] | None:
        """Jobs with this parent, in the order in which they were added; None when it never had any."""
        return self._store.roster.children(job_id)

    def _demand_loaded(self) -> None:
        if not self._store.loaded and self._store.fault is not None:
            raise self._store.fault

    async def ended_runs(self, record: Record) -> list[Run]:
        """All runs of a job that are kept, oldest first."""
        return await self._store.ended_runs(record.id, self._keep_runs)

    # Writing.

    async def create(self, job: Job, *, disabled: bool = False) -> Record:
        """A new job. Raises `Invalid` when its parents or its failure job are not there or would make a cycle."""
        self._demand_going_on()
        job_id, created, now = new_id(), self._store.new_moment(), self.clock.now()

        def decide(draft: Draft) -> list[Change]:
            return [register.create(job, draft, job_id=job_id, now=now, disabled=disabled, created=created)]

        return (await self._store.transact(decide))[0].record

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

    async def start(self, job_id: str) -> str:
        """Run a job now, after what is on of it; return the run's id when that is durable."""
        self._demand_going_on()
        try:
            return await self._scheduler.start(job_id)
        except Stale:
            raise Stopping from None

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
