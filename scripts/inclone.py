"""Imported by the scripts that need more than Python itself: they go on in the clone's own environment, when the Python
that they were started with lacks what they need. What is missing there is installed first, as by `scripts/test`."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

NEEDED = "msgspec", "playwright"  # of what the daemon needs, and of what the tests do


def go_on() -> None:
    """Return when this Python has what is needed; otherwise this process becomes one of the clone's Python."""
    if all(find_spec(name) is not None for name in NEEDED):
        return
    command = 'set -euo pipefail; . "$0/environment.sh"; environment develop; printf %s "$venv"'
    made = subprocess.run(
        ["bash", "-c", command, Path(__file__).parent], stdout=subprocess.PIPE, text=True, check=False
    )
    if made.returncode != 0:
        sys.exit(made.returncode)  # it has said why
    if made.stdout == sys.prefix:
        sys.exit(f"{made.stdout} lacks what pyproject.toml names: remove it, and it is made anew")
    os.execv(f"{made.stdout}/bin/python", [f"{made.stdout}/bin/python", *sys.argv])


go_on()
