"""`kala import --crontab` against a real daemon."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import Cli
from daemon_process import KalaProcess

TEXT = """\
MAILTO=me
A=1
*/5 * * * * echo a b
61 * * * * never
0 3 * * * /usr/bin/backup --all
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KalaProcess]:
    with KalaProcess(tmp_path_factory.mktemp("kala"), "--no-persist") as kala:
        yield kala


def test_lines_become_jobs_and_faults_are_named_by_line(daemon: KalaProcess, tmp_path: Path) -> None:
    file, kala = tmp_path / "crontab", Cli(daemon.url)
    file.write_text(TEXT)
    dry = kala("import", "--crontab", str(file), "--dry-run", "--time-zone", "Europe/Berlin", code=1)
    assert len(tomllib.loads(dry.stdout)["jobs"]) == 2
    assert daemon.jobs() == {}
    done = kala("import", "--crontab", str(file), "--to", daemon.url, "--time-zone", "Europe/Berlin", code=1)
    assert f"2 of 3 jobs taken into {daemon.url}" in done.stdout
    assert "not taken: line 4: " in done.stderr
    assert "MAILTO" in done.stderr
    jobs = sorted(daemon.jobs().values(), key=lambda job: str(job["schedule"]))
    assert [job["schedule"] for job in jobs] == ["*/5 * * * *", "0 3 * * *"]
    assert {job["time_zone"] for job in jobs} == {"Europe/Berlin"}
    assert jobs[0]["environment"] == {"A": "1"}


def test_what_the_daemon_refuses_is_named_by_line(daemon: KalaProcess) -> None:
    done = Cli(daemon.url)("import", "--crontab", "-", "--time-zone", "No/Where", stdin="0 3 * * * echo a\n", code=1)
    assert "not taken: line 1" in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["http://x", "--crontab", "f"], 2, "--crontab goes without"),
        (["--crontab", "f", "--bolt-path", "x"], 2, "--crontab goes without"),
        (["--crontab", "/no/such"], 2, "/no/such cannot be read"),
        (["jobs.json", "--dry-run"], 2, "go with --crontab only"),
        (["--crontab", "-", "--to", "http://127.0.0.1:1"], 3, "cannot be reached"),
    ],
)
def test_wrong_usage(daemon: KalaProcess, args: list[str], code: int, said: str) -> None:
    assert said in Cli(daemon.url)("import", *args, code=code, stdin="0 3 * * * echo a\n").stderr
