"""`scripts/fuzz`, for some seconds a target: nothing is found that nobody foresaw. By hand: for longer."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.daemon_process import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed, or not made for this Python"),
]
SECONDS = 8
TARGETS = 11
FEWEST_INPUTS, FEWEST_PLACES = 250, 50  # a tenth of what a machine tries; half of what the smallest target reaches


def fuzz(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it, the way a person does."""
    return subprocess.run(
        [sys.executable, root / "scripts" / "fuzz", *map(str, arguments)], capture_output=True, text=True, timeout=600
    )


def test_nothing_is_found(tmp_path: Path) -> None:
    done = fuzz(ROOT, "--seconds", SECONDS, "--seed", 1, "--at-once", 2, "--findings", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
    # and it is not that nothing was tried
    lines = re.findall(r"^(\w+) +([\d,]+) inputs +([\d,]+) places .* nothing found$", done.stdout, re.MULTILINE)
    tried = {name: (int(inputs.replace(",", "")), int(places.replace(",", ""))) for name, inputs, places in lines}
    assert len(tried) == TARGETS
    assert all(inputs > FEWEST_INPUTS and places > FEWEST_PLACES for inputs, places in tried.values()), tried


def test_what_is_wrong_is_found_and_kept(tmp_path: Path) -> None:
    # given a copy in which one command line ends in an error that nobody foresaw
    for folder in ("kala", "scripts/fuzzing", "tests/data"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "static"))
    for name in ("fuzz", "inclone.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    words = tmp_path / "kala" / "processes" / "words.py"
    right = "            parts.append(_substitution(text))\n"
    wrong = right + "            {}[len(parts)] if len(parts) == 3 else None\n"
    assert words.read_text().count(right) == 1
    words.write_text(words.read_text().replace(right, wrong))
    # when its target is fuzzed, then that is found, and named, and kept in a file
    findings = tmp_path / "findings"
    done = fuzz(tmp_path, "words", "--seconds", 60, "--seed", 1, "--findings", findings)
    assert done.returncode == 1
    assert "KeyError: 3" in done.stdout
    [file] = findings.iterdir()
    assert str(file) in done.stdout
    # which brings it out again, and which the right code takes
    assert "KeyError: 3" in fuzz(tmp_path, "words", "--again", file).stdout
    assert fuzz(ROOT, "words", "--again", file).returncode == 0


def test_what_it_does_not_know_is_named() -> None:
    done = fuzz(ROOT, "everything")
    assert done.returncode == 2
    assert "there is no target 'everything': there are schedule, cron" in done.stderr
