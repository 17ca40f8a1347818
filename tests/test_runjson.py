"""Runs on the wire."""

import json
from typing import Any

from records import T0, attempt, job, record, run

from kala.clock import SECOND
from kala.job import Attempt, OnNow, Run, replace
from kala.ledger import OVERLAP
from kala.states import State, Trigger
from kala.wire.jobjson import encode
from kala.wire.runjson import run_object

MEMBERS = """
id job_id job_name job_version state trigger scheduled_for due until count created not_before started ended duration
lateness retries instance reason explanation parent_job parent_run attempts
"""
OF_ATTEMPT = "number state started ended duration exit_code signal status cpu memory output_size error"


def written(one: Run, *arguments: Any, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(run_object(one, *arguments, **more)))
    assert list(found) == MEMBERS.split()
    for each in found["attempts"]:
        assert list(each) == OF_ATTEMPT.split()
    return found


def test_a_run_that_has_ended() -> None:
    failed = Attempt(
        1,
        T0 + 2 * SECOND,
        T0 + 3_500_000,
        State.FAILED,
        exit_code=3,
        cpu=1_250_000,
        memory=4096,
        output_size=7,
        error="exit code 3",
    )
    killed = Attempt(2, T0 + 5 * SECOND, T0 + 6 * SECOND, State.TIMED_OUT, signal=9)
    ended = run(
        state=State.TIMED_OUT,
        attempts=(failed, killed),
        ended=T0 + 6 * SECOND,
        due=T0 + SECOND,
        instance="i",
        version=3,
    )
    found = written(ended, record(job(), version=3))
    assert found == {
        "id": "r",
        "job_id": "J",
        "job_name": "j",
        "job_version": 3,
        "state": "timed_out",
        "trigger": "schedule",
        "scheduled_for": "2030-01-01T00:00:00Z",
        "due": "2030-01-01T00:00:01Z",
        "until": None,
        "count": 1,
        "created": "2030-01-01T00:00:00Z",
        "not_before": None,
        "started": "2030-01-01T00:00:02Z",
        "ended": "2030-01-01T00:00:06Z",
        "duration": 4,
        "lateness": 1,
        "retries": 1,
        "instance": "i",
        "reason": "",
        "explanation": "timed out (by schedule, for 2030-01-01T00:00:00Z), at attempt 2",
        "parent_job": "",
        "parent_run": "",
        "attempts": [
            {
                "number": 1,
                "state": "failed",
                "started": "2030-01-01T00:00:02Z",
                "ended": "2030-01-01T00:00:03.5Z",
                "duration": 1.5,
                "exit_code": 3,
                "signal": None,
                "status": None,
                "cpu": 1.25,
                "memory": 4096,
                "output_size": 7,
                "error": "exit code 3",
            },
            {
                "number": 2,
                "state": "timed_out",
                "started": "2030-01-01T00:00:05Z",
                "ended": "2030-01-01T00:00:06Z",
                "duration": 1,
                "exit_code": None,
                "signal": 9,
                "status": None,
                "cpu": 0,
                "memory": None,
                "output_size": 0,
                "error": "",
            },
        ],
    }


def test_an_attempt_that_is_on_is_shown_as_one() -> None:
    # given a run whose first attempt is on
    on = OnNow(T0 + 2 * SECOND, 55)
    found = written(run(state=State.RUNNING), record(), on)
    assert (found["started"], found["lateness"], found["ended"], found["duration"]) == (
        "2030-01-01T00:00:02Z",
        2,
        None,
        None,
    )
    (first,) = found["attempts"]
    assert (first["number"], first["state"], first["ended"], first["output_size"]) == (1, "running", None, 55)
    # and one whose second is
    again = written(run(state=State.RUNNING, attempts=(attempt(State.FAILED),)), record(), on)
    assert [(one["number"], one["state"]) for one in again["attempts"]] == [(1, "failed"), (2, "running")]
    assert (again["started"], again["duration"]) == ("2030-01-01T00:00:01Z", None)
    # and one that is to start
    claimed = written(run(), record())
    assert (claimed["state"], claimed["started"], claimed["lateness"], claimed["attempts"]) == (
        "claimed",
        None,
        None,
        [],
    )


def test_a_range_that_did_not_run() -> None:
    skipped = run(
        state=State.SKIPPED, reason=OVERLAP, until=T0 + 60 * SECOND, count=2, blocker=T0, ended=T0 + 61 * SECOND
    )
    found = written(skipped, record(job(overlap="skip")))
    assert (found["until"], found["count"], found["reason"]) == ("2030-01-01T00:01:00Z", 2, "overlap")
    assert (found["started"], found["duration"], found["lateness"], found["attempts"]) == (None, None, None, [])
    assert found["explanation"].endswith(", and overlap is skip")
    # of a job that has been edited since, it is not said what is not known
    later = record(job(overlap="skip"), version=2)
    assert written(skipped, later)["explanation"].endswith("was still on")


def test_a_run_of_a_job_that_is_gone_and_of_a_parent() -> None:
    one = run(state=State.WAITING, trigger=Trigger.PARENT, parent_job="P", parent_run="p")
    found = written(one, None)
    assert (found["job_name"], found["parent_job"], found["parent_run"]) == ("", "P", "p")
    assert written(one, None, paused=True)["explanation"].endswith("the daemon is paused")
    # and one that waits for its retry
    waits = replace(one, not_before=T0 + SECOND, attempts=(attempt(State.FAILED),))
    assert written(waits, None)["not_before"] == "2030-01-01T00:00:01Z"
