"""Sleeping to a fraction of a millisecond. Trio's own sleeps end with epoll's timeout, which counts whole milliseconds
and is rounded up: half a millisecond too late, on average. The kernel's timers on Linux are finer, and a descriptor
tells of them.
"""

import ctypes
import os
import struct
import sys
import time

import trio

NANOSECONDS = 1_000_000_000
SPEC = struct.Struct("llll")  # sys/timerfd.h: struct itimerspec: the interval, and the first time; each in two parts


def _has_timers() -> bool:
    return sys.platform.startswith("linux") and SPEC.size == 32 and hasattr(ctypes.CDLL(None), "timerfd_create")


_libc = ctypes.PyDLL(None) if _has_timers() else None  # neither call blocks: the lock is kept


async def sleep_exactly(seconds: float) -> None:
    """Sleep so long, which is more than 0; where there is no such timer, or no descriptor is left, as Trio does."""
    if (fd := _ringing_in(seconds)) < 0:
        await trio.sleep(seconds)
        return
    try:
        await trio.lowlevel.wait_readable(fd)
    finally:
        trio.lowlevel.notify_closing(fd)
        os.close(fd)


def _ringing_in(seconds: float) -> int:
    """A descriptor that can be read after so long; -1 when there is none to be had."""
    if _libc is None:
        return -1
    fd: int = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd >= 0:
        spec = SPEC.pack(0, 0, *divmod(max(1, round(seconds * NANOSECONDS)), NANOSECONDS))
        if _libc.timerfd_settime(fd, 0, spec, None) == 0:
            return fd
        os.close(fd)
    return -1
