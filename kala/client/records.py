"""The records that jobs have at some moment: those of files, or those that a daemon answers about."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kala import register
from kala.client import definitions
from kala.client.applying import known
from kala.client.documents import read_files
from kala.client.plan import planned
from kala.clock import Moment
from kala.errors import Invalid
from kala.job import Job, Record, replace
from kala.ledger import derived_id, plan_of
from kala.schedule.durations import EARLIEST
from kala.wire.checks import Faults
from kala.wire.jobread import taken

NANOSECONDS = 1_000  # in a microsecond


class Known(NamedTuple):
    """A job, and how long its latest runs took on average (microseconds; None: it has not run)."""

    record: Record
    average: int | None


def of_files(paths: Sequence[str], at: Moment) -> list[Known]:
    """Jobs of files, in an order in which they can be made. A schedule may have begun before.

    Ids are made of the names, so that the same files are the same jobs. Raises `FilesFaulty`.
    """
    documents, faults = read_files(paths)
    steps = planned(documents, (), now=EARLIEST, faults=faults)
    ids = {step.id: derived_id("job", step.name) for step in steps}
    return [Known(record_of(ids[step.id], known(step.members, ids), at), None) for step in steps]


def of_daemon(jobs: Iterable[Mapping[str, Any]], at: Moment) -> list[Known]:
    """Jobs as a daemon lists them, with their ids. Raises `Invalid` for one that this program would not take."""
    found = []
    for job in jobs:
        record = record_of(job["id"], definitions.of_job(job), at)
        if job["is_done"] and not record.is_child:
            record = replace(record, cursor=None, remaining=0)
        found.append(Known(record, average(job["stats"] or ())))
    return found


def average(stats: Sequence[Mapping[str, Any]]) -> int | None:
    if not stats:
        return None
    return int(sum(row["execution_duration"] for row in stats)) // len(stats) // NANOSECONDS


def record_of(job_id: str, members: Mapping[str, Any], at: Moment) -> Record:
    """A job that has been there since its schedule began: of `Rn` only what has not passed is left."""
    faults: Faults = {}
    new = taken(members, faults)
    if faults:
        raise Invalid({f"{members['name']}: {path}": fault for path, fault in faults.items()})
    cursor, remaining = register.first_due(new.job, at)
    if remaining is not None and cursor is not None and new.job.schedule:
        remaining -= passed(new.job, at)
        if remaining <= 0:
            cursor, remaining = None, 0
    return Record(job_id, new.job, at, disabled=new.disabled, cursor=cursor, remaining=remaining)


def passed(job: Job, at: Moment) -> int:
    """How many occurrences there were before `at`."""
    plan = plan_of(job)
    return 0 if plan.start is None else plan.count_between(plan.start - 1, at - 1)
