"""System calls by libc do what Python's own do."""

import os
import select
import subprocess
import sys
from collections.abc import Callable

import pytest

from kala.processes.launch import has_glibc
from kala.processes.syscalls import LONG_IS_WORD, Glibc, Plain, Poll, Syscalls, new_calls

GLIBC = pytest.mark.skipif(not (has_glibc() and LONG_IS_WORD), reason="needs glibc on 64 bits")


def plain_poll() -> Plain:
    """As it is where there is no epoll."""
    calls, poll = Plain(), Poll()
    calls._poll, calls.poll, calls.unwatch = poll, poll.poll, poll.unregister
    return calls


WAYS = [pytest.param(Glibc, marks=GLIBC), Plain, plain_poll]


@pytest.fixture(params=WAYS)
def calls(request: pytest.FixtureRequest) -> Syscalls:
    make: Callable[[], Syscalls] = request.param
    return make()


@GLIBC
def test_glibc_is_used_where_there_is_such() -> None:
    assert isinstance(new_calls(), Glibc)


def test_a_pipe_is_polled_while_it_is_watched(calls: Syscalls) -> None:
    end, other = calls.pipe()
    assert not os.get_inheritable(end)
    assert not os.get_inheritable(other)
    calls.watch(end)
    assert calls.poll(0) == []
    os.write(other, b"x")
    assert calls.poll(10) == [(end, select.POLLIN)]
    calls.close(other)
    os.read(end, 1)
    assert calls.poll(10) == [(end, select.POLLHUP)]
    calls.unwatch(end)
    assert calls.poll(0) == []
    calls.close(end)
    with pytest.raises(OSError, match="Bad file descriptor"):
        calls.close(end)
    with pytest.raises((OSError, KeyError, ValueError)):
        calls.unwatch(end)


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3 << 8), ("kill -9 $$", 9)])
def test_an_ended_child_is_seen_and_stays_until_it_is_reaped(calls: Syscalls, script: str, status: int) -> None:
    with subprocess.Popen(["/bin/sh", "-c", f"read x; {script}"], stdin=subprocess.PIPE) as process:
        assert not calls.has_ended(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert calls.has_ended(process.pid)
        assert calls.has_ended(process.pid)
        found, usage = calls.reap(process.pid)
        process.returncode = 0  # so that nobody waits for it any more
    assert found == status
    assert usage.memory > 0
    with pytest.raises(ChildProcessError):
        calls.has_ended(process.pid)
    with pytest.raises(ChildProcessError):
        calls.reap(process.pid)


def test_processor_time_and_memory_are_told(calls: Syscalls) -> None:
    script = "import os; data = b'x' * 300_000_000\nwhile sum(os.times()[:2]) < 0.5: data.count(b'y')"
    process = subprocess.Popen([sys.executable, "-c", script])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    status, usage = calls.reap(process.pid)
    process.returncode = 0
    assert status == 0
    assert 0.4 <= usage.cpu < 20
    assert usage.memory * (1 if sys.platform == "darwin" else 1024) >= 300_000_000
