"""Runs: listed, looked at, cancelled."""

import json
from typing import Any

import pytest

from kala.errors import StoreUnavailable
from kala.web import runs

from .server import Server, until

MISSING = "00000000-0000-0000-0000-000000000000"


def listed(server: Server, **parameters: Any) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        query = "&".join(
            f"{name}={value}" for name, value in {**parameters, **({"after": after} if after else {})}.items()
        )
        answer = server.ask("GET", f"/api/v1/run/?{query}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json"), answer.text
        assert set(answer.json) == {"runs", "next"}
        found += answer.json["runs"]
        after = answer.json["next"]
        if after is None:
            return found


def test_a_run_from_its_start_to_its_cancellation(either: Server) -> None:
    # given a run that is on, and one that waits behind it
    job = either.create(command="wait", name="the job")
    first, second = (either.ask("POST", f"/api/v1/job/start/{job}/?wait=false").json["id"] for _ in range(2))
    until(lambda: either.attempts == 1)
    # then both are listed, and each can be looked at
    assert {run["id"]: run["state"] for run in listed(either)} == {first: "running", second: "waiting"}
    one = either.ask("GET", f"/api/v1/run/{first}/").json["run"]
    assert (one["job_id"], one["job_name"], one["trigger"], one["ended"]) == (job, "the job", "manual", None)
    assert (one["attempts"][0]["state"], one["attempts"][0]["started"]) == ("running", one["started"])
    assert one["explanation"].startswith("is on (started by hand at ")
    other = either.ask("GET", f"/api/v1/run/{second}").json["run"]
    assert "is still on" in other["explanation"]
    # when the one that waits is cancelled, it has ended with that
    cancelled = either.ask("POST", f"/api/v1/run/{second}/cancel/")
    assert (cancelled.status, cancelled.json["run"]["state"]) == (202, "cancelled")
    # and when the one that is on is, it ends
    ending = either.ask("POST", f"/api/v1/run/{first}/cancel")
    assert (ending.status, ending.json["run"]["state"]) == (202, "running")
    assert ending.json["run"]["explanation"].endswith(", and is being ended: someone asked for that")
    until(lambda: either.ask("GET", f"/api/v1/run/{first}/").json["run"]["state"] == "cancelled")
    ended = either.ask("GET", f"/api/v1/run/{first}/").json["run"]
    assert (ended["reason"], ended["explanation"][-22:]) == ("cancelled", ": someone asked for that"[-22:])
    # and none that has ended can be
    for run_id in (first, second):
        again = either.ask("POST", f"/api/v1/run/{run_id}/cancel/")
        assert (again.status, again.json["state"]) == (409, "cancelled")
    assert either.ask("POST", f"/api/v1/run/{MISSING}/cancel/").status == 404
    assert either.ask("GET", f"/api/v1/run/{MISSING}/").status == 404


def test_runs_are_listed_by_job_state_and_time_in_pages(server: Server) -> None:
    good, bad = server.create(), server.create(command="false")
    for job in (good, bad, good, bad, good):
        assert server.ask("POST", f"/api/v1/job/start/{job}/").status == 204
    whole = listed(server)
    assert [run["job_id"] for run in whole] == [good, bad, good, bad, good]
    assert [run["state"] for run in whole] == ["succeeded", "failed"] * 2 + ["succeeded"]
    for limit in (1, 2, 5, 1000):
        assert listed(server, limit=limit) == whole
    assert listed(server, job=good) == whole[::2]
    assert listed(server, state="failed") == listed(server, job=bad) == whole[1::2]
    assert listed(server, state="failed,succeeded", limit=2) == whole
    assert listed(server, state="running") == []
    third = whole[2]["scheduled_for"]
    assert listed(server, since=third) == whole[:3]
    assert listed(server, until=third) == whole[3:]
    # a + of an offset that was not escaped comes as a blank
    assert listed(server, since=third.replace("Z", "+00:00")) == whole[:3]


