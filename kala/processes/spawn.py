"""Children: threads that start programs, read what they print and see them end, for many at a time.

A thread owns a child from the queue to its end: it starts it, drains its pipe, and when the leader has ended sends KILL
to what is left of its group. Then Trio's thread hears of it, in batches, and reaps it. Nobody else reaps, and signals
are sent only to what is not reaped: none meets a process id that has been given away.

Needs a POSIX system with `waitid`; epoll, pidfds and glibc's `posix_spawn` are used where there are such.
"""

import errno
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle

import trio

from kala.openfiles import open_files
from kala.processes.child import Child, signal_group
from kala.processes.confinement import COMMAND, Confinement, Request, fault_of_start
from kala.processes.launch import Launch, allow_children, new_launch, null_device
from kala.processes.programs import Entries
from kala.processes.syscalls import Syscalls, has_pidfds, new_calls
from kala.tail import CHUNK

THREADS = 4  # they overlap in waiting for exec and for the interpreter's lock; measured on two cores
ROOM = 16  # children that wait to be started by a thread; more wait where they cost less, and keep their order
BURST = 4  # starts between two looks at the children that are on
LINGER = 0.002  # seconds between two deliveries: one waking of Trio's thread serves many
AT_ONCE = 32  # reports in a delivery: what follows from an end takes Trio's thread a tenth of a millisecond
BUSY_LINGER = 0.5  # the same while children wait to be started: starts go before what follows from ends
YOUNG = 0.05  # seconds before a child is worth a pidfd: most end sooner, and are seen by their pipe's end
SPARED = 16  # descriptors that are left to others: without one, the database cannot take what became of runs
GRACE = 0.5  # seconds to read what is left when the pipe outlives the leader
TICK = 0.02  # seconds between two looks for ended children that have no pidfd

CALM, HASTY = sys.getswitchinterval(), 0.0005
"""Seconds that a thread waits for the interpreter's lock until it asks for it; the latter while many children wait to
be started: for each, its thread has to have it back from a busy event loop."""

Report = tuple[trio.lowlevel.TrioToken, Callable[[], None]]


class Attended:
    """A started child as its thread sees it. A descriptor of -1 is closed."""

    __slots__ = ("child", "pidfd", "pipe", "token", "until")

    def __init__(self, token: trio.lowlevel.TrioToken, child: Child, pipe: int) -> None:
        self.token, self.child, self.pipe = token, child, pipe
        self.pidfd = -1
        self.until = 0.0  # set when the leader has ended: when to stop reading


