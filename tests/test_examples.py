"""Every example is run, against a real daemon, as its first line says."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from daemon_process import ROOT, KalaProcess

pytestmark = pytest.mark.slow


def ran(*command: str) -> list[str]:
    """The lines that an example prints."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return result.stdout.splitlines()


def test_curl(kala: KalaProcess, program: Callable[[str], str]) -> None:
    program("curl")
    lines = ran("sh", str(ROOT / "examples/curl.sh"), kala.url)
    assert re.fullmatch(r'\{"id":"[0-9a-f-]{36}"\}', lines[0])
    assert '"command":"date"' in lines[2]
    assert '"success":true' in lines[2]
    assert lines[4].startswith('{"job_stats":[{')
    assert '"retries":2' in lines[7]
    assert '"Stats":{"active_jobs":1' in lines[10]
    assert lines[-1] == "Deleted."
    assert kala.jobs() == {}


def test_dependent_jobs(kala: KalaProcess) -> None:
    lines = ran(sys.executable, str(ROOT / "examples/dependent_jobs.py"), kala.url)
    rows = [line.split()[1:] for line in lines if line.startswith("  ")]
    first = [
        [name, "succeeded", "after", "0", "retries"] for name in ("extract", "clean", "report", "archive")
    ]  # in this order
    assert rows[:4] == first
    assert rows[4:] == [
        *first,
        ["extract", "failed", "after", "2", "retries"],
        ["alarm", "succeeded", "after", "0", "retries"],
    ]
    assert lines[-1] == "left: []"
    assert kala.jobs() == {}


def test_webhook(kala: KalaProcess) -> None:
    lines = ran(sys.executable, str(ROOT / "examples/webhook.py"), kala.url)
    told = [re.fullmatch(r"received: (.*) \(run [0-9a-f-]{36}, after run [0-9a-f-]{36}\)", line) for line in lines]
    assert [match and match[1] for match in told] == ["the backup is done", "the backup has failed"]
    assert kala.jobs() == {}


def test_no_example_is_without_a_test() -> None:
    names = {path.name for path in (ROOT / "examples").iterdir() if path.is_file()}
    assert names == {"curl.sh", "dependent_jobs.py", "webhook.py"}
