"""`kala apply` and `kala export` against a real daemon."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import Cli
from daemon_process import KalaProcess

from kala.wire.jobmembers import MEMBERS, REMOTE_MEMBERS

FAR = "R/2100-01-01T00:00:00Z/P1D"
LOCAL: dict[str, Any] = {
    "name": 'local "one"\\ \u00fc\t\x7f\U0001f600',
    "command": "echo {{.Name}}",
    "owner": "me",
    "schedule": FAR,
    "retries": 3,
    "epsilon": "PT5M",
    "on_failure_job": "alarm",
    "TemplateDelimiters": "{{ }}",
    "resume_at_next_scheduled_time": True,
    "shell": True,
    "overlap": "replace",
    "catch_up": "all",
    "catch_up_limit": 7,
    "catch_up_window": "P1D",
    "timeout": "PT1H",
    "kill_after": "PT1S",
    "on_lost": "rerun",
    "retry_delay": "PT1S",
    "retry_backoff": 1.5,
    "retry_max_delay": "PT1M",
    "jitter": "PT2S",
    "time_zone": "Europe/Berlin",
    "dst_gap": "skip",
    "dst_fold": "both",
    "environment": {"A": "1", "B": "x=y\n"},
    "directory": "/tmp",
    "output_limit": 1_000,
    "run_as": "nobody",
    "limits": {"memory": 1_073_741_824, "cpu_time": 60, "open_files": 100, "nice": 5},
    "labels": {"team": "ops", "a.b/c": ""},
    "notify": [{"url": "http://a.example/", "on": ["late"], "headers": {"X-A": ["1", "2"]}, "late_after": "PT9S"}],
    "disabled": True,
}
CALL: dict[str, Any] = {
    "name": "call",
    "type": 1,
    "schedule": FAR,
    "remote_properties": {
        "url": "http://127.0.0.1:9/",
        "method": "POST",
        "body": "b",
        "headers": {"X-B": ["2"]},
        "timeout": 5,
        "expected_response_codes": [201, 204],
    },
}
CHILD: dict[str, Any] = {"name": "alarm", "command": "true", "parent_jobs": ["call", "other"], "parents_mode": "all"}
OTHER: dict[str, Any] = {"name": "other", "command": "true", "schedule": FAR}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KalaProcess]:
    with KalaProcess(tmp_path_factory.mktemp("kala"), "--no-persist", "-o", "everyone") as kala:
        yield kala


@pytest.fixture
def kala(daemon: KalaProcess) -> Cli:
    """The command line, for a daemon without jobs."""
    assert daemon.delete("/api/v1/job/all/").status == 204
    return Cli(daemon.url)


def apply(kala: Cli, *jobs: dict[str, Any], flags: tuple[str, ...] = (), code: int = 0) -> Any:
    """Apply jobs from standard input; what was done by name, or the faults."""
    result = kala("apply", "-", *flags, "--json", stdin=json.dumps(list(jobs)), code=code)
    return {job["name"]: job["does"] for job in json.loads(result.stdout)["jobs"]} if not code else result.stderr


def by_name(daemon: KalaProcess) -> dict[str, dict[str, Any]]:
    return {job["name"]: job for job in daemon.jobs().values()}


def test_the_definitions_of_this_test_have_every_member() -> None:
    assert LOCAL.keys() | CALL.keys() | CHILD.keys() == MEMBERS.keys()
    assert CALL["remote_properties"].keys() == REMOTE_MEMBERS.keys()


@pytest.mark.parametrize("form", ["json", "toml"])
def test_what_is_exported_and_applied_changes_nothing_here_and_makes_the_same_elsewhere(
    daemon: KalaProcess, kala: Cli, tmp_path: Path, form: str
) -> None:
    assert set(apply(kala, CHILD, LOCAL, OTHER, CALL).values()) == {"create"}
    before = by_name(daemon)
    kala("export", str(tmp_path / "folder"), "--format", form)
    assert len(list((tmp_path / "folder").glob(f"*.{form}"))) == 4
    (tmp_path / f"one.{form}").write_text(kala("export", "--format", form).stdout)
    for source in ("folder", f"one.{form}"):
        assert "0 to create, 0 to change, 0 to delete, 4 unchanged" in kala("apply", str(tmp_path / source)).stdout
    daemon.delete("/api/v1/job/all/")
    kala("apply", str(tmp_path / "folder"))
    names = {job["id"]: name for jobs in (before, by_name(daemon)) for name, job in jobs.items()}
    assert {name: made(job, names) for name, job in by_name(daemon).items()} == {
        name: made(job, names) for name, job in before.items()
    }


def made(job: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The members that a client sets, links by name."""
    members = {name: job.get(name) for name in MEMBERS}
    return members | {
        "parent_jobs": [names[one] for one in job["parent_jobs"] or ()],
        "on_failure_job": names.get(job["on_failure_job"]),
    }


