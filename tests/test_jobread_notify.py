"""Reading `notify`: whom a job tells of its runs."""

import json
from typing import Any

import pytest

from kala.errors import Invalid
from kala.job import Job, Notify, Record
from kala.wire.jobjson import encode, job_object
from kala.wire.jobread import read_job, read_patch

URL = "https://hooks.example/kala"
EVERYTHING = {
    "url": URL,
    "on": ["late", "failure"],
    "headers": {"X-Token": ["a", "b"]},
    "every": "PT1H",
    "late_after": "PT5S",
}


def taken(notify: object) -> Job:
    return read_job(json.dumps({"name": "j", "command": "true", "notify": notify}).encode(), now=0).job


def faults(notify: object, **members: object) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        read_job(json.dumps({"name": "j", "command": "true", "notify": notify, **members}).encode(), now=0)
    return refused.value.fields


@pytest.mark.parametrize(
    ("notify", "read"),
    [
        pytest.param(None, None, id="null"),
        pytest.param([], None, id="nobody"),
        pytest.param([{"url": URL}], [Notify(URL)], id="the least"),
        pytest.param(
            [EVERYTHING],
            [Notify(URL, ("late", "failure"), {"X-Token": ["a", "b"]}, "PT1H", "PT5S")],
            id="everything",
        ),
        pytest.param(
            [{"URL": URL, "On": ["lost"], "Late_After": "PT2S", "other": 1}],
            [Notify(URL, ("lost",), late_after="PT2S")],
            id="names in any case, and unknown ones",
        ),
        pytest.param(
            [{"url": URL, "on": None, "headers": None, "every": "", "late_after": None}], [Notify(URL)], id="not set"
        ),
        pytest.param([{"url": URL, "on": ["lost", "late", "lost"]}], [Notify(URL, ("lost", "late"))], id="repeated"),
        pytest.param([{"url": URL, "every": "PT0S"}], [Notify(URL, every="PT0S")], id="no limit"),
        pytest.param(
            [{"url": f"{URL}/{n}"} for n in range(10)], [Notify(f"{URL}/{n}") for n in range(10)], id="ten of them"
        ),
    ],
)
def test_whom_a_job_tells(notify: object, read: list[Notify] | None) -> None:
    job = taken(notify)
    assert job.notify == read
    # and it is written, and read again by a patch of something else, as it was
    written = json.loads(encode(job_object(Record("J", job, 0), None, None)))["notify"]
    assert taken(written) == job
    assert read_patch(b'{"owner": "me"}', job, False, now=0).job.notify == read


@pytest.mark.parametrize(
    ("target", "path", "said"),
    [
        (5, "", "must be an object, not 5"),
        ({}, ".url", "is needed"),
        ({"url": ""}, ".url", "is needed"),
        ({"url": 5}, ".url", "must be text, not 5"),
        ({"url": "ftp://x/"}, ".url", "must be an http:// or https:// URL"),
        ({"url": "http://"}, ".url", "has no host"),
        ({"url": "http://x/" + "a" * 2_048}, ".url", "is 2,057 characters long, and at most 2,048 are taken"),
        ({"on": []}, ".on", "names nothing: of failure, recovery, lost, late, missed"),
        ({"on": [""]}, ".on", "names nothing: of failure, recovery, lost, late, missed"),
        ({"on": "failure"}, ".on", 'must be a list, not "failure"'),
        ({"on": ["fail"]}, ".on[0]", 'must be failure, recovery, lost, late or missed, not "fail"'),
        ({"on": ["late", 1]}, ".on[1]", "must be failure, recovery, lost, late or missed, not 1"),
        ({"headers": ["a"]}, ".headers", "must be an object of lists, not a list"),
        ({"headers": {"X": "a"}}, ".headers.X", 'must be a list, not "a"'),
        ({"headers": {"a b": ["c"]}}, ".headers", "not a header's name: 'a b'"),
        ({"headers": {"X": ["a\nb"]}}, ".headers", "the value of X holds characters that no header may have"),
        ({"every": "soon"}, ".every", "not a duration: "),
        ({"every": 60}, ".every", "must be text, not 60"),
        ({"late_after": "1m"}, ".late_after", "not a duration: "),
    ],
)
def test_single_faults(target: Any, path: str, said: str) -> None:
    if isinstance(target, dict) and path != ".url":
        target = {"url": URL, **target}
    ((where, what),) = faults([{"url": "http://other.example"}, target]).items()
    assert where == f"notify[1]{path}"
    assert what.startswith(said)


def test_the_list_itself() -> None:
    assert faults({"url": URL}) == {"notify": "must be a list, not an object"}
    assert faults([{"url": URL}] * 11) == {"notify": "has 11 items, and at most 10 are taken"}


def test_one_address_is_named_once() -> None:
    assert list(faults([{"url": URL}, {"url": "http://b/"}, {"url": URL, "on": ["late"]}]).items()) == [
        ("notify[2].url", "is that of notify[0] already: one address is told one way")
    ]


def test_all_faults_at_once_each_where_it_is() -> None:
    """Whatever else is wrong with the job, and with the items before."""
    found = faults(
        [
            "x",
            {"on": ["nothing"], "every": "x"},
            {"url": "ftp://x", "headers": {"a b": ["c"]}, "late_after": 1},
            {"url": URL, "on": []},
            {"url": URL},
        ],
        type=7,
        name="",
    )
    assert set(found) == {
        "name",
        "type",
        "notify[0]",
        "notify[1].url",
        "notify[1].on[0]",
        "notify[1].every",
        "notify[2].url",
        "notify[2].headers",
        "notify[2].late_after",
        "notify[3].on",
        "notify[4].url",
    }


def test_a_patch_replaces_the_list_and_null_empties_it() -> None:
    job = taken([EVERYTHING])
    other = read_patch(json.dumps({"notify": [{"url": "http://b/"}]}).encode(), job, False, now=0).job
    assert other.notify == [Notify("http://b/")]
    assert read_patch(b'{"notify": null}', job, False, now=0).job.notify is None
    with pytest.raises(Invalid) as refused:
        read_patch(b'{"notify": [{"url": "x"}]}', job, False, now=0)
    assert list(refused.value.fields) == ["notify[0].url"]
