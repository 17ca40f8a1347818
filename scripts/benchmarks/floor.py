"""The floor under each step: what the machine, the kernel and the libraries take for it without a scheduler.

Figures are named as those of the contenders, and mean the same amount of work: a commit of one record of 1 KB for a
create, one of 1,000 for a batch's jobs, a fixed reply for a GET, a program started and ended for a run.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.bare import BARE, Claim
from benchmarks.tools import HERE, Sink, Tools, free_port, request

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 800\r\n\r\n" + b"x" * 800


class BareHttp:
    """A fixed reply, of the size of a job."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._port = tools, free_port()
        answer = tools.folder / "answer"
        answer.write_bytes(ANSWER)
        command = [sys.executable, str(HERE / "barehttp.py"), str(self._port), str(answer)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it listens

    def rate(self, seconds: float) -> float:
        return self._tools.load(self._port, request("GET", "/"), seconds=seconds).rate

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class BareCommits:
    """Of SQLite's own client, as durable as the daemon's."""

    def __init__(self, folder: Path) -> None:
        self._claim: Claim = BARE["sqlite"](folder)
        self._revision = 0

    def rate(self, at_once: int, seconds: float) -> float:
        """Records a second."""
        written, began = 0, time.monotonic()
        while time.monotonic() < began + seconds:
            self._revision += 1
            for first in range(0, 1_000, at_once):
                self._claim(first, at_once, self._revision)
            written += 1_000
        return written / (time.monotonic() - began)


class Floor:
    title = "the floor"
    steps = frozenset({"create", "batch", "read", "rate"})

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def measured(self, step: str) -> dict[str, float]:
        kinds: dict[str, Callable[[], dict[str, float]]] = {
            "create": lambda: {"creates, one at a time over 16 connections, /s": self._commits(1)},
            "batch": lambda: {"creates, all in one request, /s": self._commits(1_000)},
            "read": self._read,
            "rate": self._runs,
        }
        return kinds[step]()

    def _commits(self, at_once: int) -> float:
        with tempfile.TemporaryDirectory(dir=self._tools.folder) as folder:
            return BareCommits(Path(folder)).rate(at_once, 3)

    def _read(self) -> dict[str, float]:
        bare = BareHttp(self._tools)
        try:
            return {"GET of one job, /s": bare.rate(3)}
        finally:
            bare.close()

    def _runs(self) -> dict[str, float]:
        with closing(Sink()) as sink:
            return {"most runs, /s": self._tools.spawn_rate(sink, 5)}
