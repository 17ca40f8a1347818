"""What a run printed: its bytes as they are, and, when it is followed, as they come."""

from typing import TYPE_CHECKING

from quart import Response, request

from kala.web import parameters
from kala.web.parameters import asked
from kala.web.routes import ROOT, Answer, Route

if TYPE_CHECKING:
    from kala.service import Service

POLICY = "default-src 'none'; sandbox"
"""Whatever was printed, no browser runs anything of it; with `nosniff` it is text to it, in an encoding it guesses."""

MOST = 10**15 - 1
"""Bytes: no output gets there, and every client's numbers do."""

PARAMETERS = (
    parameters.whole("attempt", "Which attempt; else the one that is on, or the last.", 1, 99_999_999),
    parameters.flag("follow", "Go on with what comes, also of further attempts, until the run has ended.", False),
    parameters.whole(
        "offset",
        "Begin with this byte of the attempt, or the first after it that is kept. Followed, the answer then ends with "
        "the attempt, and earlier where bytes would be passed over: who asks again from there can tell how many.",
        0,
        MOST,
    ),
)
HEADERS = {
    "Kala-Attempt": "The attempt that is answered; 0 when there has been none yet.",
    "Kala-Output-Size": "Bytes that it has printed in all so far.",
    "Kala-Output-Offset": "Where the first byte of this answer stands among them.",
}


def routes(service: "Service") -> list[Route]:
    async def output(run_id: str) -> Response:
        """The bytes that are kept of an attempt. `?attempt`: which, from 1, else the one that is on, or the last.
        `?follow=true`: with what comes, also of further attempts, until the run has ended; `attempt` may then be the
        next one. `?offset`: from this byte on; with `follow`, of this attempt alone, and without marks of ours in
        between.

        `Kala-Attempt` (0: there has been none yet), `Kala-Output-Size`: bytes printed in all so far,
        `Kala-Output-Offset`: where the first byte of this answer stands among them.
        """
        given = asked(PARAMETERS)
        piece = await service.output(run_id, given["attempt"], coming=given["follow"])
        alone = given["offset"] is not None
        if alone:
            piece = piece.beyond(given["offset"])
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": POLICY,
            "Kala-Attempt": str(piece.number),
            "Kala-Output-Size": str(piece.size),
            "Kala-Output-Offset": str(piece.offset),
        }
        if not given["follow"]:
            return Response(piece.data, 200, headers, content_type="text/plain")
        headers["X-Accel-Buffering"] = "no"  # nginx would gather it
        if request.method == "HEAD":
            response = Response(b"", 200, headers, content_type="text/plain")
            del response.headers["Content-Length"]
            return response
        return Response(service.follow_output(piece, alone=alone), 200, headers, content_type="text/plain")

    answers = {200: Answer("What is kept of it.", media_types=("text/plain",), headers=HEADERS)}
    path = f"{ROOT}/run/<run_id>/output/"
    return [Route("GET", path, output, "What a run printed.", answers, PARAMETERS, faults=(404,))]
