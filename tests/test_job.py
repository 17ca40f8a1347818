"""Records as they are stored, and the results packed in them."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import T0, at, attempt, job, record, run

from kala.clock import DAY, SECOND, from_datetime
from kala.job import (
    MAX_RESULTS,
    Arrival,
    Attempt,
    Delivery,
    Job,
    Limits,
    Notice,
    Notify,
    Record,
    Remote,
    Result,
    Run,
    decode_record,
    decode_run,
    encode,
    packed,
    replace,
    unpacked,
)
from kala.states import ENDED, State, Trigger

LATEST = from_datetime(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MOMENTS = st.integers(from_datetime(datetime(1, 1, 1, tzinfo=UTC)), LATEST)
ATTEMPTS = st.builds(
    Attempt,
    st.integers(1, 9),
    MOMENTS,
    MOMENTS,
    st.sampled_from(sorted(ENDED)),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    status=st.none() | st.integers(100, 599),
    cpu=st.integers(0, 2**53),
    memory=st.integers(0, 2**53),
    output_size=st.integers(0, 2**53),
    error=TEXT,
)
RUNS = st.builds(
    Run,
    TEXT,
    TEXT,
    MOMENTS,
    st.sampled_from(Trigger),
    st.sampled_from(State),
    MOMENTS,
    instance=TEXT,
    attempts=st.lists(ATTEMPTS, max_size=3).map(tuple),
    not_before=st.none() | MOMENTS,
    ended=st.none() | MOMENTS,
    reason=TEXT,
    parent_job=TEXT,
    parent_run=TEXT,
    until=st.none() | MOMENTS,
    count=st.integers(1, 2**40),
    due=st.none() | MOMENTS,
    blocker=st.none() | MOMENTS,
    cancel=TEXT,
)
REMOTES = st.builds(
    Remote,
    TEXT,
    body=TEXT,
    headers=st.none() | st.dictionaries(TEXT, st.lists(TEXT, max_size=2), max_size=2),
    expected_response_codes=st.none() | st.lists(st.integers(100, 599), max_size=2),
)
JOBS = st.builds(
    Job,
    TEXT,
    TEXT,
    schedule=TEXT,
    retries=st.integers(0, 2**31),
    parent_jobs=st.none() | st.lists(TEXT, max_size=3),
    remote=st.none() | REMOTES,
    shell=st.booleans(),
    overlap=st.sampled_from(["queue", "skip", "allow", "replace"]),
    on_lost=st.sampled_from(["record", "rerun"]),
    retry_delay=TEXT,
    retry_backoff=st.floats(1, 100),
    jitter=TEXT,
    time_zone=TEXT,
    parents_mode=st.sampled_from(["any", "all"]),
    environment=st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
    directory=TEXT,
    output_limit=st.none() | st.integers(0, 2**24),
    labels=st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
    notify=st.none() | st.lists(st.builds(Notify, TEXT, st.lists(TEXT, max_size=2).map(tuple)), max_size=2),
    run_as=TEXT,
    limits=st.none() | st.builds(Limits, *[st.none() | st.integers(-20, 2**50)] * 4),
)
RECORDS = st.builds(
    Record,
    TEXT,
    JOBS,
    MOMENTS,
    version=st.integers(1, 2**53),
    revision=st.integers(0, 2**53),
    disabled=st.booleans(),
    deleted=st.none() | MOMENTS,
    cursor=st.none() | MOMENTS,
    last_due=st.none() | MOMENTS,
    remaining=st.none() | st.integers(0, 2**62 + 1),
    successes=st.integers(0, 2**53),
    last_success=st.none() | MOMENTS,
    open=st.lists(RUNS, max_size=2).map(tuple),
    outbox=st.lists(
        st.builds(Delivery, TEXT, st.sampled_from(Trigger), st.lists(TEXT, min_size=1).map(tuple), TEXT), max_size=2
    ).map(tuple),
    gap=st.none() | RUNS,
    arrivals=st.none() | st.dictionaries(TEXT, st.builds(Arrival, TEXT, st.booleans()), max_size=2),
    notices=st.lists(st.builds(Notice, TEXT, TEXT, MOMENTS, TEXT, RUNS), max_size=1).map(tuple),
    noticed=st.none() | st.dictionaries(TEXT, MOMENTS, max_size=2),
    failing=st.booleans(),
    results=st.binary(max_size=320),
)


@given(value=RECORDS)
def test_a_record_is_read_as_it_was_written(value: Record) -> None:
    assert decode_record(encode(value)) == value


@given(value=RUNS)
def test_a_run_is_read_as_it_was_written(value: Run) -> None:
    assert decode_run(encode(value)) == value
    assert decode_run(encode(value).decode()) == value


def test_what_has_its_default_takes_no_room() -> None:
    value = Record("J", Job("n", "true"), 0)
    assert encode(value) == b'{"id":"J","job":{"name":"n","command":"true"},"created":0}'


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b'{"id":"J"}', b"\xff\xfe", b'{"id":1,"job":{"name":"n"},"created":0}']
)
def test_what_is_no_record_is_not_read(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_record(data)


def test_members_of_a_newer_version_are_passed_over() -> None:
    data = b'{"id":"J","job":{"name":"n","of_tomorrow":"PT5S"},"created":0,"newer":["x"]}'
    assert decode_record(data) == Record("J", Job("n"), 0)


def test_a_record_is_not_changed_in_place() -> None:
    for value in (record(), job(), run(), attempt()):
        with pytest.raises(AttributeError):
            value.id = value.name = value.number = 1  # type: ignore[union-attr,misc,assignment]


# Packed results.


def ended(number: int, **more: object) -> Run:
    made = Attempt(1, at(number), at(number) + SECOND, State.SUCCEEDED)
    return replace(run(f"r{number}", at(number), State.SUCCEEDED, attempts=(made,)), **more)


def test_the_last_results_are_kept_in_their_order() -> None:
    results = b""
    for number in range(MAX_RESULTS + 5):
        results = packed(results, ended(number))
        first = max(0, number + 1 - MAX_RESULTS)
        assert [one.started for one in unpacked(results)] == [at(k) for k in range(first, number + 1)]
    assert len(results) == 16 * MAX_RESULTS
    assert unpacked(b"") == []


@given(state=st.sampled_from(State), trigger=st.sampled_from(Trigger), duration=st.integers(0, 10**13))
def test_a_result_says_what_the_run_was(state: State, trigger: Trigger, duration: int) -> None:
    attempts = (Attempt(1, T0, T0 + 1, State.FAILED), Attempt(2, T0 + 2, T0 + duration, state))
    (result,) = unpacked(packed(b"", run("r", T0, state, trigger, attempts=attempts)))
    assert result._replace(duration=0) == Result(T0, 0, 1, state, trigger)
    assert abs(result.duration - duration) <= duration * 1e-7 + 1  # kept in 24 bits


@pytest.mark.parametrize(
    ("one", "started", "retries"),
    [
        pytest.param(ended(3), at(3), 0, id="its first attempt"),
        pytest.param(run("l", at(3), State.LOST, ended=at(5)), at(5), 0, id="no attempt: its end"),
        pytest.param(run("l", at(3), State.LOST, created=at(4)), at(4), 0, id="no attempt, no end: its claim"),
        pytest.param(
            ended(3, attempts=(attempt(State.FAILED), attempt(State.FAILED, number=70_001))),
            at(0, 1),
            65_535,
            id="more than fit",
        ),
        pytest.param(ended(3, attempts=(Attempt(1, LATEST, LATEST, State.FAILED),)), LATEST, 0, id="the last moment"),
        pytest.param(
            ended(3, attempts=(Attempt(1, T0, T0 + 300 * 365 * DAY, State.FAILED),)), T0, 0, id="three centuries"
        ),
    ],
)
def test_unusual_results(one: Run, started: int, retries: int) -> None:
    (result,) = unpacked(packed(b"", one))
    assert (result.started, result.retries, result.state) == (started, retries, one.state)


def test_a_run_with_its_attempts() -> None:
    none = run()
    assert (none.started, none.duration, none.retries) == (None, 0, 0)
    three = run(attempts=tuple(Attempt(k, at(k), at(k, 10), State.FAILED) for k in (1, 2, 3)))
    assert (three.started, three.duration, three.retries) == (at(1), at(3, 10) - at(1), 2)


@pytest.mark.parametrize(
    ("value", "done"),
    [
        (record(), False),
        (record(cursor=None), True),
        (record(cursor=None, open=(run(),)), False),
        (record(disabled=True), False),
        (record(job("", parent_jobs=["P"]), cursor=None), False),
        (record(job("", parent_jobs=["P"]), cursor=None, open=(run(),)), False),
        (record(job("", parent_jobs=["P"]), cursor=None, finished=1), True),
        (record(job("", parent_jobs=["P"]), cursor=None, finished=1, open=(run(),)), True),
        (record(job("", parent_jobs=[]), cursor=None), True),
    ],
)
def test_when_a_job_is_done(value: Record, done: bool) -> None:
    assert value.is_done is done
