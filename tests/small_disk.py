"""A file system of a few megabytes, and filling it up."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str, *options: str) -> Iterator[None]:
    """A file system of its own at `folder`. Skips the test where none can be mounted."""
    folder.mkdir(exist_ok=True)
    chosen = ",".join([f"size={size}", *options])
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", chosen, "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here (root is needed): {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """No room is left there meanwhile."""
    filler = folder / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(descriptor, b"x" * 4096):
            pass
    os.close(descriptor)
    try:
        yield
    finally:
        filler.unlink()
