"""What is looked at every ten seconds, by the names under which it stands in the table and the graph."""

import csv
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from chaotic.svg import COLOURS, Graph, document
from soaking.flat import Bound, growth, is_flat
from soaking.load import API, Client
from soaking.peer import Listener

MIB = 1 << 20
BOUNDS = {
    "RSS, MiB": Bound(0.05, 4),
    "descriptors": Bound(0.1, 4),
    "threads": Bound(0, 2),
    "database, MiB": Bound(0.05, 2),
    "runs on": Bound(0.25, 5),
    "/readyz p50, ms": Bound(0.25, 2),
    "/readyz p99, ms": Bound(1, 20),
    "GET /job/ p50, ms": Bound(0.25, 5),
    "GET /job/ p99, ms": Bound(1, 30),
    "lateness p50, ms": Bound(0.25, 2),
    "lateness p99, ms": Bound(1, 20),
}
"""How much each may grow over the second half. A latency is that of ten seconds, in which other work shows."""
PANELS = {
    "Memory and database, MiB": ("RSS, MiB", "database, MiB"),
    "Descriptors, threads and runs that are on": ("descriptors", "threads", "runs on"),
    "Answers, ms": ("/readyz p50, ms", "/readyz p99, ms", "GET /job/ p50, ms", "GET /job/ p99, ms"),
    "Lateness of runs by schedule, ms": ("lateness p50, ms", "lateness p99, ms"),
    "Runs started a second": ("runs/s",),
}


class Samples:
    """Of the process `pid` and of the daemon at `port`; written to `table` as they are taken."""

    def __init__(self, pid: int, port: int, listener: Listener, size: Callable[[], int], table: Path) -> None:
        self._pid, self._listener, self._size, self._table = pid, listener, size, table
        self.client, self._prober = Client(port), Client(port)
        self._began = self._before = time.monotonic()
        self._started = listener.started
        self._readyz: list[float] = []
        self._jobs: list[float] = []
        self._lock = threading.Lock()
        self.rows: list[dict[str, float]] = []

    def probe(self, done: threading.Event) -> None:
        """Ask five times a second, until `done`."""
        while not done.wait(0.2):
            readyz, jobs = self._prober.timed("/readyz"), self._prober.timed(f"{API}/job/")
            with self._lock:
                self._readyz.append(readyz)
                self._jobs.append(jobs)

    @property
    def odd(self) -> dict[str, int]:
        return self.client.odd + self._prober.odd

    def take(self) -> dict[str, float]:
        now = time.monotonic()
        with self._lock:
            readyz, self._readyz = self._readyz, []
            jobs, self._jobs = self._jobs, []
        late = self._listener.late()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self._pid}/status").read_text().splitlines())
        node = json.loads(self.client.call("GET", f"{API}/node/") or b"{}")
        started = self._listener.started
        row = {
            "seconds": now - self._began,
            "RSS, MiB": int(status["VmRSS"].split()[0]) / 1024,
            "descriptors": len(list(Path(f"/proc/{self._pid}/fd").iterdir())),
            "threads": int(status["Threads"]),
            "database, MiB": self._size() / MIB,
            "runs on": node.get("running", 0) + node.get("waiting", 0),
            "runs/s": (started - self._started) / (now - self._before),
            "/readyz p50, ms": part(readyz, 0.5),
            "/readyz p99, ms": part(readyz, 0.99),
            "GET /job/ p50, ms": part(jobs, 0.5),
            "GET /job/ p99, ms": part(jobs, 0.99),
            "lateness p50, ms": part(late, 0.5),
            "lateness p99, ms": part(late, 0.99),
        }
        row = {name: round(value, 3) for name, value in row.items()}
        self._before, self._started = now, started
        self.rows.append(row)
        with self._table.open("a" if len(self.rows) > 1 else "w", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if len(self.rows) == 1:
                writer.writeheader()
            writer.writerow(row)
        return row

    def series(self, name: str) -> list[tuple[float, float]]:
        return [(row["seconds"], row[name]) for row in self.rows]

    def judged(self, *, without: frozenset[str]) -> tuple[list[str], list[str]]:
        """A table of all series, and what is not flat. What is in `without` is told, and not judged."""
        lines = ["| series | first | median of the second half | growth in it | bound | |", "|---|---|---|---|---|---|"]
        faults = []
        for name, bound in BOUNDS.items():
            points = self.series(name)
            grown, median = growth(points)
            limit = max(bound.part * median, bound.floor)
            flat = is_flat(points, bound)
            word = "not judged" if name in without else "flat" if flat else "grows"
            lines.append(f"| {name} | {points[0][1]:.1f} | {median:.1f} | {grown:+.2f} | {limit:.1f} | {word} |")
            if word == "grows":
                faults.append(
                    f"{name} grows: by {grown:.2f} over the second half, and its median there is {median:.2f}"
                )
        return lines, faults

    def graph(self, about: str) -> str:
        seconds, height = self.rows[-1]["seconds"], 180
        graphs = []
        for place, (title, names) in enumerate(PANELS.items()):
            most = max(value for name in names for _, value in self.series(name))
            graph = Graph(title, seconds, most, y=place * height)
            for name, colour in zip(names, COLOURS, strict=False):
                graph.line(name.removesuffix(", ms").removesuffix(", MiB"), self.series(name), colour)
            graphs.append(graph)
        return document(graphs, len(PANELS) * height, about)


def part(values: list[float], share: float) -> float:
    """A quantile in ms; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3 if ordered else 0.0
