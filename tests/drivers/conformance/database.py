"""What a check is given, and the records and runs that it writes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kala.clock import SECOND, Moment
from kala.drivers.contract import Conflict, Driver, Element, RunPage, RunQuery
from kala.job import Output, Run
from kala.states import State, Trigger

START: Moment = 1_767_225_600 * SECOND  # 2026-01-01


class Sizes(NamedTuple):
    """How much the checks of much write: less where a server takes minutes for it."""

    records: int = 100_000
    jobs: int = 1_100  # with twelve runs each


class Database:
    """One empty database. `construct` makes a driver of it, as a daemon of its own would.

    A database that is not `lasting` lives in its one driver: `construct` then answers the same one again. `password` is
    what the driver was given, and must never say.
    """

    def __init__(
        self, construct: Callable[[], Driver], *, lasting: bool = True, password: str = "", sizes: Sizes | None = None
    ) -> None:
        self._construct = construct
        self.lasting, self.password, self.sizes = lasting, password, sizes or Sizes()
        self._opened: list[Driver] = []

    def connect(self) -> Driver:
        """A driver, open."""
        driver = self._construct()
        driver.open()
        self._opened.append(driver)
        return driver

    def close(self) -> None:
        """Close every driver that `connect` gave."""
        for driver in self._opened:
            driver.close()


def put(
    key: str,
    revision: int,
    value: bytes = b"{}",
    *,
    expected: int | None = None,
    kind: str = "job",
    runs: Sequence[Run] = (),
    outputs: Sequence[Output] = (),
) -> Element:
    """A write of a record, from the revision before when no other is expected."""
    return Element(kind, key, revision - 1 if expected is None else expected, revision, value, runs, outputs)


def drop(key: str, expected: int, *, kind: str = "job", runs: Sequence[Run] = ()) -> Element:
    """A deletion."""
    return Element(kind, key, expected, expected + 1, None, runs)


def ran(number: int, job: str = "job-a", state: State = State.SUCCEEDED, *, ended: Moment | None = None) -> Run:
    """A run that ended, or a range in a state that is none; its id and its moments come from its number."""
    due = START + number * SECOND
    return Run(
        id=f"run-{number}",
        job_id=job,
        scheduled_for=due,
        trigger=Trigger.SCHEDULE,
        state=state,
        created=due,
        ended=ended,
        reason="because of “ü” and \0",
    )


def printed(run: str, attempt: int = 1, data: bytes = b"hello\n") -> Output:
    return Output(run, attempt, data, len(data))


def append(driver: Driver, runs: Sequence[Run], outputs: Sequence[Output] = ()) -> None:
    """Append rows to the history, in their order, and then outputs.

    Some in an element, which keeps their order, and one element in a commit: of several the order is left open.
    """
    some = 100
    for start in range(0, len(runs), some):
        done(driver.commit([put(runs[start].id, 1, kind="setting", runs=runs[start : start + some])]))
    if outputs:
        done(driver.commit([put(outputs[0].run_id, 1, kind="instance", outputs=outputs)]))


def done(answers: Sequence[Conflict | None]) -> None:
    """Every element of the commit is done."""
    assert not [answer for answer in answers if answer is not None]


def pages(driver: Driver, query: RunQuery) -> list[RunPage]:
    """Every page from that of `query` on."""
    found = [driver.runs(query)]
    while (following := found[-1].next) is not None:
        found.append(
            driver.runs(
                RunQuery(query.job_id, query.states, query.since, query.until, after=following, limit=query.limit)
            )
        )
        assert len(found) < 1_000, "the pages do not end"
    return found


def kept(driver: Driver, job: str | None = None) -> list[str]:
    """The ids of all rows of the history, the latest first."""
    return [run.id for page in pages(driver, RunQuery(job_id=job)) for run in page.runs]
