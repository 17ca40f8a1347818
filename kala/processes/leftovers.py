"""Processes that outlived their daemon: what runs had started when it was killed. Linux only: elsewhere none is found,
as a process's environment cannot be read.
"""

import ctypes
import errno
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import trio

MARK = b"KALA_RUN_ID="
ROUNDS = 3  # of KILL: what forks while it is looked for is found by the next
POLL = 0.02  # seconds; others' children are not ours to wait for
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
KILL_WAIT = 2.0  # seconds for KILL to take effect


def leftovers(run_ids: Iterable[str]) -> list[int]:
    """Process ids on this host whose environment has `KALA_RUN_ID` of one of these, in ascending order. This process
    and those it descends from are never among them; nor are those whose environment we may not read. Raises `OSError`
    when there is no descriptor to look."""
    wanted = {os.fsencode(run_id) for run_id in run_ids}
    if not wanted or not os.path.exists("/proc/self/environ"):
        return []
    spared = own_line()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return sorted(pid for pid in pids if pid not in spared and run_of(pid) in wanted)


def run_of(pid: int) -> bytes | None:
    """The run that a process belongs to, if any."""
    try:
        environment = environment_of(pid)
    except OSError as error:  # gone, or not ours
        if error.errno in NO_DESCRIPTOR:
            raise
        return None
    for entry in environment.split(b"\0"):
        if entry.startswith(MARK):
            return entry[len(MARK) :]
    return None


def environment_of(pid: int) -> bytes:
    """What a process was given. Raises OSError."""
    path = f"/proc/{pid}/environ"
    try:
        with open(path, "rb") as file:
            return file.read()
    except PermissionError:
        if os.geteuid() != 0:
            raise
        there = os.stat(f"/proc/{pid}")
        with filesystem_user(there.st_uid, there.st_gid), open(path, "rb") as file:
            return file.read()


@contextmanager
def filesystem_user(uid: int, gid: int) -> Iterator[None]:
    """Open files as a user does, in this thread only. In a container root often may not look at the processes of other
    users (it has no CAP_SYS_PTRACE), while they themselves may. Unlike with their other ids, none of them can send a
    signal to who has this one."""
    libc = ctypes.CDLL(None)
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(os.getegid())


def own_line() -> set[int]:
    """This process and its ancestors: a daemon may itself have been started by a job."""
    line, pid = set(), os.getpid()
    while pid > 0:
        line.add(pid)
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                raise
            break
    return line


async def end_leftovers(run_ids: Iterable[str], *, grace: float = 2.0) -> list[int]:
    """End them: TERM, up to `grace` seconds, KILL; whole groups where the leader is one of them. Returns the process
    ids found. When cancelled, some may be left."""
    run_ids = list(run_ids)
    found = leftovers(run_ids)
    if not found:
        return []
    await signal_and_wait(found, signal.SIGTERM, grace)
    ended = set(found)
    for _ in range(ROUNDS):
        left = leftovers(run_ids)
        if not left:
            break
        ended.update(left)
        await signal_and_wait(left, signal.SIGKILL, KILL_WAIT)
    return sorted(ended)


async def signal_and_wait(pids: list[int], number: int, seconds: float) -> None:
    """Send a signal to these and to the groups they lead, and return when they have ended, or `seconds` later."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) == pid != os.getpgrp():
                os.killpg(pid, number)
            else:
                os.kill(pid, number)
    deadline = trio.current_time() + seconds
    while any(run_of(pid) is not None for pid in pids) and trio.current_time() < deadline:  # noqa: ASYNC110 - no event
        await trio.sleep(POLL)
