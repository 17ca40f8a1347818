"""Each member that clients may send: what is taken, and every single fault."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from kala.clock import from_datetime
from kala.errors import Invalid
from kala.job import Job, Limits, Notify, Remote
from kala.wire.jobmembers import MEMBERS
from kala.wire.jobread import NewJob, read_job, read_patch

NOW = from_datetime(datetime(2030, 1, 1, tzinfo=UTC))
FUTURE = "R/2031-01-01T00:00:00Z/P1D"
PAST = "R/2029-12-31T23:59:59.999999Z/P1D"
LOCAL_JOB: dict[str, Any] = {"name": "j", "command": "true"}


def taken(body: object) -> NewJob:
    return read_job(json.dumps(body).encode(), now=NOW)


def faults(body: object) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        taken(body)
    return caught.value.fields


def test_everything() -> None:
    body = {
        "name": "full",
        "command": "echo <%.Name%>",
        "owner": "a@b.c",
        "schedule": FUTURE,
        "retries": 3,
        "epsilon": "PT5S",
        "parent_jobs": ["p", "q", "p"],
        "on_failure_job": "f",
        "TemplateDelimiters": "<% %>",
        "resume_at_next_scheduled_time": True,
        "type": 0,
        "remote_properties": {
            "url": "http://x/",
            "method": "POST",
            "body": "b",
            "headers": {"X-A": ["1", "2"], "X-B": None},
            "timeout": 5,
            "expected_response_codes": [200, 201],
        },
        "shell": False,
        "overlap": "skip",
        "catch_up": "all",
        "catch_up_limit": 7,
        "catch_up_window": "P1D",
        "timeout": "PT1M",
        "kill_after": "PT0S",
        "on_lost": "rerun",
        "retry_delay": "PT1S",
        "retry_backoff": 2,
        "retry_max_delay": "PT5M",
        "jitter": "PT10S",
        "time_zone": "Europe/Berlin",
        "dst_gap": "skip",
        "dst_fold": "both",
        "parents_mode": "all",
        "environment": {"A": "1", "_b2": ""},
        "directory": "/tmp",
        "output_limit": 0,
        "labels": {"team": "x", "a.b/c-d_e": ""},
        "notify": [{"url": "http://n/"}],
        "run_as": "nobody:nogroup",
        "limits": {"memory": 2**30, "cpu_time": 60, "open_files": 100, "nice": -5},
        "disabled": True,
    }
    assert set(body) == set(MEMBERS)
    new = taken(body)
    assert new.disabled
    assert new.job == Job(
        name="full",
        command="echo <%.Name%>",
        owner="a@b.c",
        schedule=FUTURE,
        retries=3,
        epsilon="PT5S",
        parent_jobs=["p", "q"],
        on_failure_job="f",
        template_delimiters="<% %>",
        resume_at_next_scheduled_time=True,
        remote=Remote("http://x/", "POST", "b", {"X-A": ["1", "2"], "X-B": []}, 5, [200, 201]),
        overlap="skip",
        catch_up="all",
        catch_up_limit=7,
        catch_up_window="P1D",
        timeout="PT1M",
        kill_after="PT0S",
        on_lost="rerun",
        retry_delay="PT1S",
        retry_backoff=2.0,
        retry_max_delay="PT5M",
        jitter="PT10S",
        time_zone="Europe/Berlin",
        dst_gap="skip",
        dst_fold="both",
        parents_mode="all",
        environment={"A": "1", "_b2": ""},
        directory="/tmp",
        output_limit=0,
        labels={"team": "x", "a.b/c-d_e": ""},
        notify=[Notify("http://n/")],
        run_as="nobody:nogroup",
        limits=Limits(2**30, 60, 100, -5),
    )


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("name", None, "is needed"),
        ("name", "", "is needed"),
        ("name", 1, "must be text, not 1"),
        ("name", {"a": 1}, "must be text, not an object"),
        ("name", "x" * 10_000, "is 10,000 characters long, and at most 1,024 are taken"),
        ("name", "a\0b", "holds a NUL character"),
        ("command", None, "is needed for a local job"),
        ("command", " \t", "is needed for a local job"),
        ("command", ["true"], "must be text, not a list"),
        ("command", "echo 'x", "not closed"),
        ("owner", False, "must be text, not false"),
        ("schedule", "nonsense", ""),
        ("schedule", "R2/2031-01-01T00:00:00Z/PT0S", "longer than nothing"),
        ("schedule", PAST, "its start 2029-12-31T23:59:59.999999Z is past"),
        ("schedule", "R0/2029-06-04T19:25:16-07:00/", "its start 2029-06-05T02:25:16Z is past"),
        ("schedule", 5, "must be text, not 5"),
        ("retries", -1, "must be from 0 to 1000, not -1"),
        ("retries", 1_001, "must be from 0 to 1000"),
        ("retries", 10**25, "must be from 0 to 1000, not 1000000"),
        ("retries", 1.0, "must be a whole number, not 1.0"),
        ("retries", 1.5, "must be a whole number, not 1.5"),
        ("retries", True, "must be a whole number, not true"),
        ("retries", "3", 'must be a whole number, not "3"'),
        ("epsilon", "5s", "not a duration"),
        ("epsilon", 5, "must be text, not 5"),
        ("timeout", "PT0S", "must be longer than nothing"),
        ("timeout", "10", "not a duration"),
        ("kill_after", "-PT1S", "negative"),
        ("catch_up_window", "x", "not a duration"),
        ("parent_jobs", "p", 'must be a list, not "p"'),
        ("parent_jobs", ["p"] * 1_001, "has 1,001 items, and at most 1,000 are taken"),
        ("on_failure_job", [], "must be text, not a list"),
        ("TemplateDelimiters", "only", "must be two words"),
        ("TemplateDelimiters", "{{  }}", "must be two words"),
        ("TemplateDelimiters", "a b c", "must be two words"),
        ("TemplateDelimiters", 1, "must be text, not 1"),
        ("resume_at_next_scheduled_time", "yes", 'must be true or false, not "yes"'),
        ("disabled", 0, "must be true or false, not 0"),
        ("shell", 1, "must be true or false, not 1"),
        ("type", 2, "must be 0 (a local command) or 1 (a remote job), not 2"),
        ("type", "local", 'must be a whole number, not "local"'),
        ("overlap", "end", 'must be queue, skip, allow or replace, not "end"'),
        ("catch_up", "twice", 'must be once, none or all, not "twice"'),
        ("catch_up_limit", 0, "must be from 1 to 10000, not 0"),
        ("on_lost", 1, "must be record or rerun, not 1"),
        ("remote_properties", "http://x", 'must be an object, not "http://x"'),
        ("retry_delay", "5s", "not a duration"),
        ("retry_delay", "-PT1S", "negative"),
        ("retry_delay", 5, "must be text, not 5"),
        ("retry_backoff", 0.99, "must be from 1 to 100, not 0.99"),
        ("retry_backoff", 100.5, "must be from 1 to 100, not 100.5"),
        ("retry_backoff", "2", 'must be a number, not "2"'),
        ("retry_backoff", True, "must be a number, not true"),
        ("retry_max_delay", "x", "not a duration"),
        ("jitter", "PT", "not a duration"),
        ("jitter", ["PT1S"], "must be text, not a list"),
        ("time_zone", "Nowhere/Else", "Nowhere/Else"),
        ("time_zone", "../../etc/passwd", "../../etc/passwd"),
        ("time_zone", 1, "must be text, not 1"),
        ("dst_gap", "both", 'must be shift or skip, not "both"'),
        ("dst_fold", "skip", 'must be first, second or both, not "skip"'),
        ("parents_mode", "some", 'must be any or all, not "some"'),
        ("environment", ["A=1"], "must be an object of text, not a list"),
        ("environment", {f"A{number}": "" for number in range(201)}, "has 201 names, and at most 200 are taken"),
        ("directory", "tmp", 'must be an absolute path, not "tmp"'),
        ("directory", "/a\0b", "holds a NUL character"),
        ("directory", "/" + "x" * 16_384, "is 16,385 characters long, and at most 16,384 are taken"),
        ("directory", {}, "must be text, not an object"),
        ("output_limit", -1, "must be from 0 to 16777216, not -1"),
        ("output_limit", 2**24 + 1, "must be from 0 to 16777216"),
        ("output_limit", 1.5, "must be a whole number, not 1.5"),
        ("labels", "team=x", 'must be an object of text, not "team=x"'),
        ("labels", {f"a{number}": "" for number in range(51)}, "has 51 names, and at most 50 are taken"),
        ("notify", {"url": "http://x/"}, "must be a list, not an object"),
        ("run_as", 0, "must be text, not 0"),
        ("run_as", "a b", "must be a user, or user:group, by name or number, not 'a b'"),
        ("run_as", "nobody:", "must be a user, or user:group"),
        ("run_as", "4294967295", "4294967295 is above the highest number of a user or group, 4294967294"),
        ("limits", [], "must be an object, not a list"),
    ],
)
def test_single_faults(member: str, value: object, said: str) -> None:
    found = faults(LOCAL_JOB | {member: value})
    assert list(found) == [member]
    assert said in found[member]


@pytest.mark.parametrize(
    ("members", "path", "said"),
    [
        ({"environment": {"1A": "x"}}, "environment.1A", "is no name that is taken: letters, digits and _"),
        ({"environment": {"KALA_TOKEN": "x"}}, "environment.KALA_TOKEN", "nor KALA_"),
        ({"environment": {"": "x"}}, "environment.", "is no name that is taken"),
        ({"environment": {"A=B": "x"}}, "environment.A=B", "is no name that is taken"),
        ({"environment": {"A\n": "x"}}, "environment.A\n", "is no name that is taken"),
        ({"environment": {"A": 1}}, "environment.A", "must be text, not 1"),
        ({"environment": {"A": "a\0"}}, "environment.A", "holds a NUL character"),
        ({"labels": {"": "x"}}, "labels.", "is no name that is taken"),
        ({"labels": {"a b": "x"}}, "labels.a b", "up to 63 letters and digits"),
        ({"labels": {"a" * 64: "x"}}, f"labels.{'a' * 64}", "is no name that is taken"),
        ({"labels": {"a": "x" * 256}}, "labels.a", "is 256 characters long, and at most 255 are taken"),
        ({"labels": {"a": None, "b": 1}}, "labels.b", "must be text, not 1"),
        ({"type": 1, "environment": {"A": "1"}}, "environment", "a call has none"),
        ({"type": 1, "directory": "/tmp"}, "directory", "a call has none"),
        ({"type": 1, "run_as": "nobody"}, "run_as", "a call has none"),
        ({"type": 1, "limits": {"nice": 0}}, "limits", "a call has none"),
        ({"limits": {"memory": 2**20 - 1}}, "limits.memory", "must be from 1048576 to 1125899906842624, not 1048575"),
        ({"limits": {"memory": "1G"}}, "limits.memory", 'must be a whole number, not "1G"'),
        ({"limits": {"memory": True}}, "limits.memory", "must be a whole number, not true"),
        ({"limits": {"cpu_time": 0}}, "limits.cpu_time", "must be from 1 to 31622400, not 0"),
        ({"limits": {"cpu_time": 1.5}}, "limits.cpu_time", "must be a whole number, not 1.5"),
        ({"limits": {"Open_Files": 7}}, "limits.open_files", "must be from 8 to 1048576, not 7"),
        ({"limits": {"nice": 20}}, "limits.nice", "must be from -20 to 19, not 20"),
        ({"limits": {"memroy": 2**30}}, "limits.memroy", "is no limit: there are memory, cpu_time, open_files, nice"),
        ({"schedule": "0 8 * *"}, "schedule", "cron"),
        ({"schedule": "0 8 31 2 *"}, "schedule", ""),
        (
            {"schedule": "R/2031-01-01T00:00:00[Europe/Paris]/P1D", "time_zone": "Asia/Tokyo"},
            "schedule",
            "it is in Europe/Paris, and the time zone is Asia/Tokyo",
        ),
        ({"schedule": FUTURE, "time_zone": "Nowhere"}, "time_zone", "Nowhere"),
    ],
)
def test_faults_within_members_and_between_them(members: dict[str, Any], path: str, said: str) -> None:
    found = faults(LOCAL_JOB | {"remote_properties": {"url": "http://127.0.0.1:9/"}} | members)
    assert list(found) == [path]
    assert said in found[path]


@pytest.mark.parametrize("member", ["environment", "labels"])
def test_of_names_without_a_value_there_is_nothing(member: str) -> None:
    assert getattr(taken(LOCAL_JOB | {member: {"a": None, "b": "1"}}).job, member) == {"b": "1"}
    assert getattr(taken(LOCAL_JOB | {member: {"a": None}}).job, member) is None
    assert getattr(taken(LOCAL_JOB | {member: {}}).job, member) is None


@pytest.mark.parametrize(
    ("patch", "then"),
    [
        pytest.param({"environment": {"B": "2"}}, {"environment": {"A": "1", "B": "2"}}, id="a name more"),
        pytest.param({"environment": {"A": None}}, {"environment": None}, id="the last name goes"),
        pytest.param({"environment": None}, {"environment": None}, id="all go"),
        pytest.param({"labels": {"team": "y"}}, {"labels": {"team": "y"}}, id="another value"),
        pytest.param({"labels": {"gone": None}}, {}, id="what is not there goes"),
        pytest.param({"retry_backoff": None, "retry_delay": "PT2S"}, {"retry_backoff": 1.0, "retry_delay": "PT2S"}),
        pytest.param({"output_limit": None}, {"output_limit": None}, id="the server's limit again"),
        pytest.param({"time_zone": "Asia/Tokyo"}, {"time_zone": "Asia/Tokyo"}, id="its past start is not looked at"),
        pytest.param({"dst_gap": "skip", "dst_fold": "second"}, {"dst_gap": "skip", "dst_fold": "second"}),
        pytest.param({"parents_mode": "all", "jitter": "PT1M"}, {"parents_mode": "all", "jitter": "PT1M"}),
        pytest.param({"notify": None}, {"notify": None}, id="nobody is told any more"),
        pytest.param({"limits": {"memory": 2**20}}, {"limits": Limits(memory=2**20, nice=3)}, id="a limit more"),
        pytest.param({"limits": {"NICE": None}}, {"limits": None}, id="the last limit goes"),
        pytest.param({"limits": None, "run_as": None}, {"limits": None, "run_as": ""}, id="no limits, nobody else"),
    ],
)
def test_patches(patch: dict[str, object], then: dict[str, object]) -> None:
    members: dict[str, Any] = {
        "name": "j",
        "command": "true",
        "schedule": PAST,
        "retry_delay": "PT1S",
        "retry_backoff": 3.0,
        "environment": {"A": "1"},
        "labels": {"team": "x"},
        "output_limit": 10,
        "notify": [Notify("http://n/")],
        "limits": Limits(nice=3),
        "run_as": "nobody",
    }
    new = read_patch(json.dumps(patch).encode(), Job(**members), False, now=NOW)
    assert new.job == Job(**(members | then))


def test_a_start_that_is_past_is_looked_at_when_the_schedule_changes() -> None:
    """Given a job whose start has passed, when its zone is edited with the schedule as text, or the schedule itself."""
    job = Job(name="j", command="true", schedule="R/2029-12-31T23:00:00/P1D")
    same = {"schedule": job.schedule, "time_zone": "Asia/Tokyo"}
    assert read_patch(json.dumps(same).encode(), job, False, now=NOW).job.time_zone == "Asia/Tokyo"
    other = {"schedule": "R/2029-12-31T23:30:00/P1D", "time_zone": "Asia/Tokyo"}
    with pytest.raises(Invalid) as caught:
        read_patch(json.dumps(other).encode(), job, False, now=NOW)
    assert caught.value.fields == {"schedule": "its start 2029-12-31T14:30:00Z is past"}
    # by the clock of Los Angeles that is to come
    west = {"schedule": "R/2029-12-31T23:30:00/P1D", "time_zone": "America/Los_Angeles"}
    assert read_patch(json.dumps(west).encode(), job, False, now=NOW).job.time_zone == "America/Los_Angeles"


def test_a_cron_expression_has_no_start_that_could_be_past() -> None:
    job = taken(LOCAL_JOB | {"schedule": "30 0 8 * * MON-FRI", "time_zone": "Europe/Berlin"}).job
    assert (job.schedule, job.time_zone) == ("30 0 8 * * MON-FRI", "Europe/Berlin")
    assert taken(LOCAL_JOB | {"schedule": "@daily"}).job.schedule == "@daily"


def test_limits_that_say_nothing_are_none() -> None:
    for nothing in ({}, {"memory": None}, None):
        assert taken(LOCAL_JOB | {"limits": nothing, "run_as": ""}).job == taken(LOCAL_JOB).job


def test_text_may_be_as_long_as_the_limit_says() -> None:
    assert taken({"name": "x" * 1_024, "command": "true"}).job.name == "x" * 1_024
