"""Routes about what is to come of all jobs."""

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from quart import Response

from kala.clock import DAY, SECOND, Moment, rfc3339
from kala.errors import Invalid
from kala.web import parameters
from kala.web.answers import answer
from kala.web.parameters import asked
from kala.web.routes import ROOT, Answer, Route
from kala.wire.explain import when
from kala.wire.jobjson import encode
from kala.wire.runjson import Time

if TYPE_CHECKING:
    from kala.service import Service

MINUTE = 60 * SECOND
FAR = 366
"""Days from now until which, or since which, may be asked."""
MOST_DAYS = 31
_PLACE = re.compile(r"([0-9]{1,18})-(.{1,1024})", re.DOTALL)

SINCE = parameters.moment("since", "Counted from this minute on; without it, from the present one on.")
DAYS = parameters.whole("days", "How many days are counted.", 1, MOST_DAYS, 7)
OF_LOAD = (SINCE, DAYS)
OF_NEXT = (parameters.whole("limit", "The most jobs that are answered.", 1, 100, 10),)
OF_DUE = (
    parameters.moment("since", "Only what starts then or later; without it, from the beginning of this minute on."),
    parameters.moment("until", "Only what starts before; without it, a day after `since`. At most 31 days after it."),
    parameters.whole("limit", "The most jobs that are answered.", 1, 1_000, 100),
    parameters.text("after", "The `next` of the page before."),
)


class LoadAnswer(Struct):
    """How many runs are to start in each minute (`step` seconds) from `since` on, and of how many jobs. `truncated`:
    there are more, of schedules that could not be followed to the end in time."""

    since: Time
    step: int
    counts: list[int]
    jobs: int
    truncated: bool


class NextObject(Struct):
    """A job, and when its next run is to start."""

    job: str
    job_name: str
    words: str  # its schedule in plain words
    at: Time


class NextAnswer(Struct):
    """The jobs that are due next, in order."""

    next: list[NextObject]


class DueObject(Struct):
    """A job, when the first of its runs in the span is to start, and how many there are."""

    job: str
    job_name: str  # empty when the job has just gone
    at: Time
    count: int


class DueAnswer(Struct):
    """The jobs by `at` and id; `next`: where the next page begins, null when that was all; `total`: of all pages."""

    due: list[DueObject]
    next: str | None
    total: int


class OutlookRoutes:
    """The views."""

    def __init__(self, service: "Service") -> None:
        self.service = service

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                f"{ROOT}/schedule/load/",
                self.load,
                "How many runs are to start in each minute of the days to come, by the schedules of all enabled jobs.",
                {200: Answer("The counts.", LoadAnswer)},
                parameters=OF_LOAD,
                faults=(400,),
            ),
            Route(
                "GET",
                f"{ROOT}/schedule/next/",
                self.next,
                "The jobs that are due next.",
                {200: Answer("The jobs.", NextAnswer)},
                parameters=OF_NEXT,
                faults=(400,),
            ),
            Route(
                "GET",
                f"{ROOT}/schedule/due/",
                self.due,
                "The jobs of which runs are to start in a span of time, by their schedules.",
                {200: Answer("A page of them.", DueAnswer)},
                parameters=OF_DUE,
                faults=(400,),
            ),
        ]

    async def load(self) -> Response:
        given, now = asked(OF_LOAD), self.service.clock.now()
        faults: dict[str, str] = {}
        since = _since(given, now, faults)
        if faults:
            raise Invalid(faults)
        since -= since % MINUTE
        load = await self.service.outlook.load(since, given["days"] * 1_440)
        return answer(encode(LoadAnswer(rfc3339(since), 60, load.counts, load.jobs, load.truncated)))

    async def next(self) -> Response:
        limit, now = asked(OF_NEXT)["limit"], self.service.clock.now()
        coming = self.service.coming(limit)
        return answer(
            encode(
                NextAnswer([NextObject(one.id, one.job.name, when(one.job, now), rfc3339(at)) for at, one in coming])
            )
        )

    async def due(self) -> Response:
        given, now = asked(OF_DUE), self.service.clock.now()
        faults: dict[str, str] = {}
        since = _since(given, now, faults)
        until = since + DAY if given["until"] is None else given["until"]
        if "since" not in faults and not since < until <= since + MOST_DAYS * DAY:
            faults["until"] = f"must be after since ({rfc3339(since)}), and at most {MOST_DAYS} days after it"
        at, job = 0, ""
        if given["after"] is not None:
            place = _PLACE.fullmatch(given["after"])
            if place is None:
                faults["after"] = "is not the `next` of a page"
            else:
                at, job = int(place[1]), place[2]
        if faults:
            raise Invalid(faults)
        found = await self.service.outlook.due(since, until)
        limit = given["limit"]
        page = found.after(at, job, limit + 1)
        more = len(page) > limit
        page = page[:limit]
        told = [DueObject(one.job, self._name(one.job), rfc3339(one.at), one.many) for one in page]
        following = f"{page[-1].at}-{page[-1].job}" if more else None
        return answer(encode(DueAnswer(told, following, found.total)))

    def _name(self, job_id: str) -> str:
        record = self.service.peek(job_id)
        return "" if record is None else record.job.name


def _since(given: dict[str, Any], now: Moment, faults: dict[str, str]) -> Moment:
    since: Moment | None = given["since"]
    if since is None:
        return now - now % MINUTE
    if abs(since - now) > FAR * DAY:
        faults["since"] = f"must be at most {FAR} days from now ({rfc3339(now)}), not {rfc3339(since)}"
    return since
