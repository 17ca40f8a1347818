"""Reading the history: a few at once, and none that would only wait for a database that is silent."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from kala.errors import StoreRefused, StoreUnavailable, again
from kala.store.health import Health

Threads = Callable[..., Awaitable[Any]]
AT_ONCE = 4


class Reader:
    """Runs reads in threads, `AT_ONCE` of them. What it meets is looked into."""

    def __init__(self, health: Health, in_thread: Threads) -> None:
        self._health, self._in_thread = health, in_thread
        self._places = trio.CapacityLimiter(AT_ONCE)

    async def read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Raises `StoreUnavailable`, `StoreRefused`: at once when the database cannot even be read, or when nothing
        good is known of it and as many are waiting for it as may."""
        waits = not self._places.available_tokens
        self._demand_hope(waits)
        async with self._places:
            self._demand_hope(waits)
            try:
                return await self._in_thread(function, *arguments)
            except (StoreUnavailable, StoreRefused) as fault:
                self._health.suspect(fault)
                raise

    def _demand_hope(self, waits: bool) -> None:
        fault = self._health.fault or self._health.suspicion
        if fault is not None and (waits or not self._health.readable):
            raise again(fault)