FAULTS = [
    ("limit=0", {"limit": "from 1 to 1000"}),
    ("limit=1001", {"limit": "from 1 to 1000"}),
    ("limit=x", {"limit": "whole number"}),
    ("limit=%D9%A3", {"limit": "whole number"}),
    ("state=late", {"state": "there are waiting, claimed, running, succeeded, failed"}),
    ("state=failed,%20late", {"state": "'late' is none"}),
    ("since=yesterday", {"since": "RFC 3339"}),
    ("since=2030-01-31", {"since": "RFC 3339"}),
    ("since=2030-01-31T08:00:00", {"since": "RFC 3339"}),
    ("until=2030-02-30T08:00:00Z", {"until": "RFC 3339"}),
    ("until=20300131T080000Z", {"until": "RFC 3339"}),
    ("until=9999-12-31T23:59:59-23:59", {"until": "RFC 3339"}),
    ("since=0001-01-01T00:00:00%2B23:59", {"since": "RFC 3339"}),
    ("after=nonsense", {"after": "`next`"}),
    ("limit=-1&state=x&since=y&until=z", {"limit": "", "state": "", "since": "", "until": ""}),
]


@pytest.mark.parametrize(("query", "faults"), FAULTS)
def test_what_cannot_be_asked_for_is_told_all_at_once(server: Server, query: str, faults: dict[str, str]) -> None:
    answer = server.ask("GET", f"/api/v1/run/?{query}")
    assert answer.status == 400
    assert answer.json["fields"].keys() == faults.keys()
    for name, part in faults.items():
        assert part in answer.json["fields"][name]


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31T08:00:00Z",
        "2030-01-31t08:00:00.123456789z",
        "2030-01-31%2008:00:00%2B05:30",
        "0001-01-01T00:00:00-23:59",
        "",  # as if it were not there
    ],
)
def test_times_with_offsets_and_fractions_are_taken(server: Server, text: str) -> None:
    assert server.ask("GET", f"/api/v1/run/?since={text}&state=&limit=&job=&after=").status == 200


def test_a_head_answers_as_a_get(either: Server) -> None:
    run = either.ask("POST", f"/api/v1/job/start/{either.create()}/?wait=false").json["id"]
    for path in ("/api/v1/run/", f"/api/v1/run/{run}/"):
        head, get = either.ask("HEAD", path), either.ask("GET", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert either.ask("HEAD", f"/api/v1/run/{MISSING}/").status == 404
    assert either.ask("HEAD", "/api/v1/run/?limit=0").status == 400


def test_a_page_that_the_database_leaves_ends_early_and_can_be_gone_on_with(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PORTION", 2)
    job = server.create()
    for _ in range(7):
        assert server.ask("POST", f"/api/v1/job/start/{job}/").status == 204
    whole = listed(server)
    # given a database that goes away after the second look into it
    looks, read = [0], server.driver.runs

    def one_look(query: Any) -> Any:
        looks[0] += 1
        if looks[0] > 2:
            raise StoreUnavailable("it is away")
        return read(query)

    monkeypatch.setattr(server.driver, "runs", one_look)
    page = server.ask("GET", "/api/v1/run/").json
    assert page["runs"] == whole[:4]
    refused = server.ask("GET", f"/api/v1/run/?after={page['next']}")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    monkeypatch.setattr(server.driver, "runs", read)
    assert server.ask("GET", f"/api/v1/run/?after={page['next']}").json == {"runs": whole[4:], "next": None}


def test_a_run_with_very_many_attempts_is_written_in_pieces(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    job = server.create(command="false", retries=700)
    assert server.ask("POST", f"/api/v1/job/start/{job}/").status == 204
    (run,) = listed(server)
    assert (len(run["attempts"]), run["retries"], run["attempts"][-1]["number"]) == (701, 700, 701)
    other = server.ask("POST", f"/api/v1/job/start/{server.create()}/?wait=false").json["id"]
    until(lambda: server.ask("GET", f"/api/v1/run/{other}/").json["run"]["state"] == "succeeded")
    answer = server.ask("GET", "/api/v1/run/")
    assert [one["id"] for one in json.loads(answer.body)["runs"]] == [other, run["id"]]
