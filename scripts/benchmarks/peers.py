"""What is measured: a server of Kala's HTTP API as a process of its own, or a peer that is driven by lines."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def rfc3339(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e6):06d}+00:00"


class Sink:
    """Receives a datagram from each run: (id, when it started)."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.got: list[tuple[str, float]] = []
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        while True:
            one, at = self._socket.recv(512).decode().split()
            self.got.append((one, float(at)))

    def wait(self, count: int, deadline: float) -> list[tuple[str, float]]:
        """What has come when there are `count`, or at the deadline (wall clock)."""
        while len(self.got) < count and time.time() < deadline:
            time.sleep(0.05)
        return list(self.got)


class Server:
    """A server of the HTTP API. `command` has `{port}` and `{dir}` for what changes."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.command, self.folder = command, folder
        self.port = 0
        self.process: subprocess.Popen[bytes]

    def start(self, jobs: int = 0, seconds: float = 400) -> float:
        """Seconds from the start of the process to the first answer that tells of so many jobs."""
        self.port = free_port()
        words = [word.format(port=self.port, dir=self.folder) for word in self.command]
        began = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log)
        while time.monotonic() - began < seconds:
            try:
                status, body = self.call("GET", "/api/v1/stats/")
                if status == 200 and body["Stats"]["jobs"] >= jobs:
                    return time.monotonic() - began
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise SystemExit(f"{words[0]} did not start:\n{(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> float:
        """Seconds from TERM to the end of the process."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - began

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def call(
        self, method: str, path: str, body: object = None, over: http.client.HTTPConnection | None = None
    ) -> tuple[int, dict]:
        connection = over or self.connection()
        connection.request(
            method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        data = answer.read()
        if over is None:
            connection.close()
        return answer.status, json.loads(data) if data[:1] == b"{" else {}

    def create(self, jobs: Iterator[dict], connections: int = 16) -> tuple[list[float], float]:
        """Create all over kept connections. Returns when each was answered, and when that began (monotonic)."""
        return self._spread(connections, lambda connection: self._create_some(jobs, connection))

    def _create_some(self, jobs: Iterator[dict], connection: http.client.HTTPConnection) -> Iterator[float]:
        while (job := self._next(jobs)) is not None:
            status, answer = self.call("POST", "/api/v1/job/", job, connection)
            if status != 201:
                raise SystemExit(f"not created: {status} {answer}")
            yield time.monotonic()

    _lock = threading.Lock()

    def _next(self, jobs: Iterator[dict]) -> dict | None:
        with self._lock:
            return next(jobs, None)

    def get(self, path: str, seconds: float, connections: int = 16) -> float:
        """Requests a second."""
        until = time.monotonic() + seconds

        def some(connection: http.client.HTTPConnection) -> Iterator[float]:
            while time.monotonic() < until:
                self.call("GET", path, None, connection)
                yield time.monotonic()

        ends, began = self._spread(connections, some)
        return len(ends) / (max(ends) - began)

    def _spread(
        self, connections: int, work: Callable[[http.client.HTTPConnection], Iterator[float]]
    ) -> tuple[list[float], float]:
        ends: list[float] = []
        threads = [
            threading.Thread(target=lambda: ends.extend(list(work(self.connection())))) for _ in range(connections)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(ends), began

    def memory(self) -> float:
        """Resident, MB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Peer:
    """A peer that is driven by lines on its standard input, each answered with one."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str) -> float:
        """Seconds until it was answered."""
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("the peer has no pipes")
        began = time.monotonic()
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise SystemExit("the peer has ended")
        return time.monotonic() - began

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
