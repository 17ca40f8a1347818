"""`kala jobs` against a real daemon."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import Cli, Terminal
from daemon_process import KalaProcess

from kala.commands.memberflags import CALL, TABLE, parameter_of
from kala.wire.jobmembers import MEMBERS, REMOTE_MEMBERS

FAR = "R/2100-01-01T00:00:00Z/P1D"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KalaProcess]:
    with KalaProcess(tmp_path_factory.mktemp("kala"), "--no-persist") as kala:
        yield kala


@pytest.fixture
def kala(daemon: KalaProcess) -> Cli:
    """The command line, for a daemon without jobs."""
    assert daemon.delete("/api/v1/job/all/").status == 204
    return Cli(daemon.url)


def created(kala: Cli, name: str, *flags: str) -> str:
    return kala("jobs", "create", "--name", name, "--command", "true", "--schedule", FAR, *flags).stdout.strip()


def test_every_member_has_its_flag() -> None:
    members = [flag.member for flag in TABLE]
    assert len(set(members)) == len(members) == len({parameter_of(flag) for flag in TABLE})
    assert set(members) == MEMBERS.keys() - {"remote_properties"} | {CALL + part for part in REMOTE_MEMBERS}


FLAGS: list[tuple[list[str], dict[str, Any]]] = [
    (["--shell", "--command", "a | b"], {"shell": True, "command": "a | b"}),
    (["--owner", "me", "--disabled"], {"owner": "me", "disabled": True}),
    (["--label", "team=a", "--label", "tier=x=y"], {"labels": {"team": "a", "tier": "x=y"}}),
    (["--environment", "A=1", "--directory", "/tmp"], {"environment": {"A": "1"}, "directory": "/tmp"}),
    (["--retries", "3", "--retry-backoff", "1.5", "--retry-delay", "PT5S"], {"retries": 3, "retry_backoff": 1.5}),
    (["--schedule", "@daily", "--time-zone", "Europe/Berlin", "--dst-fold", "both"], {"dst_fold": "both"}),
    (["--notify", "http://a.example/"], {"notify": [{"url": "http://a.example/"}]}),
    (["--notify", '{"url": "http://a.example/", "on": ["late"]}'], {"notify": [{"on": ["late"]}]}),
    (
        ["--run-as", "nobody:nogroup", "--limit", "memory=1073741824", "--limit", "nice=5"],
        {"run_as": "nobody:nogroup", "limits": {"memory": 2**30, "nice": 5}},
    ),
    (["--catch-up-limit", "5", "--output-limit", "0"], {"catch_up_limit": 5, "output_limit": 0}),
    (["--template-delimiters", "{{ }}", "--command", "echo {{.Name}}"], {"TemplateDelimiters": "{{ }}"}),
    (
        [
            "--command",
            "",
            "--remote-url",
            "http://a.example/",
            "--remote-header",
            "X-A: 1",
            "--remote-header",
            "X-A: 2",
        ],
        {"type": 1, "remote_properties": {"url": "http://a.example/", "headers": {"X-A": ["1", "2"]}}},
    ),
    (
        ["--type", "remote", "--command", "", "--remote-url", "http://a.example/", "--remote-code", "204"],
        {"type": 1, "remote_properties": {"expected_response_codes": [204]}},
    ),
]


@pytest.mark.parametrize(("flags", "members"), FLAGS)
def test_flags_make_members(daemon: KalaProcess, kala: Cli, flags: list[str], members: dict[str, Any]) -> None:
    assert_holds(daemon.job(created(kala, "one", *flags)), members)


def assert_holds(given: Any, wanted: Any) -> None:
    """`given` has all that `wanted` has, and may have more."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            assert_holds(given[name], value)
    elif isinstance(wanted, list):
        assert len(given) == len(wanted)
        for one, value in zip(given, wanted, strict=True):
            assert_holds(one, value)
    else:
        assert given == wanted


def test_a_job_from_a_file_with_flags_over_it(daemon: KalaProcess, kala: Cli, tmp_path: Path) -> None:
    parent = created(kala, "parent")
    (tmp_path / "job.toml").write_text(
        'name = "child"\ncommand = "false"\nparent_jobs = ["parent"]\nlabels = {a = "1"}'
    )
    job_id = kala.json("jobs", "create", "--file", str(tmp_path / "job.toml"), "--command", "true", "--label", "b=2")[
        "id"
    ]
    job = daemon.job(job_id)
    assert (job["command"], job["parent_jobs"], job["labels"]) == ("true", [parent], {"a": "1", "b": "2"})
    other = kala("jobs", "create", "--file", "-", stdin=json.dumps({"name": "o", "command": "true", "schedule": FAR}))
    assert daemon.job(other.stdout.strip())["name"] == "o"


