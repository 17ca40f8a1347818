"""The steps that ask over HTTP or weigh the daemon: creates, reads, lists, and what so many jobs cost."""

import json
import time
from collections.abc import Callable
from threading import Event, Thread

from benchmarks.databases import Ours, claims
from benchmarks.others import Apscheduler
from benchmarks.peers import Contender, Kala, Web, far
from benchmarks.results import Found
from benchmarks.tools import part, request

Step = Callable[[Contender, Found], None]
SECONDS = 3.0
"""A rate is taken for so long."""
CREATED = 10_000
BATCH = 100_000
LISTED = 50
"""Jobs on a page."""


class Probe:
    """Asks for the daemon's figures, and makes a job, every 20 ms, one after the other: how long each takes, in ms."""

    def __init__(self, daemon: Kala) -> None:
        self._daemon, self._over = daemon, Event()
        self._body = json.dumps(daemon.job("meanwhile", "/bin/true", daemon.once(far()))).encode()
        self.took: dict[str, list[float]] = {"GET /stats/": [], "a create": []}
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        asked = (("GET", self._daemon.stats_path, None), ("POST", self._daemon.create_path, self._body))
        while not self._over.wait(0.02):
            for took, question in zip(self.took.values(), asked, strict=True):
                began = time.monotonic()
                self._daemon.call(*question)
                took.append((time.monotonic() - began) * 1e3)

    def close(self, found: Found, what: str) -> None:
        self._over.set()
        self._thread.join()
        for name, took in self.took.items():
            found.add(f"{name} during {what}: p50, ms", part(took, 0.5))
            found.add(f"{name} during {what}: p99, ms", part(took, 0.99))
            found.add(f"{name} during {what}: longest, ms", max(took))


def create(contender: Contender, found: Found) -> None:
    """Durable creates, one at a time on each of 16 connections."""
    before = contender.cpu()
    made = contender.make_far(CREATED if not isinstance(contender, Apscheduler) else 2_000)
    found.add("creates, one at a time over 16 connections, /s", made.rate)
    if made.p99:
        found.add("creates: p50, ms", made.p50)
        found.add("creates: p99, ms", made.p99)
    found.add("a create: processor time of the daemon, µs", (contender.cpu() - before) / made.number * 1e6)
    found.add("time of the last tenth of the creates to the first", made.last_tenth / made.first_tenth)


def batch(contender: Contender, found: Found) -> None:
    """So many creates in one request, and whether it answers others meanwhile."""
    assert isinstance(contender, Kala)
    lines = contender.far_lines(BATCH)
    probe, before, began = Probe(contender), contender.cpu(), time.monotonic()
    contender.send_batch(lines)
    found.add("creates, all in one request, /s", BATCH / (time.monotonic() - began))
    found.add("a create in a batch: processor time of the daemon, µs", (contender.cpu() - before) / BATCH * 1e6)
    probe.close(found, f"a batch of {BATCH:,}")


def read(contender: Contender, found: Found) -> None:
    assert isinstance(contender, Web)
    one = contender.create(contender.job("one", "/bin/true", contender.once(far())))
    contender.make_far(1_000)
    found.add("GET of one job, /s", get(contender, contender.one_path.format(one)))
    if contender.stats_path:
        found.add("GET of the daemon's figures, /s", get(contender, contender.stats_path))


def get(web: Web, path: str, seconds: float = SECONDS) -> float:
    return web.tools.load(web.port, request("GET", path, web.headers), seconds=seconds).rate


def secure(contender: Contender, found: Found) -> None:
    """The same with a token, and then under TLS."""
    assert isinstance(contender, Ours)
    one = contender.create(contender.job("one", "/bin/true", contender.once(far())))
    path = contender.one_path.format(one)
    contender.stop()
    contender.with_token()
    contender.start()
    found.add("GET of one job with a token, /s", get(contender, path))
    made = contender.make_far(CREATED // 2)
    found.add("creates with a token, /s", made.rate)
    contender.stop()
    contender.with_tls()
    contender.start()
    rate = contender.tools.load_tls(contender.port, path, contender.headers, SECONDS)
    found.add("GET of one job with a token under TLS, /s", rate)


def lists(contender: Contender, found: Found) -> None:
    assert isinstance(contender, Web)
    contender.make_far(CREATED)
    one = contender.create(contender.job("one", "/bin/true", contender.once(far())))
    if isinstance(contender, Ours):
        contender.make_far(CREATED // 10)  # so that there is a page after that one
    listed(contender, found, CREATED, one, "")


def listed(web: Web, found: Found, jobs: int, one: str, prefix: str) -> None:
    """The whole list; and of those that have them a page after that `one`, another by name, and a search, in ms."""
    asked = {f"{prefix}whole list of {jobs:,}, ms": (web.list_path, jobs, 1 if jobs > 100_000 else 3)}
    if isinstance(web, Ours):
        page = f"{web.list_path}?limit={LISTED}"
        asked |= {
            f"{prefix}page of {LISTED} from within the list, ms": (f"{page}&after={one}", LISTED, 20),
            f"{prefix}page of {LISTED} by name, ms": (f"{page}&sort=name", LISTED, 20),
            f"{prefix}search, with how many there are, ms": (f"{page}&q=99&total=true", 5, 20),
        }
    for name, (path, least, times) in asked.items():
        took = []
        for _ in range(times):
            began = time.monotonic()
            status, data = web.call("GET", path)
            took.append((time.monotonic() - began) * 1e3)
        told = data.count(b'"schedule"')  # to parse a million jobs takes more than to list them
        if status != 200 or told < least:
            raise SystemExit(f"{path}: {status}, {told} jobs")
        found.add(name, part(took, 0.5))


def size(jobs: int) -> Step:
    """So many jobs: what they cost, and what that does to the rest."""

    def weigh(contender: Contender, found: Found) -> None:
        prefix = f"{jobs:,} jobs: "
        began = time.monotonic()
        contender.make_batch(jobs)
        found.add(f"{prefix}created, the fastest way there is, /s", jobs / (time.monotonic() - began))
        found.add(f"{prefix}memory after that, MB", contender.memory())
        found.add(f"{prefix}stop, s", contender.stop())
        found.add(f"{prefix}ready again, s", contender.start(jobs))
        time.sleep(2)  # what a start has still to do
        before = contender.cpu()
        time.sleep(10)
        found.add(f"{prefix}idle, % of a core", (contender.cpu() - before) * 10)
        found.add(f"{prefix}memory, MB", contender.memory())
        if isinstance(contender, Web):
            one = contender.create(contender.job("one", "/bin/true", contender.once(far())))
            found.add(f"{prefix}GET of one, /s", get(contender, contender.one_path.format(one)))
            made = contender.make_far(2_000)
            found.add(f"{prefix}further creates, one at a time, /s", made.rate)
            listed(contender, found, jobs, one, prefix)

    return weigh


def claimed(contender: Contender, found: Found) -> None:
    assert isinstance(contender, Ours)
    for name, value in claims(contender).items():
        found.add(name, value)
