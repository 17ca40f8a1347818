"""Routes about what comes: of a job, and of a schedule that no job has yet."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import trio
from msgspec import Struct
from quart import Response

from kala import register
from kala.clock import rfc3339
from kala.errors import Invalid
from kala.forecast import first_in_time
from kala.job import Job, Record
from kala.ledger import expected, plan_of
from kala.roles import Role
from kala.web import parameters, routes
from kala.web.answers import answer, body_sent
from kala.web.parameters import asked
from kala.web.routes import ROOT, Answer, Route
from kala.wire import checks
from kala.wire.checks import Faults, members_schema, sound
from kala.wire.explain import when, why_nothing_comes
from kala.wire.jobjson import encode
from kala.wire.jobmembers import MEMBERS, canonical, parsed
from kala.wire.jobread import rules_of_when
from kala.wire.runjson import Time

if TYPE_CHECKING:
    from kala.service import Service

MOST = 1_000
TEN = 10
SLICE = 0.005
"""Seconds after which others have their turn: where occurrences are decades apart, each takes some milliseconds."""

COUNT = parameters.whole("count", "How many are told at most.", 1, MOST, TEN)
_TAKEN = ("schedule", "time_zone", "dst_gap", "dst_fold", "jitter")
PREVIEWED = {name: MEMBERS[name] for name in _TAKEN} | {"count": checks.whole(1, MOST)}
_NAMES = {name: name for name in PREVIEWED}


class Occurrence(Struct):
    """When a run is to start: the schedule's moment, put off by the job's jitter."""

    at: Time
    local: Time  # the same, by the clock of the schedule's zone
    note: str  # what a change of the zone's offset does to it, where it does something


class Coming(Struct):
    """What comes next, or why nothing does."""

    next: list[Occurrence]
    explanation: str
    words: str  # the schedule in plain words


class Schedules:
    """The views."""

    def __init__(self, service: "Service") -> None:
        self.service = service

    def routes(self) -> list[Route]:
        coming = {200: Answer("What comes next, or why nothing does.", Coming)}
        return [
            Route(
                "GET",
                f"{ROOT}/job/<job_id>/next/",
                self.next,
                "The coming occurrences of a job.",
                coming,
                parameters=(COUNT,),
                faults=(400, 404),
            ),
            Route(
                "POST",
                f"{ROOT}/schedule/preview/",
                self.preview,
                "What a schedule would name from now on. Where runs are spread by `jitter` depends on the job.",
                coming,
                body=routes.json(members_schema(PREVIEWED, ("schedule",))),
                faults=(400, 413),
                role=Role.READ,
            ),
        ]

    async def next(self, job_id: str) -> Response:
        count = asked((COUNT,))["count"]
        return await self._coming(self.service.job(job_id), count, paused=self.service.paused)

    async def preview(self) -> Response:
        faults: Faults = {}
        found = sound(canonical(parsed(await body_sent()), _NAMES), PREVIEWED, "", faults)
        count = found.pop("count", TEN)
        found.pop("jitter", None)
        job = msgspec.convert({"name": "preview", **found}, Job)
        for path, fault in rules_of_when(job, None):
            faults.setdefault(path, fault)
        if not job.schedule:
            faults.setdefault("schedule", "is needed")
        if faults or not isinstance(count, int):
            raise Invalid(faults)
        now = self.service.clock.now()
        cursor, remaining = register.first_due(job, now)
        return await self._coming(Record("", job, now, cursor=cursor, remaining=remaining), count, paused=False)

    async def _coming(self, record: Record, count: int, *, paused: bool) -> Response:
        why = why_nothing_comes(record, paused=paused)
        found: list[Occurrence] = []
        if not why:
            begun = trio.current_time()
            for one in self._ahead(record, count):
                found.append(one)
                if trio.current_time() - begun > SLICE:
                    await trio.lowlevel.checkpoint()
                    begun = trio.current_time()
        return answer(encode(Coming(found, why, when(record.job, self.service.clock.now()))))

    def _ahead(self, record: Record, count: int) -> Iterator[Occurrence]:
        """From the one that the job waits for on. Those that are too late by now are for catch-up to decide about."""
        cursor = record.cursor or 0
        if not record.job.schedule:
            yield Occurrence(rfc3339(cursor), rfc3339(cursor), "")
            return
        plan = plan_of(record.job)
        left = count if record.remaining is None else min(count, record.remaining)
        first = first_in_time(record, self.service.clock.now())
        moments = iter([cursor]) if plan.is_single or first is None else plan.ahead(first - 1)
        for moment in islice(moments, left):
            at = expected(record, moment)
            yield Occurrence(rfc3339(at), plan.local(at), plan.note(moment))