def test_a_call_that_was_made_exports_as_it_was_defined(daemon: KalaProcess, kala: Cli) -> None:
    call = {"name": "c", "type": 1, "schedule": FAR, "remote_properties": {"url": f"{daemon.url}/healthz"}}
    apply(kala, call)
    kala("jobs", "start", "c", "--wait")
    assert by_name(daemon)["c"]["remote_properties"]["expected_response_codes"] == [200]
    assert tomllib.loads(kala("export").stdout)["remote_properties"] == call["remote_properties"]
    assert apply(kala, call) == {"c": "unchanged"}


def test_apply_twice_then_a_change_shows_old_and_new(daemon: KalaProcess, kala: Cli, tmp_path: Path) -> None:
    file = tmp_path / "jobs.toml"
    text = f'[[jobs]]\nname = "a"\ncommand = "true"\nschedule = "{FAR}"\nlabels = {{x = "1", y = "2"}}\n'
    file.write_text(text)
    assert "+ create a" in kala("apply", str(file)).stdout
    assert "0 to create, 0 to change, 0 to delete, 1 unchanged" in kala("apply", str(file)).stdout
    assert by_name(daemon)["a"]["version"] == 1
    file.write_text(text.replace('x = "1"', 'z = "3"').replace('"true"', '"false"'))
    for flags, said in ((["--dry-run"], "a dry run"), ([], "1 to change")):
        out = kala("apply", str(file), *flags).stdout
        assert '    command: "true" → "false"' in out
        assert '    labels: {"x": "1", "y": "2"} → ' in out
        assert said in out
    assert by_name(daemon)["a"]["labels"] == {"y": "2", "z": "3"}
    coloured = kala("apply", str(file), "--dry-run", "--color", "always")
    assert "\x1b[" not in coloured.stdout  # nothing is to be done
    file.write_text(text)
    assert "\x1b[31m" in kala("apply", str(file), "--dry-run", "--color", "always").stdout


def test_what_a_file_does_not_say_about_owner_and_disabled_stays(daemon: KalaProcess, kala: Cli) -> None:
    assert apply(kala, OTHER) == {"other": "create"}
    assert by_name(daemon)["other"]["owner"] == "everyone"
    kala("jobs", "disable", "other")
    assert apply(kala, OTHER) == {"other": "unchanged"}
    assert apply(kala, OTHER | {"disabled": False}) == {"other": "change"}
    assert not by_name(daemon)["other"]["disabled"]


def test_a_failure_job_that_is_also_a_child_and_links_that_change_places(daemon: KalaProcess, kala: Cli) -> None:
    parent = OTHER | {"name": "p", "on_failure_job": "c"}
    child = {"name": "c", "command": "true", "parent_jobs": ["p"]}
    assert apply(kala, parent, child) == {"p": "create", "c": "create"}
    jobs = by_name(daemon)
    assert (jobs["p"]["on_failure_job"], jobs["c"]["parent_jobs"]) == (jobs["c"]["id"], [jobs["p"]["id"]])
    turned = [child | {"parent_jobs": None, "schedule": FAR}, {"name": "p", "command": "true", "parent_jobs": ["c"]}]
    assert apply(kala, *turned) == {"p": "change", "c": "change"}
    jobs = by_name(daemon)
    assert (jobs["p"]["parent_jobs"], jobs["c"]["parent_jobs"]) == ([jobs["c"]["id"]], None)


