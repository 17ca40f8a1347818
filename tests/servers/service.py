"""A server in a folder of its own, on a free port of 127.0.0.1, that is started, stopped, killed and paused at will."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from kala.drivers.server import Server

DEADLINE = 60.0  # seconds for anything a server has to do, on a busy machine
BUILT = Path(os.environ.get("KALA_TEST_SERVERS") or Path.home() / ".cache" / "kala-test-servers")
"""Where `scripts/services` puts the servers that it builds."""


class Unsupported(Exception):
    """What this server cannot be made to do; a test of it is skipped, with this as the reason."""


class Service:
    """One server. `folder` holds its data and its log; stopped and started again it has the same port and data.

    A subclass says how it is started (`command`), whether it answers (`answers`), and what is particular to it.
    """

    engine: ClassVar[str]  # as `--jobdb` calls it
    title: ClassVar[str]  # as people call it
    programs: ClassVar[Sequence[str]]  # that must be installed
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder, self.port = folder, port if port is not None else free_port()
        self.log_file = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.options: list[str] = []  # further arguments of the server, from the next start on
        self._made = 0

    # What a subclass says.

    @classmethod
    def missing(cls) -> str:
        """What has to be installed; empty when it can be started."""
        return ", ".join(name for name in cls.programs if program(name) is None)

    def prepare(self) -> None:
        """Make the data folder, before the first start."""

    def command(self) -> Sequence[str]:
        """What starts the server in the foreground."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it takes requests now. May raise what the client raises when it does not."""
        raise NotImplementedError

    def version(self) -> str:
        """Name and version of the server that runs."""
        raise NotImplementedError

    def fresh(self) -> Server:
        """A new, empty database on it, and the way in, as somebody with no more rights than needed."""
        raise NotImplementedError

    def old_password(self) -> None:
        """Make the password of every `Server` that was given wrong, from now on (or from the next start)."""
        raise Unsupported(f"{self.title} has no passwords here")

    def read_only(self, on: bool) -> None:
        """Refuse writes, and take them again. Reads go on."""
        raise Unsupported(f"{self.title} cannot be made read-only")

    def full(self, on: bool) -> None:
        """Have no room for more, and have it again."""
        raise Unsupported(f"{self.title} cannot be made full here")

    def wipe(self, server: Server) -> None:
        """Empty the database of `server` behind the driver's back."""
        raise NotImplementedError

    # Its life.

    def start(self) -> Self:
        """Start it, and return when it answers."""
        assert self.process is None or self.process.poll() is not None, f"{self.title} runs already"
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            self.prepare()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command(), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self.wait_until(self._answers, "it does not answer")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.title} ended with {self.process.returncode}\n{self.log()}"
        try:
            return self.answers()
        except Exception:  # noqa: BLE001  # of whatever client library: it is asked again until the deadline
            return False

    def stop(self) -> None:
        """Stop it in order, and wait for its end."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """`kill -9`, also of all that it has started."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self._signal(signal.SIGCONT)
        if number is signal.SIGKILL:
            self._signal(number)
        else:
            self.process.send_signal(number)
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait(DEADLINE)

    def pause(self) -> None:
        """It is silent from now on: connections are taken, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-5_000:] if self.log_file.exists() else ""

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"{self.title}: {what}\n{self.log()}"
            time.sleep(0.05)

    def next_name(self, stem: str = "kala_test") -> str:
        """A name for a database that was not given before."""
        self._made += 1
        return f"{stem}_{self._made}"


def flags_of(engine: str, server: Server) -> list[str]:
    """The flags of `kala serve` for a database."""
    given = {
        "--jobdb": engine,
        "--jobdb-address": server.address,
        "--jobdb-username": server.username,
        "--jobdb-password": server.password,
        "--jobdb-tls-capath": server.tls.ca,
        "--jobdb-tls-certpath": server.tls.certificate,
        "--jobdb-tls-keypath": server.tls.key,
        "--jobdb-tls-servername": server.tls.name,
    }
    return [f"{flag}={value}" for flag, value in given.items() if value]


def program(name: str) -> str | None:
    """The path of a program, among those that were built, in PATH, or where Debian hides servers."""
    hidden = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join(
        map(str, [BUILT / "bin", *os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", *hidden])
    )
    return shutil.which(name, path=path)


def found(name: str) -> str:
    """`program`, which must be there."""
    path = program(name)
    assert path is not None, f"{name} is not installed: scripts/services install"
    return path


def free_port() -> int:
    """One that nobody listens at, and that no system gives away by itself: a server may come to it later, or again."""
    while True:
        port = random.randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
