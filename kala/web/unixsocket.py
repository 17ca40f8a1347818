"""A unix socket to listen on: it takes the place of one that a killed daemon left, and of nothing else."""

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from kala.errors import SettingsError


class UnixSocket:
    """A listening socket at `path`, to which those may connect whom `mode` lets write. Raises `SettingsError`."""

    def __init__(self, path: str, mode: int) -> None:
        self._path = Path(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            make_room(self._path)
            self.socket.bind(path)
            found = self._path.lstat()
            self._file: tuple[int, int] | None = (found.st_dev, found.st_ino)
            self._path.chmod(mode)  # nobody can connect to it before it listens
            self.socket.listen(1024)
            self.socket.setblocking(False)
        except OSError as error:
            self.socket.close()
            raise SettingsError(f"--interface unix:{path}: {fault(error, self._path)}") from None
        except SettingsError:
            self.socket.close()
            raise

    def remove(self) -> None:
        """Remove the file, if it is still this one. Before the socket is closed: its number may be another's then."""
        with suppress(OSError):  # somebody has removed it
            found = self._path.lstat()
            if self._file == (found.st_dev, found.st_ino):
                self._path.unlink()
        self._file = None


def make_room(path: Path) -> None:
    """Remove a socket on which nobody listens. Raises `SettingsError` when there is anything else."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise SettingsError(f"--interface unix:{path}: this file is there already, and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        found = probe.connect_ex(os.fspath(path))
    if found == errno.ECONNREFUSED:
        path.unlink()
    elif found != errno.ENOENT:
        raise SettingsError(
            f"--interface unix:{path} is in use by another program, perhaps another kala: stop it, or take another path"
        )


def fault(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"there is no folder {path.parent}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not make it in {path.parent}"
    return error.strerror or str(error)
