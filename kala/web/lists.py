"""The list of jobs: whole, or those that are asked for, in pages; and imports, which take what it answers."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from msgspec import UNSET, Struct, UnsetType
from quart import Response

from kala.clock import Moment
from kala.errors import JobNotFound
from kala.job import Record
from kala.web import parameters, routes
from kala.web.answers import answer, body_sent, in_pieces
from kala.web.parameters import asked, has_labels
from kala.web.routes import ROOT, Answer, Route
from kala.wire.jobimport import Imported, read_imported
from kala.wire.jobjson import JobObject, encode, job_object, next_run_at, rows_of_results

if TYPE_CHECKING:
    from kala.service import Service

CHUNK = 48
"""Jobs in a piece of a list: with full results some 60 KB, and under a millisecond of the loop's time."""
LOOKED_AT = 1_000
"""Jobs that are filtered and sorted at a time: a few milliseconds of the loop's time."""
IMPORT_CHUNK = 20
"""Jobs of an import that are read at a time: some milliseconds of the loop's time."""

Key = Callable[[Record], tuple[Any, ...]]
Wanted = Callable[[Record], bool]


def _placed(record: Record) -> tuple[Any, ...]:
    return record.created, record.id


KEYS: dict[str, Key] = {
    "created": _placed,
    "name": lambda record: (record.job.name.casefold(), record.job.name, *_placed(record)),
    "next_run_at": lambda record: (*_or_last(next_run_at(record)), *_placed(record)),
    "last_attempted_run": lambda record: (*_or_last(record.last_attempted), *_placed(record)),
}
"""What jobs are sorted by; what has no such moment comes last."""

PARAMETERS = (
    parameters.whole("limit", "The most jobs that are answered.", 1, 99_999_999),
    parameters.text("after", "The `next` of the page before: go on after this job."),
    parameters.text("q", "Part of the id, the name, the command or the owner, in any case."),
    parameters.labels("`name`, or `name=value`; repeated, all must hold."),
    parameters.text("owner", "The owner."),
    parameters.flag("disabled", "Whether it is disabled."),
    parameters.flag("done", "Whether nothing more is to come of it."),
    parameters.choice("sort", "The order; with `-` before it, reversed.", [*KEYS, *(f"-{key}" for key in KEYS)]),
)


class JobList(Struct):
    """Jobs by id, in order. `next` is there in pages: null, or what to go on after."""

    jobs: dict[str, JobObject]
    next: str | UnsetType | None = UNSET


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
                {200: Answer("The jobs.", JobList)},
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
        ids = await self._chosen(given)
        end = b"}}"
        if given["limit"] is not None or given["after"] is not None:
            limit = given["limit"] or len(ids)
            end = b'},"next":%s}' % encode(ids[limit - 1] if limit < len(ids) else None)
            ids = ids[:limit]
        return in_pieces(self._listed(ids, end))

    async def _chosen(self, given: dict[str, Any]) -> list[str]:
        """The ids of the jobs that are asked for, in order; of a page, one more when there is one."""
        most = None if given["limit"] is None else given["limit"] + 1
        order = given["sort"] or "created"
        key, turned = KEYS[order.removeprefix("-")], order.startswith("-")
        ids, after = self.service.job_ids(), None
        if given["after"] is not None and (after := self.service.remembered(given["after"])) is None:
            raise JobNotFound(given["after"])
        wanted = filter_of(given)
        if key is _placed:
            ids = self._after(ids, after, turned)
            return ids[:most] if wanted is None else await self._picked(ids, wanted, most)
        return await self._sorted(ids, key, after, turned, wanted, most)

    def _after(self, ids: list[str], after: Record | None, turned: bool) -> list[str]:
        """Of all jobs in the order of their creation those that follow `after`, which may have gone meanwhile."""
        if after is not None and after.deleted is not None:
            records = ((place, self.service.peek(job_id)) for place, job_id in enumerate(ids))
            following = (place for place, one in records if one is not None and one.created > after.created)
            place = next(following, len(ids))
            return ids[:place][::-1] if turned else ids[place:]
        if turned:
            ids.reverse()
        return ids if after is None else ids[ids.index(after.id) + 1 :]

    async def _picked(self, ids: Sequence[str], wanted: Wanted, most: int | None) -> list[str]:
        found: list[str] = []
        for first in range(0, len(ids), LOOKED_AT):
            await trio.lowlevel.checkpoint()
            records = map(self.service.peek, ids[first : first + LOOKED_AT])
            found += [one.id for one in records if one is not None and wanted(one)]
            if most is not None and len(found) >= most:
                return found[:most]
        return found

    async def _sorted(
        self, ids: list[str], key: Key, after: Record | None, turned: bool, wanted: Wanted | None, most: int | None
    ) -> list[str]:
        runs: list[list[tuple[Any, ...]]] = []
        place = None if after is None else key(after)
        for first in range(0, len(ids), LOOKED_AT):
            await trio.lowlevel.checkpoint()
            records = map(self.service.peek, ids[first : first + LOOKED_AT])
            keys = [key(one) for one in records if one is not None and (wanted is None or wanted(one))]
            if place is not None:
                keys = [one for one in keys if (one < place if turned else one > place)]
            runs.append(sorted(keys, reverse=turned))
        found: list[str] = []
        in_order = merge(*runs, reverse=turned)
        while (most is None or len(found) < most) and (several := list(islice(in_order, LOOKED_AT))):
            await trio.lowlevel.checkpoint()
            found += [one[-1] for one in several]
        return found[:most]

    async def _listed(self, ids: Sequence[str], end: bytes) -> AsyncIterator[bytes]:
        """The list in pieces. Between them others have their turn, so a job that goes meanwhile is passed over."""
        between = b'{"jobs":{'
        for first in range(0, len(ids), CHUNK):
            await trio.lowlevel.checkpoint()
            members = [
                b"%s:%s" % (encode(record.id), encode(self._object(record)))
                for job_id in ids[first : first + CHUNK]
                if (record := self.service.peek(job_id)) is not None
            ]
            if members:
                yield between + b",".join(members)
                between = b","
        yield end if between == b"," else between + end

    def _object(self, record: Record) -> JobObject:
        return job_object(record, self.service.children(record.id), rows_of_results(record))

    async def take(self) -> Response:
        """What `GET /job/` of another server answers; each job is taken with its id, or refused by itself."""
        imported: list[Imported] = []
        for piece in pieces(await body_sent()):
            imported += read_imported(piece)
            await trio.lowlevel.checkpoint()
        report = await self.service.import_jobs(imported)
        return answer(encode(ImportAnswer(report.imported, report.refused)))


def filter_of(given: dict[str, Any]) -> Wanted | None:
    """Whether a job is one that is asked for; None when all are."""
    q = (given["q"] or "").casefold()
    labels, owner, disabled, done = given["label"], given["owner"], given["disabled"], given["done"]
    if not (q or labels) and owner is None and disabled is None and done is None:
        return None

    def is_wanted(record: Record) -> bool:
        job = record.job
        return (
            (disabled is None or record.disabled is disabled)
            and (owner is None or job.owner == owner)
            and (done is None or record.is_done is done)
            and (not labels or has_labels(job.labels or {}, labels))
            and (not q or any(q in text.casefold() for text in (job.name, record.id, job.owner, job.command)))
        )

    return is_wanted


def _or_last(moment: Moment | None) -> tuple[bool, Moment]:
    return moment is None, moment or 0


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
