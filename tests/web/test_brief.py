"""The list in brief: what a page shows of each job."""

from datetime import datetime
from typing import Any

from kala.job import LOCAL, REMOTE

from .server import FUTURE, Server, until

MEMBERS = [
    "id", "name", "owner", "type", "command", "schedule", "words", "time_zone", "disabled", "is_done", "parent_jobs",
    "dependent_jobs", "on_failure_job", "labels", "next_run_at", "version", "success_count", "error_count", "open",
    "results",
]  # fmt: skip


def brief(server: Server, job: str) -> dict[str, Any]:
    answer = server.ask("GET", f"/api/v1/job/?brief=true&id={job}")
    assert answer.status == 200, answer.text
    assert answer.json.keys() == {"jobs", "next", "total"}
    found: dict[str, Any] = answer.json["jobs"][job]
    assert list(found) == MEMBERS
    return found


def test_a_job_in_brief(either: Server) -> None:
    job = either.create(name="Backup", owner="ann@example.org", labels={"team": "data"})
    assert brief(either, job) == {
        "id": job,
        "name": "Backup",
        "owner": "ann@example.org",
        "type": LOCAL,
        "command": "true",
        "schedule": FUTURE,
        "words": "every day at 00:00 UTC, from 2099-01-01",
        "time_zone": "",
        "disabled": False,
        "is_done": False,
        "parent_jobs": None,
        "dependent_jobs": None,
        "on_failure_job": "",
        "labels": {"team": "data"},
        "next_run_at": "2099-01-01T00:00:00Z",
        "version": 1,
        "success_count": 0,
        "error_count": 0,
        "open": [],
        "results": [],
    }


def test_what_is_linked_and_long_and_remote(server: Server) -> None:
    parent = server.create(command="true " + "ä" * 300, on_failure_job=server.create(), time_zone="Europe/Berlin")
    child = server.create(schedule="", parent_jobs=[parent])
    call = {"url": "http://h/" + "x" * 300, "method": "post"}
    remote = server.create(type=REMOTE, command="", remote_properties=call)
    plain = server.create(type=REMOTE, command="", remote_properties={"url": "http://h/"})
    assert brief(server, parent)["command"] == "true " + "ä" * 195
    assert brief(server, parent)["dependent_jobs"] == [child]
    assert brief(server, parent)["on_failure_job"] != ""
    assert brief(server, parent)["time_zone"] == "Europe/Berlin"
    assert brief(server, parent)["words"].startswith("every day at 01:00, Europe/Berlin")
    shown = brief(server, child)
    assert (shown["parent_jobs"], shown["words"]) == ([parent], "after its parent has succeeded")
    assert brief(server, remote)["command"] == ("POST http://h/" + "x" * 300)[:200]
    assert (brief(server, plain)["command"], brief(server, plain)["type"]) == ("GET http://h/", REMOTE)


def test_the_next_run_is_null_when_nothing_comes(server: Server) -> None:
    disabled = server.create(disabled=True)
    once = server.create(schedule="")
    jittered = server.create(jitter="PT1H")
    until(lambda: bool(brief(server, once)["is_done"]))
    shown = brief(server, disabled)
    assert (shown["next_run_at"], shown["disabled"], shown["is_done"]) == (None, True, False)
    assert brief(server, once)["next_run_at"] is None
    first = server.ask("GET", f"/api/v1/job/{jittered}/next/").json["next"][0]["at"]
    assert brief(server, jittered)["next_run_at"] == first


def test_runs_that_are_on_and_results(server: Server) -> None:
    job, child = server.create(command="wait"), ""
    child = server.create(schedule="", parent_jobs=[job], command="false")
    runs = [server.ask("POST", f"/api/v1/job/start/{job}/?wait=false").json["id"] for _ in range(23)]
    until(lambda: brief(server, job)["open"][0]["state"] == "running")
    # the one that is on, and those that wait for it
    shown = brief(server, job)
    assert [one["id"] for one in shown["open"]] == runs[:20]
    assert [one["state"] for one in shown["open"]] == ["running", *["waiting"] * 19]
    assert [bool(one["started"]) for one in shown["open"]] == [True, *[False] * 19]
    begun = server.ask("GET", f"/api/v1/run/{runs[0]}/").json["run"]["started"]
    assert shown["open"][0]["started"] == begun
    # when they have ended, their results are there, in order, as many as are kept with the job
    server.let_go()
    until(lambda: brief(server, child)["error_count"] == 23)
    shown = brief(server, job)
    assert (shown["success_count"], shown["open"], len(shown["results"])) == (23, [], 20)
    started = [datetime.fromisoformat(one["started"]) for one in shown["results"]]
    assert started == sorted(started)
    last = server.ask("GET", f"/api/v1/run/{runs[-1]}/").json["run"]
    assert shown["results"][-1] == {
        "started": last["started"],
        "duration": shown["results"][-1]["duration"],
        "state": "succeeded",
        "trigger": "manual",
        "retries": 0,
    }
    assert abs(shown["results"][-1]["duration"] - last["duration"]) < 0.001
    shown = brief(server, child)
    assert {(one["state"], one["trigger"]) for one in shown["results"]} == {("failed", "parent")}
    assert shown["is_done"] is False


def test_without_a_limit_all_are_in_it(server: Server) -> None:
    ids = [server.create() for _ in range(60)]
    answer = server.ask("GET", "/api/v1/job/?brief=true").json
    assert (list(answer["jobs"]), answer["next"], answer["total"]) == (ids, None, 60)
    assert server.ask("GET", "/api/v1/job/?brief=false").json.keys() == {"jobs"}
    server.ask("DELETE", "/api/v1/job/all/")
    assert server.ask("GET", "/api/v1/job/?brief=true").json == {"jobs": {}, "next": None, "total": 0}
    assert server.ask("GET", "/api/v1/job/?brief=true&total=false&q=x").json == {"jobs": {}, "next": None}
