"""What is known of the database: whether it can be written and read, and what is to be looked into."""

import logging
from collections.abc import Callable

import trio

from kala.clock import Clock
from kala.drivers.contract import Driver
from kala.errors import KalaError, StoreUnavailable
from kala.hub import Hub
from kala.store.outage import Outage
from kala.store.proof import Proof

log = logging.getLogger(__name__)
SOUND = 5.0
"""Seconds for which a database that has just been proved is not suspected again."""
ODD = 600.0
"""Seconds between two lines about calls that fail while the database can be read and written."""


class Health:
    """`fault` is why it cannot be written, `suspicion` what somebody has met. The writer alone proves them.

    `woken` is called when there is something to be looked into.
    """

    def __init__(self, driver: Driver, clock: Clock, hub: Hub, woken: Callable[[], None]) -> None:
        self.fault: KalaError | None = StoreUnavailable("the jobs are not loaded yet")
        self.suspicion: KalaError | None = None
        self.outage = Outage(clock, hub)
        self.prove = Proof(driver)
        self._woken = woken
        self._up = trio.Event()
        self._sound_until = self._told_odd_until = 0.0  # by Trio's clock

    @property
    def readable(self) -> bool:
        """Whether it could be read when it was last tried."""
        return self.prove.readable

    async def wait_up(self) -> None:
        """Return when the database can be written."""
        await self._up.wait()

    def not_yet(self, fault: KalaError) -> None:
        """The daemon cannot begin to write because of this."""
        self.went_down(StoreUnavailable(f"the daemon waits for its database: {fault}"))

    def came_up(self) -> None:
        """It can be written."""
        self.fault = self.suspicion = None
        self._up.set()

    def went_down(self, fault: KalaError) -> None:
        """It cannot."""
        self.fault, self.suspicion = fault, None
        if self._up.is_set():
            self._up = trio.Event()

    def suspect(self, fault: KalaError) -> None:
        """Somebody has met this. The writer looks whether the database is away, unless it has just done so."""
        if self.fault is None and self.suspicion is None and trio.current_time() >= self._sound_until:
            self.suspicion = fault
            self._woken()

    def is_sound(self) -> None:
        """It has been proved, whatever somebody has met."""
        suspicion, self.suspicion, now = self.suspicion, None, trio.current_time()
        self._sound_until = now + SOUND
        if suspicion is not None and now >= self._told_odd_until:
            self._told_odd_until = now + ODD
            log.warning("the database can be read and written, and yet: %s", suspicion)