class Spawner:
    """One thread. `launch`, `calls` and `pidfds` exist for trying, anywhere, what is used elsewhere."""

    def __init__(self, launch: Launch | None = None, calls: Syscalls | None = None, *, pidfds: bool = True) -> None:
        self._launch, self._calls, self._null = launch or new_launch(), calls or new_calls(), null_device()
        self._pidfds = pidfds and has_pidfds()
        self._ceiling = open_files() - SPARED
        self._queue: deque[tuple[trio.lowlevel.TrioToken, Child]] = deque()
        self._reports: list[Report] = []
        self._delivered, self._is_delivering = 0.0, False  # when last, and whether not all of them
        self._young: deque[Attended] = deque()  # the oldest first
        self._ticking: set[Attended] = set()  # not young, and without a pidfd
        self._ticked = 0.0
        self._lingering: deque[Attended] = deque()  # leaders ended, pipes open; the earliest `until` first
        self._buffer = bytearray(CHUNK)
        self._heard, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._asleep = False
        self._more = False  # others follow those in the queue
        self._wanted_room: tuple[trio.lowlevel.TrioToken, trio.Event] | None = None
        self._attended: dict[int, Attended] = {}  # by descriptor
        self._calls.watch(self._heard)
        threading.Thread(target=self._run, name="kala-spawn", daemon=True).start()

    def submit(self, child: Child) -> None:
        """Start it, soon. Its `on_start` and `on_end` are called in the Trio thread that calls this."""
        self._queue.append((trio.lowlevel.current_trio_token(), child))
        self._rouse()

    def _rouse(self) -> None:
        """Let the thread look again at what it waits for."""
        if self._asleep:
            self._asleep = False
            with suppress(BlockingIOError):  # a full pipe wakes as well
                os.write(self._wake, b"\0")

    async def wait_room(self, more: bool) -> None:
        """Return when fewer than `ROOM` children wait to be started. `more`: others follow. For one task."""
        self._more, had_more = more, self._more
        if had_more and not more:
            self._rouse()  # ends wait no longer
        while len(self._queue) >= ROOM:
            event = trio.Event()
            self._wanted_room = trio.lowlevel.current_trio_token(), event
            if len(self._queue) >= ROOM:  # looked at after saying so: the thread that makes room now tells
                await event.wait()

    def _run(self) -> None:
        try:
            while True:
                self._turn()
        except BaseException:  # noqa: BLE001
            # A bug here would leave every run waiting for ever, unseen: a supervisor's restart is better.
            traceback.print_exc()
            os._exit(1)

    def _turn(self) -> None:
        for fd, event in self._calls.poll(self._patience()):
            if fd == self._heard:
                os.read(fd, CHUNK)
            elif (attended := self._attended.get(fd)) is None:
                pass  # closed for another event of this batch
            elif fd == attended.pipe:
                self._read(attended, event)
            elif self._has_ended(attended):  # no event of a descriptor that had this number before
                self._leader_ended(attended)
        self._asleep = False
        for _ in range(BURST):
            if not self._queue:
                break
            self._start(*self._queue.popleft())
        if self._wanted_room is not None and len(self._queue) <= ROOM // 2:
            (token, room), self._wanted_room = self._wanted_room, None
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(room.set)
        now = time.monotonic()
        while self._young and self._young[0].child.started + YOUNG <= now:
            self._watch(self._young.popleft())
        if self._ticking and self._ticked + TICK <= now:
            self._ticked = now
            for attended in [one for one in self._ticking if self._has_ended(one)]:
                self._leader_ended(attended)
        while self._lingering and self._lingering[0].until <= now:
            if (attended := self._lingering.popleft()).pipe >= 0:
                self._close_pipe(attended)
        if self._reports and self._delivered + self._linger() <= now:
            self._delivered = now
            self._deliver()

    def _linger(self) -> float:
        return BUSY_LINGER if (self._queue or self._more) and not self._is_delivering else LINGER

    def _patience(self) -> float | None:
        self._asleep = True
        if self._queue:  # looked at after saying so: whoever adds to it now wakes us
            return 0
        moment = min(self._next(), default=None)
        return None if moment is None else max(moment - time.monotonic(), 0)

    def _next(self) -> Iterator[float]:
        if self._reports:
            yield self._delivered + self._linger()
        if self._young:
            yield self._young[0].child.started + YOUNG
        if self._ticking:
            yield self._ticked + TICK
        if self._lingering:
            yield self._lingering[0].until

    def _start(self, token: trio.lowlevel.TrioToken, child: Child) -> None:
        if child.wanted:  # ended before its start
            self._reports.append((token, child.reap))
            return
        calls = child.calls = self._calls
        pipe = end = -1
        try:
            pipe, end = calls.pipe()
            if end >= self._ceiling:  # a new one has the lowest number that is free
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            child.started = time.monotonic()
            errors = end if child.errors is None else child.errors
            if child.confinement is None:
                child.pid = self._launch(
                    child.path, child.argv, child.environment, child.directory, self._null, end, errors
                )
            else:
                child.pid = self._launch_confined(child, child.confinement, end, errors)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this child's alone, whose task raises it
            child.error = error
            if pipe >= 0:
                calls.close(pipe)
            self._reports.append((token, child.reap))
            return
        finally:
            if end >= 0:
                calls.close(end)
        if child.wanted:
            signal_group(child.pid, child.wanted)
        attended = Attended(token, child, pipe)
        self._attended[pipe] = attended
        calls.watch(pipe)
        self._young.append(attended)
        if child.on_start is not None:
            self._reports.append((token, child.on_start))

    def _launch_confined(self, child: Child, confinement: Confinement, output: int, errors: int) -> int:
        request = Request(confinement, child.argv, child.environment.all(), child.directory)
        try:
            if request.owner is not None:
                os.fchown(output, *request.owner)  # else it could not open its /dev/stdout
            pid = self._launch(
                COMMAND[0], COMMAND, Entries((), tuple(request.environment)), None, request.file, output, errors
            )
        except OSError as error:
            request.close()
            raise fault_of_start(error) from None
        child.request = request
        return pid

    def _watch(self, attended: Attended) -> None:
        """Be told when the leader ends, unless it has, or that is arranged already."""
        if attended.until or attended.pidfd >= 0 or attended in self._ticking:
            return
        if self._pidfds:
            try:
                pidfd = os.pidfd_open(attended.child.pid)
            except OSError:  # no descriptor is left: the tick does as well
                pidfd = -1
            if pidfd >= self._ceiling:
                self._calls.close(pidfd)
            elif pidfd >= 0:
                attended.pidfd = pidfd
                self._attended[pidfd] = attended
                self._calls.watch(pidfd)
                return
        self._ticking.add(attended)

    def _read(self, attended: Attended, event: int) -> None:
        child = attended.child
        count = os.readv(attended.pipe, [self._buffer]) if event & select.POLLIN else 0
        if count:
            tail = child.tail
            if tail.add(self._buffer if count == CHUNK else self._buffer[:count]):
                self._reports.append((attended.token, tail.grown))
            if tail.size > child.most:
                signal_group(child.pid, signal.SIGKILL)
        if not count or (event & select.POLLHUP and count < CHUNK):
            self._close_pipe(attended)
            if not attended.until:
                if self._has_ended(attended):
                    self._leader_ended(attended)
                else:
                    self._watch(attended)

    def _close_pipe(self, attended: Attended) -> None:
        self._close(attended.pipe)
        attended.pipe = -1
        if attended.until:
            self._reports.append((attended.token, attended.child.reap))

    def _leader_ended(self, attended: Attended) -> None:
        if attended.pidfd >= 0:
            self._close(attended.pidfd)
            attended.pidfd = -1
        self._ticking.discard(attended)
        child = attended.child
        child.ended = time.monotonic()
        signal_group(child.pid, signal.SIGKILL)
        if child.request is not None:
            child.error, child.request = child.request.close(), None
        attended.until = child.ended + GRACE
        if attended.pipe >= 0:
            self._lingering.append(attended)
        else:
            self._reports.append((attended.token, child.reap))

    def _has_ended(self, attended: Attended) -> bool:
        return self._calls.has_ended(attended.child.pid)

    def _close(self, fd: int) -> None:
        # Not left to `close`: while another child is being started, it shares the open pipe for a moment.
        self._calls.unwatch(fd)
        self._calls.close(fd)
        del self._attended[fd]

    def _deliver(self) -> None:
        reports, self._reports = self._reports[:AT_ONCE], self._reports[AT_ONCE:]
        self._is_delivering = bool(self._reports)
        for token in {token for token, _ in reports}:
            calls = [call for one, call in reports if one is token]
            try:
                token.run_sync_soon(call_all, calls)
            except trio.RunFinishedError:  # nobody waits for them any more, but they are to be reaped
                call_all(calls)


def call_all(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()


_all: list[Spawner] = []
_spawners: Iterator[Spawner] | None = None  # these in turn


def threads() -> Iterator[Spawner]:
    """The threads of this process in turn, for ever. Made at the first call, in Trio's thread, they stay."""
    global _spawners
    if _spawners is None:
        allow_children()
        _all.extend(Spawner() for _ in range(THREADS))
        _spawners = cycle(_all)
    return _spawners


def submit(child: Child) -> None:
    """Have the child started by one of the threads. From Trio's thread."""
    next(threads()).submit(child)


async def wait_room(more: bool) -> None:
    """Return when further children would not wait long for their start. `more`: others follow. For one task."""
    sys.setswitchinterval(HASTY if more else CALM)
    for spawner in _all:
        await spawner.wait_room(more)