def test_faults_are_named_by_member(kala: Cli) -> None:
    result = kala("jobs", "create", "--name", "x", "--retries", "-1", "--timeout", "soon", code=2)
    assert "\n  retries: must be from" in result.stderr
    assert "\n  timeout: not a duration" in result.stderr
    assert "\n  command: is needed" in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["create", "--retries", "many"], "--retries: 'many' is no whole number"),
        (["create", "--label", "team"], "--label: 'team' is not of the form NAME=VALUE"),
        (["create", "--file", "/no/such"], "/no/such: No such file"),
        (["edit", "x", "--unset", "colour"], "--unset colour: there is no such member"),
        (["list", "--limit", "0"], "--limit"),
        (["delete", "x"], "say --yes to delete"),
        (["list", "--url", "ftp://x"], "--url ftp://x"),
    ],
)
def test_wrong_usage_is_2(kala: Cli, args: list[str], said: str) -> None:
    created(kala, "x")
    assert said in kala("jobs", *args, code=2).stderr


def test_edit_adds_changes_and_unsets(daemon: KalaProcess, kala: Cli) -> None:
    job_id = created(kala, "one", "--label", "a=1", "--label", "b=2", "--retries", "2", "--environment", "A=1")
    said = kala("jobs", "edit", "one", "--label", "c=3", "--unset", "labels.a", "--unset", "retries", "--no-shell")
    assert "now version 2" in said.stdout
    job = daemon.job(job_id)
    assert (job["labels"], job["retries"], job["environment"]) == ({"b": "2", "c": "3"}, 0, {"A": "1"})
    kala("jobs", "edit", job_id, "--unset", "labels", "--name", "two")
    assert daemon.job(job_id)["labels"] is None
    assert kala.json("jobs", "show", "two")["job"]["id"] == job_id


