"""What clients send: Go's rules for names, all faults at once, the rules of the whole, and edits."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.clock import from_datetime
from kala.errors import Invalid
from kala.job import REMOTE, Job, Remote
from kala.wire.jobmembers import MEMBERS
from kala.wire.jobread import NewJob, read_job, read_patch

NOW = from_datetime(datetime(2030, 1, 1, tzinfo=UTC))
FUTURE = "R/2031-01-01T00:00:00Z/P1D"
PAST = "R/2029-12-31T23:59:59.999999Z/P1D"
LOCAL_JOB: dict[str, Any] = {"name": "j", "command": "true"}
REMOTE_JOB: dict[str, Any] = {"name": "r", "type": 1, "remote_properties": {"url": "http://127.0.0.1:9/x"}}


def taken(body: object, **more: Any) -> NewJob:
    return read_job(json.dumps(body).encode(), now=NOW, **more)


def faults(body: object) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        taken(body)
    return caught.value.fields


def test_the_least() -> None:
    assert taken(LOCAL_JOB) == (Job(name="j", command="true"), False, [])
    assert taken(REMOTE_JOB).job == Job(name="r", type=REMOTE, remote=Remote(url="http://127.0.0.1:9/x"))


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"NAME": "j", "CoMMand": "a"}', "a"),
        ('{"name": "j", "command": "a", "command": "b"}', "b"),
        ('{"name": "j", "command": "a", "COMMAND": "b"}', "b"),
        ('{"name": "j", "Command": "a", "command": "b"}', "b"),
        ('{"name": "j", "command": "a", "COMMAND": null}', "a"),
        ('{"name": "j", "command": null, "COMMAND": "b"}', "b"),
        ('{"name": "j", "command": "a", "cmd": 1, "more": {"a": [1]}}', "a"),
        (
            '{"name": "j", "command": "a", "id": 1, "dependent_jobs": 2, "metadata": [], "stats": 0, "is_done": "x",'
            ' "next_run_at": {}, "version": "v"}',
            "a",
        ),
        (' \n{"name": "j", "command": "a"}\n ', "a"),
    ],
)
def test_names_of_members(text: str, command: str) -> None:
    assert read_job(text.encode(), now=NOW).job == Job(name="j", command=command)


def test_null_and_empty_are_not_set() -> None:
    nothing = dict.fromkeys(MEMBERS)
    assert taken(nothing | LOCAL_JOB).job == Job(name="j", command="true")
    empty = {"kill_after": "", "timeout": "", "epsilon": "", "overlap": "", "catch_up": "", "on_lost": ""}
    zero = {"url": "", "method": "", "body": "", "headers": None, "timeout": 0, "expected_response_codes": None}
    assert taken(LOCAL_JOB | empty | {"remote_properties": zero}).job == Job(name="j", command="true")
    assert taken(LOCAL_JOB | {"parent_jobs": []}).job.parent_jobs == []


def test_the_default_owner() -> None:
    assert taken(LOCAL_JOB, default_owner="o").job.owner == "o"
    assert taken(LOCAL_JOB | {"owner": ""}, default_owner="o").job.owner == "o"
    assert taken(LOCAL_JOB | {"owner": "me"}, default_owner="o").job.owner == "me"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"name": "j",}', "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"name": "\xff"}', "not JSON"),
        (b'{"name": "\\ud800"}', "not JSON"),
        (b'{"retries": 1' + b"0" * 5_000 + b"}", "not JSON"),
        (b'{"retries": 1e999}', "not JSON"),
        (b'{"retries": NaN}', "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"null", "must be a JSON object, not null"),
        (b"[]", "must be a JSON object, not a list"),
        (b'"x"', 'must be a JSON object, not "x"'),
        (b"1", "must be a JSON object, not 1"),
    ],
)
def test_bodies_that_are_no_object(data: bytes, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_job(data, now=NOW)
    assert list(caught.value.fields) == [""]
    assert said in caught.value.fields[""]


@pytest.mark.parametrize(
    ("properties", "path", "said"),
    [
        ({}, "remote_properties.url", "is needed for a remote job"),
        ({"url": 1}, "remote_properties.url", "must be text, not 1"),
        ({"URL": []}, "remote_properties.url", "must be text, not a list"),
        ({"url": "http://x/", "method": 1}, "remote_properties.method", "must be text"),
        ({"url": "http://x/", "timeout": -1}, "remote_properties.timeout", "must be from 0 to 86400, not -1"),
        ({"url": "http://x/", "timeout": 1.5}, "remote_properties.timeout", "must be a whole number"),
        ({"url": "http://x/", "headers": []}, "remote_properties.headers", "must be an object of lists, not a list"),
        ({"url": "http://x/", "headers": {"A": "b"}}, "remote_properties.headers.A", 'must be a list, not "b"'),
        ({"url": "http://x/", "headers": {"A": ["b", 1]}}, "remote_properties.headers.A[1]", "must be text, not 1"),
        (
            {"url": "http://x/", "expected_response_codes": [200, 99]},
            "remote_properties.expected_response_codes[1]",
            "must be from 100 to 599, not 99",
        ),
        ({"url": "no url"}, "remote_properties.url", ""),
    ],
)
def test_faults_of_remote_jobs(properties: dict[str, object], path: str, said: str) -> None:
    found = faults(REMOTE_JOB | {"remote_properties": properties})
    assert list(found) == [path]
    assert said in found[path]


def test_all_faults_at_once() -> None:
    found = faults(
        {
            "command": 5,
            "schedule": "x",
            "retries": "3",
            "epsilon": "5s",
            "parent_jobs": ["", 1],
            "overlap": "no",
            "remote_properties": {"timeout": "x", "headers": {"A": 1}},
            "nonsense": 1,
        }
    )
    assert sorted(found) == [
        "command",
        "epsilon",
        "name",
        "overlap",
        "parent_jobs[0]",
        "parent_jobs[1]",
        "remote_properties.headers.A",
        "remote_properties.timeout",
        "retries",
        "schedule",
    ]


def test_a_fault_leads_to_no_other() -> None:
    assert list(faults({"name": "r", "type": "1", "remote_properties": {"url": "http://x/"}})) == ["type"]
    assert list(faults({"name": "j", "command": "echo {{ '", "TemplateDelimiters": 1})) == ["TemplateDelimiters"]
    assert list(faults({"name": "r", "type": 1, "remote_properties": []})) == ["remote_properties"]


def test_when_a_command_is_not_split_into_words() -> None:
    assert taken(LOCAL_JOB | {"command": "echo 'x", "shell": True}).job.shell
    assert taken(LOCAL_JOB | {"command": "echo '{{ .Name }}", "TemplateDelimiters": "{{ }}"}).warnings == []
    assert list(faults(LOCAL_JOB | {"command": "echo {{ .Name", "TemplateDelimiters": "{{ }}"})) == ["command"]
    assert taken(REMOTE_JOB | {"command": "echo 'x"}).job.command == "echo 'x"


def test_templates_of_remote_jobs() -> None:
    properties = {"url": "{{ .Owner }}/x", "body": "{{ .Name }}"}
    assert taken(REMOTE_JOB | {"remote_properties": properties, "TemplateDelimiters": "{{ }}"})
    found = faults(REMOTE_JOB | {"remote_properties": {"url": "{{", "body": "{{ if }}"}, "TemplateDelimiters": "{{ }}"})
    assert sorted(found) == ["remote_properties.body", "remote_properties.url"]


def test_shell_operators_are_warned_of() -> None:
    [warning] = taken(LOCAL_JOB | {"command": "echo a | cat"}).warnings
    assert "`|`" in warning


def test_the_schedule_of_a_child_is_only_read() -> None:
    assert taken(LOCAL_JOB | {"schedule": PAST, "parent_jobs": ["p"]}).job.schedule == PAST
    assert list(faults(LOCAL_JOB | {"schedule": "nonsense", "parent_jobs": ["p"]})) == ["schedule"]


def test_a_start_that_is_now() -> None:
    assert taken(LOCAL_JOB | {"schedule": "R/2030-01-01T00:00:00/P1D"}).job.schedule


JOB = Job(
    name="j",
    command="true",
    schedule=PAST,
    retries=3,
    kill_after="PT1S",
    parent_jobs=None,
    remote=Remote(url="http://x/", headers={"A": ["1"], "B": ["2"]}, timeout=5),
)


def patched(patch: object, job: Job = JOB, disabled: bool = False) -> NewJob:
    return read_patch(json.dumps(patch).encode(), job, disabled, now=NOW)


def test_an_empty_patch_changes_nothing() -> None:
    assert patched({}) == (JOB, False, [])
    assert patched({}, disabled=True) == (JOB, True, [])
    assert patched({"schedule": PAST, "id": "x", "nonsense": 1}) == (JOB, False, [])


def test_a_patch_replaces_and_resets() -> None:
    patch = {
        "NAME": "k",
        "retries": None,
        "kill_after": None,
        "disabled": True,
        "remote_properties": {"Timeout": None, "method": "PUT", "headers": {"A": None, "C": ["3"]}},
    }
    new = patched(patch)
    assert new.disabled
    assert new.job == Job(
        name="k",
        command="true",
        schedule=PAST,
        remote=Remote(url="http://x/", method="PUT", headers={"B": ["2"], "C": ["3"]}),
    )
    assert patched({"remote_properties": None}).job.remote is None
    assert patched({"remote_properties": {"headers": None}}).job.remote == Remote(url="http://x/", timeout=5)


@pytest.mark.parametrize(
    ("patch", "paths"),
    [
        ({"name": None}, ["name"]),
        ({"command": None, "retries": "x"}, ["command", "retries"]),
        ({"type": 1, "remote_properties": {"url": None}}, ["remote_properties.url"]),
        ({"schedule": PAST.replace("P1D", "P2D")}, ["schedule"]),
        ({"remote_properties": {"headers": {"A": 1}}}, ["remote_properties.headers.A"]),
        ({"remote_properties": 1}, ["remote_properties"]),
        (None, [""]),
        ([], [""]),
    ],
)
def test_a_patch_is_held_to_the_same_rules(patch: object, paths: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        patched(patch)
    assert sorted(caught.value.fields) == paths


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*MEMBERS, "URL", "headers", "method", "Body", "TIMEOUT", "expected_response_codes"])
near = st.dictionaries(names, values | st.dictionaries(names, values, max_size=4), max_size=8)


@settings(deadline=None, max_examples=300)
@given(body=values | near)
def test_any_json_is_taken_or_refused(body: object) -> None:
    data = json.dumps(body).encode("utf-8", "surrogatepass")
    for read in (lambda: read_job(data, now=NOW), lambda: read_patch(data, JOB, False, now=NOW)):
        fields = {}
        try:
            taken = read()
        except Invalid as error:
            fields = error.fields
            taken = None
        assert taken is not None or (fields and all(fields.values()))


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        read_job(data, now=NOW)
