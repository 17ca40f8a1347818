"""The steps of the Dockerfile are run in a fresh folder with a fresh environment, and its command is started.

No image is built: base image, user and volume are taken on trust.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

import pytest
from daemon_process import ROOT, KalaProcess

pytestmark = pytest.mark.slow
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}


class Step(NamedTuple):
    """An instruction and what follows it."""

    word: str
    rest: str


def steps() -> list[Step]:
    """The instructions of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [Step(*line.split(None, 1)) for line in lines]
    assert {step.word for step in found} <= KNOWN, "this test does not know what to do"
    return found


class Image:
    """A folder that stands for the root of the image, and an environment for its Python."""

    def __init__(self, root: Path) -> None:
        self.root, self.place, self.users = root, root, [""]
        self.python = root / "python"
        venv.create(self.python, with_pip=True)
        # Making a user would change this machine: its place is taken by what it leaves, a home folder.
        stand_in = self.python / "bin" / "useradd"
        stand_in.write_text(f'#!/bin/sh\nwhile [ "$1" != --home-dir ]; do shift; done\nmkdir -p "{root}$2"\n')
        stand_in.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("KALA_", "PYTHON"))},
            "PATH": f"{self.python / 'bin'}:{os.environ['PATH']}",
        }

    def build(self, context: Path) -> None:
        for step in steps():
            if step.word == "WORKDIR":
                self.place = self.root / step.rest.lstrip("/")
                self.place.mkdir(parents=True, exist_ok=True)
            elif step.word == "COPY":
                *sources, target = step.rest.split()
                for source in sources:
                    self.copy(context / source, self.place / target)
            elif step.word == "RUN":
                subprocess.run(["sh", "-c", step.rest], cwd=self.place, env=self.environment, check=True, timeout=300)
            elif step.word == "USER":
                self.users.append(step.rest)

    def copy(self, source: Path, target: Path) -> None:
        assert not ignored(source.relative_to(ROOT)), f"{source} is kept out by .dockerignore"
        if source.is_dir():  # its contents are copied, as Docker does
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def ignored(path: Path) -> bool:
    """Whether .dockerignore, which shuts out all but what it names, keeps a file or folder out."""
    rules = (ROOT / ".dockerignore").read_text().split()
    return rules[0] != "*" or f"!{path}" not in rules


def test_installed_as_the_dockerfile_says(tmp_path: Path) -> None:
    # given what the Dockerfile makes of the files that it copies, and nothing else
    image = Image(tmp_path / "image")
    image.build(ROOT)
    assert image.users[-1] not in ("", "root"), "jobs must not run as root"

    # when its command is started, here on loopback alone
    [entry] = [step.rest for step in steps() if step.word == "ENTRYPOINT"]
    [command] = [step.rest for step in steps() if step.word == "CMD"]
    words: list[str] = [*json.loads(entry), *json.loads(command)]
    program, flags = words[0], words[1:]
    installed = image.python / "bin" / program
    volume = image.root / "var/lib/kala"
    assert volume.is_dir()
    with KalaProcess(
        volume,
        "--interface",
        "127.0.0.1",
        command=[str(installed), *flags],
        environment={**image.environment, "PYTHONPATH": ""},
    ) as kala:
        # then it runs jobs, all extras among them, and keeps them in the volume
        job_id = kala.create(command="echo {{.Owner}}", owner="me", TemplateDelimiters="{{ }}")
        assert kala.post(f"/api/v1/job/start/{job_id}/").status == 204
        assert kala.job(job_id)["metadata"]["success_count"] == 1
    assert (volume / "kala.db").exists()


def test_the_python_of_the_image_is_one_that_is_tested() -> None:
    [base] = [step.rest for step in steps() if step.word == "FROM"]
    version = re.fullmatch(r"python:(3\.\d+)-slim", base)
    assert version
    assert f"Programming Language :: Python :: {version[1]}" in (ROOT / "pyproject.toml").read_text()
    assert sys.version_info >= (3, 11)
