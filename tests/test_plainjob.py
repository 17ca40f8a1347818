"""The fast reader of plain jobs, held to the general one."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.clock import from_datetime
from kala.errors import Invalid, NotJson
from kala.wire.jobread import NewJob, read_any, read_job
from kala.wire.plainjob import read_plain

NOW = from_datetime(datetime(2030, 1, 1, tzinfo=UTC))
FUTURE = "R/2031-01-01T00:00:00Z/P1D"

NAMES = st.sampled_from(["name", "command", "schedule", "owner", "Name", "COMMAND", "type", "disabled", "id", "x"])
TEXTS = st.sampled_from(
    [
        "",
        " ",
        "\u00a0",
        "j",
        "j" * 1_024,
        "j" * 1_025,
        "\U0001f600" * 1_024,
        "\0",
        "a\0b",
        "\x7f",
        "\\ud800",
        "true",
        "/bin/echo 'a b' \"$HOME\" `date`",
        "echo a | cat",
        "echo 'a",
        "echo a;",
        "\ttrue\n",
        "echo secret:x",
        "x" * 131_071,
        "x " * 65_536,
        FUTURE,
        "R/2029-12-31T23:59:59.999999Z/P1D",
        "R/2030-01-01T00:00:00Z/P1D",
        "R0/2030-01-01T00:00:00Z/",
        "R/2031-01-01T00:00:00[Europe/Berlin]/P1D",
        "R/2031-01-01T00:00:00[Nowhere/At_All]/P1D",
        "0 8 * * MON-FRI",
        "@daily",
        "@never",
    ]
)
VALUES = (
    TEXTS | st.text(max_size=8) | st.none() | st.booleans() | st.sampled_from([0, 1, 0.0, [], ["a"], {}, {"a": "b"}])
)
PAIRS = st.tuples(NAMES, VALUES)
SOUND = st.tuples(st.just("name"), st.just("j")) | st.tuples(st.just("command"), st.just("/bin/true -x"))


def body_of(pairs: list[tuple[str, object]], ascii_only: bool) -> bytes:
    """An object with these members in their order, also when a name comes again."""
    members = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=ascii_only)}" for name, value in pairs]
    return f"{{{', '.join(members)}}}".encode()


def outcome(read: object, data: bytes) -> NewJob | dict[str, str] | str:
    assert callable(read)
    try:
        new = read(data, now=NOW, default_owner="someone")
    except Invalid as fault:
        return fault.fields
    except NotJson as fault:
        return str(fault)
    assert isinstance(new, NewJob)
    return new


@settings(deadline=None, max_examples=1_000)
@given(st.lists(SOUND | PAIRS, max_size=5), st.booleans())
def test_what_it_reads_and_what_it_leaves_is_as_the_general_reader_says(
    pairs: list[tuple[str, object]], ascii_only: bool
) -> None:
    data = body_of(pairs, ascii_only)
    assert outcome(read_job, data) == outcome(read_any, data)


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=12) | st.sampled_from([b"[" * 100_000, b'{"name":' * 5_000, b'{"name":"\\ud800","command":"a"}'])
)
def test_what_is_no_job_is_left_to_the_general_reader(part: bytes) -> None:
    for data in (part, b'{"name":"j","command":"' + part + b'"}', b'{"name":"j","command":"a"}' + part):
        assert outcome(read_job, data) == outcome(read_any, data)


@pytest.mark.parametrize(
    ("members", "is_plain"),
    [
        ({}, True),
        ({"schedule": FUTURE}, True),
        ({"schedule": "", "owner": ""}, True),
        ({"owner": "me", "command": "echo 'a b' \"$HOME\""}, True),
        ({"owner": None}, False),
        ({"retries": 0}, False),
        ({"disabled": False}, False),
        ({"command": "echo a | cat"}, False),
        ({"command": " "}, False),
        ({"name": ""}, False),
        ({"schedule": "R/2029-12-31T23:59:59Z/P1D"}, False),
        ({"schedule": "x"}, False),
    ],
)
def test_what_is_plain(members: dict[str, object], is_plain: bool) -> None:
    data = json.dumps({"name": "j", "command": "true", **members}).encode()
    job = read_plain(data, now=NOW, default_owner="someone")
    assert (job is not None) == is_plain
    if job is not None:
        assert job == read_any(data, now=NOW, default_owner="someone").job
