"""The list of jobs: whole, or those that are asked for, in pages, in brief; and imports, which take what it answers."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import trio
from msgspec import UNSET, Struct, UnsetType
from quart import Response

from kala.job import Record
from kala.web import choosing, parameters, routes
from kala.web.answers import answer, body_sent, did, in_pieces
from kala.web.choosing import choose
from kala.web.parameters import asked
from kala.web.routes import ROOT, Answer, Route
from kala.wire.briefjson import OPEN_RUNS, Brief, brief, open_run
from kala.wire.jobimport import Imported, read_imported
from kala.wire.jobjson import JobObject, encode, job_object, rows_of_results

if TYPE_CHECKING:
    from kala.service import Service

CHUNK = 100
"""Jobs in a piece of a list: some 110 KB, with full results 340, and a millisecond or two of the loop's time."""
IMPORT_CHUNK = 20
"""Jobs of an import that are read at a time: some milliseconds of the loop's time."""

PARAMETERS = (
    *choosing.PARAMETERS,
    parameters.flag("total", "Tell how many jobs there are on all pages; so it is with `brief`, unless this is false."),
    parameters.flag("brief", "Answer each job in brief, with `next` and `total`.", False),
)


class JobList(Struct):
    """Jobs by id, in order. `next` is there in pages: null, or what to go on after; `total` when it is asked for."""

    jobs: dict[str, JobObject]
    next: str | UnsetType | None = UNSET
    total: int | UnsetType = UNSET


class BriefList(Struct):
    """Jobs in brief by id, in order; what to go on after, null when that was all; how many there are on all pages, when
    that is asked for."""

    jobs: dict[str, Brief]
    next: str | None
    total: int | UnsetType = UNSET


class ImportAnswer(Struct):
    """Ids of the jobs taken, and the faults, by path, of each that was not."""

    imported: list[str]
    refused: dict[str, dict[str, str]]


class Lists:
    """The views."""

    def __init__(self, service: "Service") -> None:
        self.service = service

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                f"{ROOT}/job/",
                self.jobs,
                "All jobs, or those that are asked for: everything that is given must hold.",
                {200: Answer("The jobs.", JobList | BriefList)},
                parameters=PARAMETERS,
                faults=(400, 404),
            ),
            Route(
                "POST",
                f"{ROOT}/job/import/",
                self.take,
                "Take over jobs of another server, as its list answers them: with their ids and counters.",
                {200: Answer("Which were taken, and which not.", ImportAnswer)},
                body=routes.json(
                    {
                        "type": "object",
                        "properties": {"jobs": {"type": "object", "additionalProperties": {"type": "object"}}},
                        "required": ["jobs"],
                    }
                ),
                faults=(400, 413),
            ),
        ]

    async def jobs(self) -> Response:
        """All jobs in order of creation, or with `limit` a page: `after` is the last id of the page before, and
        `next` in the answer the one to go on from, null when that was all."""
        given = asked(PARAMETERS)
        is_brief = given["brief"]
        chosen = await choose(self.service, given, total=is_brief if given["total"] is None else given["total"])
        end = b"}"
        if is_brief or given["limit"] is not None or given["after"] is not None:
            end += b',"next":%s' % encode(chosen.next)
        if chosen.total is not None:
            end += b',"total":%d' % chosen.total
        return in_pieces(self._listed(chosen.ids, self._brief if is_brief else self._object, end + b"}"))

    async def _listed(self, ids: Sequence[str], made: Callable[[Record], Struct], end: bytes) -> AsyncIterator[bytes]:
        """The list in pieces. Between them others have their turn, so a job that goes meanwhile is passed over."""
        between = b'{"jobs":{'
        for first in range(0, len(ids), CHUNK):
            await trio.lowlevel.checkpoint()
            records = map(self.service.peek, ids[first : first + CHUNK])
            if jobs := {record.id: made(record) for record in records if record is not None}:
                yield between + encode(jobs)[1:-1]
                between = b","
        yield end if between == b"," else between + end

    def _object(self, record: Record) -> JobObject:
        return job_object(record, self.service.children(record.id), rows_of_results(record))

    def _brief(self, record: Record) -> Brief:
        history = self.service.history
        runs = [open_run(history.as_it_is(run), history.started(run.id)) for run in record.open[:OPEN_RUNS]]
        return brief(record, self.service.children(record.id), runs, self.service.clock.now())

    async def take(self) -> Response:
        """What `GET /job/` of another server answers; each job is taken with its id, or refused by itself."""
        imported: list[Imported] = []
        for piece in pieces(await body_sent()):
            imported += read_imported(piece)
            await trio.lowlevel.checkpoint()
        report = await self.service.import_jobs(imported)
        did(jobs=len(report.imported))
        return answer(encode(ImportAnswer(report.imported, report.refused)))


def pieces(body: bytes) -> Iterator[bytes]:
    """An import in several, so that reading a hundred thousand jobs does not hold everything else up."""
    try:
        jobs = msgspec.json.decode(body, type=dict[str, dict[str, msgspec.Raw]])["jobs"]
    except (msgspec.MsgspecError, KeyError, ValueError, RecursionError):
        yield body  # `read_imported` says what is wrong with it
        return
    members = [b"%s:%s" % (encode(job_id), bytes(job)) for job_id, job in jobs.items()]
    for first in range(0, len(members), IMPORT_CHUNK):
        yield b'{"jobs":{%s}}' % b",".join(members[first : first + IMPORT_CHUNK])
