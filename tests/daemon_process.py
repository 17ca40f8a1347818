"""A real daemon in a process of its own, for tests that talk to it over HTTP, stop it, and kill it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
API = "/api/v1"
MARK = "DAEMON_PROCESS"  # in the environment of the daemon and of all that it starts, so that none is left behind
DEADLINE = 30.0  # seconds for anything that should come soon, on a busy machine
NOW_AND_THEN = 0.02

T = TypeVar("T")


class Answer(NamedTuple):
    """What an HTTP request was answered with; `json` is None when the answer has no body."""

    status: int
    json: Any


class KalaProcess:
    """`kala serve` on a free port of 127.0.0.1, with its database and its log in `folder`.

        with KalaProcess(tmp_path, "--drain", "1") as kala:
            job_id = kala.create(command="true")
            kala.wait_for(lambda: kala.job(job_id)["metadata"]["success_count"] == 1)

    At the end it is stopped and must have ended with exit code 0, unless it was stopped or killed before. Whatever is
    left of its runs then is killed. `environment` is added to that of the tests, from which `KALA_…` are taken.
    `patience` is how long a start may take, in seconds.
    """

    def __init__(
        self,
        folder: Path,
        *flags: str,
        command: Sequence[str] = (sys.executable, "-m", "kala", "serve"),
        environment: dict[str, str] | None = None,
        patience: float = DEADLINE,
    ) -> None:
        self.folder, self.flags, self.command, self.patience = folder, flags, command, patience
        self.log_file = folder / "kala.log"
        self.headers: dict[str, str] = {}  # of every request
        self._mark = str(uuid4())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KALA_")}
        self.environment = {
            **inherited,
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            MARK: self._mark,
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._log_start = 0

    # Its life.

    def launch(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start the process and wait for nothing. Flags are added to those of the constructor."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._url = ""
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                [*self.command, "--port", "0", "--bolt-path", str(self.folder), *self.flags, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
            )
        return self.process

    def start(self, *flags: str, ready: bool = True) -> Self:
        """Start, and return when it listens and (with `ready`) its jobs are loaded and runs are started."""
        self.launch(*flags)
        self._url = self._still_running(self._address, "it does not listen")
        if ready:
            self._still_running(lambda: self.get("/readyz").status == 200, "it does not become ready")
        return self

    def stop(self, *, number: int = signal.SIGTERM, seconds: float = 60.0) -> int:
        """Send a signal and wait for the end. Returns the exit code, negative when a signal ended it."""
        self._running().send_signal(number)
        return self.wait(seconds)

    def kill(self) -> None:
        """`kill -9`: what it runs is left behind, as after a crash."""
        self.stop(number=signal.SIGKILL)

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for the end. Returns the exit code."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {seconds} s\n{self.log()}") from None

    def restart(self, *flags: str, ready: bool = True) -> Self:
        """Stop it in order, when it runs, and start it again on the same folder. The port is another one."""
        if self.running:
            code = self.stop()
            assert code == 0, f"exit code {code}\n{self.log()}"
        return self.start(*flags, ready=ready)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        return self._running().pid

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.running and error is None:
                code = self.stop()
                assert code == 0, f"exit code {code}\n{self.log()}"
            elif error is not None:
                error.add_note(f"--- log of the daemon:\n{self.log()[-20_000:]}")
        finally:
            self.close()

    def close(self) -> None:
        """Kill it, if it still runs, and all that was started by it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for pid in self.descendants():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def descendants(self) -> list[int]:
        """Living processes that this daemon, or an earlier start of it, has started; not itself."""
        mark, found = f"{MARK}={self._mark}".encode(), []
        for name in os.listdir("/proc"):
            if not name.isdigit() or (self.process is not None and int(name) == self.process.pid):
                continue
            with suppress(OSError):  # it has just ended
                if mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found.append(int(name))
        return found

    # Talking to it.

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        assert self._url, "it was not started"
        return self._url

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request on a connection of its own, and its whole answer. A body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=DEADLINE)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, self.headers | (headers or {}))
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """`request` to its status and JSON. In names of headers `_` stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        response, data = self.request(method, path, body, named)
        return Answer(response.status, json.loads(data) if data else None)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, headers)

    def patch(self, path: str, body: Any, **headers: str) -> Answer:
        return self.ask("PATCH", path, body, headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.ask("DELETE", path, None, headers)

    def create(self, **members: Any) -> str:
        """A job that must be taken; its id. Without other members it is due in the year 9000."""
        standard = {"name": "job", "command": "true", "schedule": "R/9000-01-01T00:00:00Z/P1D"}
        answer = self.post(f"{API}/job/", standard | members)
        assert answer.status == 201, answer
        return str(answer.json["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """A job that must be there."""
        answer = self.get(f"{API}/job/{job_id}/")
        assert answer.status == 200, answer
        return dict(answer.json["job"])

    def jobs(self) -> dict[str, dict[str, Any]]:
        """All jobs by id."""
        answer = self.get(f"{API}/job/")
        assert answer.status == 200, answer
        return dict(answer.json["jobs"])

    # Watching it.

    def log(self, *, all_starts: bool = False) -> str:
        """What it has logged since it was last started, or ever."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as file:
            file.seek(0 if all_starts else self._log_start)
            return file.read().decode(errors="replace")

    def wait_for(self, condition: Callable[[], T], what: str = "it did not come", seconds: float = DEADLINE) -> T:
        """The first true value of `condition`, which is asked again and again until the deadline."""
        return wait_for(condition, lambda: f"{what}\n{self.log()[-20_000:]}", seconds)

    def wait_log(self, text: str, seconds: float = DEADLINE) -> None:
        """Return when a line with `text` has been logged since the last start."""
        self.wait_for(lambda: text in self.log(), f"not in the log: {text}", seconds)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "it was not started"
        return self.process

    def _address(self) -> str:
        found = re.search(r'listening at ((?:https?://|unix:)[^\s"]+)', self.log())
        return found[1] if found else ""

    def _still_running(self, condition: Callable[[], T], what: str) -> T:
        def met() -> T:
            code = self._running().poll()
            assert code is None, f"it ended with exit code {code}\n{self.log()}"
            return condition()

        return self.wait_for(met, what, self.patience)


def until_there(path: Path) -> str:
    """A command that goes on until there is such a file."""
    return f"sh -c 'until [ -e {path} ]; do sleep 0.05; done'"


def wait_for(condition: Callable[[], T], what: Callable[[], str], seconds: float = DEADLINE) -> T:
    """The first true value of `condition`; fails with `what` when there is none in `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, what()
        time.sleep(NOW_AND_THEN)
    return value
