"""`kala simulate`: what it takes, and what it shows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from daemon_process import KalaProcess

from kala.cli import main

JOBS = """
[[jobs]]
name = "backup"
command = "backup"
schedule = "30 2 * * *"
time_zone = "Europe/Berlin"
dst_gap = "skip"

[[jobs]]
name = "report"
command = "report"
schedule = "R/2027-01-01T06:00:00Z/P1D"
catch_up = "none"
on_failure_job = "mend"

[[jobs]]
name = "mend"
command = "mend"
disabled = true

[[jobs]]
name = "after"
command = "after"
parent_jobs = ["report"]

[[jobs]]
name = "counted"
command = "counted"
schedule = "R19/2027-03-01T00:00:00Z/P1D"
"""
MARCH = ("--from", "2027-03-15T00:00:00Z", "--to", "2027-04-01T00:00:00Z")


@pytest.fixture
def kala(tmp_path: Path) -> Callable[..., Result]:
    (tmp_path / "jobs.toml").write_text(JOBS)

    def call(*flags: str, code: int = 0) -> Result:
        result = CliRunner(env={"TZ": "UTC"}).invoke(main, ["simulate", str(tmp_path), *flags])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


def summary(result: Result) -> dict[str, Any]:
    *_, last = map(json.loads, result.stdout.splitlines())
    return dict(last["summary"])


def test_tables_for_people(kala: Callable[..., Result]) -> None:
    shown = kala(*MARCH, "--down", "2027-03-20T00:00:00Z/P1DT12H").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0] == "JOB RUNS FAILED RETRIES LATE SKIPPED MISSED LOST"
    rows = {line.split()[0]: line for line in lines[1:7]}
    assert rows["backup"] == "backup 15 0 0 1 (up to 10h 30m) 0 1 down 0"
    assert rows["report"] == "report 15 0 0 0 0 2 down 0"
    assert rows["after"] == "after 15 0 0 0 0 0 0"
    # six of its twenty were to come, and what is missed uses up none
    assert rows["counted"] == "counted 6 0 0 1 (up to 12h 0m) 0 1 down 0"
    assert "What did not run, or was lost:" in lines
    assert any("report 2 occurrences missed: no daemon" in line for line in lines)
    assert lines[-1].endswith(
        "backup 02:30 does not exist on 2027-03-28 in Europe/Berlin: left out, as dst_gap is skip"
    )


def test_lines_for_programs(kala: Callable[..., Result]) -> None:
    result = kala(*MARCH, "--json", "--duration", "PT5M", "--duration", "after=PT2S")
    *runs, _ = map(json.loads, result.stdout.splitlines())
    told = summary(result)
    assert (told["from"], told["to"], told["waiting"]) == ("2027-03-15T00:00:00Z", "2027-04-01T00:00:00Z", 0)
    jobs = {job["name"]: job for job in told["jobs"]}
    for name, job in jobs.items():
        assert job["runs"] == sum(run["job_name"] == name and run["state"] == "succeeded" for run in runs)
    assert {run["job_name"]: run["duration"] for run in runs} == {
        "backup": 300,
        "report": 300,
        "after": 2,
        "counted": 300,
    }
    assert [change["job_name"] for change in told["clock_changes"]] == ["backup"]


def test_failures_set_off_what_they_set_off(kala: Callable[..., Result]) -> None:
    jobs = {job["name"]: job for job in summary(kala(*MARCH, "--json", "--fail", "report=4"))["jobs"]}
    assert (jobs["report"]["runs"], jobs["report"]["failed"], jobs["after"]["runs"]) == (17, 4, 13)
    assert jobs["mend"]["skipped"] == {"disabled": 4}
    jobs = {job["name"]: job for job in summary(kala(*MARCH, "--json", "--fail", "report"))["jobs"]}
    assert (jobs["report"]["failed"], jobs["after"]["runs"]) == (17, 0)


def test_pauses_and_limits(kala: Callable[..., Result]) -> None:
    told = summary(kala(*MARCH, "--json", "--paused", "2027-03-20T00:00:00Z/2027-03-20T12:00:00Z"))
    assert told["total"]["skipped"] == {"paused": 1}
    shown = kala(*MARCH, "--down", "2027-03-20T00:00:00Z/P9D", "--limit", "1").stdout
    assert "… and 2 more (--limit)" in shown
    told = summary(
        kala("--from", "2027-03-15T00:00:00Z", "--for", "P1D", "--max-runs", "1", "--duration", "P3D", "--json")
    )
    assert (told["total"]["runs"], told["total"]["late"], told["waiting"]) == (1, 0, 2)


def test_the_exit_code_says_that_something_was_missed(kala: Callable[..., Result]) -> None:
    down = ("--down", "2027-03-20T00:00:00Z/P1DT12H")
    kala(*MARCH, "--strict")
    kala(*MARCH, *down)
    kala(*MARCH, *down, "--strict", code=1)


FAULTS = [
    (["--to", "2027-01-01", "--for", "P1D"], "--to and --for"),
    (["--from", "2027-01-01", "--to", "2026-01-01"], "ends before"),
    (["--from", "yesterday"], "'yesterday' is neither a moment"),
    (["--for", "P9999Y"], "--for: "),
    (["--for", "long"], "--for: "),
    (["--from", "2027-01-01", "--down", "2027-01-02"], "FROM/TO"),
    (["--from", "2027-01-01", "--down", "2026-12-31/P2D"], "within the period"),
    (["--from", "2027-01-01", "--down", "2027-01-02/P2D", "--down", "2027-01-03/P2D"], "two of them meet"),
    (["--duration", "backup=soon"], "--duration: "),
    (["--duration", "nobody=PT1S"], "no job 'nobody'"),
    (["--fail", "nobody=2"], "no job 'nobody'"),
]


@pytest.mark.parametrize(("flags", "fault"), FAULTS)
def test_wrong_usage_is_told(kala: Callable[..., Result], flags: list[str], fault: str) -> None:
    assert fault in kala(*flags, code=2).stderr


def test_faulty_files_are_told(kala: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text(
        '{"name": "x", "command": "x", "schedule": "nonsense", "parent_jobs": ["nobody"]}'
    )
    told = kala(code=2).stderr
    assert "schedule" in told
    assert "nobody" in told


@pytest.mark.slow
def test_the_jobs_of_a_daemon(start_kala: Callable[..., KalaProcess]) -> None:
    daemon = start_kala("--no-persist")
    parent = daemon.create(name="parent", command="sleep 0.2", schedule="R4/2100-01-01T00:00:00Z/P1D")
    daemon.create(name="child", parent_jobs=[parent], schedule="")
    gone = daemon.create(name="gone", schedule="")
    daemon.create(name="off", command="true", schedule="R/2100-01-01T00:00:00Z/P1D", disabled=True)
    assert daemon.post(f"/api/v1/job/start/{parent}/").status == 204
    daemon.wait_for(lambda: daemon.job(gone)["is_done"])
    flags = ["simulate", "--url", daemon.url, "--json", "--from", "2100-01-03T00:00:00Z", "--for", "P1M"]
    result = CliRunner().invoke(main, flags)
    assert result.exit_code == 0, result.output
    runs = [json.loads(line) for line in result.stdout.splitlines()[:-1]]
    assert [run["job_name"] for run in runs] == ["parent", "child"] * 3  # of five, two were before the period
    assert {run["job_id"] for run in runs if run["job_name"] == "parent"} == {parent}
    assert all(0.15 < run["duration"] < 30 for run in runs if run["job_name"] == "parent")  # as long as the latest took
