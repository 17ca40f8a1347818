"""One command: a process group, what it prints, and its end. Knows nothing of jobs.

The happy path is one `Child` (`spawn.py`) and one `trio.Event`: no task, no nursery, no timer.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import trio

from kala.clock import SECOND, Clock, Moment
from kala.errors import CommandError, shortened
from kala.job import Attempt
from kala.processes import programs, spawn
from kala.processes.child import Child
from kala.processes.confinement import Confinement, reached_cpu_time
from kala.processes.launch import null_device
from kala.processes.syscalls import Usage
from kala.states import State
from kala.stop import Stop
from kala.tail import Tail

UNKILLABLE = 10.0  # seconds after KILL when a process is given up: it hangs in the kernel, or is not ours to signal
OUTPUT_LIMIT = 65_536  # bytes that are kept when nobody says how many
MAX_SUBSTITUTE = 1 << 20  # bytes that a command in backticks may print
SUBSTITUTE_TIMEOUT = 30.0
_own_peak = 0  # as it was when it was looked at last
RU_MAXRSS = 1 if sys.platform == "darwin" else 1024  # bytes in its unit


class Watched:
    """A child and the task that waits for it."""

    def __init__(self, child: Child, timeout: float | None, on_start: Callable[[int], None] | None) -> None:
        self.child = child
        self._timeout, self._on_start = timeout, on_start
        self._event = trio.Event()
        self._scope: trio.CancelScope | None = None
        self._bug: BaseException | None = None
        child.on_end = self.wake
        if timeout is not None or on_start is not None:
            child.on_start = self._started

    def wake(self) -> None:
        self._event.set()

    def _started(self) -> None:
        if self._scope is not None and self._timeout is not None and not self.child.wanted:
            self._scope.deadline = trio.current_time() + self._timeout
        if self._on_start is not None:
            try:
                self._on_start(self.child.pid)
            except BaseException as bug:  # noqa: BLE001 - raised in the task, whose caller gave the function
                self._bug = bug
                self.wake()

    async def wait_woken(self) -> bool:
        """Return at the next `wake`; False when instead the timeout, counted from the start, has passed."""
        if self._timeout is None:
            await self._event.wait()
        else:
            with trio.CancelScope() as self._scope:
                await self._event.wait()
            if self._scope.cancelled_caught:
                return False
        self._event = trio.Event()
        if self._bug is not None:
            raise self._bug
        return True

    async def wait_done(self, seconds: float, stop: Stop | None = None) -> None:
        """Return when it has ended, at most `seconds` later, or at one request more of `stop`."""
        requests = stop.requests if stop is not None else 0
        with trio.move_on_after(seconds):
            while not self.child.done and (stop is None or stop.requests == requests):
                await self._event.wait()
                self._event = trio.Event()

    async def end(self, kill_after: float, stop: Stop | None = None) -> None:
        """TERM, `kill_after` seconds (or until a request that is in a hurry), KILL. It may still be there afterwards
        when nothing ends it."""
        if stop is None or stop.requests < 2:
            self.child.send(signal.SIGTERM)
            await self.wait_done(kill_after, stop)
        if not self.child.done:
            self.child.send(signal.SIGKILL)
            await self.wait_done(UNKILLABLE)


async def run_command(
    argv: Sequence[str],
    *,
    number: int,
    environment: Mapping[str, str],
    clock: Clock,
    directory: str | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - a rule for the process, not for this call
    kill_after: float = 10.0,
    output: Tail | None = None,
    stop: Stop | None = None,
    on_start: Callable[[int], None] | None = None,
    confinement: Confinement | None = None,
) -> tuple[Attempt, bytes]:
    """Run a program to its end, as attempt `number`. Returns the attempt and what is kept of what it printed, both
    streams in one. It goes to `output` as it comes. What goes wrong with the program is in the attempt, never raised.

    It leads a session of its own, reads /dev/null, and has no environment but `environment` (give
    `programs.Environment` to have most of it encoded once), by whose PATH it is found. When it ends, the rest of its
    group is killed. `timeout` seconds after its start its group gets TERM, `kill_after` seconds later KILL; likewise
    when `stop` is requested (the state is then cancelled). `on_start` is called with its process id. By a `confinement`
    it, and all that it starts, runs as another user or within limits.

    Cancelling it does the same, taking `kill_after` and more seconds where the program needs them.
    """
    asked = clock.now()
    if stop is not None and stop.requests:
        return failed(number, asked, "cancelled before its start", State.CANCELLED)
    try:
        child = child_of(argv, environment, directory, confinement, tail=output or Tail(OUTPUT_LIMIT))
    except CommandError as error:
        return failed(number, asked, str(error))
    watched = Watched(child, timeout, on_start)
    if stop is not None:
        stop.attach(watched.wake)
    state = await attend(watched, kill_after, stop)
    if child.error is not None:
        return failed(number, asked, why_not(child.error, child, argv[0], directory))
    return report(child, number, asked, clock, state, timeout)


def child_of(
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: str | None,
    confinement: Confinement | None,
    *,
    tail: Tail,
    most: int = sys.maxsize,
    errors: int | None = None,
) -> Child:
    """The program, found and encoded, to be started. Raises CommandError when there is none, or it cannot be."""
    arguments = programs.arguments(argv)
    path = arguments[0] if confinement is not None else programs.find(argv[0], environment, directory)
    folder = None if directory is None else programs.encoded(directory, "the directory")
    entries = programs.entries(environment)
    return Child(path, arguments, entries, folder, tail=tail, most=most, errors=errors, confinement=confinement)


def why_not(error: Exception, child: Child, name: str, directory: str | None) -> str:
    """One sentence on why the program could not be started. Raises what is a bug."""
    if isinstance(error, CommandError):
        return str(error)
    if isinstance(error, OSError):
        return programs.explanation(error, name, child.path, directory)
    raise error


async def attend(watched: Watched, kill_after: float, stop: Stop | None) -> State | None:
    """From its start to its end; a state when it did not end by itself."""
    child, state = watched.child, None
    spawn.submit(child)
    try:
        while not child.done and state is None:
            if not await watched.wait_woken():
                state = State.TIMED_OUT
            elif not child.done and stop is not None and stop.requests:
                state = State.CANCELLED
        if not child.done:
            await watched.end(kill_after, stop)
    except BaseException:
        with trio.CancelScope(deadline=trio.current_time() + kill_after + UNKILLABLE, shield=True):
            await watched.end(kill_after)
        raise
    finally:
        if stop is not None:
            stop.detach()
    return state


def failed(number: int, moment: Moment, error: str, state: State = State.FAILED) -> tuple[Attempt, bytes]:
    """An attempt without a process; its output is the reason."""
    output = error.encode(errors="replace")
    return Attempt(number, moment, moment, state, output_size=len(output), error=error), output


def report(
    child: Child, number: int, asked: Moment, clock: Clock, state: State | None, timeout: float | None
) -> tuple[Attempt, bytes]:
    """What became of a child: as it ended by itself, or in `state`."""
    now, reading = clock.now(), time.monotonic()
    started = max(asked, now - round((reading - child.started) * SECOND)) if child.pid else asked
    ended = max(started, now - round((reading - child.ended) * SECOND)) if child.ended else now
    exit_code, signal_number = outcome(child)
    how = ending(child, exit_code, signal_number)
    child.tail.finish()
    if state is State.TIMED_OUT:
        how = f"timed out after {timeout:g} s" + ("" if child.done else f", and {how}")
    elif state is State.CANCELLED:
        how = "cancelled" if child.pid else "cancelled before its start"
    usage = child.usage
    return Attempt(
        number,
        started,
        ended,
        state or (State.FAILED if how else State.SUCCEEDED),
        exit_code=exit_code,
        signal=signal_number,
        cpu=round(usage.cpu * SECOND) if usage is not None else 0,
        memory=peak_memory(usage),
        output_size=child.tail.size,
        error=how,
    ), child.tail.last()[1]


def peak_memory(usage: Usage | None) -> int:
    """Bytes; 0 when it is not known. A process starts with its parent's peak as its own (Linux has it so at exec), so
    what did not pass this daemon's peak cannot be told."""
    if usage is None or usage.memory <= own_peak(usage.memory):
        return 0
    return usage.memory * RU_MAXRSS


