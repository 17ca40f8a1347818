"""Time, for `consul_http.py`: what time it is at the agent, and how long a call may take."""

import threading
import time
from email.utils import parsedate_to_datetime

from kala.clock import SECOND, Moment
from kala.drivers.contract import TIMEOUT
from kala.errors import StoreUnavailable

CALL = TIMEOUT - 1.0
"""Seconds for one call of the driver, however many requests it makes."""


class Deadline:
    """When a call of the driver must have ended."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """A part of what is long has been done."""
        self._until = time.monotonic() + CALL

    def left(self) -> float:
        """Seconds. Raises `StoreUnavailable` when there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise StoreUnavailable(f"Consul has not done it within {CALL:g} s")
        return left


class AgentClock:
    """What time it is at the agent. Its answers tell whole seconds: this machine's clock is taken where it agrees with
    them, and moved as little as need be where it does not. It never goes back."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._last: Moment = 0
        self._lock = threading.Lock()

    def learn(self, date: str, asked: float) -> None:
        """An answer said `date`; the question was sent at `asked` by the monotonic clock."""
        try:
            said = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return  # from a proxy, perhaps: the next answer may have one
        now = time.monotonic()
        with self._lock:
            self._offset = min(max(self._offset, said - now), said + 1 - asked)

    def now(self) -> Moment:
        with self._lock:
            self._last = max(self._last, round((time.monotonic() + self._offset) * SECOND))
            return self._last
