"""Blocking calls in threads of their own, also when the system gives no more threads."""

import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar

import trio

log = logging.getLogger(__name__)
AGAIN = 0.2
"""Seconds until a thread is asked for again."""
ODD = 60.0
"""Seconds between two lines about it."""

T = TypeVar("T")
_told_until = -math.inf  # by the monotonic clock


async def in_thread(
    function: Callable[..., T],
    *arguments: object,
    limiter: trio.CapacityLimiter | None = None,
    abandon_on_cancel: bool = False,
) -> T:
    """As `trio.to_thread.run_sync`, but where no thread can be started (a limit on processes, no memory), it waits
    until one can: the call has not begun, and a daemon that ended of it could not be started again either."""
    global _told_until
    has_begun = False

    def call() -> T:
        nonlocal has_begun
        has_begun = True
        return function(*arguments)

    while True:
        try:
            return await trio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=abandon_on_cancel)
        except (RuntimeError, MemoryError) as fault:
            if has_begun:
                raise
            now = time.monotonic()
            if now >= _told_until:
                _told_until = now + ODD
                log.error("no thread can be started, and what needs one waits: %s", fault)
        await trio.sleep(AGAIN)
