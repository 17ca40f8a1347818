"""Taking over jobs of another server: with their ids, counters and links, each that can be taken."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from kala import register, schedule
from kala.clock import Clock, Moment
from kala.draft import Draft
from kala.errors import Invalid, KalaError
from kala.job import Record
from kala.jobimport import Imported
from kala.ledger import LATE, Change
from kala.schedule import Schedule
from kala.store import Store


class ImportReport(Struct, frozen=True):
    """Ids of the jobs taken, and the faults, by path, of each that was not."""

    imported: list[str]
    refused: dict[str, dict[str, str]]


class _Together:
    """The jobs that are here, and those that may come. (It is `register.Others`.)"""

    def __init__(self, here: register.Others, coming: dict[str, Record]) -> None:
        self._here, self.coming = here, coming
        self._children: dict[str, list[str]] = {}
        for record in coming.values():
            for parent in record.job.parent_jobs or ():
                self._children.setdefault(parent, []).append(record.id)

    def get(self, job_id: str) -> Record | None:
        return self.coming.get(job_id) or self._here.get(job_id)

    def children(self, job_id: str) -> list[str]:
        return [*self._here.children(job_id), *(c for c in self._children.get(job_id, ()) if c in self.coming)]


async def take_in(store: Store, clock: Clock, jobs: Sequence[Imported]) -> ImportReport:
    """Take over those of `jobs` that are sound, are not here yet, and whose parents and failure jobs are here or come.

    Raises `StoreUnavailable`; nothing, or all that the report names, is then stored by a further try.
    """
    refused = {one.id: one.faults for one in jobs if one.job is None}
    records = {one.id: _record(one, store.new_moment(), clock.now()) for one in _in_order(jobs) if one.job is not None}
    taken: list[str] = []

    def decide(draft: Draft) -> Iterator[Change]:
        coming = dict(records)
        together = _Together(draft, coming)
        faults: dict[str, dict[str, str]] = {}
        doubtful = list(coming)
        while doubtful:
            out = {one: fault for one in doubtful if one in coming and (fault := _fault(coming[one], draft, together))}
            for one in out:
                del coming[one]
            faults |= out
            doubtful = list(coming) if out else []
        refused.update(faults)
        taken[:] = list(coming)
        now = clock.now()
        for record in coming.values():
            yield register.adopted(record, now)

    await store.transact(decide)
    return ImportReport(list(taken), refused)


def _fault(record: Record, here: register.Others, together: _Together) -> dict[str, str]:
    if here.get(record.id) is not None:
        return {"id": "there is a job with this id already"}
    try:
        register.check_links(record.id, record.job, together)
    except Invalid as fault:
        return fault.fields
    return {}


def _in_order(jobs: Sequence[Imported]) -> Iterable[Imported]:
    """Children in the order in which their parents name them: it is the order in which they run."""
    by_id = {one.id: one for one in jobs}
    ordered: dict[str, Imported] = {}
    named = {child for one in jobs for child in one.standing.dependent_jobs or ()}
    stack = [one.id for one in reversed(jobs) if one.id not in named]
    while stack:
        one = by_id.get(stack.pop())
        if one is not None and one.id not in ordered:
            ordered[one.id] = one
            stack.extend(reversed(one.standing.dependent_jobs or ()))
    for one in jobs:  # what only a cycle leads to
        ordered.setdefault(one.id, one)
    return ordered.values()


def _on_grid(plan: Schedule, moment: Moment) -> Moment | None:
    """The occurrence that another server means by `moment`: the first from then on, or the one just before.

    The original's next run is never on the grid: it is a little after it from the start, and drifts further with each
    run. Up to `LATE`, and half the interval, it is the occurrence before that is still to come.
    """
    k = max(plan.index_at(moment), 0)
    before, after = plan.occurrence(k), plan.occurrence(k + 1)
    if before is None or after is None:
        return before
    return before if moment - before <= min(LATE, (after - before) // 2) else after


def _record(one: Imported, created: Moment, now: Moment) -> Record:
    job, standing = one.job, one.standing
    if job is None:
        raise KalaError(f"job {one.id} is not to be taken")
    cursor, remaining = register.first_due(job, now)
    if job.schedule and not job.parent_jobs:
        plan = schedule.parse(job.schedule)
        cursor = _on_grid(plan, standing.next_run_at if standing.next_run_at is not None else now)
        if remaining is not None:
            remaining = max(remaining - standing.metadata.number_of_finished_runs, 1)
    if standing.is_done:
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
