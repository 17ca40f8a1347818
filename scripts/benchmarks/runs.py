"""The steps in which jobs run: how late they start, and how many do."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

from benchmarks.databases import Ours
from benchmarks.others import Apscheduler
from benchmarks.peers import MARK, Contender, Kala
from benchmarks.results import Found
from benchmarks.steps import Probe, Step
from benchmarks.tools import HttpSink, Sink, curve, part

ONE_BY_ONE, GAP = 200, 0.05
GRID, TIMES = 300, 12
ASKED = 1_600, 4_000
"""Jobs of each second: about as many as can be run on two cores, and more, of which most are late and some skipped."""
SECONDS = 10.0
PROBED = 10_000
"""Of so many it is told whether the daemon answers meanwhile."""
ORIGINS = 100
"""So many calls go to so many origins, fewer to one."""
SLOW_MAKER = 1_000
"""More jobs than these a contender without connections is not asked to make for one moment."""


def with_sink(step: Callable[[Contender, Found, Sink], None]) -> Step:
    """The step, given what its jobs report to."""

    def take(contender: Contender, found: Found) -> None:
        with closing(Sink()) as sink:
            step(contender, found, sink)

    return take


def due(count: int, *, remote: bool) -> Step:
    """So many jobs that are due at one moment: how late each started, or called, in ms."""

    def start(contender: Contender, found: Found, sink: Sink) -> None:
        if isinstance(contender, Apscheduler) and count > SLOW_MAKER:
            return
        with ExitStack() as stack:
            runs = [f"{contender.tools.ping} {sink.port} {MARK}"]
            if remote:
                calls = HttpSink(contender.tools, sink, ORIGINS if count >= PROBED else 1)
                stack.enter_context(closing(calls))
                runs = [f"{url}/{MARK}" for url in calls.urls]
            if count == 1:
                late = [late for turn in range(5) for late in at_once(contender, found, sink, runs, "", 1, turn)]
                found.add(f"one {'call' if remote else 'job'} due: p50, ms", part(late, 0.5))
                return
            what = f"{count:,} {'calls' if remote else 'jobs'} due at once"
            what += f" to {len(runs)} origins" if len(runs) > 1 else ""
            late = at_once(contender, found, sink, runs, what, count, 0)
            found.add(f"{what}: p50, ms", part(late, 0.5))
            found.add(f"{what}: p99, ms", part(late, 0.99))
            found.curve(what, curve(late))

    return with_sink(start)


def at_once(
    contender: Contender, found: Found, sink: Sink, runs: Sequence[str], what: str, count: int, before: int
) -> list[float]:
    """How late each of so many was, in ms, when `before` have come already. They share these `runs` evenly."""
    when = float(round(time.time() + (3 if count == 1 else max(5, count / contender.makes))))
    for run in runs:
        contender.make_due(count // len(runs), run, when)
    if time.time() > when:
        raise SystemExit(f"{count} jobs took longer to create than was thought")
    time.sleep(max(0.0, when - 0.5 - time.time()))
    probe = Probe(contender) if isinstance(contender, Kala) and count >= PROBED else None
    used, memory = contender.cpu(), contender.memory()
    got = sink.wait(before + count, when + max(20, count / 50))[before:]
    if len(runs) > 1:
        found.add(f"{what}: memory more than before, MB", contender.most_memory() - memory)
    if count > 1:
        time.sleep(1)  # they end
        found.add(f"{what}: processor time of the daemon for each, µs", (contender.cpu() - used) / count * 1e6)
    if probe is not None:
        probe.close(found, what)
    return [(at - when) * 1e3 for _, at in got]


@with_sink
def sparse(contender: Contender, found: Found, sink: Sink) -> None:
    """One job every 50 ms: how late each started, in ms."""
    first = float(round(time.time() + 4))
    contender.make_sparse(ONE_BY_ONE, f"{contender.tools.ping} {sink.port} {MARK}", first, GAP)
    got = sink.wait(ONE_BY_ONE, first + ONE_BY_ONE * GAP + 10)
    late = [(at - first - int(n) * GAP) * 1e3 for n, at in got]
    found.add("one job every 50 ms: p50, ms", part(late, 0.5))
    found.add("one job every 50 ms: p99, ms", part(late, 0.99))


def rate(asked: int) -> Step:
    """So many jobs due each second: how many run."""

    def start(contender: Contender, found: Found, sink: Sink) -> None:
        first = float(round(time.time() + (16 if isinstance(contender, Apscheduler) else 8)))
        contender.make_each(asked, f"{contender.tools.ping} {sink.port} {MARK}", first)
        time.sleep(max(0.0, first + 2 - time.time()))
        ours = contender if isinstance(contender, Ours) else None
        commits = ours.commits() if ours is not None else 0
        ran, written, before, began = len(sink.got), contender.written(), contender.cpu(), time.time()
        probe = Probe(ours) if ours is not None else None
        time.sleep(SECONDS)
        ran, took = len(sink.got) - ran, time.time() - began
        used, written = contender.cpu() - before, contender.written() - written
        found.add(f"most runs, {asked:,} asked for, /s", ran / took)
        about = f"a run, {asked:,} asked for a second"
        found.add(f"{about}: processor time of the daemon, µs", used / max(ran, 1) * 1e6)
        found.add(f"{about}: written to the disk, KB", written / max(ran, 1) / 1e3)
        if ours is not None and probe is not None:
            found.add(f"{about}: commits", (ours.commits() - commits) / max(ran, 1))
            probe.close(found, f"{asked:,} runs asked for a second")

    return with_sink(start)


@with_sink
def grid(contender: Contender, found: Found, sink: Sink) -> None:
    """Jobs due each second, as many as can well be run: how far the last start is off the grid, in ms."""
    first = float(round(time.time() + 4))
    contender.make_each(GRID, f"{contender.tools.ping} {sink.port} {MARK}", first)
    sink.wait(GRID * TIMES, first + TIMES + 20)
    time.sleep(1)
    by_job: dict[str, list[float]] = defaultdict(list)
    for n, at in sorted(sink.got, key=lambda one: one[1]):
        by_job[n].append(at)
    drifts = [(ats[TIMES - 1] - ats[0] - (TIMES - 1)) * 1e3 for ats in by_job.values() if len(ats) >= TIMES]
    found.add(f"drift of a job of each second after {TIMES} runs, ms", statistics.median(drifts))
