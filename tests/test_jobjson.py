"""What clients are answered: members and their order, times, rows."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.clock import EPOCH, SECOND, from_datetime, rfc3339
from kala.job import Attempt, Job, Limits, Record, Remote, Run, packed
from kala.states import State, Trigger
from kala.wire.jobjson import (
    ZERO_TIME,
    encode,
    go_time,
    job_object,
    next_run_at,
    rows_of_results,
    rows_of_runs,
    stats_object,
)

NOW = from_datetime(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

MEMBERS = """
name id command owner disabled dependent_jobs parent_jobs on_failure_job schedule retries epsilon next_run_at
TemplateDelimiters resume_at_next_scheduled_time metadata type remote_properties stats is_done
"""
OURS = """
shell overlap catch_up catch_up_limit catch_up_window timeout kill_after on_lost retry_delay retry_backoff
retry_max_delay jitter time_zone dst_gap dst_fold parents_mode environment directory output_limit labels notify version
"""


def run(number: int, state: State = State.SUCCEEDED, attempts: int = 1, **more: object) -> Run:
    """A run that started `number` seconds after NOW, its attempts a second long each."""
    start = NOW + number * SECOND
    made = tuple(Attempt(k + 1, start + k * SECOND, start + (k + 1) * SECOND, state) for k in range(attempts))
    return Run(f"r{number}", "A", start, Trigger.SCHEDULE, state, start - 5, attempts=made, **more)  # type: ignore[arg-type]


def test_members_and_their_order() -> None:
    job = Job(name="j", command="true", schedule="R/2026-01-02T03:04:05Z/P1D", template_delimiters="{{ }}")
    answer = json.loads(encode(job_object(Record("A", job, NOW, cursor=NOW), None, None)))
    assert list(answer) == (MEMBERS + OURS).split()
    assert list(answer["metadata"].items()) == [
        ("success_count", 0),
        ("last_success", ZERO_TIME),
        ("error_count", 0),
        ("last_error", ZERO_TIME),
        ("last_attempted_run", ZERO_TIME),
        ("number_of_finished_runs", 0),
    ]
    assert list(answer["remote_properties"].items()) == [
        ("url", ""),
        ("method", ""),
        ("body", ""),
        ("headers", None),
        ("timeout", 0),
        ("expected_response_codes", None),
    ]
    rest = {name: answer[name] for name in MEMBERS.split() if name not in ("metadata", "remote_properties")}
    assert rest == {
        "name": "j",
        "id": "A",
        "command": "true",
        "owner": "",
        "disabled": False,
        "dependent_jobs": None,
        "parent_jobs": None,
        "on_failure_job": "",
        "schedule": "R/2026-01-02T03:04:05Z/P1D",
        "retries": 0,
        "epsilon": "",
        "next_run_at": "2026-01-02T03:04:05Z",
        "TemplateDelimiters": "{{ }}",
        "resume_at_next_scheduled_time": False,
        "type": 0,
        "stats": None,
        "is_done": False,
    }


def test_a_remote_job_and_lists() -> None:
    remote = Remote("http://x/", "POST", "b", {"X-A": ["1"]}, 5, [200, 201])
    record = Record("A", Job(name="j", type=1, remote=remote, parent_jobs=["p"]), NOW, version=4)
    answer = json.loads(encode(job_object(record, [], None)))
    assert answer["remote_properties"] == {
        "url": "http://x/",
        "method": "POST",
        "body": "b",
        "headers": {"X-A": ["1"]},
        "timeout": 5,
        "expected_response_codes": [200, 201],
    }
    assert (answer["dependent_jobs"], answer["parent_jobs"], answer["version"]) == ([], ["p"], 4)


@pytest.mark.parametrize(
    ("remote", "headers", "codes"),
    [
        (Remote("u"), {"Content-Type": ["application/json"]}, [200]),
        (Remote("u", headers={}, expected_response_codes=[]), {"Content-Type": ["application/json"]}, [200]),
        (
            Remote("u", headers={"content-type": ["a/b"]}, expected_response_codes=[201]),
            {"content-type": ["a/b"]},
            [201],
        ),
        (Remote("u", headers={"A": ["b"]}), {"A": ["b"], "Content-Type": ["application/json"]}, [200]),
    ],
)
def test_the_first_run_fills_in_what_was_not_given(
    remote: Remote, headers: dict[str, list[str]], codes: list[int]
) -> None:
    before = job_object(Record("A", Job(name="j", type=1, remote=remote), NOW), None, None).remote_properties
    assert (before.headers, before.expected_response_codes) == (remote.headers, remote.expected_response_codes)
    after = job_object(Record("A", Job(name="j", type=1, remote=remote), NOW, finished=1), None, None).remote_properties
    assert (after.headers, after.expected_response_codes) == (headers, codes)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Record("A", Job("j", schedule="s"), 0, cursor=5, last_due=4), 5),
        (Record("A", Job("j", schedule="s"), 0, cursor=None, last_due=4), 4),
        (Record("A", Job("j", schedule="s"), 0), None),
        (Record("A", Job("j"), 0, cursor=5, last_due=4), None),
        (Record("A", Job("j", schedule="s", parent_jobs=["p"]), 0, cursor=5), None),
    ],
)
def test_next_run_at(record: Record, expected: int | None) -> None:
    assert next_run_at(record) == expected


def test_rows_are_in_time_order_and_exact() -> None:
    runs = [
        run(9, State.FAILED, attempts=3),
        run(3),
        run(5, State.LOST),
        run(4, State.SKIPPED, attempts=0, until=NOW, count=7),
        run(6, State.CANCELLED, attempts=0, ended=NOW + 7 * SECOND),
    ]
    rows = [
        {
            "job_id": "A",
            "ran_at": f"2026-01-02T03:04:{second}Z",
            "number_of_retries": retries,
            "success": success,
            "execution_duration": duration * 10**9,
        }
        for second, retries, success, duration in [
            ("08", 0, True, 1),
            ("10", 0, False, 1),
            ("12", 0, False, 0),
            ("14", 2, False, 3),
        ]
    ]
    assert json.loads(encode(rows_of_runs(runs))) == rows
    results = b""
    for one in runs:
        if one.state is not State.SKIPPED:
            results = packed(results, one)
    assert json.loads(encode(rows_of_results(Record("A", Job("j"), NOW, results=results)))) == rows
    assert list(rows[0]) == list(json.loads(encode(rows_of_runs(runs)))[0])


def test_users_and_limits_are_there_when_they_are_set() -> None:
    job = Job(name="j", command="true", run_as="nobody", limits=Limits(memory=2**30))
    answer = json.loads(encode(job_object(Record("A", job, NOW), None, None)))
    assert list(answer) == [*(MEMBERS + OURS).split(), "run_as", "limits"]
    assert (answer["run_as"], answer["limits"]) == ("nobody", {"memory": 2**30})


def test_no_rows_are_null() -> None:
    assert rows_of_results(Record("A", Job("j"), NOW)) is None
    assert rows_of_runs([]) is None
    assert rows_of_runs([run(1, State.MISSED, attempts=0)]) is None


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, "0001-01-01T00:00:00Z"),
        (NOW, "2026-01-02T03:04:05Z"),
        (NOW + 120_000, "2026-01-02T03:04:05.12Z"),
        (NOW + 1, "2026-01-02T03:04:05.000001Z"),
        (NOW + 999_990, "2026-01-02T03:04:05.99999Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (from_datetime(datetime(1, 1, 1, tzinfo=UTC)), "0001-01-01T00:00:00Z"),
        (from_datetime(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times(moment: int | None, text: str) -> None:
    assert go_time(moment) == text


@settings(deadline=None)
@given(value=st.datetimes())
def test_times_are_exact(value: datetime) -> None:
    text = rfc3339(from_datetime(value.replace(tzinfo=UTC)))
    assert datetime.fromisoformat(text) == value.replace(tzinfo=UTC)
    assert not text.removesuffix("Z").partition(".")[2].endswith("0")
    assert EPOCH + timedelta(microseconds=from_datetime(value.replace(tzinfo=UTC))) == value.replace(tzinfo=UTC)


def test_totals() -> None:
    answer = encode(
        stats_object(
            active_jobs=1,
            disabled_jobs=2,
            jobs=3,
            error_count=4,
            success_count=5,
            next_run_at=None,
            last_attempted_run=NOW,
            created=NOW + 500_000,
        )
    )
    assert answer == (
        b'{"Stats":{"active_jobs":1,"disabled_jobs":2,"jobs":3,"error_count":4,"success_count":5,'
        b'"next_run_at":"0001-01-01T00:00:00Z","last_attempted_run":"2026-01-02T03:04:05Z",'
        b'"created":"2026-01-02T03:04:05.5Z"}}'
    )


@pytest.mark.slow
def test_a_long_list_is_written_fast() -> None:
    results = b""
    records = []
    for number in range(10_000):
        results = packed(results, run(number * 61, State.SUCCEEDED))
        job = Job(name=f"job {number}", command="echo hello", schedule="R/2026-01-02T03:04:05Z/PT1H")
        records.append(Record(f"{number:036d}", job, NOW, cursor=NOW + number * 7_000_001, results=results))
    begin = time.thread_time()
    encode({"jobs": {record.id: job_object(record, None, rows_of_results(record)) for record in records}})
    assert time.thread_time() - begin < 2.5, "0.5 s on an idle machine"
