"""Routes about this daemon: what it is, beside which others, and what has happened on it lately."""

from typing import TYPE_CHECKING

from msgspec import Struct
from quart import Response

from kala import __version__
from kala.clock import SECOND, rfc3339, rfc3339_or_none
from kala.recent import Lateness, Minute
from kala.web.answers import STALE_ABOUT, answer, stale_when
from kala.web.routes import ROOT, Answer, Route
from kala.wire.jobjson import encode
from kala.wire.runjson import Seconds, Time

if TYPE_CHECKING:
    from kala.service import Service


class DatabaseObject(Struct):
    """Its engine and its place, without a password. `waiting`: results, and other writes, that wait for it. `fault`:
    why nothing can be written; empty when it can."""

    engine: str
    place: str
    away_since: Time | None
    waiting: int
    fault: str


class NodeObject(Struct):
    """One start of a daemon on the database. `started` is by the database's clock, null when not known yet."""

    id: str
    node: str
    host: str
    pid: int
    started: Time | None
    alive: bool
    self: bool


class LimitObject(Struct):
    """A limit of runs at once by label. `waiting`: runs that need a place in it, and whose turn it is."""

    label: str
    value: str
    limit: int
    running: int
    waiting: int


class NodeAnswer(Struct):
    """This daemon. `running`: attempts that are on here, at most `max_runs`; `waiting`: runs that wait, for whichever
    daemon takes them. `limits`: of labels, at most 100, those for which most wait. `not_ready`: why nothing is started,
    as `/readyz` says it; empty when it is."""

    version: str
    now: Time
    started: Time
    node: str
    instance: str
    pid: int
    host: str
    running: int
    waiting: int
    max_runs: int
    limits: list[LimitObject]
    paused: bool
    not_ready: str
    database: DatabaseObject
    nodes: list[NodeObject]


class LatenessObject(Struct):
    """How late runs started: half, and 99 of 100, were not later than this, within 7 %; and the latest of them."""

    p50: Seconds
    p99: Seconds
    max: Seconds


class MinuteObject(Struct):
    """What happened in the minute from `at` on: runs that started, runs that ended in each state, occurrences that did
    not run."""

    at: Time
    started: int
    succeeded: int
    failed: int
    timed_out: int
    cancelled: int
    lost: int
    skipped: int
    missed: int
    lateness: LatenessObject | None


class RecentAnswer(Struct):
    """The last 60 minutes, oldest first; the last one is the present one. From `since` on it has been counted."""

    since: Time
    minutes: list[MinuteObject]


class NodeRoutes:
    """The views."""

    def __init__(self, service: "Service") -> None:
        self.service = service

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                f"{ROOT}/node/",
                self.node,
                "This daemon, its database, and the daemons beside it; while the database is away, itself alone.",
                {200: Answer("How it is.", NodeAnswer, headers=STALE_ABOUT)},
            ),
            Route(
                "GET",
                f"{ROOT}/stats/recent/",
                self.recent,
                "What has happened on this daemon in the last 60 minutes, by minute.",
                {200: Answer("The minutes.", RecentAnswer)},
            ),
        ]

    async def node(self) -> Response:
        service = self.service
        found = await service.nodes.all()
        this, here = service.nodes.this(), service.nodes.here()
        body = NodeAnswer(
            version=__version__,
            now=rfc3339(service.clock.now()),
            started=rfc3339(service.recent.since),
            node=this.node,
            instance=this.id,
            pid=this.pid,
            host=this.host,
            running=here.running,
            waiting=here.waiting,
            max_runs=here.max_runs,
            limits=[LimitObject(*row) for row in service.nodes.pools()],
            paused=service.paused,
            not_ready=service.not_ready_because,
            database=DatabaseObject(
                here.engine, here.place, rfc3339_or_none(service.away_since), service.waiting, here.fault
            ),
            nodes=[
                NodeObject(
                    one.id, one.node, one.host, one.pid, rfc3339_or_none(one.started or None), one.alive, one.self
                )
                for one in ([this] if found is None else found)
            ],
        )
        return answer(encode(body), headers=stale_when(found is None))

    async def recent(self) -> Response:
        recent = self.service.recent
        return answer(encode(RecentAnswer(rfc3339(recent.since), [_minute(one) for one in recent.minutes()])))


def _minute(minute: Minute) -> MinuteObject:
    return MinuteObject(at=rfc3339(minute.at), lateness=_lateness(minute.lateness), **minute.counts)


def _lateness(lateness: Lateness) -> LatenessObject | None:
    half, nearly_all = lateness.quantile(0.5), lateness.quantile(0.99)
    if half is None or nearly_all is None:
        return None
    return LatenessObject(half / SECOND, nearly_all / SECOND, lateness.most / SECOND)
