"""Routes about the daemon as a whole: how it is, its totals, and pausing it."""

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType
from quart import Response

from kala.clock import rfc3339, rfc3339_or_none
from kala.errors import Invalid
from kala.roles import Role
from kala.web import routes
from kala.web.answers import Reply, answer, body_sent, respond
from kala.web.routes import ROOT, Answer, Route
from kala.wire.checks import Faults, members_schema, sound, text
from kala.wire.jobjson import Stats, encode, stats_object
from kala.wire.jobmembers import canonical, parsed
from kala.wire.runjson import Time

if TYPE_CHECKING:
    from kala.service import Service

PAUSING = {"reason": text(1_024)}


class StatsOfAll(Struct):
    """The totals of the whole server."""

    Stats: Stats


class Health(Struct):
    """That all is well."""

    status: str = "ok"


class NotReady(Struct):
    """Why nothing is started, or written. `database_away_since` is there while the database is away; so many results
    and other writes wait for it then."""

    error: str
    database_away_since: Time | UnsetType = UNSET
    waiting: int | UnsetType = UNSET


class PauseAnswer(Struct):
    """Whether nothing starts now, since when, and why."""

    paused: bool
    since: Time | None
    reason: str


class State:
    """The views."""

    def __init__(self, service: "Service") -> None:
        self.service = service

    def routes(self) -> list[Route]:
        paused = {200: Answer("Whether it is paused now.", PauseAnswer)}
        return [
            Route(
                "GET",
                f"{ROOT}/stats/",
                self.stats,
                "Totals of all jobs.",
                {200: Answer("The totals.", StatsOfAll)},
                hot=self.totals,
            ),
            Route("GET", f"{ROOT}/pause/", self.pause, "Whether the daemon is paused.", paused),
            Route(
                "POST",
                f"{ROOT}/pause/",
                self.begin_pause,
                "Start nothing any more, on no daemon of this database, until it is resumed. What is on goes on.",
                paused,
                body=routes.json(members_schema(PAUSING), required=False),
                faults=(400, 413),
                role=Role.RUN,
            ),
            Route("POST", f"{ROOT}/resume/", self.resume, "Let runs start again.", paused, role=Role.RUN),
            Route(
                "GET",
                "/healthz/",
                self.healthz,
                "That it is alive.",
                {200: Answer("It is.", Health)},
                is_open=True,
                hot=self.health,
            ),
            Route(
                "GET",
                "/readyz/",
                self.readyz,
                "Whether it can run jobs.",
                {200: Answer("It can.", Health), 503: Answer("It cannot.", NotReady)},
                is_open=True,
                hot=self.readiness,
            ),
        ]

    async def stats(self) -> Response:
        return respond(await self.totals())

    async def totals(self) -> Reply:
        """Totals of all jobs."""
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
        return Reply(encode(body))

    async def pause(self) -> Response:
        span = self.service.pause
        if not self.service.paused:
            return answer(encode(PauseAnswer(False, None, "")))
        return answer(encode(PauseAnswer(True, rfc3339_or_none(span.since), span.reason)))

    async def begin_pause(self) -> Response:
        body, faults = await body_sent(), Faults()
        given = sound(canonical(parsed(body), {"reason": "reason"}), PAUSING, "", faults) if body.strip() else {}
        if faults:
            raise Invalid(faults)
        await self.service.set_paused(True, str(given.get("reason", "")))
        return await self.pause()

    async def resume(self) -> Response:
        await self.service.set_paused(False)
        return await self.pause()

    async def healthz(self) -> Response:
        return respond(await self.health())

    async def health(self) -> Reply:
        """That all is well."""
        return Reply(encode(Health()))

    async def readyz(self) -> Response:
        return respond(await self.readiness())

    async def readiness(self) -> Reply:
        """Whether runs are started, and why not."""
        if self.service.ready:
            return Reply(encode(Health()))
        not_ready = NotReady(self.service.not_ready_because)
        if (since := self.service.away_since) is not None:
            not_ready.database_away_since, not_ready.waiting = rfc3339(since), self.service.waiting
        return Reply(encode(not_ready), 503, {"Retry-After": "1"})
