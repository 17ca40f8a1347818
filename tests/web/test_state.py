"""Pausing and resuming, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kala.clock import SECOND

from .server import Server, until

RUNNING = {"paused": False, "since": None, "reason": ""}


def test_a_pause_from_its_begin_to_its_end(either: Server) -> None:
    job = either.create()
    for path in ("/api/v1/pause", "/api/v1/pause/"):
        assert either.ask("GET", path).json == RUNNING
    # when it is paused
    paused = either.ask("POST", "/api/v1/pause/", {"reason": "the disks are moved"})
    assert (paused.status, list(paused.json)) == (200, ["paused", "since", "reason"])
    assert (paused.json["paused"], paused.json["reason"]) == (True, "the disks are moved")
    assert datetime.now(UTC) - datetime.fromisoformat(paused.json["since"]) < timedelta(seconds=10)
    # then pausing again changes nothing, and it is told, and nothing is started
    assert either.ask("POST", "/api/v1/pause/", {"reason": "something else"}).json == paused.json
    assert either.ask("GET", "/api/v1/pause/").json == paused.json
    refused = either.ask("POST", f"/api/v1/job/start/{job}/")
    assert (refused.status, "paused" in refused.json["error"]) == (409, True)
    # but jobs can be made and edited, and it is ready
    either.create()
    assert either.ask("PATCH", f"/api/v1/job/{job}/", {"owner": "x"}).status == 200
    assert either.ask("GET", "/readyz").status == 200
    # and when it is resumed, twice, all is as before
    for _ in range(2):
        resumed = either.ask("POST", "/api/v1/resume/")
        assert (resumed.status, resumed.json) == (200, RUNNING)
    assert either.ask("POST", f"/api/v1/job/start/{job}/").status == 204


def test_a_run_that_waits_for_the_end_of_a_pause_says_so(server: Server) -> None:
    job = server.create(command="false", retries=1, retry_delay="PT1H")
    run = server.ask("POST", f"/api/v1/job/start/{job}/?wait=false").json["id"]
    until(lambda: server.attempts == 1)
    server.ask("POST", "/api/v1/pause/")
    server.clock.ahead = 7_200 * SECOND
    until(lambda: server.ask("GET", f"/api/v1/run/{run}/").json["run"]["state"] == "waiting")
    assert server.ask("GET", f"/api/v1/run/{run}/").json["run"]["explanation"].endswith(": the daemon is paused")
    server.ask("POST", "/api/v1/resume/")
    until(lambda: server.ask("GET", f"/api/v1/run/{run}/").json["run"]["state"] == "failed")
    assert server.attempts == 2


@pytest.mark.parametrize(
    ("body", "fields"),
    [({"reason": 7}, {"reason"}), ({"reason": "x" * 1025}, {"reason"}), ([], {""}), (b"{", {""}), (b"\xff", {""})],
)
def test_what_is_no_reason(server: Server, body: Any, fields: set[str]) -> None:
    answer = server.ask("POST", "/api/v1/pause/", body)
    assert answer.status == 400
    assert answer.json["fields"].keys() == fields
    assert server.ask("GET", "/api/v1/pause/").json == RUNNING


@pytest.mark.parametrize("body", [None, b"", b" \n", {}, {"reason": None}, {"Reason": ""}, {"unknown": 1}])
def test_a_reason_need_not_be_given(server: Server, body: Any) -> None:
    answer = server.ask("POST", "/api/v1/pause/", body)
    assert (answer.status, answer.json["paused"], answer.json["reason"]) == (200, True, "")


@pytest.mark.parametrize(
    "path", ["/api/v1/pause/", "/api/v1/resume/", "/api/v1/run/x/cancel/", "/api/v1/schedule/preview/"]
)
def test_pages_from_elsewhere_may_not(either: Server, path: str) -> None:
    assert either.ask("POST", path, {}, Origin="http://evil.example").status == 403
    assert either.ask("POST", path, {}, Sec_Fetch_Site="cross-site").status == 403
    assert either.ask("GET", "/api/v1/pause/").json == RUNNING


def test_totals_are_of_all_jobs(server: Server) -> None:
    job = server.create()
    server.create(disabled=True)
    server.ask("POST", f"/api/v1/job/start/{job}/")
    stats = server.ask("GET", "/api/v1/stats/").json["Stats"]
    assert (stats["jobs"], stats["active_jobs"], stats["disabled_jobs"], stats["success_count"]) == (2, 1, 1, 1)