def own_peak(beyond: int) -> int:
    """This daemon's peak, or one of before that is not below `beyond`: it only grows, and asking takes a while."""
    global _own_peak
    if beyond > _own_peak:
        _own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _own_peak


def outcome(child: Child) -> tuple[int | None, int | None]:
    """Exit code or number of the signal."""
    if child.status is None:
        return None, None
    code = os.waitstatus_to_exitcode(child.status)
    return (code, None) if code >= 0 else (None, -code)


def ending(child: Child, exit_code: int | None, signal_number: int | None) -> str:
    """How it ended, for people; empty when it succeeded."""
    limit = reached_cpu_time(child.confinement, exit_code, signal_number, child.usage)
    if signal_number is not None:
        name = ""
        with suppress(ValueError):  # a real-time signal has none
            name = f" ({signal.Signals(signal_number).name})"
        return f"ended by signal {signal_number}{name}{limit}"
    if exit_code is None:
        return "how it ended is not known" if child.done else f"process {child.pid} does not end"
    return f"exit code {exit_code}{limit}" if exit_code else ""


async def substitute(
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: str | None = None,
    confinement: Confinement | None = None,
) -> str:
    """The standard output of a command, for what stands in backticks. Raises CommandError when it fails, is missing,
    prints more than 1 MiB, or takes longer than 30 s. Leaves no process, also when cancelled."""
    tail = Tail(MAX_SUBSTITUTE)
    child = child_of(argv, environment, directory, confinement, tail=tail, most=MAX_SUBSTITUTE, errors=null_device())
    state = await attend(Watched(child, SUBSTITUTE_TIMEOUT, None), 0, None)
    name = shortened(argv[0])
    if child.error is not None:
        raise CommandError(why_not(child.error, child, argv[0], directory))
    if state is State.TIMED_OUT:
        raise CommandError(f"{name} in backticks has not ended within {SUBSTITUTE_TIMEOUT:g} s")
    if child.tail.size > MAX_SUBSTITUTE:
        raise CommandError(f"{name} in backticks printed more than {MAX_SUBSTITUTE} bytes")
    if how := ending(child, *outcome(child)):
        raise CommandError(f"{name} in backticks failed: {how}")
    return child.tail.last()[1].decode(errors="surrogateescape")
