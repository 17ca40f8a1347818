"""Runs of targets, each in a process of its own."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

MODULES = {
    "schedule": "schedules",
    "cron": "schedules",
    "words": "commands",
    "crontab": "commands",
    "template": "commands",
    "job": "jobs",
    "members": "jobs",
    "import": "jobs",
    "events": "requests",
    "elements": "requests",
    "head": "requests",
}
"""Where each target is."""
NAMES = list(MODULES)
INPUT_SECONDS, MEGABYTES = 10, 2048
"""The bounds of any one input."""
STARTING = 120  # seconds that a process may take beside its own, on a busy machine
ONE = Path(__file__).resolve().parent / "one.py"


class Outcome(NamedTuple):
    """What came of a run. `places` are those reached in the code, `kept` the inputs that reached new ones."""

    name: str
    inputs: int
    places: int
    kept: int
    code: int
    findings: list[Path]
    said: str

    def __str__(self) -> str:
        line = f"{self.name:10} {self.inputs:>10,} inputs  {self.places:>6,} places  {self.kept:>6,} kept"
        if not self.findings and not self.code:
            return f"{line}  nothing found"
        return "\n".join([f"{line}  exit code {self.code}", *map(str, self.findings), self.said[-6_000:]])


def fuzz(name: str, seconds: int, seed: int, folder: Path) -> Outcome:
    """Try inputs for some time. What is found is written to the folder, under the target's name."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob(f"{name}-*"))
    with tempfile.TemporaryDirectory(prefix="kala-fuzz-") as own:
        corpus = Path(own) / "corpus"
        corpus.mkdir()
        flags = [
            str(corpus),
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            f"-timeout={INPUT_SECONDS}",
            f"-rss_limit_mb={MEGABYTES}",
            f"-artifact_prefix={folder.resolve()}/{name}-",
            "-print_final_stats=1",
        ]
        code, said = run(name, flags, seconds + INPUT_SECONDS + STARTING)
    inputs = re.search(r"number_of_executed_units: (\d+)", said)
    seen = re.findall(r"cov: (\d+) ft: \d+ corp: (\d+)", said)
    places, kept = map(int, seen[-1]) if seen else (0, 0)
    found = sorted(set(folder.glob(f"{name}-*")) - before)
    return Outcome(name, int(inputs[1]) if inputs else 0, places, kept, code, found, said)


def again(name: str, file: Path) -> int:
    """Try one input, and say what comes of it. Returns the exit code."""
    code, said = run(name, [f"-timeout={INPUT_SECONDS}", str(file)], STARTING)
    print(said)
    return code


def run(name: str, flags: list[str], seconds: int) -> tuple[int, str]:
    process = subprocess.run(
        [sys.executable, str(ONE), MODULES[name], name, *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    return process.returncode, process.stdout.decode(errors="replace")
