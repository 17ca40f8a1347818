"""What is measured, behind the same few questions: a daemon of any kind, one with an HTTP API, and Kala's."""

import http.client
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tools import HERE, Answers, Tools, environment, free_port, request, rfc3339

ROOT = HERE.parent.parent
MARK = "@@@@@@@@"
"""In a job's words: its number, in eight digits."""
Body = dict[str, Any]


def far() -> float:
    """A day on which nothing measured here is still on."""
    return time.time() + 300 * 86_400


class Contender:
    """A daemon in `folder`. What is to be run is a command, or an address to call; both may have a `MARK`."""

    title: str
    steps: frozenset[str]
    """The names of those steps that it can be asked to take."""
    makes = 400
    """Jobs a second that it takes at least, on a busy machine."""

    def __init__(self, tools: Tools, folder: Path) -> None:
        self.tools, self.folder = tools, folder
        self.port = 0
        self.process: subprocess.Popen[Any]

    # What each kind says.

    def start(self, jobs: int = 0, seconds: float = 400) -> float:
        """Seconds from the start of the process until it tells of so many jobs."""
        raise NotImplementedError

    def make_far(self, count: int) -> Answers:
        """So many jobs for a day far off, one at a time, over 16 connections where it has any."""
        raise NotImplementedError

    def make_batch(self, count: int) -> None:
        """As `make_far`, in the fastest way there is."""
        self.make_far(count)

    def make_due(self, count: int, run: str, when: float) -> None:
        """So many jobs, each of them once, at one moment."""
        raise NotImplementedError

    def make_sparse(self, count: int, run: str, first: float, gap: float) -> None:
        """So many jobs, each of them once, one after another."""
        raise NotImplementedError

    def make_each(self, count: int, run: str, first: float) -> None:
        """So many jobs, each of them every second from then on."""
        raise NotImplementedError

    # What is the same for all.

    def stop(self) -> float:
        """Seconds from TERM to the end of the process."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - began

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it at once if it is there, and what it needs besides."""
        if getattr(self, "process", None) is not None and self.process.poll() is None:
            self.kill()

    def memory(self) -> float:
        """Resident, MB."""
        return self._memory("VmRSS")

    def most_memory(self) -> float:
        """The most that was resident since the start, MB."""
        return self._memory("VmHWM")

    def _memory(self, name: str) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def written(self) -> int:
        """Bytes that it has had the disk write so far."""
        lines = Path(f"/proc/{self.process.pid}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))

    def spawn(self, command: Sequence[object], env: Mapping[str, str], **streams: Any) -> None:
        with (self.folder / "log").open("ab") as log:
            streams = {"stdout": log, **streams}
            self.process = subprocess.Popen([*map(str, command)], cwd=self.folder, stderr=log, env=env, **streams)

    def wait_until(self, condition: Callable[[], bool], began: float, seconds: float) -> float:
        """Seconds since `began` (monotonic) when it holds."""
        while time.monotonic() - began < seconds:
            try:
                if condition():
                    return time.monotonic() - began
            except OSError:
                pass  # it does not listen yet
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise SystemExit(f"{self.title} did not start:\n{(self.folder / 'log').read_text()[-2000:]}")


class Web(Contender):
    """One with an HTTP API. `command` has `{port}` and `{dir}` for what changes."""

    create_path: str
    one_path: str
    """With `{}` for what the answer to a creation calls `id_member`."""
    id_member = "id"
    stats_path: str
    list_path: str

    def __init__(self, tools: Tools, folder: Path, command: Sequence[str], env: Mapping[str, str] | None = None):
        super().__init__(tools, folder)
        self.command, self.env = command, environment(**(env or {}))
        self.headers: dict[str, str] = {}
        self.tls = False

    def job(self, name: str, run: str, schedule: str) -> Body:
        raise NotImplementedError

    def jobs(self) -> int:
        """How many it tells of. `OSError`, or less than 0: it does not answer yet."""
        raise NotImplementedError

    def once(self, when: float) -> str:
        raise NotImplementedError

    def every_second(self, first: float) -> str:
        raise NotImplementedError

    def start(self, jobs: int = 0, seconds: float = 400) -> float:
        self.port = free_port()
        began = time.monotonic()
        self.spawn([word.format(port=self.port, dir=self.folder) for word in self.command], self.env)
        return self.wait_until(lambda: self.jobs() >= jobs, began, seconds)

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        answer, data = self.answer(method, path, body)
        return answer.status, data

    def answer(self, method: str, path: str, body: bytes | None = None) -> tuple[http.client.HTTPResponse, bytes]:
        place = "127.0.0.1", self.port
        connection = http.client.HTTPConnection(*place, timeout=600)
        if self.tls:
            unchecked = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(*place, timeout=600, context=unchecked)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **self.headers})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def create(self, body: Body) -> str:
        """Its id."""
        status, data = self.call("POST", self.create_path, json.dumps(body).encode())
        if status not in (200, 201):
            raise SystemExit(f"{self.title}: not created: {status} {data[:300]!r}")
        return str(json.loads(data)[self.id_member])

    def create_many(self, body: Body, count: int) -> Answers:
        return self.tools.load(self.port, request("POST", self.create_path, self.headers, body), count=count)

    def make_far(self, count: int) -> Answers:
        return self.create_many(self.job(f"job-{MARK}", "/bin/true", self.once(far())), count)

    def make_due(self, count: int, run: str, when: float) -> None:
        if count == 1:
            self.create(self.job("due", run, self.once(when)))
        else:
            self.create_many(self.job(f"due-{MARK}", run, self.once(when)), count)

    def make_sparse(self, count: int, run: str, first: float, gap: float) -> None:
        for number in range(count):
            words = run.replace(MARK, f"{number:08d}")
            self.create(self.job(f"sparse-{number}", words, self.once(first + number * gap)))

    def make_each(self, count: int, run: str, first: float) -> None:
        self.create_many(self.job(f"each-{MARK}", run, self.every_second(first)), count)


class Kala(Web):
    """This project's daemon, or the original's, which has the same API."""

    create_path = "/api/v1/job/"
    list_path = "/api/v1/job/"
    one_path = "/api/v1/job/{}/"
    stats_path = "/api/v1/stats/"
    title = "Kala"
    steps = frozenset({"create", "batch", "read", "secure", "list", "due", "remote", "sparse", "rate", "grid", "size"})

    def job(self, name: str, run: str, schedule: str) -> Body:
        if run.startswith("http:"):
            remote = {"url": run, "method": "GET"}
            return {"name": name, "type": 1, "remote_properties": remote, "schedule": schedule}
        return {"name": name, "command": run, "schedule": schedule}

    def once(self, when: float) -> str:
        return f"R0/{rfc3339(when)}/PT1H"

    def every_second(self, first: float) -> str:
        return f"R/{rfc3339(first)}/PT1S"

    def jobs(self) -> int:
        status, data = self.call("GET", self.stats_path)
        return int(json.loads(data)["Stats"]["jobs"]) if status == 200 else -1

    def make_batch(self, count: int) -> None:
        """All in one request."""
        self.send_batch(self.far_lines(count))

    def far_lines(self, count: int) -> bytes:
        when = rfc3339(far())
        lines = (f'{{"name": "job {n}", "command": "/bin/true", "schedule": "R/{when}/P1D"}}\n' for n in range(count))
        return "".join(lines).encode()

    def send_batch(self, lines: bytes) -> None:
        """None of them may be refused."""
        status, data = self.call("POST", "/api/v1/job/batch/", lines)
        if status != 200 or b'"error"' in data:
            raise SystemExit(f"a batch was refused: {status} {data[:300]!r}")