def test_an_edit_between_reading_and_writing_is_5(
    daemon: KalaProcess, kala: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = created(kala, "one")
    from kala.client.server import Server

    really = Server.edit

    def edit_after_someone(server: Server, job: str, patch: dict[str, Any], version: int) -> Any:
        assert daemon.patch(f"/api/v1/job/{job_id}/", {"owner": "someone"}).status == 200
        return really(server, job, patch, version)

    monkeypatch.setattr(Server, "edit", edit_after_someone)
    assert "is at version 2, not 1" in kala("jobs", "edit", "one", "--owner", "me", code=5).stderr
    assert daemon.job(job_id)["owner"] == "someone"


def test_a_name_of_several_jobs_is_refused_with_their_ids(kala: Cli) -> None:
    ids = [created(kala, "twin"), created(kala, "twin")]
    created(kala, "twin-sister")
    for args in (["show", "twin"], ["edit", "twin", "--owner", "me"], ["delete", "twin", "--yes"], ["start", "twin"]):
        said = kala("jobs", *args, code=5).stderr
        assert all(one in said for one in ids)
    assert len(kala.json("jobs", "list")["jobs"]) == 3
    kala("jobs", "delete", ids[0], "--yes")
    assert kala.json("jobs", "show", "twin")["job"]["id"] == ids[1]


@pytest.mark.parametrize("name", ["all", "../..", "a/b?c#d", "import", "%41", "ü 日本"])
def test_any_name_finds_its_job_and_no_other(kala: Cli, name: str) -> None:
    created(kala, "bystander")
    job_id = created(kala, name)
    assert kala.json("jobs", "show", name)["job"]["id"] == job_id
    kala("jobs", "delete", name, "--yes")
    assert [job["name"] for job in kala.json("jobs", "list")["jobs"].values()] == ["bystander"]


def test_lists_are_filtered_sorted_and_paged(kala: Cli) -> None:
    for name, *flags in (("b", "--label", "team=x"), ("a", "--owner", "me"), ("c", "--disabled", "--label", "team=y")):
        created(kala, name, *flags)

    def names(*args: str) -> list[str]:
        return [job["name"] for job in kala.json("jobs", "list", *args)["jobs"].values()]

    assert names() == ["b", "a", "c"]
    assert names("--sort", "name") == ["a", "b", "c"]
    assert names("--sort", "-name") == ["c", "b", "a"]
    assert names("--sort", "-owner")[0] == "a"
    assert names("--label", "team") == ["b", "c"]
    assert names("--label", "team=y") == ["c"]
    assert names("--owner", "me") == ["a"]
    assert names("--disabled") == ["c"]
    assert names("--enabled", "--q", "ME") == ["a"]
    assert names("--limit", "1") == ["b"]
    assert kala.json("jobs", "list", "--limit", "1")["next"]
    assert "There are more than these 1" in kala("jobs", "list", "--limit", "1").stderr
    assert len(names("--all", "--limit", "1")) == 3


def test_what_others_wrote_cannot_move_the_cursor(kala: Cli) -> None:
    created(kala, "evil\x1b[2J\r\n\u202ename", "--owner", "o\x9bo")
    for args in (["jobs", "list"], ["jobs", "show", "evil\x1b[2J\r\n\u202ename"], ["jobs", "list", "--json"]):
        out = kala(*args).stdout
        assert not {"\x1b", "\r", "\x9b", "\u202e"} & set(out)
    assert "evil\\u001b[2J\\r\\n\\u202ename" in kala("jobs", "list").stdout


def test_enable_disable_next_and_delete(daemon: KalaProcess, kala: Cli) -> None:
    job_id = created(kala, "one")
    assert kala.json("jobs", "disable", "one") == {"id": job_id, "name": "one", "done": "disabled"}
    assert daemon.job(job_id)["disabled"]
    assert "disabled" in kala("jobs", "start", "one", code=5).stderr
    kala("jobs", "enable", "one")
    assert not daemon.job(job_id)["disabled"]
    assert [one["at"][:10] for one in kala.json("jobs", "next", "one", "--count", "2")["next"]] == [
        "2100-01-01",
        "2100-01-02",
    ]
    coming = kala("jobs", "next", "one")
    assert "2100-01-01 00:00:00" in coming.stdout
    assert coming.stderr == "every day at 00:00 UTC, from 2100-01-01\n"
    assert "every day at 00:00 UTC, from 2100-01-01\n" in kala("jobs", "show", "one").stdout
    kala("jobs", "delete", "one", "--yes")
    assert "there is no job 'one'" in kala("jobs", "show", "one", code=4).stderr


def test_delete_asks_on_a_terminal(daemon: KalaProcess, kala: Cli) -> None:
    job_id = created(kala, "one")
    for answer, code in (("n", 1), ("y", 0)):
        with Terminal(daemon.url, "jobs", "delete", "one") as terminal:
            terminal.wait(f"Delete one ({job_id})?")
            terminal.type(f"{answer}\n")
            assert terminal.end() == code
    assert daemon.jobs() == {}


def test_a_daemon_that_is_not_there_is_3(kala: Cli) -> None:
    for args in (["jobs", "list"], ["watch"], ["pause"], ["export"], ["runs", "cancel", "x"]):
        said = kala(*args, "--url", "http://127.0.0.1:1", code=3).stderr
        assert said.startswith("Error: http://127.0.0.1:1 cannot be reached: ")
        assert said.count("\n") == 1


def test_what_is_no_daemon_is_3(kala: Cli, daemon: KalaProcess) -> None:
    created(kala, "x")
    assert "there is nothing at this path" in kala("jobs", "list", "--url", f"{daemon.url}/elsewhere", code=4).stderr
    kala("jobs", "list", "--url", f"{daemon.url}/api/v1/")


def test_tables_are_cut_on_a_terminal_and_coloured_when_wanted(daemon: KalaProcess, kala: Cli) -> None:
    created(kala, "n" * 200)
    with Terminal(daemon.url, "jobs", "list", "--color", "always", columns=80) as terminal:
        assert terminal.end() == 0
        lines = terminal.text.splitlines()
        assert all(len(one) <= 80 for one in lines)
        assert "n…" in lines[1]
        assert lines[0].split() == ["NAME", "STATE", "NEXT", "RUN", "OK", "FAILED", "LAST", "RUN", "SCHEDULE"]
        assert b"\x1b[" in terminal.written
    plain = kala.process("jobs", "list")
    assert b"n" * 200 in plain.stdout
    assert b"\x1b" not in plain.stdout


def test_names_complete_from_the_daemon(daemon: KalaProcess, kala: Cli) -> None:
    for name in ("backup", "backdoor", "other"):
        created(kala, name)
    asked = {"_KALA_COMPLETE": "bash_complete", "COMP_WORDS": "kala jobs show back", "COMP_CWORD": "3"}
    # it waits for a second, lest it hold up who types: a busy machine may take longer
    daemon.wait_for(lambda: sorted(kala.process(**asked).stdout.split()) == [b"plain,backdoor", b"plain,backup"])
    away = Cli("http://127.0.0.1:1").process(**asked)
    assert (away.returncode, away.stdout.strip(), away.stderr) == (0, b"", b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(kala: Cli, shell: str) -> None:
    assert "_KALA_COMPLETE" in kala("completion", shell).stdout


def test_a_child_is_never_done(daemon: KalaProcess, kala: Cli) -> None:
    created(kala, "parent")
    kala("jobs", "create", "--name", "child", "--command", "true", "--parent", "parent")
    kala("jobs", "start", "child", "--wait")
    row = next(line for line in kala("jobs", "list").stdout.splitlines() if line.startswith("child"))
    assert "active" in row
    assert "done" not in row
