"""The command line against a daemon: in this process, in one of its own, or on a terminal of its own."""

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from fcntl import ioctl
from typing import Any, Self

from click.testing import CliRunner, Result
from daemon_process import DEADLINE, ROOT

from kala.cli import main

PROGRAM = (sys.executable, "-m", "kala")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(url: str, **more: str) -> dict[str, str]:
    """Variables of a process that talks to the daemon at `url`; the settings of this machine are none of it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KALA_", "NO_COLOR"))}
    return inherited | {"KALA_URL": url, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "TZ": "UTC"} | more


class Cli:
    """Calls of `kala` for one daemon."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *args: str, code: int = 0, stdin: str | None = None) -> Result:
        """In this process. The exit code must be `code`."""
        result = CliRunner(env={"KALA_URL": self.url}).invoke(main, args, input=stdin)
        assert result.exit_code == code, (args, result.exit_code, result.output, result.exception)
        return result

    def json(self, *args: str, code: int = 0, stdin: str | None = None) -> Any:
        return json.loads(self(*args, "--json", code=code, stdin=stdin).stdout)

    def process(self, *args: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        """In a process of its own, without a terminal."""
        return subprocess.run(
            [*PROGRAM, *args], capture_output=True, timeout=DEADLINE, env=environment(self.url, **more), check=False
        )

    def popen(self, *args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*PROGRAM, *args], stdout=subprocess.PIPE, env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.url)


def heed_interrupts() -> None:
    """Where the tests run in the background of a shell, Ctrl-C is ignored, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """`kala` on a terminal: `with Terminal(url, "watch") as terminal: terminal.wait("connected")`."""

    def __init__(self, url: str, *args: str, columns: int = 100, lines: int = 30) -> None:
        self.written = b""
        self._ours, self.theirs = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.theirs)
        self.process = subprocess.Popen(
            [*PROGRAM, *args],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env=environment(url),
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self.theirs)

    def resize(self, columns: int, lines: int) -> None:
        ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read(self, seconds: float = 0.05, then: float = 0.0) -> None:
        """Take what has been written meanwhile: it is waited for so long, and for more so long."""
        while select.select([self._ours], [], [], seconds)[0]:
            self.written += os.read(self._ours, 65_536)
            seconds = then

    @property
    def text(self) -> str:
        """What has been written, without colours and movements."""
        return ESCAPES.sub("", self.written.decode(errors="replace"))

    @property
    def screen(self) -> list[str]:
        """The lines of the last whole drawing."""
        drawings = self.written.decode(errors="replace").split("\x1b[H")
        return ESCAPES.sub("", next(one for one in reversed(drawings) if one.endswith("\x1b[J"))).split("\r\n")

    def wait(self, condition: str | Callable[[], object]) -> None:
        """Return when a text has been written, or a condition holds."""
        deadline = time.monotonic() + DEADLINE
        while True:
            ended = self.process.poll() is not None  # all that it has written is read then
            self.read(0.5 if ended else 0.05)
            if condition in self.text if isinstance(condition, str) else condition():
                return
            assert time.monotonic() < deadline, f"{condition!r} did not come:\n{self.text[-4_000:]}"
            assert not ended, f"it ended with {self.process.returncode}:\n{self.text[-4_000:]}"

    def shows(self, *texts: str) -> None:
        """Return when the screen shows all of these, each on some line."""
        self.wait(
            lambda: self.written.count(b"\x1b[J") and all(any(one in line for line in self.screen) for one in texts)
        )

    def end(self, seconds: float = DEADLINE) -> int:
        """Wait for its end, with all that it writes; the exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            self.read()
            assert time.monotonic() < deadline, f"it did not end:\n{self.text[-4_000:]}"
        self.read(0.5, 0.2)  # the system may hand on the last of it a little later
        return self.process.returncode
