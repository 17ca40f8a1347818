"""What a database may hold that is moved, and all that one holds, to be compared."""

from pathlib import Path
from typing import Any, NamedTuple

from records import MINUTE, T0, attempt, job, record, run

from kala.drivers.contract import Driver, Element, RunQuery
from kala.drivers.sqlite import SqliteDriver
from kala.job import Output, Record, Run, encode, replace
from kala.states import State, Trigger

ODD = ("job é 中 \0 ", "JOB", "job", "x" * 200, "../a b%2f\t\n", "")


class Holding(NamedTuple):
    """All that moves, in an order of its own where it has none."""

    records: dict[tuple[str, str], tuple[int, bytes]]
    history: list[Run]
    outputs: dict[str, list[Output]]


def holding(driver: Driver) -> Holding:
    """All that a database holds, but for what is its own."""
    found = {
        (one.kind, one.key): (one.revision, one.value)
        for kind in ("job", "setting")
        for one in driver.load(kind)
        if (one.kind, one.key) != ("setting", "probe")
    }
    history: list[Run] = []
    after = None
    while True:
        page = driver.runs(RunQuery(after=after, limit=500))
        history += page.runs
        if (after := page.next) is None:
            break
    ids = [*(one.id for one in history), *(f"open {number}" for number in range(0, 100, 4))]
    return Holding(found, history, {run_id: found for run_id in ids if (found := driver.output(run_id))})


def of(path: Path) -> Holding:
    """What the embedded database in a file holds."""
    driver = SqliteDriver(path)
    driver.open()
    try:
        return holding(driver)
    finally:
        driver.close()


def fill(driver: Driver, *, jobs: int = 60, rows: int = 300) -> None:
    """Jobs of every kind, settings, what dead daemons have left, and a history with outputs."""
    batch = [
        put("setting", "pause", b'{"since":1}', 4),
        put("setting", "probe", b"{}", 9),
        put("instance", "long dead", b'{"what": "cannot be read"}', 3),
        put("job", "broken", b"\xff\0 not JSON", 12),
    ]
    for number in range(jobs):
        key = ODD[number] if number < len(ODD) else f"job-{number}"
        batch.append(job_element(key, number))
    commit(driver, batch)
    commit(driver, [row(number, 9_000 if number < 300 else 100) for number in range(rows)])


def job_element(key: str, number: int) -> Element:
    """A job: every third is a tombstone, every fourth has a run that waits to be tried again."""
    made: Record = record(job(owner="c" * (number * 37 % 3_000)), id=key, revision=number + 1)
    outputs = []
    if number % 3 == 0:
        made = replace(made, deleted=T0)
    if number % 4 == 0:
        tried = replace(attempt(State.FAILED), output_size=700)
        made = replace(made, open=(run(f"open {number}", state=State.WAITING, attempts=(tried,)),))
        outputs = [Output(f"open {number}", 1, b"so far\n" * 100, 700)]
    return Element("job", key, 0, number + 1, encode(made), outputs=outputs)


def row(number: int, lines: int = 9_000) -> Element:
    """A row of the history, with what it printed: nothing, one output, or two, each of less than so many lines."""
    kind = (State.SUCCEEDED, State.FAILED, State.MISSED, State.LOST)[number % 4]
    at = T0 + number * MINUTE
    made = run(f"run {number}", at, kind, (Trigger.SCHEDULE, Trigger.MANUAL)[number % 2], reason="ü \0 “x”")
    outputs: list[Output] = []
    if kind is State.MISSED:
        made = replace(made, until=at + MINUTE, count=2)
    else:
        for tried in range(1, number % 3 + 1):
            data = bytes([number % 256, tried, 0, 255, 10]) * (1 + number * 131 % lines)
            outputs.append(Output(made.id, tried, data, 2 * len(data)))
        attempts = (replace(attempt(kind, number=one.attempt), output_size=one.size) for one in outputs)
        made = replace(made, ended=at + 9, attempts=tuple(attempts))
    return Element("setting", f"nothing {number}", 0, 1, None, (made,), outputs)


def put(kind: str, key: str, value: bytes, revision: int) -> Element:
    return Element(kind, key, 0, revision, value)


def commit(driver: Driver, batch: list[Element]) -> None:
    for start in range(0, len(batch), driver.max_batch):
        answers: list[Any] = driver.commit(batch[start : start + driver.max_batch])
        assert not any(answers), answers
