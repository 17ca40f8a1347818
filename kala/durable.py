"""What is on the disk, and not only on its way there."""

import os
from pathlib import Path


def synced(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, are on the disk. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
