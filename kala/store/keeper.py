"""Who keeps results in the spool: those that have waited for the database, while they wait."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import trio

from kala.store.results import Result
from kala.store.spool import Left, Spool

log = logging.getLogger(__name__)
PATIENCE = 1.0
"""Seconds that a result waits for a database of which nothing bad is known, before it is kept."""
AGAIN = 5.0
"""Seconds until a spool that could not be written is tried again."""


class Waiting:
    """A result that is not durable yet."""

    __slots__ = ("kept", "result", "since")

    def __init__(self, result: Result) -> None:
        self.result, self.since, self.kept = result, trio.current_time(), False


class Spooled(NamedTuple):
    """Results that are not durable yet, how many of them are in the spool, and its bytes."""

    waiting: int
    kept: int
    size: int


class Keeper:
    """Owns the spool. Without one nothing is kept. `in_thread(function, *arguments)` runs a blocking call.

    While it is `urgent`, since the database is away, ends of attempts are kept at once. That a run was not started is
    kept by `flush` alone, at the end: before that it might be started after all.
    """

    def __init__(self, spool: Spool | None, in_thread: Any) -> None:
        self.spool, self._in_thread = spool, in_thread
        self._waiting: dict[tuple[str, int], Waiting] = {}
        self._wake, self._hurry = trio.Event(), trio.Event()
        self._one_by_one = trio.Lock()
        self.urgent = False
        self._told = False  # that it cannot be written
        self._over = False

    def add(self, result: Result) -> None:
        """It waits for the database."""
        if self.spool is not None:
            self._waiting[result.name] = Waiting(result)
            self._wake.set()
            if self.urgent and not self._told:
                self._hurry.set()

    def settle(self, result: Result) -> None:
        """It is durable, or counts nothing."""
        if not self._over and self._waiting.pop(result.name, None) is not None and not self._waiting and self.path:
            self._hurry.set()

    def set_urgent(self, urgent: bool) -> None:
        self.urgent = urgent
        if urgent:
            self._hurry.set()

    async def run(self) -> None:
        """Keep what has waited too long, and remove the file when nothing in it waits. Runs until cancelled."""
        if self.spool is None:
            return
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._waiting or self.spool.path is not None:
                pause = AGAIN if self._told else PATIENCE
                if not self.urgent or self._told or not self._due():
                    self._hurry = trio.Event()
                    with trio.move_on_after(pause):
                        await self._hurry.wait()
                await self._keep(self._due())
                await self.tidy()

    def _due(self) -> list[Waiting]:
        before = math.inf if self.urgent else trio.current_time() - PATIENCE
        return [
            one
            for one in self._waiting.values()
            if not one.kept and one.result.attempt is not None and one.since <= before
        ]

    async def flush(self) -> bool:
        """Keep all that waits: this is the end. False when it cannot be kept."""
        if self.spool is None:
            return False
        self._over = True
        return await self._keep([one for one in self._waiting.values() if not one.kept])

    async def _keep(self, waiting: Sequence[Waiting]) -> bool:
        if not waiting or self.spool is None:
            return True
        async with self._one_by_one:
            waiting = [one for one in waiting if not one.kept]
            try:
                await self._in_thread(self.spool.append, [one.result for one in waiting])
            except OSError as error:
                if not self._told:
                    lost = "they are lost if the daemon ends before the database is back"
                    log.error("results cannot be kept in %s: %s; %s", self.spool.folder, error.strerror, lost)
                self._told = True
                return False
            for one in waiting:
                one.kept = True
            self._told = False
        return True

    async def tidy(self) -> None:
        """Remove the file when nothing in it waits any more."""
        if self.spool is None or self.spool.path is None or any(one.kept for one in self._waiting.values()):
            return
        async with self._one_by_one:
            if not self._over:
                try:
                    await self._in_thread(self.spool.remove)
                except OSError as error:  # what is read from it at the next start is known by then
                    log.warning("%s cannot be removed: %s", self.spool.path, error.strerror)
                    self.spool.close()

    @property
    def path(self) -> Path | None:
        """The file, when there is one."""
        return None if self.spool is None else self.spool.path

    def spooled(self) -> Spooled:
        """How much waits. Without a spool nobody counts."""
        size = 0 if self.spool is None else self.spool.size
        return Spooled(len(self._waiting), sum(one.kept for one in self._waiting.values()), size)

    async def left(self) -> list[Left]:
        """What earlier starts have left; to be closed."""
        return [] if self.spool is None else await self._in_thread(self.spool.left)
