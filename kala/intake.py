"""Taking over jobs of another server: with their ids, counters and links, each that can be taken."""

from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from msgspec import Struct

from kala import register
from kala.circles import circles, way_round
from kala.clock import Clock, Moment
from kala.errors import KalaError
from kala.job import Job, Record
from kala.ledger import LATE, Change, plan_of
from kala.schedule.plan import Plan
from kala.store import Store
from kala.store.draft import Draft
from kala.wire.jobimport import Imported


class ImportReport(Struct, frozen=True):
    """Ids of the jobs taken, and the faults, by path, of each that was not."""

    imported: list[str]
    refused: dict[str, dict[str, str]]


class _Together:
    """The jobs that are here, and those that may come. (It is `register.Others`.)"""

    def __init__(self, here: register.Others, coming: dict[str, Record]) -> None:
        self._here, self.coming = here, coming
        self._children: dict[str, list[str]] = {}
        self._failing: dict[str, list[str]] = {}  # jobs by their failure job
        for record in coming.values():
            for parent in record.job.parent_jobs or ():
                self._children.setdefault(parent, []).append(record.id)
            if record.job.on_failure_job:
                self._failing.setdefault(record.job.on_failure_job, []).append(record.id)

    def get(self, job_id: str) -> Record | None:
        return self.coming.get(job_id) or self._here.get(job_id)

    def children(self, job_id: str) -> list[str]:
        return [*self._here.children(job_id), *(c for c in self._children.get(job_id, ()) if c in self.coming)]

    def following(self, job_id: str) -> list[str]:
        """What a job sets off: its children, and its failure job."""
        record = self.get(job_id)
        failure = None if record is None else record.job.on_failure_job
        return [*self.children(job_id), *([failure] if failure else [])]

    def naming(self, ids: Iterable[str]) -> list[str]:
        """Those that may come and have one of these as a parent or as their failure job."""
        return [other for one in ids for other in (*self._children.get(one, ()), *self._failing.get(one, ()))]


async def take_in(store: Store, clock: Clock, jobs: Sequence[Imported]) -> ImportReport:
    """Take over those of `jobs` that are sound, are not here yet, and whose parents and failure jobs are here or come.

    Raises `StoreUnavailable`; nothing, or all that the report names, is then stored by a further try.
    """
    unsound = {one.id: one.faults for one in jobs if one.job is None}
    refused: dict[str, dict[str, str]] = {}
    records = {one.id: _record(one, store.new_moment(), clock.now()) for one in _in_order(jobs) if one.job is not None}
    taken: list[str] = []

    def decide(draft: Draft) -> Iterator[Change]:
        # Decided again, because another daemon has written first, some may be here already: they are taken.
        here = {one for one in taken if _is_same(records[one], draft.get(one))}
        coming = {one: record for one, record in records.items() if one not in here}
        together = _Together(draft, coming)
        circling = circles(coming, together.following)
        faults: dict[str, dict[str, str]] = {}
        doubtful: Iterable[str] = list(coming)
        while doubtful:
            out = {
                one: fault
                for one in doubtful
                if one in coming and (fault := _fault(coming[one], draft, together, circling.get(one)))
            }
            for one in out:
                del coming[one]
            faults |= out
            doubtful = together.naming(out)
        refused.clear()
        refused.update(unsound | faults)
        taken[:] = [one for one in records if one in here or one in coming]
        now = clock.now()
        for record in coming.values():
            yield register.adopted(record, now)

    await store.transact(decide)
    return ImportReport(list(taken), refused)


def _is_same(record: Record, there: Record | None) -> bool:
    return there is not None and (there.created, there.job) == (record.created, record.job)


def _fault(record: Record, draft: Draft, together: _Together, circle: frozenset[str] | None) -> dict[str, str]:
    """Why a job cannot be taken. `circle`: what it would be in circles with, itself among it."""
    if (there := draft.any(record.id)) is not None:
        if there.deleted is None:
            return {"id": "there is a job with this id already"}
        if there.open:
            return {"id": "a job with this id has been deleted, and a run of it is still on"}
        if there.notices:
            return {"id": "a job with this id has been deleted, and a notification of it is still to be sent"}
    if (missing := register.missing_links(record.id, record.job, together)) or circle is None:
        return missing
    if len(circle) > register.TOLD:  # each has a way round, and looking for all of them takes too long
        return register.would_set_itself_off(record.job, f", in circles of {len(circle):,} jobs")
    way = way_round(record.id, circle, together.following)
    return register.would_set_itself_off(record.job, f": {' → '.join(way)}")


def _in_order(jobs: Sequence[Imported]) -> Iterable[Imported]:
    """Children in the order in which their parents name them: it is the order in which they run.

    Lists of the original never contradict each other, as it appends to them. Where others' do, none is followed.
    """
    by_id = {one.id: one for one in jobs}
    before: dict[str, set[str]] = {one.id: set() for one in jobs}
    for one in jobs:
        for former, latter in pairwise(child for child in one.standing.dependent_jobs or () if child in by_id):
            before[latter].add(former)
    try:
        return [by_id[job_id] for job_id in TopologicalSorter(before).static_order()]
    except CycleError:
        return jobs


def _on_grid(plan: Plan, moment: Moment, *, jitter: bool) -> Moment | None:
    """The occurrence that another server means by `moment`: the first from then on, or the one just before.

    The original's next run is never on the grid: it is a little after it from the start, and drifts further with each
    run. Up to `LATE`, and half the interval, it is the occurrence before that is still to come. A next run that
    `jitter` has put off, which the original has not, never comes as late as the occurrence after its own.
    """
    before = plan.last_before(moment + 1)
    after = plan.next_after(moment)
    if before is None or after is None:
        return before if after is None else after
    return before if jitter or moment - before <= min(LATE, (after - before) // 2) else after


def _is_only_disabled(one: Imported, job: Job) -> bool:
    """The original calls a job done whose timer rang while it was disabled, and goes on with it when it is enabled."""
    if not job.schedule or job.parent_jobs:
        return False
    repetitions = plan_of(job).repetitions
    finished = one.standing.metadata.number_of_finished_runs
    return repetitions is None or (one.disabled and finished <= repetitions)


def _record(one: Imported, created: Moment, now: Moment) -> Record:
    job, standing = one.job, one.standing
    if job is None:
        raise KalaError(f"job {one.id} is not to be taken")
    cursor, remaining = register.first_due(job, now)
    if job.schedule and not job.parent_jobs:
        plan = plan_of(job)
        known = standing.next_run_at
        cursor = _on_grid(plan, now if known is None else known, jitter=bool(job.jitter) and known is not None)
        if remaining is not None:
            remaining = max(remaining - standing.metadata.number_of_finished_runs, 1)
    if standing.is_done and not _is_only_disabled(one, job):
        cursor, remaining = None, 0
    counters = standing.metadata
    return Record(
        id=one.id,
        job=job,
        created=created,
        disabled=one.disabled,
        cursor=cursor,
        last_due=standing.next_run_at,
        remaining=remaining,
        successes=counters.success_count,
        errors=counters.error_count,
        finished=counters.number_of_finished_runs,
        last_success=counters.last_success,
        last_error=counters.last_error,
        last_attempted=counters.last_attempted_run,
    )
