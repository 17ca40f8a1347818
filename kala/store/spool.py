"""Results that the database does not take now, in a file: neither a stop nor a kill loses them.

A file is of one start of a daemon, which holds a lock on it while it lives, and of one database: its name has a digest
of where that is. A line is a JSON object, `{"version": 1, "sum": "…", "database": "…", "result": {…}}`, with the sum of
the result's bytes, so that what was cut off is noticed. It is synced before it counts, and goes when all is durable.
"""

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

from kala.durable import synced
from kala.ids import new_id
from kala.store.results import Result

log = logging.getLogger(__name__)
VERSION = 1
SUFFIX = ".jsonl"


class Line(Struct, frozen=True):
    """One line of a file."""

    version: int
    sum: str
    database: str
    result: msgspec.Raw


class Left:
    """A file of a start that is over. It is locked until `close`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self._aside = False  # a person may find more in it
        self.results = list(self._read())

    def _read(self) -> Iterator[Result]:
        with open(self._descriptor, "rb", closefd=False) as file:
            for number, line in enumerate(file, 1):
                try:
                    yield read_line(line)
                except ValueError as fault:
                    torn = not line.endswith(b"\n")
                    self._aside |= not torn
                    what = "was cut off while it was written" if torn else f"cannot be read: {fault}"
                    log.error("%s: line %d is passed over: it %s", self.path, number, what)

    def remove(self) -> None:
        """All that could be read is durable. What could not is set aside under another name."""
        if self._aside:
            self.path.rename(self.path.with_suffix(".unreadable"))
        else:
            self.path.unlink()
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Spool:
    """Files in `folder` about the database `database`, as the log calls it. Its methods block; one at a time."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self._database = folder.absolute(), database
        self._stem = f"kala-spool-{blake2b(database.encode(), digest_size=6).hexdigest()}-"
        self.path: Path | None = None
        self._descriptor = -1
        self._size = 0  # of what is written and synced

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return 0 if self.path is None else self._size

    def append(self, results: Sequence[Result]) -> None:
        """Returns when they are on the disk. Raises `OSError`; then none of them is there."""
        if self._descriptor < 0:
            self._create()
        data = b"".join(written_line(result, self._database) for result in results)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):  # what is cut off is noticed when it is read
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = self.folder / f"{self._stem}{new_id()}{SUFFIX}"
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            if _locked(path, descriptor):
                break
            os.close(descriptor)  # another daemon has taken it for one that was left
        self.path, self._descriptor, self._size = path, descriptor, 0
        synced(self.folder)

    def remove(self) -> None:
        """All that was appended is durable elsewhere."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave the file to the next start."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self.path, self._descriptor = None, -1

    def left(self) -> list[Left]:
        """What earlier starts, which are over, have left."""
        found = []
        for path in sorted(self.folder.glob(f"kala-spool-*{SUFFIX}")):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    log.error("%s: results that wait there cannot be read: %s", path, error.strerror)
                continue
            if not _locked(path, descriptor):
                os.close(descriptor)  # of a daemon that lives
            elif path.name.startswith(self._stem):
                found.append(Left(path, descriptor))
            else:
                log.warning("%s: results wait there for a start with another database", path)
                os.close(descriptor)
        return found


def written_line(result: Result, database: str) -> bytes:
    encoded = msgspec.json.encode(result)
    return msgspec.json.encode(Line(VERSION, _sum(encoded), database, msgspec.Raw(encoded))) + b"\n"


def read_line(line: bytes) -> Result:
    """Raises `ValueError`, also for what a newer version has written."""
    read = msgspec.json.decode(line, type=Line)
    if read.version != VERSION:
        raise ValueError(f"it is of version {read.version}, and this program reads version {VERSION}")
    encoded = bytes(read.result)
    if read.sum != _sum(encoded):
        raise ValueError("its sum is not that of its result")
    return msgspec.json.decode(encoded, type=Result)


def _sum(data: bytes) -> str:
    return blake2b(data, digest_size=8).hexdigest()


def _locked(path: Path, descriptor: int) -> bool:
    """Whether the file is ours now, and still at its path."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.stat(path).st_ino == os.fstat(descriptor).st_ino
    except OSError:
        return False