def test_nothing_is_changed_when_any_file_has_a_fault(daemon: KalaProcess, kala: Cli, tmp_path: Path) -> None:
    for name in ("twin", "twin", "pair", "pair"):
        daemon.create(name=name)
    files = {
        "good.json": json.dumps(OTHER),
        "names.json": json.dumps([OTHER, {"command": "true"}, OTHER | {"name": "twin"}]),
        "members.toml": 'name = "m"\nschedul = 1\nretries = -1\ncommand = "a"\nschedule = "R/2020-01-01T00:00:00Z/P1D"',
        "links.json": json.dumps({"name": "l", "command": "true", "parent_jobs": ["nobody", "pair"]}),
        "ring.json": json.dumps([{"name": n, "command": "true", "parent_jobs": [o]} for n, o in ("ab", "ba")]),
        "broken.json": "{",
        "broken.toml": "name =",
        "list.json": "[1]",
        ".hidden.json": "{",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    faults = kala("apply", str(tmp_path), code=2).stderr
    for fault in (
        "names.json: job 1 (other): name: is also in",
        "names.json: job 2: name: is needed",
        "names.json: job 3 (twin): name: several jobs of the server have it",
        "members.toml: schedul: is no member of a job",
        "members.toml: retries: must be from",
        "members.toml: schedule: its start 2020-01-01T00:00:00Z is past",
        "links.json: parent_jobs[0]: there is no job 'nobody'",
        "links.json: parent_jobs[1]: 'pair' is the name of several jobs",
        "ring.json: job 1 (a): parent_jobs: the jobs would set each other off",
        "broken.json: is not JSON",
        "broken.toml: ",
        "list.json: job 1: must be an object",
    ):
        assert f"  {tmp_path}/{fault}" in faults, faults
    assert ".hidden" not in faults
    assert len(daemon.jobs()) == 4


def test_a_start_that_is_past_is_no_fault_of_a_job_that_is_there(daemon: KalaProcess, kala: Cli) -> None:
    apply(kala, OTHER)
    job_id = by_name(daemon)["other"]["id"]
    past = {"jobs": {job_id: daemon.job(job_id) | {"schedule": "R/2020-01-01T00:00:00Z/P1D", "id": "imported"}}}
    daemon.delete("/api/v1/job/all/")
    past["jobs"]["imported"] = past["jobs"].pop(job_id)
    assert daemon.post("/api/v1/job/import/", past).json["refused"] == {}
    again = OTHER | {"schedule": "R/2020-01-01T00:00:00Z/P1D"}
    assert apply(kala, again) == {"other": "unchanged"}
    assert apply(kala, again | {"retries": 1}) == {"other": "change"}


def test_what_a_server_answered_can_be_applied_to_another(daemon: KalaProcess, kala: Cli) -> None:
    apply(kala, CALL, OTHER, CHILD)
    answered = daemon.get("/api/v1/job/").json
    daemon.delete("/api/v1/job/all/")
    kala("apply", "-", stdin=json.dumps(answered))
    jobs = by_name(daemon)
    assert jobs["alarm"]["parent_jobs"] == [jobs["call"]["id"], jobs["other"]["id"]]


def test_prune_deletes_what_carries_the_label_and_is_in_no_file(daemon: KalaProcess, kala: Cli) -> None:
    mine = {"labels": {"by": "files"}}
    apply(kala, *(OTHER | mine | {"name": name} for name in ("a", "b")), OTHER | {"name": "unlabelled"})
    prune = ("--prune", "--label", "by=files")
    assert apply(kala, OTHER | mine | {"name": "a"}, flags=(*prune, "--dry-run"))["b"] == "delete"
    assert len(daemon.jobs()) == 3
    assert apply(kala, OTHER | mine | {"name": "a"}, flags=prune) == {"a": "unchanged", "b": "delete"}
    assert by_name(daemon).keys() == {"a", "unlabelled"}
    assert apply(kala, OTHER | mine | {"name": "a"}, flags=prune) == {"a": "unchanged"}
    assert "go together" in kala("apply", "-", "--prune", code=2).stderr
    assert "go together" in kala("apply", "-", "--label", "x", code=2).stderr


def test_prune_takes_nothing_along_that_is_not_its_own(daemon: KalaProcess, kala: Cli) -> None:
    parent = daemon.create(name="parent", labels={"by": "files"})
    daemon.create(name="child", parent_jobs=[parent], schedule="")
    prune = ("--prune", "--label", "by=files")
    assert "child: would be deleted with its parents" in apply(kala, OTHER, flags=prune, code=2)
    linked = OTHER | {"on_failure_job": "parent"}
    assert "other): on_failure_job: 'parent' is in no file" in apply(kala, linked, flags=prune, code=2)
    assert len(daemon.jobs()) == 2


def test_export_takes_filters_and_names_twins(daemon: KalaProcess, kala: Cli) -> None:
    parent = daemon.create(name="twin", labels={"x": "1"})
    daemon.create(name="twin")
    daemon.create(name="child", parent_jobs=[parent], schedule="", labels={"x": "2"})
    exported = kala("export", "--label", "x")
    assert [job["name"] for job in tomllib.loads(exported.stdout)["jobs"]] == ["twin", "child"]
    assert tomllib.loads(exported.stdout)["jobs"][1]["parent_jobs"] == [parent]
    assert "2 jobs are called 'twin'" in kala("export").stderr
    assert tomllib.loads(kala("export", "--label", "none").stdout) == {"jobs": []}


def test_what_the_daemon_refuses_meanwhile_stops_it_and_says_how_far_it_came(
    daemon: KalaProcess, kala: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(kala, OTHER)
    from kala.client.server import Server

    really = Server.edit

    def edit_after_someone(server: Server, job: str, patch: dict[str, Any], version: int) -> Any:
        assert daemon.patch(f"/api/v1/job/{job}/", {"owner": "someone"}).status == 200
        return really(server, job, patch, version)

    monkeypatch.setattr(Server, "edit", edit_after_someone)
    said = apply(kala, OTHER | {"name": "new"}, OTHER | {"retries": 2}, code=5)
    assert "1 of 2 jobs were dealt with" in said
    assert "is at version 2, not 1" in said
    assert by_name(daemon).keys() == {"other", "new"}
