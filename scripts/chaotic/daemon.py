"""A daemon that is killed, stopped and started again on one folder."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from chaotic.clock import Clock

ROOT = Path(__file__).resolve().parent.parent.parent
MARK = "CHAOTIC_DAEMON"  # in the environment of the daemon and of all that it starts
# The loader has done it by then, and jobs do not inherit it: their times are the real ones. libfaketime 0.9.10 fails
# sleeps until a moment of the monotonic clock, which are Python's, with EINVAL.
LAUNCH = """\
import os, select, time
if os.environ.pop("LD_PRELOAD", None):
    time.sleep = lambda seconds: select.select((), (), (), seconds)
from kala.cli import main
main()
"""


class Died(Exception):
    """It ended by itself, or does not become ready: the end of its log."""


class Daemon:
    """A `kala serve` with the flags of a database; its log is in `folder`, what it keeps in `state`, or there as well.

    `user`: its numeric user id, when it is not ours. `clock`: what it takes for the time. `apart`: it is in a process
    namespace of its own, and cannot be told from one on another machine.
    """

    def __init__(
        self,
        folder: Path,
        flags: Sequence[str],
        *,
        state: Path | None = None,
        keep_runs: int = 1_000_000,
        user: int | None = None,
        clock: Clock | None = None,
        apart: bool = False,
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one:
            self.port = one.getsockname()[1]
        self.folder, self.flags = folder, [f"--keep-runs={keep_runs}", *flags]
        self.log = folder / ("log" if not apart else "log.other")
        self._state, self.user, self._clock, self._apart = state or folder, user, clock, apart
        self._mark = str(uuid4())
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        command = [sys.executable, "-c", LAUNCH, "serve", f"--port={self.port}", f"--bolt-path={self._state}"]
        command += ["--drain=10", *self.flags]
        if self._clock is not None:  # by `env`: what runs before it is not to be deceived
            command = ["env", *self._clock.environment(), *command]
        if self.user is not None:
            command = [*as_user(self.user), *command]
        if self._apart:
            command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KALA_")}
        env = {**inherited, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), MARK: self._mark}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, stdout=log, env=env)

    @property
    def pid(self) -> int:
        """Of the daemon itself."""
        if not self._apart:
            return self.process.pid
        own = self.process.pid  # of unshare, which has one child
        return int(Path(f"/proc/{own}/task/{own}/children").read_text().split()[0])

    def kill(self) -> None:
        pid = self.process.pid
        self.process.kill()
        self.process.wait()
        if self._clock is not None:
            self._clock.forget(pid)

    def stop(self) -> int:
        """Stop it in order; the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(90)

    def call(self, method: str, path: str, body: object = None, seconds: float = 20) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body=json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else {}
        finally:
            connection.close()

    def create(self, job: dict[str, object]) -> str | None:
        """The new job's id, when it was answered with 201."""
        try:
            status, answer = self.call("POST", "/api/v1/job/", job)
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return str(answer["id"]) if status == 201 else None

    def create_many(self, jobs: Sequence[dict[str, object]]) -> list[str]:
        """Their ids. Raises `Died` when one was not made."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/api/v1/job/batch/", "\n".join(map(json.dumps, jobs)).encode())
            answer = connection.getresponse()
            lines = [json.loads(line) for line in answer.read().splitlines()]
        finally:
            connection.close()
        if answer.status != 200 or not all("id" in line for line in lines):
            raise Died(f"not all of {len(jobs)} jobs were made: {answer.status} {lines[:2]}")
        return [str(line["id"]) for line in lines]

    def clock(self) -> float:
        """What it takes for the time."""
        now = str(self.call("GET", "/api/v1/node/")[1]["now"])
        return datetime.fromisoformat(now).timestamp()

    def check(self) -> None:
        """Raises `Died` when it has ended."""
        if self.process.poll() is not None:
            raise Died(f"the daemon ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")

    def is_ready(self) -> bool:
        """Raises `Died` when it has ended."""
        self.check()
        try:
            return self.call("GET", "/readyz", seconds=5)[0] == 200
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def wait_ready(self, seconds: float = 60) -> float:
        """How long it took. Raises `Died`."""
        began = time.monotonic()
        while not self.is_ready():
            if time.monotonic() > began + seconds:
                raise Died(f"the daemon does not become ready within {seconds:g} s:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        return time.monotonic() - began

    def descendants(self) -> list[int]:
        """Living processes that any start of this daemon has started; not the daemon."""
        mark, found = f"{MARK}={self._mark}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has just ended
                if mark in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != self.process.pid:
                    found.append(int(folder.name))
        return found

    def alive(self) -> int:
        """Processes that it has started and that are there."""
        found = 0
        for task in Path(f"/proc/{self.pid}/task").glob("*"):
            with suppress(OSError):  # a thread that has just ended
                found += len((task / "children").read_text().split())
        return found

    def logged(self, words: str) -> int:
        """How often the log says this."""
        return self.log.read_text().count(words)


def as_user(user: int) -> list[str]:
    """What starts a program as another user, without any right of root's but to read: a clone may be root's alone."""
    return [
        *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    ]
