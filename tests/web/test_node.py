"""The daemon, the ones beside it, and what has happened lately, over HTTP."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from kala import __version__
from kala.errors import StoreUnavailable
from kala.values import label_limits

from .server import Server, until


def test_what_a_daemon_is(either: Server) -> None:
    answer = either.ask("GET", "/api/v1/node/")
    assert (answer.status, "Kala-Stale" in answer.headers) == (200, False)
    told = answer.json
    assert (told["version"], told["node"], told["pid"]) == (__version__, "test", os.getpid())
    assert (told["running"], told["waiting"], told["max_runs"], told["paused"]) == (0, 0, 10, False)
    assert told["not_ready"] == ""
    assert told["database"] == {"engine": "memory", "place": "memory", "away_since": None, "waiting": 0, "fault": ""}
    for member in ("now", "started"):
        assert abs(datetime.now(UTC) - datetime.fromisoformat(told[member])) < timedelta(seconds=10)
    (this,) = told["nodes"]
    assert {**this, "started": None} == {
        "id": told["instance"],
        "node": "test",
        "host": told["host"],
        "pid": os.getpid(),
        "started": None,
        "alive": True,
        "self": True,
    }


def test_what_is_on_and_what_waits_is_counted(server: Server) -> None:
    job = server.create(command="wait")
    for _ in range(3):
        assert server.ask("POST", f"/api/v1/job/start/{job}/?wait=false").status == 202
    until(lambda: server.ask("GET", "/api/v1/node/").json["running"] == 1)
    assert server.ask("GET", "/api/v1/node/").json["waiting"] == 2
    server.ask("POST", "/api/v1/pause/")
    assert server.ask("GET", "/api/v1/node/").json["paused"] is True
    server.ask("POST", "/api/v1/resume/")
    server.let_go()
    until(lambda: server.ask("GET", "/api/v1/node/").json["waiting"] == 0)
    until(lambda: server.ask("GET", "/api/v1/node/").json["running"] == 0)


def test_limits_of_labels_are_shown_and_a_run_says_for_which_it_waits(
    running: Callable[..., Server],
) -> None:
    server = running(limit_runs=label_limits("pool=reports:1,tenant=*:5"))
    job = server.create(command="wait", overlap="allow", labels={"pool": "reports", "tenant": "a"})
    server.ask("POST", f"/api/v1/job/start/{job}/?wait=false")
    until(lambda: server.ask("GET", "/api/v1/node/").json["running"] == 1)
    run = server.ask("POST", f"/api/v1/job/start/{job}/?wait=false").json["id"]
    until(lambda: server.ask("GET", "/api/v1/node/").json["waiting"] == 1)
    limits = server.ask("GET", "/api/v1/node/").json["limits"]
    assert limits == [
        {"label": "pool", "value": "reports", "limit": 1, "running": 1, "waiting": 1},
        {"label": "tenant", "value": "a", "limit": 5, "running": 1, "waiting": 1},
    ]
    told = server.ask("GET", f"/api/v1/run/{run}/").json["run"]
    assert (told["state"], told["reason"]) == ("waiting", "label limit: pool=reports")
    assert "with the label pool=reports are on as may be (--limit-runs)" in told["explanation"]
    server.let_go()
    nobody = [{"label": "pool", "value": "reports", "limit": 1, "running": 0, "waiting": 0}]
    until(lambda: server.ask("GET", "/api/v1/node/").json["limits"] == nobody)


def test_while_the_database_is_away_it_tells_of_itself(server: Server) -> None:
    server.ask("GET", "/api/v1/node/")
    server.driver.away = StoreUnavailable("the disk is full")
    assert server.ask("POST", "/api/v1/job/", {"name": "j", "command": "true"}).status == 503
    answer = server.ask("GET", "/api/v1/node/")
    assert (answer.status, answer.headers["Kala-Stale"]) == (200, "true")
    assert [one["self"] for one in answer.json["nodes"]] == [True]
    assert answer.json["database"]["away_since"] is not None
    assert "the disk is full" in answer.json["database"]["fault"]
    server.driver.away = None
    until(lambda: "Kala-Stale" not in server.ask("GET", "/api/v1/node/").headers)
    assert server.ask("GET", "/api/v1/node/").json["database"]["away_since"] is None


def test_what_has_happened_lately(either: Server) -> None:
    def recent() -> list[dict[str, object]]:
        told = either.ask("GET", "/api/v1/stats/recent/")
        assert told.status == 200
        assert datetime.fromisoformat(told.json["since"]) <= datetime.now(UTC)
        minutes: list[dict[str, object]] = told.json["minutes"]
        assert len(minutes) == 60
        return minutes

    assert {minute["lateness"] for minute in recent()} == {None}
    good, bad = either.create(), either.create(command="false")
    for job in (good, good, bad):
        either.ask("POST", f"/api/v1/job/start/{job}/")
    minutes = recent()
    moments = [datetime.fromisoformat(str(minute["at"])) for minute in minutes]
    assert {after - before for before, after in pairwise(moments)} == {timedelta(minutes=1)}
    assert abs(moments[-1] - datetime.now(UTC)) <= timedelta(seconds=75)
    counts = {kind: sum(minute[kind] for minute in minutes) for kind in ("started", "succeeded", "failed", "lost")}  # type: ignore[misc]
    assert counts == {"started": 3, "succeeded": 2, "failed": 1, "lost": 0}
    lateness = next(minute["lateness"] for minute in minutes[::-1] if minute["lateness"] is not None)
    assert 0 <= lateness["p50"] <= lateness["p99"] <= lateness["max"] < 10  # type: ignore[index]
