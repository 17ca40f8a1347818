"""A daemon's memory and environment are not for its jobs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kala import daemon
from kala.processes import hidden
from kala.settings import Settings

SYSTEMS = "/usr/bin/python3"
"""An interpreter that every user may execute, unlike one in somebody's home."""

SCRIPT = """
import os, subprocess, sys
exec(sys.argv[1])
if sys.argv[2] == "hidden":
    hide()
look = (
    "cat /proc/$PPID/environ >/dev/null && echo environment;"
    "head -c 1 /proc/$PPID/mem 2>&1 | grep -q denied || echo memory"
)
seen = subprocess.run(["sh", "-c", look], capture_output=True, text=True).stdout.split()
print(seen, len(os.listdir("/proc/self/fd")) > 2)  # its own descriptors it can count
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux hides processes")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start programs as another user")
@pytest.mark.skipif(not os.access(SYSTEMS, os.X_OK) or shutil.which("setpriv") is None, reason=f"it needs {SYSTEMS}")
@pytest.mark.parametrize(("how", "seen"), [("hidden", []), ("open", ["environment", "memory"])])
def test_jobs_of_its_user_cannot_look_into_the_daemon(how: str, seen: list[str]) -> None:
    source = Path(hidden.__file__).read_text()
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    ran = subprocess.run(
        [*as_nobody, SYSTEMS, "-I", "-c", SCRIPT, source, how], capture_output=True, text=True, timeout=30, cwd="/"
    )
    assert ran.stdout.strip() == f"{seen} True", ran.stderr


def test_the_daemon_hides_itself_first(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(daemon, "hide", lambda: done.append("hide"))
    monkeypatch.setattr("trio.run", lambda *args: done.append("run"))
    daemon.run(Settings(no_persist=True))
    assert done == ["hide", "run"]
