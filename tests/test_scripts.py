"""The scripts of a clone: what they say when something is missing, and a daemon from a fresh one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_process import ROOT, KalaProcess

USED_BY_SERVICES = ("bash", "cut", "env")


def folder_with(folder: Path, *programs: str) -> Path:
    """A folder for PATH that holds nothing but these, and an `id` that says: not root."""
    folder.mkdir()
    for name in programs:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    (folder / "id").write_text("#!/bin/sh\necho 1000\n")
    (folder / "id").chmod(0o755)
    return folder


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_program_that_is_missing_is_named(tmp_path: Path, ci: str, code: int) -> None:
    path = folder_with(tmp_path / "bin", *USED_BY_SERVICES)
    (path / "curl").symlink_to("/bin/true")
    result = subprocess.run(
        [str(ROOT / "scripts/services")], env={"PATH": str(path), "CI": ci}, capture_output=True, text=True, check=False
    )
    assert result.returncode == code
    assert "supervisord is missing (apt-get install supervisor): stopping" in result.stderr
    assert "openssl is missing" in result.stderr
    assert "curl" not in result.stderr


@pytest.mark.parametrize("ci", ["", "true"])
def test_nothing_is_missing(tmp_path: Path, ci: str) -> None:
    path = folder_with(tmp_path / "bin", *USED_BY_SERVICES)
    for name in ("supervisord", "openssl", "curl"):
        (path / name).symlink_to("/bin/true")
    result = subprocess.run(
        [str(ROOT / "scripts/services")], env={"PATH": str(path), "CI": ci}, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("3.9", "3.9 is not an interpreter that can be started here"),
        ("/no/such/python", "/no/such/python is not an interpreter"),
    ],
)
def test_an_interpreter_that_is_not_there(tmp_path: Path, python: str, said: str) -> None:
    clone = copied(tmp_path / "clone")
    result = subprocess.run(
        [str(clone / "scripts/run")],
        env={"PATH": os.environ["PATH"], "KALA_PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert said in result.stderr
    assert not (clone / ".venv").exists()


@pytest.mark.slow
def test_a_fresh_clone_runs_a_job(tmp_path: Path) -> None:
    # given a clone in a folder of its own, and its script, started elsewhere
    clone = copied(tmp_path / "a clone")
    script = str(clone / "scripts/run")
    environment = {"KALA_PYTHON": sys.executable, "PYTHONPATH": ""}
    with KalaProcess(tmp_path / "data", command=[script], environment=environment, patience=240) as kala:
        job_id = kala.create(command="true")
        assert kala.post(f"/api/v1/job/start/{job_id}/").status == 204
        assert kala.job(job_id)["metadata"]["success_count"] == 1
        assert "installing into" in kala.log()

        # when it is started again, nothing is installed again
        kala.restart()
        assert "installing" not in kala.log()
        assert kala.job(job_id)["metadata"]["success_count"] == 1

        # when what it needs has changed, it is
        with (clone / "pyproject.toml").open("a") as file:
            file.write("\n")
        kala.restart()
        assert "installing into" in kala.log()
    assert {path.name for path in tmp_path.iterdir()} == {"a clone", "data"}


def copied(folder: Path) -> Path:
    """What a clone holds that its `scripts/run` uses."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("kala", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
