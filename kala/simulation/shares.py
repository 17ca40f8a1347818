"""A simulation in several processes at once: jobs that have nothing to do with each other need not be in one."""

import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

import msgspec

from kala.job import Record, Run
from kala.portions import families
from kala.simulation import NO_LIMIT, Heard, Period, simulate
from kala.simulation.pretence import Cast

LEAST = 50
"""Jobs in a share: with fewer a process of its own gains little."""
CHUNK = 500
"""Runs that are handed over together."""

_runs = msgspec.json.Decoder(list[Run])


class ShareFailed(Exception):
    """A process ended by a bug. Its traceback is the text."""


def simulate_shared(
    records: Sequence[Record], period: Period, cast: Cast, heard: Heard, *, max_runs: int = NO_LIMIT, processes: int = 0
) -> list[Run]:
    """As `simulate`, in as many processes as there are processors (or `processes`). `heard` is called in this one, with
    the rows of each job in their order. A limit on runs is one for all jobs: with it there is one process."""
    most = min(processes or processors(), len(records) // LEAST) if max_runs == NO_LIMIT else 1
    shares = divided(records, most) if most > 1 else [records]
    if len(shares) == 1:
        return simulate(records, period, cast, heard, max_runs=max_runs)
    context = get_context("fork")  # nothing has to be handed over, and there are no threads here
    here, started = {}, []
    for share in shares:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(theirs, share, period, cast), daemon=True)
        process.start()
        theirs.close()
        here[ours] = process
        started.append(process)
    left: list[Run] = []
    try:
        while here:
            for one in wait(list(here)):
                assert isinstance(one, Connection)  # noqa: S101  # what was given
                if _take(one, heard, left):
                    here.pop(one).join()
    finally:
        for process in started:
            process.terminate()
            process.join()
    return left


def processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def divided(records: Sequence[Record], most: int) -> list[list[Record]]:
    """The jobs in at most so many shares of about one size, each in their order. What sets each other off is in one."""
    links: dict[str, list[str]] = {record.id: [] for record in records}
    for record in records:
        for other in {*(record.job.parent_jobs or ()), record.job.on_failure_job} & links.keys():
            links[record.id].append(other)
            links[other].append(record.id)
    shares: list[set[str]] = [set() for _ in range(most)]
    for family in sorted(families(links), key=len, reverse=True):
        min(shares, key=len).update(family)
    return [[record for record in records if record.id in share] for share in shares if share]


def _work(to: Connection, records: Sequence[Record], period: Period, cast: Cast) -> None:
    """Simulates, and hands over lists of runs: those that were heard, nothing, and those that are left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends this one
    try:
        for chunk in _lived(to, records, period, cast):
            to.send_bytes(msgspec.json.encode(chunk))
    except Exception:  # noqa: BLE001  # a bug, to be told of where somebody listens
        to.send_bytes(msgspec.json.encode(traceback.format_exc()))


def _lived(to: Connection, records: Sequence[Record], period: Period, cast: Cast) -> Iterator[list[Run]]:
    chunk: list[Run] = []

    def heard(run: Run) -> None:
        chunk.append(run)
        if len(chunk) == CHUNK:
            to.send_bytes(msgspec.json.encode(chunk))
            chunk.clear()

    left = simulate(records, period, cast, heard)
    if chunk:
        yield chunk
    yield []
    yield left


def _take(one: Connection, heard: Heard, left: list[Run]) -> bool:
    """One message; whether it was the last."""
    try:
        data = one.recv_bytes()
    except EOFError:
        raise ShareFailed("a process of the simulation was ended") from None
    if data.startswith(b'"'):
        raise ShareFailed(msgspec.json.decode(data, type=str))
    if runs := _runs.decode(data):
        for run in runs:
            heard(run)
        return False
    left += _runs.decode(one.recv_bytes())
    return True
