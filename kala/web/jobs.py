"""Routes about single jobs."""

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType
from quart import Response

from kala.audit import About
from kala.errors import StoreRefused, StoreUnavailable
from kala.job import MAX_RESULTS, Record, unpacked
from kala.roles import Role
from kala.web import routes
from kala.web.answers import STALE_ABOUT, Reply, answer, body_sent, did, nothing, respond, stale_when
from kala.web.parameters import IDEMPOTENCY_KEY, Parameter, asked, flag
from kala.web.routes import ROOT, Answer, Route
from kala.wire.checks import members_schema
from kala.wire.jobjson import JobObject, Row, encode, job_object, rows_of_results, rows_of_runs
from kala.wire.jobmembers import MEMBERS
from kala.wire.jobread import NewJob, read_job, read_patch

if TYPE_CHECKING:
    from kala.service import Service

IF_MATCH = Parameter(
    "If-Match",
    "The version that the client has seen, as `ETag` told it: another one is 412. `*`, or none at all, is any.",
    lambda text: version_in(text),
    {"type": "string"},
    where="header",
)
NEW_JOB = members_schema(MEMBERS, ("name",), "NewJob")
WAIT = flag("wait", "false: answer when the run is recorded, and not when it has ended.", True)
TOLD = 1_024
"""Jobs whose answers are remembered until anything of them changes: who asks about one asks again."""
ETAG = {"ETag": "The version of the definition. Counters and results change without it."}


class Created(Struct):
    """A job that was made. `warnings` are sentences for whoever made it."""

    id: str
    warnings: list[str] | UnsetType = UNSET


class JobAnswer(Struct):
    """One job."""

    job: JobObject
    warnings: list[str] | UnsetType = UNSET


class StatsAnswer(Struct):
    """The runs of a job that have ended, as many as are kept, oldest first; null when there are none."""

    job_stats: list[Row] | None


class Started(Struct):
    """A run that was begun."""

    id: str


