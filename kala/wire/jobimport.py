"""Reading what the original's `GET /api/v1/job/` answers: definitions, counters, and where each job stands."""

from datetime import datetime

import msgspec
from msgspec import Struct

from kala.clock import Moment, from_datetime
from kala.errors import Invalid, shortened
from kala.job import Job
from kala.schedule import LATEST
from kala.wire.checks import Check, Faults, came, check, flag, list_of, members_schema, sound, whole
from kala.wire.jobmembers import MEMBERS, canonical, job_id, parsed
from kala.wire.jobread import taken

_COUNT = whole(0, 2**63 - 1)


class Counters(Struct, frozen=True):
    """The `metadata` of a job of another server."""

    success_count: int = 0
    last_success: Moment | None = None
    error_count: int = 0
    last_error: Moment | None = None
    last_attempted_run: Moment | None = None
    number_of_finished_runs: int = 0


class Standing(Struct, frozen=True):
    """What only a server sets, and an import keeps."""

    metadata: Counters = Counters()
    next_run_at: Moment | None = None
    is_done: bool = False
    dependent_jobs: list[str] | None = None  # in the order in which the children were added


class Imported(Struct, frozen=True):
    """One job of another server. `job` is None when it cannot be taken: `faults` says why, by path."""

    id: str
    job: Job | None
    faults: dict[str, str]
    warnings: list[str]
    disabled: bool = False
    standing: Standing = Standing()


@check({"type": "string", "format": "date-time"})
def moment(value: object, path: str, faults: Faults) -> object:
    """RFC 3339 with any offset, cut to microseconds; a time in Go's year 1 is a moment that has not been."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        faults[path] = f"must be a time as in RFC 3339, not {came(value)}"
    elif read.year > 1:
        if (found := from_datetime(read)) <= LATEST:
            return found
        faults[path] = "is in the year 10000 in UTC, and only those up to 9999 are told"
    return None


_COUNTERS: dict[str, Check] = {
    "success_count": _COUNT,
    "last_success": moment,
    "error_count": _COUNT,
    "last_error": moment,
    "last_attempted_run": moment,
    "number_of_finished_runs": _COUNT,
}


@check(members_schema(_COUNTERS))
def metadata(value: object, path: str, faults: Faults) -> object:
    """The counters, as a dict."""
    if not isinstance(value, dict):
        faults[path] = f"must be an object, not {came(value)}"
        return None
    return sound(canonical(value, {name: name for name in _COUNTERS}), _COUNTERS, f"{path}.", faults)


STANDING: dict[str, Check] = {
    "metadata": metadata,
    "next_run_at": moment,
    "is_done": flag,
    "dependent_jobs": list_of(job_id, 1_000_000, distinct=True),
}
_NAMES = {name.casefold(): name for name in (*MEMBERS, *STANDING)}
EVERY_JOB = "all"
"""In place of an id it stands for all jobs: `DELETE /job/all/`."""


def read_imported(data: bytes) -> list[Imported]:
    """The jobs in `{"jobs": {id: job}}`, each taken or refused by itself, in the order in which they stand there.

    A schedule may start in the past. Raises `Invalid` when the whole is not of this shape.
    """
    jobs = parsed(data).get("jobs")
    if not isinstance(jobs, dict):
        raise Invalid({"jobs": f"must be an object of jobs by id, not {came(jobs)}"})
    return [_imported(key, value) for key, value in jobs.items()]


def _imported(key: str, value: object) -> Imported:
    faults: Faults = {}
    job_id(key, "id", faults)
    if key == EVERY_JOB:
        faults["id"] = "stands for all jobs: deleting this one would delete them all"
    if not isinstance(value, dict):
        return Imported(shortened(key), None, faults | {"": f"must be an object, not {came(value)}"}, [])
    members = canonical(value, _NAMES)
    standing = sound({name: members.pop(name) for name in STANDING if name in members}, STANDING, "", faults)
    new = taken(members, faults)
    if faults:
        return Imported(shortened(key), None, faults, new.warnings)
    return Imported(key, new.job, {}, new.warnings, new.disabled, msgspec.convert(standing, Standing))
