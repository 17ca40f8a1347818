"""What each database gives: claims by its driver and by its bare client, creates over HTTP, the start with many."""

import http.client
import json
import sqlite3
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from bare import BARE, VALUE, Claim
from peers import Server, rfc3339
from servers.registry import SERVICES
from servers.service import flags_of

from kala.drivers import driver_class
from kala.drivers.contract import Driver, Element
from kala.drivers.sqlite import SqliteDriver

Figures = dict[str, float]
TURN, TURNS = 1.0, 3  # seconds of the one, then of the other; so often


def measured(name: str, folder: Path, jobs: int) -> tuple[str, Figures]:
    """The server's name and version, and the figures of one database in `folder`, with so many jobs at the end."""
    folder.mkdir(parents=True)
    if name == "sqlite":
        version, flags = f"SQLite {sqlite3.sqlite_version}", [f"--bolt-path={folder}"]
        figures = claims(SqliteDriver(folder / "claims.db"), BARE["sqlite"](folder))
        return version, figures | served(flags, folder, jobs)
    service = SERVICES[name](folder / "server").start()
    try:
        driver: Driver = driver_class(service.engine)(service.fresh())  # type: ignore[call-arg]
        figures = claims(driver, BARE[service.engine](service.fresh()))
        flags = flags_of(service.engine, service.fresh())
        return service.version(), figures | served(flags, folder, jobs)
    finally:
        service.stop()


def claims(driver: Driver, bare: Claim) -> Figures:
    """Records of 1 KB written under their revision, a second: alone, and 1,000 at once, in turns with the client."""
    driver.open()
    records = 1_000
    for start in range(0, records, driver.max_batch):
        made = range(start, min(start + driver.max_batch, records))
        driver.commit([Element("setting", f"k{n}", 0, 1, VALUE) for n in made])

    def ours(first: int, count: int, revision: int) -> None:
        for start in range(first, first + count, driver.max_batch):
            these = range(start, min(start + driver.max_batch, first + count))
            answers = driver.commit([Element("setting", f"k{n}", revision, revision + 1, VALUE) for n in these])
            if any(answers):
                raise SystemExit("a claim was refused")

    figures: Figures = {}
    revisions = {"ours": [0] * records, "bare": [0] * records}
    for count in 1, 1_000:
        rates: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(TURNS):
            for who, claim in ("ours", ours), ("bare", bare):
                written, place, began = 0, 0, time.monotonic()
                while time.monotonic() < began + TURN:
                    revisions[who][place] += 1
                    revision = revisions[who][place]
                    claim(place, count, revision)
                    written += count
                    place = (place + 1) % records if count == 1 else 0
                rates[who].append(written / (time.monotonic() - began))
        figures[f"claims/s, {count:,} at once"] = statistics.median(rates["ours"])
        figures[f"of the bare client, {count:,} at once"] = figures[f"claims/s, {count:,} at once"] / statistics.median(
            rates["bare"]
        )
        for who in revisions:  # all are as far as the furthest, for the whole batches
            furthest = max(revisions[who])
            claim = ours if who == "ours" else bare
            for place in range(records) if count == 1 else ():
                for revision in range(revisions[who][place] + 1, furthest + 1):
                    claim(place, 1, revision)
            revisions[who] = [furthest] * records
    driver.close()
    return figures


def served(flags: list[str], folder: Path, jobs: int) -> Figures:
    """A daemon over it: creates over 16 connections, each durable when answered; and how soon it is ready again."""
    server = Server([sys.executable, "-m", "kala", "serve", "--port={port}", *flags], folder)
    server.start()
    far = rfc3339(time.time() + 300 * 86_400)
    try:
        made = 5_000
        ends, began = server.create(
            {"name": f"job {n}", "command": "/bin/true", "schedule": f"R/{far}/P1D"} for n in range(made)
        )
        figures = {"creates/s": len(ends) / (ends[-1] - began)}
        lines = "\n".join(
            json.dumps({"name": f"job {n}", "command": "/bin/true", "schedule": f"R/{far}/P1D"})
            for n in range(made, jobs)
        )
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        connection.request("POST", "/api/v1/job/batch/", lines.encode())
        answer = connection.getresponse()
        refused = [line for line in answer.read().splitlines() if b'"error"' in line]
        connection.close()
        if answer.status != 200 or refused:
            raise SystemExit(f"not created: {answer.status} {refused[:1]!r}")
        figures["creates/s, in one request"] = (jobs - made) / (time.monotonic() - began)
        figures["stop, s"] = server.stop()
        figures[f"ready with {jobs:,} jobs, s"] = server.start(jobs)
        return figures
    finally:
        server.stop()
