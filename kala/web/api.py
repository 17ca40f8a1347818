"""The HTTP API, version 1: the original's routes and ours. COMPATIBILITY: `README.md`, "HTTP API"."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from quart import Quart, Response, request

from kala.errors import Invalid, JobNotFound, StoreRefused, StoreUnavailable
from kala.job import MAX_RESULTS, Record, unpacked
from kala.jobimport import Imported, read_imported
from kala.jobjson import JobObject, Row, encode, job_object, rows_of_results, rows_of_runs, stats_object
from kala.jobread import NewJob, read_job, read_patch
from kala.web.compress import WORTH, gzipped, gzipped_chunks, wants_gzip
from kala.web.problems import JSON

if TYPE_CHECKING:
    from kala.service import Service

ROOT = "/api/v1"
CHUNK = 48
"""Jobs in a piece of a list: with full results some 60 KB, and under a millisecond of the loop's time."""

IMPORT_CHUNK = 20
"""Jobs of an import that are read at a time: some milliseconds of the loop's time."""


def add_routes(app: Quart, service: "Service") -> None:
    """Add all routes. Those that end in `/` are served without it, too (`app.py`)."""
    api = Api(service)
    for method, path, view in (
        ("GET", f"{ROOT}/job/", api.list_jobs),
        ("POST", f"{ROOT}/job/", api.create),
        ("GET", f"{ROOT}/job/<job_id>/", api.get),
        ("PATCH", f"{ROOT}/job/<job_id>/", api.edit),
        ("DELETE", f"{ROOT}/job/<job_id>/", api.delete),
        ("DELETE", f"{ROOT}/job/all/", api.delete_all),
        ("POST", f"{ROOT}/job/import/", api.import_jobs),
        ("GET", f"{ROOT}/job/stats/<job_id>/", api.stats_of_job),
        ("POST", f"{ROOT}/job/start/<job_id>/", api.start),
        ("POST", f"{ROOT}/job/disable/<job_id>/", api.disable),
        ("POST", f"{ROOT}/job/enable/<job_id>/", api.enable),
        ("GET", f"{ROOT}/stats/", api.stats),
        ("GET", "/healthz/", api.healthz),
        ("GET", "/readyz/", api.readyz),
    ):
        app.add_url_rule(path, f"{method} {path}", view, methods=[method])


def answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer, packed when the client asks for that and it is worth it."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding", **(headers or {})}
    if len(body) > WORTH and request.method != "HEAD" and wants_gzip(request.headers.get("Accept-Encoding")):
        body = gzipped(body)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, headers, content_type=JSON)


async def body_sent() -> bytes:
    """The request's body: JSON, whatever its content type says."""
    body: bytes = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    return body


def nothing() -> Response:
    """204, which has neither a body nor a type."""
    response = Response(b"", 204)
    del response.headers["Content-Type"]
    del response.headers["Content-Length"]
    return response


