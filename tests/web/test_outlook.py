"""What is to come of all jobs, over HTTP."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from kala.clock import from_datetime, rfc3339

from .server import Server


@cache
def hour() -> datetime:
    """The whole hour that comes after the next: one and the same throughout a test."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)


@pytest.fixture(autouse=True)
def afresh() -> None:
    hour.cache_clear()


def soon(**after: float) -> str:
    """A time after that hour."""
    return rfc3339(from_datetime(hour() + timedelta(**after)))


def test_how_many_come_in_each_minute(either: Server) -> None:
    either.create(schedule=f"R/{soon()}/PT1H")
    either.create(schedule=f"R4/{soon()}/PT10S")
    either.create(schedule=f"R/{soon()}/PT1H", disabled=True)
    answer = either.ask("GET", f"/api/v1/schedule/load/?since={soon(seconds=-30)}&days=1")
    assert answer.status == 200
    told = answer.json
    assert (told["since"], told["step"], told["jobs"], told["truncated"]) == (soon(minutes=-1), 60, 2, False)
    assert len(told["counts"]) == 1_440
    assert {minute: count for minute, count in enumerate(told["counts"]) if count} == {
        1: 6,
        **{1 + 60 * hour: 1 for hour in range(1, 24)},
    }
    # without anything said it is a week, from this minute on
    told = either.ask("GET", "/api/v1/schedule/load").json
    assert len(told["counts"]) == 7 * 1_440
    assert timedelta() <= datetime.now(UTC) - datetime.fromisoformat(told["since"]) < timedelta(seconds=70)
    assert told["since"].endswith(":00Z")


def test_which_jobs_are_due_next(either: Server) -> None:
    assert either.ask("GET", "/api/v1/schedule/next/").json == {"next": []}
    later = either.create(name="later", schedule=f"R/{soon(minutes=2)}/PT1H")
    first = either.create(name="first", schedule=f"R0/{soon()}/")
    either.create(name="off", schedule=f"R0/{soon()}/", disabled=True)
    either.create(name="child", parent_jobs=[first], schedule="")
    told = either.ask("GET", "/api/v1/schedule/next/").json["next"]
    assert [(one["job"], one["job_name"], one["at"]) for one in told] == [
        (first, "first", soon()),
        (later, "later", soon(minutes=2)),
    ]
    assert told[0]["words"].startswith("once at")
    assert [one["job"] for one in either.ask("GET", "/api/v1/schedule/next?limit=1").json["next"]] == [first]
    wrong = either.ask("GET", "/api/v1/schedule/next/?limit=101")
    assert (wrong.status, list(wrong.json["fields"])) == (400, ["limit"])


def test_which_jobs_come_in_a_span(either: Server) -> None:
    hourly = either.create(name="hourly", schedule=f"R/{soon(minutes=1)}/PT1H")
    once = either.create(name="once", schedule=f"R0/{soon()}/")
    either.create(schedule=f"R/{soon(hours=50)}/PT1H")
    span = f"since={soon()}&until={soon(hours=5, minutes=1)}"
    told = either.ask("GET", f"/api/v1/schedule/due/?{span}").json
    assert told == {
        "due": [
            {"job": once, "job_name": "once", "at": soon(), "count": 1},
            {"job": hourly, "job_name": "hourly", "at": soon(minutes=1), "count": 5},
        ],
        "next": None,
        "total": 2,
    }
    # and without anything said, a day from now on
    assert either.ask("GET", "/api/v1/schedule/due").json["total"] == 2


def test_pages_of_what_comes(server: Server) -> None:
    jobs = [server.create(name=f"{number}", schedule=f"R/{soon(minutes=number % 3)}/PT1H") for number in range(10)]
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        told = server.ask(
            "GET", f"/api/v1/schedule/due/?since={soon()}&until={soon(hours=1)}&limit=3&after={after}"
        ).json
        assert told["total"] == 10
        found += told["due"]
        if told["next"] is None:
            break
        assert len(told["due"]) == 3
        after = told["next"]
    assert sorted(one["job"] for one in found) == sorted(jobs)
    places = [(one["at"], one["job"]) for one in found]
    assert places == sorted(places)


FAR = "2200-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("load/?days=0", {"days"}),
        ("load/?days=32", {"days"}),
        ("load/?days=x&since=y", {"days", "since"}),
        (f"load/?since={FAR}", {"since"}),
        ("load/?since=1970-01-01T00:00:00Z", {"since"}),
        (f"due/?since={FAR}", {"since"}),
        ("due/?until=2020-01-01T00:00:00Z", {"until"}),
        (f"due/?until={FAR}", {"until"}),
        ("due/?until=x&limit=0&since=2030", {"until", "limit", "since"}),
        ("due/?limit=1001", {"limit"}),
        ("due/?after=x", {"after"}),
        (f"due/?after=x&until={FAR}", {"after", "until"}),
    ],
)
def test_faults_are_named(server: Server, query: str, fields: set[str]) -> None:
    answer = server.ask("GET", f"/api/v1/schedule/{query}")
    assert answer.status == 400
    assert answer.json["fields"].keys() == fields
