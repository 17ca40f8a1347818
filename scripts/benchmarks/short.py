"""The short form, for CI: ratios of the daemon to the floor under it, measured in turns within a minute, and held
against `reference.json`. A machine that is slow, or busy, is so for both; a ratio that has fallen by a third is not its
doing."""

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.databases import Ours
from benchmarks.floor import BareCommits, BareHttp
from benchmarks.peers import far
from benchmarks.steps import get
from benchmarks.tools import HERE, Sink, Tools, environment, is_chosen, number, rfc3339

REFERENCE = HERE / "reference.json"
TURNS = 5
LEAST = 2 / 3
"""Of its reference a ratio may be this, or more."""
JOBS = 50_000
EACH, SECONDS = 4_000, 2
"""Jobs of each second, which are more than can be run, and for how long."""
Rate = Callable[[], float]


class Ratios:
    """The daemon, with some jobs, and the floor: each ratio is how much of the floor's rate the daemon reaches."""

    def __init__(self, tools: Tools, work: Path) -> None:
        self._tools, self._work, self._sink = tools, work, Sink()
        for name in "ours", "bare":
            (work / name).mkdir()
        self._ours, self._http, self._commits = Ours(tools, work / "ours"), BareHttp(tools), BareCommits(work / "bare")
        self._ours.start()
        self._jobs = 0
        self._batch()
        self._one = self._ours.create(self._ours.job("one", "/bin/true", self._ours.once(far())))
        self._jobs += 1
        page = f"{self._ours.list_path}?limit=50&after={self._one}"
        search = f"{self._ours.list_path}?limit=50&q=job+99&total=true"
        http: Rate = lambda: self._http.rate(1)  # noqa: E731
        self.kinds: dict[str, tuple[Rate, Rate]] = {
            "GET of one job : a fixed reply": (lambda: self._get(self._ours.one_path.format(self._one)), http),
            "a page of 50 : a fixed reply": (lambda: self._get(page), http),
            f"a search in {JOBS:,} : a fixed reply": (lambda: self._get(search), http),
            "jobs at a start in the time of a bare Python's": (self._starts, self._bare_starts),
            "jobs in the memory of a bare Python": (self._memory, self._bare_memory),
            "creates one at a time : commits": (self._creates, lambda: self._commits.rate(1, 1)),
            "creates in one request : commits of 1,000": (self._batch, lambda: self._commits.rate(1_000, 1)),
            "most runs : a loop in C": (self._runs, lambda: tools.spawn_rate(self._sink, 1)),
        }
        """By name: the daemon's, and the floor's. More is better in all. In order: what makes more jobs comes last."""

    def close(self) -> None:
        self._ours.close()
        self._http.close()
        self._sink.close()

    def measured(self, name: str) -> tuple[float, list[float]]:
        """The median of all turns, and all of them."""
        ours, floor = self.kinds[name]
        ratios = [ours() / floor() for _ in range(TURNS)]
        return statistics.median(ratios), ratios

    def _get(self, path: str) -> float:
        return get(self._ours, path, 1)

    def _creates(self) -> float:
        made = self._ours.make_far(1_000)
        self._jobs += made.number
        return made.rate

    def _batch(self) -> float:
        lines = self._ours.far_lines(JOBS)
        began = time.monotonic()
        self._ours.send_batch(lines)
        self._jobs += JOBS
        return JOBS / (time.monotonic() - began)

    def _starts(self) -> float:
        """Jobs a second."""
        self._ours.stop()
        return self._jobs / self._ours.start(self._jobs)

    def _bare_starts(self) -> float:
        return 10 / timed(lambda: [python("pass") for _ in range(10)])

    def _memory(self) -> float:
        """Jobs in a MB, after the start before this."""
        return self._jobs / self._ours.memory()

    def _bare_memory(self) -> float:
        return 1 / float(python("import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"))

    def _runs(self) -> float:
        """Jobs of each second, for some seconds, and they are done."""
        first = math.ceil(time.time() + 5)  # it must know of all by then
        schedule, run = f"R{SECONDS}/{rfc3339(first)}/PT1S", f"{self._tools.ping} {self._sink.port}"
        jobs = (self._ours.job(f"each {n}", f"{run} {n}", schedule) for n in range(EACH))
        self._ours.send_batch("\n".join(map(json.dumps, jobs)).encode())
        self._jobs += EACH
        time.sleep(max(0.0, first + 0.5 - time.time()))
        before, began = len(self._sink.got), time.monotonic()
        time.sleep(SECONDS)
        rate = (len(self._sink.got) - before) / (time.monotonic() - began)
        settled = -1
        while settled != (settled := len(self._sink.got)):  # those that had to wait
            time.sleep(0.5)
        return rate


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=True, capture_output=True, text=True)
    return done.stdout


def has_fallen(ratio: float, reference: float) -> bool:
    return ratio < LEAST * reference


def short(tools: Tools, work: Path, *, only: str, renew: bool) -> int:
    """Measure those ratios that `only` chooses, tell, and compare or write. 1 when one has fallen, also when measured
    again."""
    reference: dict[str, float] = json.loads(REFERENCE.read_text())
    ratios, fallen, found = Ratios(tools, work), [], {}
    try:
        for name in (one for one in ratios.kinds if is_chosen(only, one)):
            middle, turns = ratios.measured(name)
            if not renew and has_fallen(middle, reference[name]):
                middle, turns = ratios.measured(name)  # perhaps the machine had something else to do
            found[name] = middle
            told = f"{name}: {number(middle)} ({number(min(turns))} to {number(max(turns))})"
            if not renew:
                told += f"; its reference is {number(reference[name])}"
                if has_fallen(middle, reference[name]):
                    fallen.append(name)
                    told += ": FALLEN BY A THIRD"
            print(told, flush=True)
    finally:
        ratios.close()
    if renew:
        found = {name: round(value, 4) for name, value in found.items()}
        kept = {name: value for name in ratios.kinds if (value := found.get(name, reference.get(name))) is not None}
        REFERENCE.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"{len(found)} ratios, {len(fallen)} fallen")
    return int(bool(fallen))