class Api:
    """The views. Each reads the request, asks the service, and writes the answer; errors are for `problems.py`."""

    def __init__(self, service: "Service") -> None:
        self.service = service

    def _object(self, record: Record, rows: list[Row] | None) -> JobObject:
        return job_object(record, self.service.children(record.id), rows)

    async def _all_rows(self, record: Record) -> list[Row] | None:
        """All runs that are kept. The record has the last `MAX_RESULTS` with it: when there never were more, or the
        database is away, these are the answer."""
        if len(unpacked(record.results)) < MAX_RESULTS:
            return rows_of_results(record)
        try:
            return rows_of_runs(await self.service.ended_runs(record))
        except (StoreUnavailable, StoreRefused):
            return rows_of_results(record)

    async def create(self) -> Response:
        body = await body_sent()
        new = read_job(body, now=self.service.clock.now(), default_owner=self.service.default_owner)
        record = await self.service.create(new.job, disabled=new.disabled)
        created: dict[str, Any] = {"id": record.id}
        if new.warnings:
            created["warnings"] = new.warnings
        return answer(encode(created), 201)

    async def get(self, job_id: str) -> Response:
        record = self.service.job(job_id)
        rows = await self._all_rows(record)
        return answer(encode({"job": self._object(record, rows)}), headers={"ETag": etag(record)})

    async def edit(self, job_id: str) -> Response:
        body = await body_sent()
        warnings: list[str] = []

        def change(record: Record) -> NewJob:
            new = read_patch(body, record.job, record.disabled, now=self.service.clock.now())
            warnings[:] = new.warnings
            return new

        record = await self.service.edit(job_id, change, expected=version_in(request.headers.get("If-Match")))
        edited: dict[str, Any] = {"job": self._object(record, rows_of_results(record))}
        if warnings:
            edited["warnings"] = warnings
        return answer(encode(edited), headers={"ETag": etag(record)})

    async def delete(self, job_id: str) -> Response:
        await self.service.delete(job_id)
        return nothing()

    async def delete_all(self) -> Response:
        await self.service.delete_all()
        return nothing()

    async def start(self, job_id: str) -> Response:
        """204 when the run, and what it set off, has ended; with `?wait=false` 202 and the run's id, at once."""
        run_id = await self.service.start(job_id)
        if request.args.get("wait", "").lower() in ("false", "0", "no"):
            return answer(encode({"id": run_id}), 202)
        await self.service.wait_settled(job_id, run_id)
        return nothing()

    async def disable(self, job_id: str) -> Response:
        await self.service.set_disabled(job_id, True)
        return nothing()

    async def enable(self, job_id: str) -> Response:
        await self.service.set_disabled(job_id, False)
        return nothing()

    async def stats_of_job(self, job_id: str) -> Response:
        return answer(encode({"job_stats": await self._all_rows(self.service.job(job_id))}))

    async def stats(self) -> Response:
        totals = self.service.totals()
        body = stats_object(
            active_jobs=totals.active,
            disabled_jobs=totals.disabled,
            jobs=totals.jobs,
            error_count=totals.errors,
            success_count=totals.successes,
            next_run_at=totals.next_run_at,
            last_attempted_run=totals.last_attempted,
            created=self.service.clock.now(),
        )
        return answer(encode(body))

    async def list_jobs(self) -> Response:
        """All jobs in order of creation, or with `limit` a page: `after` is the last id of the page before, and
        `next` in the answer the one to go on from, null when that was all."""
        ids, following = page_of(self.service.job_ids(), request.args.get("limit"), request.args.get("after"))
        headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}
        if request.method == "HEAD":
            response = Response(b"", 200, headers, content_type=JSON)
            del response.headers["Content-Length"]  # it is not known before the list is made
            return response
        chunks = self._listed(ids, b"}}" if following is ... else b'},"next":%s}' % encode(following))
        if wants_gzip(request.headers.get("Accept-Encoding")):
            headers["Content-Encoding"] = "gzip"
            chunks = gzipped_chunks(chunks)
        return Response(chunks, 200, headers, content_type=JSON)

    async def _listed(self, ids: Sequence[str], end: bytes) -> AsyncIterator[bytes]:
        """The list in pieces. Between them others have their turn, so a job that goes meanwhile is passed over."""
        between = b'{"jobs":{'
        for first in range(0, len(ids), CHUNK):
            await trio.lowlevel.checkpoint()
            members = [
                b"%s:%s" % (encode(record.id), encode(self._object(record, rows_of_results(record))))
                for job_id in ids[first : first + CHUNK]
                if (record := self.service.peek(job_id)) is not None
            ]
            if members:
                yield between + b",".join(members)
                between = b","
        yield end if between == b"," else between + end

    async def import_jobs(self) -> Response:
        """What `GET /job/` of another server answers; each job is taken with its id, or refused by itself."""
        imported: list[Imported] = []
        for piece in pieces(await body_sent()):
            imported += read_imported(piece)
            await trio.lowlevel.checkpoint()
        report = await self.service.import_jobs(imported)
        return answer(encode({"imported": report.imported, "refused": report.refused}))

    async def healthz(self) -> Response:
        return answer(encode({"status": "ok"}))

    async def readyz(self) -> Response:
        if self.service.ready:
            return answer(encode({"status": "ok"}))
        return answer(encode({"error": self.service.not_ready_because}), 503, {"Retry-After": "1"})


def etag(record: Record) -> str:
    """The version of the definition: what `If-Match` is about. Counters and results change without it."""
    return f'"{record.version}"'


def version_in(if_match: str | None) -> str | None:
    """The version that a client expects; None when it expects none, or any (`*`)."""
    if if_match is None or if_match.strip() == "*":
        return None
    return if_match.strip().removeprefix("W/").strip('"')


def page_of(ids: Sequence[str], limit: str | None, after: str | None) -> tuple[Sequence[str], Any]:
    """The ids of a page, and what `next` is; `...` when no page was asked for. Raises `Invalid`, `JobNotFound`."""
    if limit is None and after is None:
        return ids, ...
    if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) < 9 and int(limit) > 0):
        raise Invalid({"limit": "must be a whole number from 1"})
    start = 0
    if after is not None:
        try:
            start = ids.index(after) + 1
        except ValueError:
            raise JobNotFound(after) from None
    page = ids[start : start + int(limit)] if limit is not None else ids[start:]
    return page, page[-1] if page and start + len(page) < len(ids) else None


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
