"""A database, read as a stream: its records, its history, what runs have printed, and what cannot be read."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from kala.drivers.contract import Driver, RunQuery, Stored
from kala.drivers.unfinished import BACKUP, MARK
from kala.errors import StoreCorrupt
from kala.job import Output, Run, decode_record

JOB, SETTING, INSTANCE = "job", "setting", "instance"
STAYS = frozenset({MARK, BACKUP, (SETTING, "probe")})
"""Records that are of a database itself, and do not move with what it holds."""
PAGE = 1_000  # rows of the history that are read at once
WINDOW = 8 << 20  # bytes of outputs that are read side by side
READERS = 4

T = TypeVar("T")


def records(driver: Driver, kind: str) -> Iterator[Stored]:
    """Those of a kind that move."""
    return (stored for stored in driver.load(kind) if (stored.kind, stored.key) not in STAYS)


def history(driver: Driver) -> Iterator[tuple[str | None, list[Run]]]:
    """Pages, the latest first, each with the token that leads to it."""
    token: str | None = None
    while True:
        page = driver.runs(RunQuery(after=token, limit=PAGE))
        yield token, page.runs
        if page.next is None:
            return
        token = page.next


def open_runs(stored: Stored) -> tuple[Run, ...]:
    """Of a job's record: what they have printed so far is in the database already."""
    if stored.kind != JOB:
        return ()
    try:
        return decode_record(stored.value).open
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()  # it moves as it is, and a daemon names it


def with_outputs(driver: Driver, runs: Sequence[Run]) -> Iterator[tuple[Run, list[Output]]]:
    """Runs and what they have printed. Some of it is read side by side."""
    if not any(map(_printed, runs)):
        yield from ((run, []) for run in runs)
        return
    with ThreadPoolExecutor(READERS) as pool:
        for some in _windows(runs):
            wanted = [run.id for run in some if _printed(run)]
            shares = [wanted[first::READERS] for first in range(READERS)]
            found: dict[str, list[Output]] = {}
            for share, outputs in zip(shares, pool.map(lambda ids: list(map(driver.output, ids)), shares), strict=True):
                found.update(zip(share, outputs, strict=True))
            yield from ((run, found.get(run.id, [])) for run in some)


def _windows(runs: Iterable[Run]) -> Iterator[list[Run]]:
    some: list[Run] = []
    promised = 0
    for run in runs:
        size = _printed(run)
        if some and promised + size > WINDOW:
            yield some
            some, promised = [], 0
        some.append(run)
        promised += size
    if some:
        yield some


def _printed(run: Run) -> int:
    return sum(attempt.output_size for attempt in run.attempts)


def cut(output: Output, run: Run, most: int) -> Output:
    """At most so many bytes of it: of an HTTP answer the beginning, as is kept of a long one, else the end."""
    if len(output.data) <= most:
        return output
    answered = any(one.number == output.attempt and one.status is not None for one in run.attempts)
    data = output.data[:most] if answered else output.data[len(output.data) - most :]
    return Output(output.run_id, output.attempt, data, output.size)


def ahead(source: Generator[T, None, None]) -> Generator[T, None, None]:
    """The same things, each made in a thread while the one before is used."""
    with ThreadPoolExecutor(1) as thread:
        try:
            following = thread.submit(next, source, None)
            while (one := following.result()) is not None:
                following = thread.submit(next, source, None)
                yield one
        finally:
            thread.submit(source.close)


class Unreadable(logging.Handler):
    """Hears which records and rows a database cannot give; its other warnings go to `warn`."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._warn = warn
        self.found: dict[tuple[str, str], str] = {}  # by kind and key

    def emit(self, record: logging.LogRecord) -> None:
        for one in record.args if isinstance(record.args, tuple) else ():
            if isinstance(one, StoreCorrupt):
                self.found[one.kind, one.key] = str(one)
                return
        self._warn(record.getMessage())
