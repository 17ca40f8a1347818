"""What another server's `GET /api/v1/job/` answers, from the original or from us."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.clock import from_datetime
from kala.errors import Invalid
from kala.job import LOCAL, REMOTE, Job, Record, Remote, replace
from kala.wire.jobimport import Counters, Standing, read_imported
from kala.wire.jobjson import encode, job_object

ORIGINAL: dict[str, Any] = {
    "name": "j",
    "id": "A",
    "command": "true",
    "owner": "",
    "disabled": True,
    "dependent_jobs": ["C", "B"],
    "parent_jobs": None,
    "on_failure_job": "",
    "schedule": "R/2017-06-04T19:25:16.828696-07:00/PT10S",
    "retries": 2,
    "epsilon": "PT5S",
    "next_run_at": "2017-06-04T19:25:16.828696123-07:00",
    "TemplateDelimiters": "",
    "resume_at_next_scheduled_time": False,
    "metadata": {
        "success_count": 3,
        "last_success": "2017-06-04T19:25:16Z",
        "error_count": 4,
        "last_error": "0001-01-01T00:00:00Z",
        "last_attempted_run": "2017-06-04T19:25:16.5+02:00",
        "number_of_finished_runs": 5,
    },
    "type": 0,
    "remote_properties": {
        "url": "",
        "method": "",
        "body": "",
        "headers": None,
        "timeout": 0,
        "expected_response_codes": None,
    },
    "stats": [{"job_id": "A", "ran_at": "x"}],
    "is_done": True,
}


def moment(*parts: int) -> int:
    return from_datetime(datetime(*parts, tzinfo=UTC))  # type: ignore[misc, arg-type]


def test_a_job_of_the_original() -> None:
    [one] = read_imported(json.dumps({"jobs": {"A": ORIGINAL}}).encode())
    assert (one.id, one.faults, one.warnings, one.disabled) == ("A", {}, [], True)
    assert one.job == Job(name="j", command="true", schedule=ORIGINAL["schedule"], retries=2, epsilon="PT5S")
    assert one.standing == Standing(
        metadata=Counters(
            success_count=3,
            last_success=moment(2017, 6, 4, 19, 25, 16),
            error_count=4,
            last_attempted_run=moment(2017, 6, 4, 17, 25, 16, 500_000),
            number_of_finished_runs=5,
        ),
        next_run_at=moment(2017, 6, 5, 2, 25, 16, 828_696),
        is_done=True,
        dependent_jobs=["C", "B"],
    )


def test_each_job_is_taken_or_refused_by_itself() -> None:
    jobs = {
        "bad": ORIGINAL | {"schedule": "nonsense", "metadata": {"error_count": -1, "last_error": "never"}},
        "A": ORIGINAL,
        "none": 5,
        "": ORIGINAL,
        "all": ORIGINAL,
        "due": ORIGINAL | {"next_run_at": "2017-06-04T19:25:16"},
    }
    bad, good, none, nameless, every, due = read_imported(json.dumps({"jobs": jobs}).encode())
    assert bad.job is None
    assert sorted(bad.faults) == ["metadata.error_count", "metadata.last_error", "schedule"]
    assert good.job is not None
    assert (none.id, none.faults) == ("none", {"": "must be an object, not 5"})
    assert nameless.faults == {"id": "is empty"}
    assert (every.job, every.faults) == (None, {"id": "stands for all jobs: deleting this one would delete them all"})
    assert due.faults == {"next_run_at": 'must be a time as in RFC 3339, not "2017-06-04T19:25:16"'}


def test_a_job_that_holds_nothing_else() -> None:
    [one] = read_imported(b'{"Jobs": {}, "jobs": {"A": {"name": "j", "command": "true", "is_done": null}}}')
    assert (one.job, one.standing) == (Job(name="j", command="true"), Standing())


@pytest.mark.parametrize(
    ("data", "path"),
    [(b"", ""), (b"[]", ""), (b"{}", "jobs"), (b'{"jobs": []}', "jobs"), (b'{"jobs": null}', "jobs")],
)
def test_what_is_no_answer_of_that_kind(data: bytes, path: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_imported(data)
    assert list(caught.value.fields) == [path]


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
durations = st.sampled_from(["", "PT5S", "P1D"])
moments = st.none() | st.integers(moment(2, 1, 1), moment(9999, 12, 31))
remotes = st.builds(
    Remote,
    url=st.sampled_from(["http://a/", "https://b.example:8443/x?y=z"]),
    method=st.sampled_from(["", "GET", "POST"]),
    body=words,
    headers=st.none() | st.dictionaries(st.sampled_from(["X-A", "Accept"]), st.lists(st.just("v"), max_size=2)),
    timeout=st.integers(0, 100),
    expected_response_codes=st.none() | st.lists(st.integers(200, 299), max_size=3),
)
definitions = st.fixed_dictionaries(
    {
        "name": words.filter(bool),
        "owner": words,
        "command": st.just("echo x"),
        "schedule": st.sampled_from(["", "R5/2020-01-01T00:00:00Z/P1D"]),
        "retries": st.integers(0, 1_000),
        "epsilon": durations,
        "timeout": durations,
        "catch_up_window": durations,
        "kill_after": st.sampled_from(["PT10S", "PT0S"]),
        "parent_jobs": st.none() | st.lists(words.filter(bool), unique=True, max_size=3),
        "on_failure_job": words,
        "resume_at_next_scheduled_time": st.booleans(),
        "shell": st.booleans(),
        "overlap": st.sampled_from(["queue", "skip", "allow"]),
        "catch_up": st.sampled_from(["once", "none", "all"]),
        "catch_up_limit": st.integers(1, 10_000),
        "on_lost": st.sampled_from(["record", "rerun"]),
    }
)
jobs = st.builds(
    lambda values, remote: Job(**values, type=LOCAL if remote is None else REMOTE, remote=remote),
    definitions,
    st.none() | remotes,
)
records = st.builds(
    Record,
    id=words.filter(bool),
    job=jobs,
    created=st.just(0),
    disabled=st.booleans(),
    cursor=moments,
    successes=st.integers(0, 2**40),
    errors=st.integers(0, 2**40),
    finished=st.integers(0, 2**40),
    last_success=moments,
    last_error=moments,
    last_attempted=moments,
)


@settings(deadline=None, max_examples=200)
@given(record=records, children=st.none() | st.lists(words.filter(bool), unique=True, max_size=3))
def test_what_is_written_is_read_again(record: Record, children: list[str] | None) -> None:
    if record.job.remote is not None:  # once it has run, defaults are filled in
        record = replace(record, finished=0)
    [one] = read_imported(encode({"jobs": {record.id: job_object(record, children, None)}}))
    assert one.faults == {}
    assert (one.id, one.job, one.disabled) == (record.id, record.job, record.disabled)
    scheduled = bool(record.job.schedule) and not record.is_child
    assert one.standing == Standing(
        metadata=Counters(
            record.successes,
            record.last_success,
            record.errors,
            record.last_error,
            record.last_attempted,
            record.finished,
        ),
        next_run_at=record.cursor if scheduled else None,
        is_done=record.is_done,
        dependent_jobs=children,
    )


def test_a_moment_that_is_in_the_year_10000_by_its_offset_is_refused() -> None:
    [one] = read_imported(json.dumps({"jobs": {"A": ORIGINAL | {"next_run_at": "9999-12-31T23:59:59-01:00"}}}).encode())
    assert one.faults == {"next_run_at": "is in the year 10000 in UTC, and only those up to 9999 are told"}
