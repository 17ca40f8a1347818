"""Real processes: how they end, what they print, what they are given and what they cost."""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from processes import command, run, sh
from processes import way as way

from kala.clock import Clock
from kala.job import Attempt
from kala.processes.launch import has_glibc
from kala.states import State
from kala.tail import Tail

pytestmark = pytest.mark.usefixtures("way")


@dataclass(frozen=True)
class Ending:
    script: str
    state: State
    exit_code: int | None
    signal: int | None
    error: str
    output: bytes


ENDINGS = {
    "success": Ending("echo hi", State.SUCCEEDED, 0, None, "", b"hi\n"),
    "silence": Ending(":", State.SUCCEEDED, 0, None, "", b""),
    "failure": Ending("echo no; exit 3", State.FAILED, 3, None, "exit code 3", b"no\n"),
    "highest code": Ending("exit 255", State.FAILED, 255, None, "exit code 255", b""),
    "killed": Ending("kill -9 $$", State.FAILED, None, 9, "ended by signal 9 (SIGKILL)", b""),
    "real-time signal": Ending("kill -40 $$", State.FAILED, None, 40, "ended by signal 40", b""),
    "both outputs": Ending("echo out; echo err >&2", State.SUCCEEDED, 0, None, "", b"out\nerr\n"),
    "no input": Ending("cat; echo end", State.SUCCEEDED, 0, None, "", b"end\n"),
    "bytes that are not text": Ending("printf '\\377\\000\\303'", State.SUCCEEDED, 0, None, "", b"\xff\0\xc3"),
    "output closed early": Ending("exec >&- 2>&-; sleep 0.2; exit 4", State.FAILED, 4, None, "exit code 4", b""),
}


@pytest.mark.parametrize("case", ENDINGS.values(), ids=ENDINGS)
def test_how_it_ended_is_recorded(case: Ending) -> None:
    before = Clock().now()
    attempt, output = sh(case.script, number=7)
    assert (attempt.number, attempt.state, attempt.exit_code, attempt.signal, attempt.error, output) == (
        (7, case.state, case.exit_code, case.signal, case.error, case.output)
    )
    assert attempt.output_size == len(case.output)
    assert before <= attempt.started <= attempt.ended <= Clock().now()


def test_the_child_has_default_signals_its_own_session_and_no_other_descriptors() -> None:
    report = (
        "import os, signal; s = signal.getsignal(signal.SIGTERM); "
        "print(os.getsid(0) == os.getpid(), s == signal.SIG_DFL, signal.pthread_sigmask(0, []), "
        "sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
    )
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        assert run(sys.executable, "-c", report)[1] == b"True True set() [0, 1, 2]\n"
    finally:
        os.close(leak)
    # SIGPIPE, which Python ignores, ends the writer of a broken pipe without a word
    attempt, output = sh("(yes; echo $? >&2) | head -n 1")
    assert (attempt.state, sorted(output.split())) == (State.SUCCEEDED, [b"141", b"y"])


@pytest.mark.parametrize("size", [99, 100, 101, 200, 1_000_000])
def test_the_tail_is_kept_exactly_and_everything_is_counted(size: int) -> None:
    script = "import sys; size = int(sys.argv[1]); print(''.join(f'{n:07d} ' for n in range(size))[:size], end='')"
    attempt, output = run(sys.executable, "-c", script, str(size), output=Tail(100))
    whole = "".join(f"{n:07d} " for n in range(size))[:size]
    assert attempt.output_size == size
    assert output == whole[-100:].encode()


def test_output_is_there_as_it_comes(tmp_path: Path) -> None:
    class Heard(Tail):
        """Growth sets an event of Trio's."""

        def is_wanted(self) -> bool:
            return True

        def grown(self) -> None:
            self.told = False
            heard.set()

    async def main() -> None:
        nonlocal heard
        output = Heard(1000)
        script = f"printf '\\377one'; until [ -e {tmp_path}/go ]; do sleep 0.02; done; printf two >&2"
        async with trio.open_nursery() as nursery:
            came: list[bytes] = []

            async def attempt() -> None:
                came.append((await command("/bin/sh", "-c", script, output=output))[1])

            nursery.start_soon(attempt)
            with trio.fail_after(10):
                await heard.wait()
            assert output.last() == (0, b"\xffone")
            heard = trio.Event()
            (tmp_path / "go").touch()
            with trio.fail_after(10):
                await heard.wait()
        assert output.read(4) == (4, b"two")
        assert came == [b"\xffonetwo"]

    heard = trio.Event()
    trio.run(main)


def test_no_output_is_kept_when_none_is_wanted() -> None:
    attempt, output = sh("echo hi", output=Tail(0))
    assert (attempt.output_size, output) == (3, b"")


@pytest.mark.slow
def test_a_gigabyte_of_output_does_not_grow_the_daemon() -> None:
    def peak() -> int:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    sh("echo warm")
    before = peak()
    attempt, output = run("head", "-c", "1G", "/dev/zero")
    assert attempt.output_size == 1 << 30
    assert output == bytes(65536)
    assert peak() - before < 4096  # KiB


def test_processor_time_is_measured() -> None:
    attempt, _ = run(sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass")
    assert 300_000 <= attempt.cpu < 3_000_000


def test_memory_is_measured_above_the_daemons_own() -> None:
    import resource

    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    wanted = own + (64 << 20)
    attempt, _ = run(sys.executable, "-c", f"x = b'x' * {wanted}")
    assert wanted <= attempt.memory < wanted + (64 << 20)
    assert run("true")[0].memory == 0  # not told apart from ours


def children() -> set[int]:
    """The processes that this one has to wait for, ended ones among them."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_hundreds_at_once_leave_neither_descriptors_nor_zombies() -> None:
    async def many() -> list[tuple[Attempt, bytes]]:
        results = []

        async def one(n: int) -> None:
            results.append(await command("/bin/sh", "-c", f"echo {n}; exit {n % 2}"))

        async with trio.open_nursery() as nursery:
            for n in range(300):
                nursery.start_soon(one, n)
        return results

    run("true")
    before, servers = descriptors(), children()
    results = trio.run(many)
    assert sorted(int(output) for _, output in results) == list(range(300))
    assert all(attempt.exit_code == int(output) % 2 for attempt, output in results)
    assert descriptors() == before
    assert children() == servers  # there is nobody left to wait for, but what the session of tests has started


def test_two_hundred_one_after_another_leave_no_descriptors() -> None:
    async def main() -> None:
        await command("true")
        before = descriptors()
        for n in range(200):
            await command("true" if n % 2 else "no-such-program", timeout=30)
        assert descriptors() == before

    trio.run(main)


def test_glibc_is_used_where_it_is() -> None:
    import platform

    libc, version = platform.libc_ver()
    assert has_glibc() == (libc == "glibc" and tuple(map(int, version.split("."))) >= (2, 34))
