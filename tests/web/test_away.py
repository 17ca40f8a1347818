"""What clients are told while the database is away: what is in memory, what is stale, and when to come back."""

from typing import Any

import pytest

from kala.errors import StoreRefused, StoreUnavailable

from .server import Server, until

FAULT = StoreUnavailable("db.example:5432: connection refused")


def go_away(server: Server, fault: Exception = FAULT) -> None:
    server.driver.away = fault
    server.ask("POST", "/api/v1/job/", {"name": "x", "command": "true"})  # it is noticed by the first who needs it
    until(lambda: server.ask("GET", "/readyz").status == 503)


def come_back(server: Server) -> None:
    server.driver.away = None
    until(lambda: server.ask("GET", "/readyz").status == 200)


def test_it_is_said_since_when_and_why_and_how_much_waits(either: Server) -> None:
    wait = either.create(command="wait")
    either.ask("POST", f"/api/v1/job/start/{wait}/?wait=false")
    until(lambda: either.attempts == 1)
    go_away(either)
    either.let_go()
    until(lambda: either.ask("GET", "/readyz").json["waiting"] == 1)
    ready = either.ask("GET", "/readyz")
    assert list(ready.json) == ["error", "database_away_since", "waiting"]
    assert ready.json["error"] == str(FAULT)
    assert ready.headers["Retry-After"] == "1"
    assert either.ask("GET", "/healthz").status == 200
    come_back(either)
    until(lambda: either.ask("GET", f"/api/v1/job/{wait}/").json["job"]["metadata"]["success_count"] == 1)


def test_what_misses_the_history_says_that_it_is_stale(either: Server) -> None:
    few, many = either.create(), either.create()
    for job, runs in ((few, 3), (many, 25)):
        for _ in range(runs):
            assert either.ask("POST", f"/api/v1/job/start/{job}/").status == 204

    def stale(path: str) -> str | None:
        answer = either.ask("GET", path)
        assert answer.status == 200, answer.text
        found: str | None = answer.headers["Kala-Stale"]
        return found

    paths = [f"/api/v1/job/{many}/", f"/api/v1/job/stats/{many}/"]
    whole = [f"/api/v1/job/{few}/", f"/api/v1/job/stats/{few}/", "/api/v1/job/", "/api/v1/stats/"]
    assert [stale(path) for path in paths + whole] == [None] * 6
    go_away(either)
    assert [stale(path) for path in paths] == ["true"] * 2
    assert len(either.ask("GET", paths[1]).json["job_stats"]) == 20
    # what is in memory is right
    assert [stale(path) for path in whole] == [None] * 4
    come_back(either)
    assert [stale(path) for path in paths] == [None] * 2
    assert len(either.ask("GET", paths[1]).json["job_stats"]) == 25


def test_runs_that_are_on_are_shown_and_the_rest_is_to_come(either: Server) -> None:
    over, on = either.create(), either.create(command="wait")
    either.ask("POST", f"/api/v1/job/start/{over}/")
    run = either.ask("POST", f"/api/v1/job/start/{on}/?wait=false").json["id"]
    until(lambda: either.attempts == 2)
    go_away(either)
    page = either.ask("GET", "/api/v1/run/")
    assert (page.status, page.headers["Kala-Stale"]) == (200, "true")
    assert [one["id"] for one in page.json["runs"]] == [run]
    # those that are on are asked for by themselves, and are all
    open_ones = either.ask("GET", "/api/v1/run/?state=waiting,claimed,running")
    assert (open_ones.headers["Kala-Stale"], open_ones.json["next"]) == (None, None)
    assert either.ask("GET", f"/api/v1/run/{run}/").status == 200
    # where nothing else is to be shown, it is refused
    following = f"/api/v1/run/?after={page.json['next']}"
    for path in (following, f"/api/v1/run/?job={over}"):
        refused = either.ask("GET", path)
        assert (refused.status, refused.headers["Retry-After"], refused.json["error"]) == (503, "1", str(FAULT))
    come_back(either)
    rest = either.ask("GET", following)
    assert [one["job_id"] for one in rest.json["runs"]] == [over]


@pytest.mark.parametrize(("fault", "after"), [(FAULT, "1"), (StoreRefused("the password has changed"), "5")])
def test_writes_are_told_when_to_come_back(server: Server, fault: Any, after: str) -> None:
    job = server.create()
    go_away(server, fault)
    for method, path in (
        ("POST", "/api/v1/job/"),
        ("PATCH", f"/api/v1/job/{job}/"),
        ("DELETE", f"/api/v1/job/{job}/"),
        ("POST", f"/api/v1/job/start/{job}/"),
        ("POST", f"/api/v1/job/disable/{job}/"),
        ("POST", "/api/v1/pause/"),
    ):
        body = {"name": "x", "command": "true"} if path.endswith("job/") else {}
        refused = server.ask(method, path, body)
        assert (refused.status, refused.headers["Retry-After"]) == (503, after), path
        assert refused.json["error"] == str(fault)
    come_back(server)
