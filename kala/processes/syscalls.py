"""The system calls that are made for every program: by libc where it is glibc, by Python's own elsewhere.

Python gives the interpreter's lock away for the length of each. A thread of `spawn.py` that did so ten times for each
program would wait ten times to have it back from a busy event loop. None but `poll` blocks, so ctypes' `PyDLL`, which
keeps the lock, does as well.
"""

import ctypes
import os
import platform
import select
import struct
from typing import NamedTuple, Protocol

from kala.processes.launch import has_glibc

ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT
ADD, REMOVE = 1, 2  # sys/epoll.h: EPOLL_CTL_ADD, EPOLL_CTL_DEL
SIGINFO = ctypes.c_int * 32  # sys/wait.h: siginfo_t, which begins with the signal's number
RUSAGE = ctypes.c_long * 18  # sys/resource.h: struct rusage; its first are two pairs of seconds and microseconds
LONG_IS_WORD = struct.calcsize("l") == struct.calcsize("P") == 8


class Usage(NamedTuple):
    """What a process took, with those that it waited for."""

    cpu: float  # seconds of processor time
    memory: int  # its peak, in the unit of `ru_maxrss`


class Syscalls(Protocol):
    """Those of one thread, and what it polls. All raise OSError."""

    def pipe(self) -> tuple[int, int]:
        """The end to read from, and the other. Programs inherit neither."""

    def close(self, fd: int) -> None:
        """Close a descriptor."""

    def watch(self, fd: int) -> None:
        """Have `poll` tell when there is something to read, or nothing more will come."""

    def unwatch(self, fd: int) -> None:
        """No more of that."""

    def poll(self, seconds: float | None) -> list[tuple[int, int]]:
        """Descriptors and their events, once there are some; none when so many seconds have passed."""

    def has_ended(self, pid: int) -> bool:
        """Whether a child has ended. It stays to be reaped."""

    def reap(self, pid: int) -> tuple[int, Usage]:
        """The status of a child that has ended, as `os.wait4` has it, and what it took. In any thread."""


class Plain:
    """By Python's own, on any POSIX system with `waitid`."""

    def __init__(self) -> None:
        self._poll = select.epoll() if hasattr(select, "epoll") else Poll()
        self.pipe, self.close, self.poll, self.unwatch = os.pipe, os.close, self._poll.poll, self._poll.unregister

    def watch(self, fd: int) -> None:
        self._poll.register(fd, select.POLLIN)

    def has_ended(self, pid: int) -> bool:
        return os.waitid(os.P_PID, pid, ENDED) is not None

    def reap(self, pid: int) -> tuple[int, Usage]:
        _, status, usage = os.wait4(pid, 0)
        return status, Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


class Poll:
    """`select.poll` with epoll's interface, which it has but for the time's unit."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register, self.unregister = self._poll.register, self._poll.unregister

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        return self._poll.poll(None if timeout is None else timeout * 1000)


class EpollEvent(ctypes.Structure):
    """sys/epoll.h: struct epoll_event, without a gap on x86-64 alone."""

    _pack_ = 1 if platform.machine() == "x86_64" else 8
    _fields_ = (("events", ctypes.c_uint32), ("fd", ctypes.c_uint64))


class Glibc:
    """By libc, where `has_glibc`."""

    def __init__(self) -> None:
        libc = ctypes.PyDLL(None, use_errno=True)
        self._pipe, self._close, self._control = libc.pipe2, libc.close, libc.epoll_ctl
        self._waitid, self._wait4 = libc.waitid, libc.wait4
        self._epoll = select.epoll()
        self.poll, self._number = self._epoll.poll, self._epoll.fileno()
        self._ends = (ctypes.c_int * 2)()
        self._event, self._ended = EpollEvent(select.EPOLLIN), SIGINFO()
        self._event_there = ctypes.byref(self._event)

    def pipe(self) -> tuple[int, int]:
        check(self._pipe(self._ends, os.O_CLOEXEC))
        return self._ends[0], self._ends[1]

    def close(self, fd: int) -> None:
        check(self._close(fd))

    def watch(self, fd: int) -> None:
        self._event.fd = fd
        check(self._control(self._number, ADD, fd, self._event_there))

    def unwatch(self, fd: int) -> None:
        check(self._control(self._number, REMOVE, fd, None))

    def has_ended(self, pid: int) -> bool:
        check(self._waitid(os.P_PID, pid, self._ended, ENDED, None))
        return self._ended[0] != 0

    def reap(self, pid: int) -> tuple[int, Usage]:
        status, usage = ctypes.c_int(), RUSAGE()
        check(self._wait4(pid, ctypes.byref(status), 0, usage))
        user, micro, system, others, memory = usage[:5]
        return status.value, Usage(user + system + (micro + others) / 1e6, memory)


def check(answer: int) -> None:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def new_calls() -> Syscalls:
    """The best way to make them here, for the use of one thread."""
    return Glibc() if has_glibc() and LONG_IS_WORD else Plain()


def has_pidfds() -> bool:
    """Whether the kernel has pidfds and lets us use them."""
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True
