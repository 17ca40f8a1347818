"""Blocking calls where the system gives no more threads: really so, by a limit on memory, in a process of its own."""

import logging
import subprocess
import sys

import pytest
import trio

from kala.threads import in_thread

SCRIPT = """
import logging, pathlib, resource, sys, threading, time
import trio
from kala.threads import in_thread

logging.basicConfig()
threading.stack_size(1 << 28)  # a thread does not fit what is allowed
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 26), hard))
try:
    threading.Thread(target=print).start()
    sys.exit("a thread can be started all the same")
except RuntimeError:
    pass
calls, limiter = [], trio.CapacityLimiter(1)

async def room_again():
    await trio.sleep(0.5)
    assert calls == []
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room_again)
        with trio.fail_after(30):
            await in_thread(calls.append, "called", limiter=limiter)
    print(calls, limiter.borrowed_tokens)

trio.run(main)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")
def test_a_call_waits_until_a_thread_can_be_started() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "['called'] 0\n"), done.stderr
    assert done.stderr.count("no thread can be started, and what needs one waits: can't start new thread") == 1


def test_what_the_call_itself_raises_is_its_callers(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []

    def broken(word: str) -> None:
        calls.append(word)
        raise RuntimeError("can't start new thread")  # of its own

    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError):
        trio.run(in_thread, broken, "once")
    assert (calls, caplog.text) == (["once"], "")
