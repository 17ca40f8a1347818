"""One program to be started by a thread of `spawn.py`, and what became of it."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from kala.processes.confinement import Confinement, Request
from kala.processes.programs import Entries
from kala.processes.syscalls import Syscalls, Usage
from kala.tail import Tail


class Child:
    """Made, read and signalled in Trio's thread. Once `done`, it has ended (or never started) and has been reaped.

    What it prints is added to `tail`, in the thread; beyond `most` bytes the group is killed. Standard error goes where
    standard output goes unless `errors` is a descriptor. `started` and `ended` are seconds of `time.monotonic()`.
    `error` says why it could not be started: an OSError, or a CommandError, which is a sentence by itself. With a
    `confinement` the child finds its program itself, whatever `path` is. `on_start` and `on_end` must not raise.
    """

    def __init__(
        self,
        path: bytes,
        argv: Sequence[bytes],
        environment: Entries,
        directory: bytes | None = None,
        *,
        tail: Tail,
        most: int = sys.maxsize,
        errors: int | None = None,
        confinement: Confinement | None = None,
    ) -> None:
        self.path, self.argv, self.environment, self.directory = path, argv, environment, directory
        self.tail, self.most, self.errors, self.confinement = tail, most, errors, confinement
        self.calls: Syscalls | None = None  # of the thread that has started it
        self.request: Request | None = None  # of a confined one: while it is on, its thread's
        self.on_start: Callable[[], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self.pid = 0  # not started
        self.wanted = 0  # the last signal sent: one from before the start withdraws it
        self.started = self.ended = 0.0
        self.error: Exception | None = None
        self.status: int | None = None  # as `os.wait4` has it; None when it is not known
        self.usage: Usage | None = None
        self.done = False

    def send(self, number: int) -> None:
        """Send a signal to the whole group."""
        self.wanted = number  # first: the thread looks at it after it has set `pid`
        if self.pid and not self.done:
            signal_group(self.pid, number)

    def reap(self) -> None:
        """The leader has ended, or there will be none."""
        if self.pid and self.calls is not None:
            try:
                self.status, self.usage = self.calls.reap(self.pid)
            except ChildProcessError:  # somebody else took it
                self.status = None
        self.done = True
        if self.on_end is not None:
            self.on_end()


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a group whose leader is not reaped. It may have nobody left to hear it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
