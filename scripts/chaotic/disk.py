"""A small file system for what the daemon and its database keep, which can be filled up."""

import errno
import os
import shutil
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

FILLER = "filler"


class Disk:
    """`path` is in `folder`: a tmpfs of `size` MiB where we are root; else, or with None, a folder like any other."""

    def __init__(self, folder: Path, size: int | None) -> None:
        self.path = folder / "disk"
        self.path.mkdir()
        self.is_small = False
        if size is not None:
            mounted = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=0755", "kala-chaos", self.path], capture_output=True
            )
            self.is_small = mounted.returncode == 0
        self._full = threading.Event()
        self._filling: threading.Thread | None = None

    def make(self, name: str, user: int | None) -> Path:
        """A folder on it, of its own user."""
        path = self.path / name
        path.mkdir()
        if user is not None:
            os.chown(path, user, user)
        return path

    def fill(self) -> None:
        """Leave no byte, and take what is given back meanwhile, until `empty`."""
        self._full.set()
        with (self.path / FILLER).open("wb", buffering=0) as file:
            take_all(file.fileno())
        self._filling = threading.Thread(target=self._keep_full)
        self._filling.start()

    def _keep_full(self) -> None:
        with (self.path / FILLER).open("ab", buffering=0) as file:
            while self._full.is_set():
                take_all(file.fileno())
                threading.Event().wait(0.02)

    def empty(self) -> None:
        self._full.clear()
        if self._filling is not None:
            self._filling.join()
        self._filling = None
        (self.path / FILLER).unlink(missing_ok=True)

    def close(self, *, keep: bool) -> None:
        """Give the file system back; what is on it is kept as a folder, if at all."""
        self.empty()
        if not self.is_small:
            return
        aside = self.path.with_name("disk.kept")
        if keep:
            with suppress(shutil.Error):  # sockets cannot be copied
                shutil.copytree(self.path, aside, symlinks=True)
        subprocess.run(["umount", "--lazy", self.path], check=True)
        self.path.rmdir()
        if keep:
            aside.rename(self.path)
        self.is_small = False


def take_all(descriptor: int) -> None:
    """Append to a file until there is no room, in ever smaller pieces."""
    piece = 1 << 22
    while piece >= 512:
        size = os.fstat(descriptor).st_size
        try:
            os.posix_fallocate(descriptor, size, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            piece //= 2