class Jobs:
    """The views. Each reads the request, asks the service, and writes the answer; errors are for `problems.py`."""

    def __init__(self, service: "Service") -> None:
        self.service = service
        self._told: dict[str, tuple[Record, list[str] | None, Reply]] = {}  # by job, the earliest first

    def routes(self) -> list[Route]:
        one = f"{ROOT}/job/<job_id>/"
        done = {204: Answer("It is done.")}
        return [
            Route(
                "POST",
                f"{ROOT}/job/",
                self.create,
                "Make a job.",
                {201: Answer("It is made, and durable.", Created)},
                parameters=(IDEMPOTENCY_KEY,),
                body=routes.json(NEW_JOB),
                faults=(400, 409, 413),
                hot=self.made,
            ),
            Route(
                "GET",
                one,
                self.get,
                "A job.",
                {200: Answer("The job.", JobAnswer, headers=ETAG | STALE_ABOUT)},
                faults=(404,),
                hot=self.one,
            ),
            Route(
                "PATCH",
                one,
                self.edit,
                "Edit a job by a JSON merge patch (RFC 7396): what is given replaces, null sets the default.",
                {200: Answer("The job as it now is.", JobAnswer, headers=ETAG)},
                parameters=(IF_MATCH,),
                body=routes.json(members_schema(MEMBERS, title="JobPatch")),
                faults=(400, 404, 412, 413),
            ),
            Route(
                "DELETE", one, self.delete, "Delete a job, and its children without other parents.", done, faults=(404,)
            ),
            Route("DELETE", f"{ROOT}/job/all/", self.delete_all, "Delete all jobs.", done),
            Route(
                "GET",
                f"{ROOT}/job/stats/<job_id>/",
                self.stats,
                "What became of a job's runs.",
                {200: Answer("A row for each run.", StatsAnswer, headers=STALE_ABOUT)},
                faults=(404,),
                hot=self.runs_of,
            ),
            Route(
                "POST",
                f"{ROOT}/job/start/<job_id>/",
                self.start,
                "Run a job now, after what is on of it.",
                {202: Answer("It is recorded.", Started), 204: Answer("It has ended, and so has all that it set off.")},
                parameters=(WAIT, IDEMPOTENCY_KEY),
                faults=(400, 404, 409),
                role=Role.RUN,
            ),
            *[
                Route("POST", f"{ROOT}/job/{verb}/<job_id>/", view, about, done, faults=(404,), role=Role.RUN)
                for verb, view, about in (
                    ("disable", self.disable, "Disable a job."),
                    ("enable", self.enable, "Enable a job."),
                )
            ],
        ]

    def _from_memory(self, record: Record) -> Reply:
        """A job that had few runs: what it is answered with depends on its record, which never changes but is replaced,
        and on its children."""
        children, told = self.service.children(record.id), self._told.pop(record.id, None)
        if told is None or told[0] is not record or told[1] != children:
            told_of = JobAnswer(job_object(record, children, rows_of_results(record)))
            told = record, children, Reply(encode(told_of), headers={"ETag": etag(record)})
            if len(self._told) >= TOLD:
                del self._told[next(iter(self._told))]
        self._told[record.id] = told
        return told[2]

    def _object(self, record: Record, rows: list[Row] | None) -> JobObject:
        return job_object(record, self.service.children(record.id), rows)

    async def _all_rows(self, record: Record) -> tuple[list[Row] | None, bool]:
        """All runs that are kept, and whether some may be missing. The record has the last `MAX_RESULTS` with it: when
        there never were more, or the database is away, these are the answer."""
        if len(unpacked(record.results)) < MAX_RESULTS:
            return rows_of_results(record), False
        try:
            return rows_of_runs(await self.service.ended_runs(record)), False
        except (StoreUnavailable, StoreRefused):
            return rows_of_results(record), True

    async def create(self) -> Response:
        key = asked((IDEMPOTENCY_KEY,))["Idempotency-Key"]
        return respond(await self.made(await body_sent(), key))

    async def made(self, body: bytes, key: str = "") -> Reply:
        """The job that a body defines is made, and durable."""
        before = self.service.made_with(key) if key else None
        # What is repeated is judged as it was: its start may have passed since
        now = self.service.clock.now() if before is None else before.created
        new = read_job(body, now=now, default_owner=self.service.default_owner)
        new.warnings.extend(await self.service.secrets.warnings(new.job))
        record = await self.service.create(new.job, disabled=new.disabled, key=key)
        return Reply(encode(Created(record.id, new.warnings or UNSET)), 201, about=About(job=record.id))

    async def get(self, job_id: str) -> Response:
        return respond(await self.one(job_id))

    async def one(self, job_id: str) -> Reply:
        """A job."""
        record = self.service.job(job_id)
        if len(unpacked(record.results)) < MAX_RESULTS:
            return self._from_memory(record)
        rows, stale = await self._all_rows(record)
        headers = {"ETag": etag(record)} | stale_when(stale)
        return Reply(encode(JobAnswer(self._object(record, rows))), headers=headers)

    async def edit(self, job_id: str) -> Response:
        expected, body = asked((IF_MATCH,))["If-Match"], await body_sent()
        warnings: list[str] = []

        def change(record: Record) -> NewJob:
            new = read_patch(body, record.job, record.disabled, now=self.service.clock.now())
            warnings[:] = new.warnings
            return new

        record = await self.service.edit(job_id, change, expected=expected)
        warnings += await self.service.secrets.warnings(record.job)
        edited = JobAnswer(self._object(record, rows_of_results(record)), warnings or UNSET)
        return answer(encode(edited), headers={"ETag": etag(record)})

    async def delete(self, job_id: str) -> Response:
        await self.service.delete(job_id)
        return nothing()

    async def delete_all(self) -> Response:
        await self.service.delete_all()
        return nothing()

    async def start(self, job_id: str) -> Response:
        """204 when the run, and what it set off, has ended; with `?wait=false` 202 and the run's id, at once."""
        given = asked((WAIT, IDEMPOTENCY_KEY))
        run_id = await self.service.start(job_id, key=given["Idempotency-Key"])
        did(run=run_id)
        if not given["wait"]:
            return answer(encode(Started(run_id)), 202)
        await self.service.wait_settled(job_id, run_id)
        return nothing()

    async def disable(self, job_id: str) -> Response:
        await self.service.set_disabled(job_id, True)
        return nothing()

    async def enable(self, job_id: str) -> Response:
        await self.service.set_disabled(job_id, False)
        return nothing()

    async def stats(self, job_id: str) -> Response:
        return respond(await self.runs_of(job_id))

    async def runs_of(self, job_id: str) -> Reply:
        """A row for each of a job's runs."""
        rows, stale = await self._all_rows(self.service.job(job_id))
        return Reply(encode(StatsAnswer(rows)), headers=stale_when(stale))


def etag(record: Record) -> str:
    """The version of the definition: what `If-Match` is about. Counters and results change without it."""
    return f'"{record.version}"'


def version_in(if_match: str) -> str | None:
    """The version that a client expects; None when it expects any (`*`)."""
    return None if if_match.strip() == "*" else if_match.strip().removeprefix("W/").strip('"')
