"""What the steps measure with: small programs in C, compiled when they are needed, and what they send back."""

import json
import math
import os
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
QUANTILES = 100
"""A curve of lateness has so many parts."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def rfc3339(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e6):06d}+00:00"


def part(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def curve(values: Sequence[float]) -> list[float]:
    """Its quantiles, from the least to the most."""
    ordered = sorted(values)
    return [ordered[round((len(ordered) - 1) * place / QUANTILES)] for place in range(QUANTILES + 1)]


def is_chosen(parts: str, name: str) -> bool:
    """Whether the name has any of these parts, with commas between; all do when there are none."""
    return any(part in name for part in parts.split(","))


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would set up a daemon."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KALA_")} | more


class Answers(NamedTuple):
    """What `load` tells: times in seconds, latencies in ms."""

    number: int
    seconds: float
    p50: float
    p99: float
    first_tenth: float
    last_tenth: float

    @property
    def rate(self) -> float:
        return self.number / self.seconds


class Tools:
    """Programs in `folder`, each compiled at its first use. Needs a C compiler."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str, *options: str) -> Path:
        """Of the program of `name.c`."""
        made = self.folder / name
        if not made.exists():
            command = ["cc", "-O2", *options, "-o", made, HERE / f"{name}.c"]
            subprocess.run([*map(str, command)], check=True)
        return made

    @property
    def ping(self) -> Path:
        return self.path("ping", "-static")

    def load(
        self, port: int, request: bytes, *, seconds: float = 3600, count: int = 0, connections: int = 16
    ) -> Answers:
        """Ask `request` over so many kept connections, one at a time on each; all have to be answered well."""
        file = self.folder / f"request.{port}"
        file.write_bytes(request)
        command = [self.path("load"), port, connections, seconds, count, file]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"load: {done.stderr.strip()}")
        answers, took, p50, p99, first, last, bad = done.stdout.split()
        if int(bad):
            raise SystemExit(f"{bad} of {answers} answers were no success: {done.stderr.strip()}")
        return Answers(int(answers), float(took), float(p50), float(p99), float(first), float(last))

    def load_tls(self, port: int, path: str, headers: dict[str, str], seconds: float) -> float:
        """Requests a second under TLS, over 16 kept connections, by h2load."""
        told = [f"--header={name}: {value}" for name, value in headers.items()]
        command = ["h2load", "--h1", "-t1", "-c16", f"-D{seconds:g}", *told, f"https://127.0.0.1:{port}{path}"]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = {line.split(":")[0].strip(): line.split(":")[1] for line in done.stdout.splitlines() if ":" in line}
        if done.returncode or int(lines["status codes"].split()[0]) == 0 or "0 4xx, 0 5xx" not in lines["status codes"]:
            raise SystemExit(f"h2load: {done.stdout}{done.stderr}")
        return int(lines["status codes"].split()[0]) / seconds

    def spawn_rate(self, sink: "Sink", seconds: float) -> float:
        """Programs a second that a loop in C starts and waits for, in two processes."""
        command = [self.path("spawnloop"), seconds, self.ping, sink.port, "x"]
        return float(subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout)


def request(method: str, path: str, headers: dict[str, str] | None = None, body: object = None) -> bytes:
    """As bytes. In the body the text @@@@@@@@ is what `load` puts the number of the request in place of."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{n}: {v}" for n, v in (headers or {}).items())]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


class Sink:
    """Receives a datagram from each run: (id, when it started)."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", socket.SO_RCVBUF), 1 << 24)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.got: list[tuple[str, float]] = []
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        with self._socket:
            while data := self._socket.recv(512):
                one, at = data.decode().split()
                self.got.append((one, float(at)))

    def close(self) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()

    def wait(self, count: int, deadline: float) -> list[tuple[str, float]]:
        """What has come when there are `count`. At the deadline (wall clock) that is an error."""
        while len(self.got) < count:
            if time.time() > deadline:
                raise SystemExit(f"{len(self.got)} of {count} ran")
            time.sleep(0.05)
        return list(self.got)


class HttpSink:
    """What remote jobs call, in a process of its own, by so many `origins`; it tells a `Sink` of each call."""

    def __init__(self, tools: Tools, sink: Sink, origins: int = 1) -> None:
        command = [str(tools.path("httpsink")), str(sink.port), str(origins)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.urls = [f"http://127.0.0.1:{port}" for port in self._process.stdout.readline().split()]

    def close(self) -> None:
        self._process.communicate()  # it ends with its input


def number(value: float) -> str:
    """For people: three digits, or all before the point."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def shown(values: Sequence[float]) -> str:
    """The median, and the least and the most where there are several."""
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"
