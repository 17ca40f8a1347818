"""The database under the daemon: the embedded one, or a server that is killed and started again."""

import random
import sqlite3
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from servers.registry import SERVICES
from servers.service import flags_of

from kala.drivers import driver_class
from kala.drivers.contract import Driver
from kala.drivers.sqlite import SqliteDriver

AWAY = 1.0, 15.0
"""Seconds that a server stays away: from, to."""


class Embedded:
    """`kala.db` in `folder`: nothing to kill."""

    version, kills = f"SQLite {sqlite3.sqlite_version}", 0

    def __init__(self, folder: Path) -> None:
        self.flags: list[str] = []
        self._folder = folder

    def driver(self) -> Driver:
        return SqliteDriver(self._folder / "kala.db")

    def fail(self) -> bool:
        return False

    def settle(self) -> None:
        pass

    def close(self) -> None:
        pass


class Served:
    """A server of its own, in `folder`, by its name in `servers/registry.py`."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        kind = SERVICES[name]
        if lacking := kind.missing():
            sys.exit(f"{kind.title} cannot be started: {lacking} is missing; scripts/services install")
        self._service = kind(folder / "server").start()
        self._given = self._service.fresh()
        self._chance = random.Random(seed)
        self._back: threading.Thread | None = None
        self.version, self.kills = self._service.version(), 0
        self.flags = flags_of(kind.engine, self._given)

    def driver(self) -> Driver:
        return driver_class(self._service.engine)(self._given)  # type: ignore[call-arg]

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

    def close(self) -> None:
        self.settle()
        self._service.stop()
