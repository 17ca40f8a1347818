"""The daemon itself as a contender, on each of its databases; and claims, by a driver and by its bare client."""

import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from benchmarks.bare import BARE, VALUE, Claim
from benchmarks.peers import ROOT, Kala
from benchmarks.tools import Tools
from benchmarks.trouble import Trouble
from servers.certificates import certificates
from servers.registry import SERVICES
from servers.service import Service, flags_of

from kala.drivers import driver_class
from kala.drivers.contract import Driver, Element
from kala.drivers.sqlite import SqliteDriver

COMMITS = "kala_commit_duration_seconds_count"
TURN, TURNS = 1.0, 3  # seconds of the one, then of the other; so often


class Ours(Kala):
    """`kala serve` from `tree`, on a database by its name in `servers/registry.py`, or `sqlite`; perhaps in trouble."""

    def __init__(
        self, tools: Tools, folder: Path, database: str = "sqlite", *, tree: Path = ROOT, trouble: Trouble | None = None
    ) -> None:
        command = [sys.executable, "-m", "kala", "serve", "--port={port}", "--bolt-path={dir}"]
        trouble = trouble or Trouble(tools)
        super().__init__(tools, folder, command, {"PYTHONPATH": str(tree), **trouble.environment()})
        self.database, self._trouble = database, trouble
        if trouble.title:
            self.makes = 100
        elif database == "sqlite":
            self.makes = 2_000
        self.service: Service | None = None
        self.title = title_of(database) + (", before" if tree != ROOT else "")
        self.title += f", {trouble.title}" if trouble.title else ""
        self.steps = Kala.steps - {"secure", "grid", "size"} if trouble.title else Kala.steps | {"claims"}

    def start(self, jobs: int = 0, seconds: float = 400) -> float:
        if self.database != "sqlite" and self.service is None:
            with inherited(self._trouble.environment()):
                self.service = SERVICES[self.database](self.folder / "server").start()
            given = self._trouble.reached(self.service.fresh())
            self.command = [*self.command, *flags_of(self.service.engine, given)]
        took = super().start(jobs, seconds)
        self._trouble.begin(self)
        return took

    def stop(self) -> float:
        self._trouble.end()
        return super().stop()

    def with_token(self) -> None:
        """From the next start on it asks for a token, and is shown one."""
        file = self.folder / "tokens"
        new = [sys.executable, "-m", "kala", "token", "new", "--name=bench", "--role=admin", f"--tokens-file={file}"]
        done = subprocess.run(new, env=self.env, capture_output=True, text=True, check=True)
        self.headers = {"Authorization": f"Bearer {done.stdout.strip()}"}
        self.command = [*self.command, f"--tokens-file={file}"]

    def with_tls(self) -> None:
        """From the next start on it speaks TLS, and only `Tools.load_tls` can ask it."""
        folder = self.folder / "tls"
        folder.mkdir()
        made = certificates(folder)
        self.tls = True
        self.command = [*self.command, f"--tls-cert={made.server}", f"--tls-key={made.server_key}"]

    def commits(self) -> int:
        """Of the store, since its start."""
        told = self.call("GET", "/metrics")[1].decode()
        return next(round(float(line.split()[1])) for line in told.splitlines() if line.startswith(COMMITS))

    def close(self) -> None:
        self._trouble.end()
        super().close()
        self._trouble.close()
        if self.service is not None:
            self.service.stop()
            self.service = None


def title_of(database: str) -> str:
    return "Kala" if database == "sqlite" else f"Kala on {SERVICES[database].title}"


@contextmanager
def inherited(variables: dict[str, str]) -> Iterator[None]:
    """What is started meanwhile has these in its environment."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def versions(databases: Sequence[str], folder: Path) -> list[str]:
    """Name and version of each."""
    told = []
    for name in databases:
        if name == "sqlite":
            told.append(f"SQLite {sqlite3.sqlite_version}")
            continue
        service = SERVICES[name](folder / f"version-{name}").start()
        told.append(service.version())
        service.stop()
    return told


def claims(ours: Ours) -> dict[str, float]:
    """Records of 1 KB written under their revision, a second: alone, and 1,000 at once, in turns with the client."""
    if ours.service is None:
        return compared(SqliteDriver(ours.folder / "claims.db"), BARE["sqlite"](ours.folder))
    driver: Driver = driver_class(ours.service.engine)(ours.service.fresh())  # type: ignore[call-arg]
    return compared(driver, BARE[ours.service.engine](ours.service.fresh()))


def compared(driver: Driver, bare: Claim) -> dict[str, float]:
    driver.open()
    records = 1_000
    for start in range(0, records, driver.max_batch):
        made = range(start, min(start + driver.max_batch, records))
        driver.commit([Element("setting", f"k{n}", 0, 1, VALUE) for n in made])

    def own(first: int, count: int, revision: int) -> None:
        for start in range(first, first + count, driver.max_batch):
            these = range(start, min(start + driver.max_batch, first + count))
            answers = driver.commit([Element("setting", f"k{n}", revision, revision + 1, VALUE) for n in these])
            if any(answers):
                raise SystemExit("a claim was refused")

    figures: dict[str, float] = {}
    both = {"own": own, "bare": bare}
    revisions = {who: [0] * records for who in both}
    for count in 1, 1_000:
        rates: dict[str, list[float]] = {who: [] for who in both}
        for _ in range(TURNS):
            for who, claim in both.items():
                written, place, began = 0, 0, time.monotonic()
                while time.monotonic() < began + TURN:
                    revisions[who][place] += 1
                    claim(place, count, revisions[who][place])
                    written += count
                    place = (place + 1) % records if count == 1 else 0
                rates[who].append(written / (time.monotonic() - began))
        figures[f"claims, {count:,} at once, /s"] = statistics.median(rates["own"])
        figures[f"claims, {count:,} at once: part of the bare client's"] = statistics.median(
            rates["own"]
        ) / statistics.median(rates["bare"])
        for who, claim in both.items():  # all are as far as the furthest, for the whole batches
            furthest = max(revisions[who])
            for place in range(records) if count == 1 else ():
                for revision in range(revisions[who][place] + 1, furthest + 1):
                    claim(place, 1, revision)
            revisions[who] = [furthest] * records
    driver.close()
    return figures
