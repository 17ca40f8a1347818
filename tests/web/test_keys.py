"""Idempotency keys: what is asked for again is answered as the first time."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kala.clock import SECOND, rfc3339

from .server import FUTURE, Server, until

JOB = {"name": "j", "command": "true", "schedule": FUTURE}


def create(server: Server, key: str, **members: Any) -> Any:
    return server.ask("POST", "/api/v1/job/", JOB | members, Idempotency_Key=key)


def test_the_same_creation_twice_is_one_job(either: Server) -> None:
    first = create(either, "a key", command="echo a | cat")
    again = create(either, "a key", command="echo a | cat")
    assert (first.status, first.json) == (again.status, again.json)
    assert first.status == 201
    assert first.json["warnings"]
    # another key is another job, and none is, too
    assert create(either, "another").json["id"] != first.json["id"]
    assert len({either.create() for _ in range(2)}) == 2
    assert len(either.service.job_ids()) == 4


def test_at_once_from_many_is_one_job(server: Server) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: create(server, "k"), range(24)))
    assert {one.status for one in answers} == {201}
    assert len({one.json["id"] for one in answers}) == 1
    assert len(server.service.job_ids()) == 1


def test_a_key_that_has_made_something_else_is_told(server: Server) -> None:
    made = create(server, "k")
    for other in ({"name": "another"}, {"disabled": True}):
        refused = create(server, "k", **other)
        assert (refused.status, "another job" in refused.json["error"]) == (409, True)
    # one that was edited since is the answer all the same
    server.ask("PATCH", f"/api/v1/job/{made.json['id']}/", {"owner": "else"})
    assert create(server, "k").json == made.json
    # one that was deleted is not
    server.ask("DELETE", f"/api/v1/job/{made.json['id']}/")
    refused = create(server, "k")
    assert (refused.status, "deleted" in refused.json["error"]) == (409, True)
    # and what cannot be read is told as ever
    assert create(server, "k", retries=-1).json["fields"].keys() == {"retries"}


def test_what_is_repeated_after_its_start_has_passed_is_answered_as_before(server: Server) -> None:
    members = {"schedule": f"R0/{rfc3339(server.clock.now() + 3_600 * SECOND)}/"}
    made = create(server, "k", **members)
    assert made.status == 201
    server.clock.ahead = 7_200 * SECOND
    # then a job that starts in the past is refused, but by this key it is the first one
    assert create(server, "other", **members).status == 400
    assert create(server, "k", **members).json == made.json


@pytest.mark.parametrize("key", ["", "\t", "ü", "x" * 256])
def test_keys_that_are_none(either: Server, key: str) -> None:
    job = either.create()
    for path, body in (("/api/v1/job/", JOB), (f"/api/v1/job/start/{job}/", None)):
        connection = either.connect()
        connection.putrequest("POST", path)
        connection.putheader("Idempotency-Key", key.encode())
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 400, (body, text)
        if key.isascii():
            assert "Idempotency-Key" in text
    assert either.service.job_ids() == [job]


def test_the_longest_key_and_odd_ones_are_taken(server: Server) -> None:
    for key in ("x" * 255, "a b", '"quoted"', "0", "~!@#$%^&*()"):
        assert create(server, key).status == 201, key
    assert len(server.service.job_ids()) == 5


def start(server: Server, job: str, key: str, query: str = "") -> Any:
    return server.ask("POST", f"/api/v1/job/start/{job}/{query}", None, Idempotency_Key=key)


def test_the_same_start_twice_is_one_run_be_it_on_or_over(either: Server) -> None:
    job = either.create(command="wait")
    first = start(either, job, "k", "?wait=false")
    again = start(either, job, "k", "?wait=false")
    assert (first.status, first.json) == (again.status, again.json)
    assert first.status == 202
    until(lambda: either.attempts == 1)
    # who waits, waits for that run
    waiting = either.connect()
    waiting.request("POST", f"/api/v1/job/start/{job}/", headers={"Idempotency-Key": "k"})
    time.sleep(0.05)
    either.let_go()
    assert waiting.getresponse().status == 204
    waiting.close()
    # and when it is over, it is the answer still, also to who would wait
    assert start(either, job, "k").status == 204
    assert start(either, job, "k", "?wait=false").json == first.json
    # also while the job is disabled, when nothing else is started
    either.ask("POST", f"/api/v1/job/disable/{job}/")
    assert start(either, job, "k", "?wait=false").json == first.json
    assert start(either, job, "new", "?wait=false").status == 409
    assert either.attempts == 1
    # the key is that job's alone
    other = start(either, either.create(), "k", "?wait=false")
    assert (other.status, other.json != first.json) == (202, True)


def test_starts_at_once_from_many_are_one_run(server: Server) -> None:
    job = server.create()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: start(server, job, "k", "?wait=false"), range(24)))
    assert {one.status for one in answers} == {202}
    assert len({one.json["id"] for one in answers}) == 1
    until(lambda: len(server.ask("GET", f"/api/v1/job/stats/{job}/").json["job_stats"] or ()) == 1)
    assert server.attempts == 1
    assert start(server, "nosuch", "k").status == 404


def test_whether_to_wait_is_true_or_false(server: Server) -> None:
    job = server.create()
    for word, status in (("false", 202), ("0", 202), ("No", 202), ("true", 204), ("1", 204), ("", 204), ("maybe", 400)):
        assert server.ask("POST", f"/api/v1/job/start/{job}/?wait={word}").status == status, word
