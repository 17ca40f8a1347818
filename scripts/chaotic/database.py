"""The database under the daemon: the embedded one, or a server that is killed, stopped and started again."""

import random
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from servers.registry import SERVICES
from servers.service import Service, flags_of

from kala.drivers import driver_class
from kala.drivers.contract import Driver
from kala.drivers.sqlite import SqliteDriver

AWAY = 1.0, 15.0
"""Seconds that a server stays away when it was killed: from, to."""


class Embedded:
    """`kala.db` in `folder`: nothing to kill."""

    version, kills, deaths = f"SQLite {sqlite3.sqlite_version}", 0, 0
    size_levels_off = True
    room = 256  # MiB that it needs, and more

    def __init__(self, folder: Path) -> None:
        self.flags: list[str] = []
        self._file = folder / "kala.db"

    def driver(self) -> Driver:
        return SqliteDriver(self._file)

    def size(self) -> int:
        """Bytes of the database's files."""
        return sum(path.stat().st_size for path in self._file.parent.glob("kala.db*"))

    def fail(self) -> bool:
        return False

    def settle(self) -> None:
        pass

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Another connection has the lock of the writer meanwhile."""
        with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as connection:
            connection.execute("begin exclusive")
            yield
            connection.execute("rollback")

    def tidy(self) -> None:
        """Make what is written next need room: the log of writes begins anew."""
        with closing(sqlite3.connect(self._file, timeout=30)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")

    def revive(self, *, by_force: bool = False) -> None:
        pass

    def close(self) -> None:
        pass


class Served:
    """A server of its own, in `folder`, by its name in `servers/registry.py`."""

    size_levels_off = False  # they tidy their files when they like
    room = 1024

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        kind = SERVICES[name]
        if lacking := kind.missing():
            sys.exit(f"{kind.title} cannot be started: {lacking} is missing; scripts/services install")
        self._service: Service = kind(folder / "server").start()
        self._given = self._service.fresh()
        self._chance = random.Random(seed)
        self._back: threading.Thread | None = None
        self.version, self.kills = self._service.version(), 0
        self.deaths = 0  # as its disk was full
        self.flags = flags_of(kind.engine, self._given)

    def driver(self) -> Driver:
        return driver_class(self._service.engine)(self._given)  # type: ignore[call-arg]

    def size(self) -> int:
        """Bytes of all that the server has written."""
        sizes = []
        for path in self._service.folder.rglob("*"):
            with suppress(OSError):  # it has just been removed
                sizes.append(path.lstat().st_size)
        return sum(sizes)

    def fail(self) -> bool:
        """`kill -9` now, and a new start after a while, which nobody waits for."""
        self.settle()
        self._service.kill()
        self.kills += 1
        self._back = threading.Thread(target=self._come_back, args=(self._chance.uniform(*AWAY),))
        self._back.start()
        return True

    def _come_back(self, seconds: float) -> None:
        time.sleep(seconds)
        self._service.start()

    def settle(self) -> None:
        """Wait until it is there."""
        if self._back is not None:
            self._back.join()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """It is stopped meanwhile: its connections stay, and nothing is answered."""
        self.settle()
        self._service.pause()
        try:
            yield
        finally:
            self._service.resume()

    def tidy(self) -> None:
        self.settle()

    def revive(self, *, by_force: bool = False) -> None:
        """Start it again when it has ended by itself, as its supervisor would, or in any case, as an administrator
        would; and wait until it takes requests."""
        process = self._service.process
        if by_force or (process is not None and process.poll() is not None):
            self.deaths += 1
            self._service.kill()
            self._service.start()

    def close(self) -> None:
        self.settle()
        self._service.stop()
