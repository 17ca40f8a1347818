"""Routes about runs, and occurrences that did not run."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import trio
from msgspec import Struct
from quart import Response

from kala.drivers.contract import RunQuery
from kala.errors import StoreRefused, StoreUnavailable
from kala.history import Page
from kala.job import Run, replace
from kala.roles import Role
from kala.states import State
from kala.web import parameters
from kala.web.answers import STALE_ABOUT, answer, in_pieces, stale_when
from kala.web.parameters import asked
from kala.web.routes import ROOT, Answer, Route
from kala.wire.jobjson import encode
from kala.wire.runjson import RunObject, run_object

if TYPE_CHECKING:
    from kala.service import Service

PORTION = 50
"""Runs that are read, and written, at a time: a run may have a thousand attempts."""
ATTEMPTS = 500
"""Attempts that are written without a pause: a millisecond or two of the loop's time."""

PARAMETERS = (
    parameters.text("job", "Of this job."),
    parameters.words("state", "In one of these states, with commas between.", [state.value for state in State]),
    parameters.moment("since", "Scheduled for then, or later."),
    parameters.moment("until", "Scheduled for before then."),
    parameters.whole("limit", "The most runs that are answered.", 1, 1_000, 100),
    parameters.text("after", "The `next` of the page before."),
)


class RunList(Struct):
    """A page of runs; `next` is null when that was all, or what to go on after."""

    runs: list[RunObject]
    next: str | None


class RunAnswer(Struct):
    """One run."""

    run: RunObject


class Runs:
    """The views."""

    def __init__(self, service: "Service") -> None:
        self.service = service

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                f"{ROOT}/run/",
                self.runs,
                "Runs, and occurrences that did not run, the newest first; those that are open come before all others.",
                {200: Answer("A page of them.", RunList, headers=STALE_ABOUT)},
                parameters=PARAMETERS,
                faults=(400,),
            ),
            Route(
                "GET", f"{ROOT}/run/<run_id>/", self.run, "A run.", {200: Answer("The run.", RunAnswer)}, faults=(404,)
            ),
            Route(
                "POST",
                f"{ROOT}/run/<run_id>/cancel/",
                self.cancel,
                "End a run, and do not retry it: TERM to its processes, and KILL after a while.",
                {202: Answer("It will end; the run as it now is.", RunAnswer)},
                faults=(404, 409),
                role=Role.RUN,
            ),
        ]

    async def runs(self) -> Response:
        given = asked(PARAMETERS)
        states = frozenset(State(word) for words in given["state"] for word in words)
        query = RunQuery(
            job_id=given["job"],
            states=states or None,
            since=given["since"],
            until=given["until"],
            after=given["after"],
        )
        left = given["limit"]
        first = await self.service.history.page(replace(query, limit=min(left, PORTION)))
        return in_pieces(self._listed(first, query, left), headers=stale_when(first.stale))

    async def _listed(self, page: Page, query: RunQuery, left: int) -> AsyncIterator[bytes]:
        """The list in pieces. When the database goes away meanwhile the page ends early: its `next` goes on there."""
        between, told = b'{"runs":[', set[str]()
        while True:
            runs = [run for run in page.runs if run.id not in told]  # one that has just ended comes as such, too
            for piece in self._written(runs):
                await trio.lowlevel.checkpoint()
                yield between + piece
                between = b","
            told.update(run.id for run in runs)
            left -= len(runs)
            if page.next is None or left <= 0 or page.stale:
                break
            try:
                page = await self.service.history.page(replace(query, after=page.next, limit=min(left, PORTION)))
            except (StoreUnavailable, StoreRefused):
                break
        yield (b"" if between == b"," else between) + b'],"next":%s}' % encode(page.next)

    def _written(self, runs: list[Run]) -> Iterator[bytes]:
        piece: list[bytes] = []
        attempts = 0
        for run in runs:
            piece.append(encode(self._object(run)))
            attempts += 1 + len(run.attempts)
            if attempts >= ATTEMPTS:
                yield b",".join(piece)
                piece, attempts = [], 0
        if piece:
            yield b",".join(piece)

    async def run(self, run_id: str) -> Response:
        return answer(encode(RunAnswer(self._object(await self.service.history.run(run_id)))))

    async def cancel(self, run_id: str) -> Response:
        return answer(encode(RunAnswer(self._object(await self.service.cancel(run_id)))), 202)

    def _object(self, run: Run) -> RunObject:
        record = self.service.remembered(run.job_id)
        on_now = self.service.history.on_now(run.id)
        return run_object(run, record, on_now, paused=self.service.paused)
