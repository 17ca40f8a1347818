"""What must hold before anything moves: a source that nobody works on, and a target that is empty."""

from collections.abc import Sequence

from kala.drivers.contract import Driver, RunQuery
from kala.drivers.unfinished import MARK
from kala.errors import StoreRefused
from kala.lease import Instance, living, named
from kala.moving.reading import JOB, SETTING, records

ENOUGH = 1_000  # rows of a history that are counted for a message


def check_source(source: Driver) -> None:
    """Raise `StoreRefused` unless the source holds something, and nobody works on it."""
    if source.get(*MARK) is not None:
        raise StoreRefused(f"{source.place}: a `kala move` into this database is not finished: not all is there")
    if not source.runs(RunQuery(limit=1)).runs and next(records(source, JOB), None) is None:
        raise StoreRefused(f"{source.place} holds neither jobs nor history: there is nothing to move")
    refuse(source, living(source))


def check_target(target: Driver, source: Driver) -> None:
    """Raise `StoreRefused` when somebody works on the target, or it holds what no move has put there."""
    refuse(target, living(target))
    if target.get(*MARK) is not None:
        return
    jobs, settings = (sum(1 for _ in records(target, kind)) for kind in (JOB, SETTING))
    rows = len(target.runs(RunQuery(limit=ENOUGH)).runs)
    if not (jobs or settings or rows):
        return
    if target.name == source.name and target.changes("").token == source.changes("").token:
        raise StoreRefused(f"{source.place} and {target.place} are the same database")
    more = " or more" if rows == ENOUGH else ""
    raise StoreRefused(
        f"{target.place} is not empty: it holds {jobs:,} jobs, {settings:,} settings and {rows:,}{more} rows of "
        "history. Name an empty database"
    )


def refuse(driver: Driver, alive: Sequence[Instance]) -> None:
    """Raise `StoreRefused` when there are instances that live."""
    if alive:
        raise StoreRefused(f"a daemon works on {driver.place}: {named(alive)}. Stop it first")
