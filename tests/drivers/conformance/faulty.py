"""A database whose server, and the way to it, fail on request: what the checks of `faults.py` are given."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TypeVar

from kala.drivers.contract import TIMEOUT, Driver, Element, RunQuery
from kala.errors import StoreRefused, StoreUnavailable

from .database import Database

T = TypeVar("T")


class FaultyDatabase(Database):
    """An empty database, with switches. What one does lasts until `heal`, or `start`.

    What its server cannot do raises `pytest.skip`.
    """

    timeout = TIMEOUT
    slack = 10.0  # seconds beyond it that a call may take, on a busy machine

    @abstractmethod
    def construct(self) -> Driver:
        """A driver that is not open."""

    @abstractmethod
    def aside(self) -> Driver:
        """An open driver, as of another daemon: `cut`, `refuse`, `silence` and `cuts` do not concern it."""

    @abstractmethod
    def stop(self) -> None:
        """The server ends in order."""

    @abstractmethod
    def kill(self) -> None:
        """It ends at once."""

    @abstractmethod
    def start(self) -> None:
        """It is there again, with what it had."""

    @abstractmethod
    def cut(self) -> None:
        """Every connection breaks, now. New ones may be made."""

    @abstractmethod
    def refuse(self) -> None:
        """Every connection breaks, and new ones are refused."""

    @abstractmethod
    def silence(self) -> None:
        """Connections are taken, and nothing is answered. What was asked meanwhile arrives at `heal`, late."""

    @abstractmethod
    def heal(self) -> None:
        """The way is free again. The server is as it was."""

    @abstractmethod
    def cuts(self, commit: Callable[[], object]) -> Iterator[str]:
        """Makes the next commit be cut, at another point for each turn of the loop, until all were; each is named.
        `commit` is one like those that will be cut, to see how it goes. The loop calls `heal`."""

    @abstractmethod
    def read_only(self, on: bool) -> None:
        """The server refuses writes."""

    @abstractmethod
    def full(self, on: bool) -> None:
        """The server has no room."""

    @abstractmethod
    def change_password(self) -> None:
        """The password that drivers have is wrong, from the next start of the server at the latest."""

    @abstractmethod
    def wipe(self) -> None:
        """The database is emptied behind the drivers' backs."""

    # What checks do with it.

    def unavailable(self, call: Callable[[], object]) -> None:
        """It raises `StoreUnavailable`, in time, and what it says is fit for a log."""
        self._fails(call, StoreUnavailable)

    def refused(self, call: Callable[[], object]) -> None:
        """It raises `StoreRefused`, in time, and what it says is fit for a log."""
        self._fails(call, StoreRefused)

    def in_vain(self, call: Callable[[], object]) -> str:
        """It raises one of both, in time, and what it says is fit for a log: that."""
        return self._fails(call, StoreRefused, StoreUnavailable)

    def _fails(self, call: Callable[[], object], *kinds: type[Exception]) -> str:
        def must_fail() -> str:
            try:
                result = call()
            except kinds as error:
                return self.heard(error)
            raise AssertionError(f"it did not fail: {str(result)[:500]}")

        return self.in_time(must_fail)

    def heard(self, error: Exception) -> str:
        """What it says, which must be fit for a log."""
        assert str(error), "it says nothing"
        shown = f"{error} {error!r} {error.__cause__!r}"
        assert not self.password or self.password not in shown, "the password is in the message"
        return str(error)

    def in_time(self, call: Callable[[], T]) -> T:
        """What it gives; it must end in time, whatever comes of it."""
        begun = time.monotonic()
        try:
            return call()
        finally:
            taken = time.monotonic() - begun
            assert taken < self.timeout + self.slack, f"it took {taken:.1f} s"


def again(call: Callable[[], T]) -> T:
    """What it gives: at once, or after one failure, by which the driver learns that its connection is gone."""
    try:
        return call()
    except StoreUnavailable:
        return call()


def patiently(call: Callable[[], T], seconds: float = 30.0) -> T:
    """What it gives when the server has found back to itself."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except StoreUnavailable:
            assert time.monotonic() < deadline, "it did not come back"
            time.sleep(0.05)


Call = Callable[[Driver], object]


def calls_of(element: Element) -> dict[str, Call]:
    """Every method that asks the server, by its name; `commit` writes `element`."""
    return {
        "now": lambda driver: driver.now(),
        "load": lambda driver: list(driver.load("job")),
        "get": lambda driver: driver.get("job", "a"),
        "commit": lambda driver: driver.commit([element]),
        "run": lambda driver: driver.run("run-1"),
        "runs": lambda driver: driver.runs(RunQuery()),
        "output": lambda driver: driver.output("run-1"),
        "prune": lambda driver: driver.prune(["job-a"], keep=100, older_than=None),
        "prune by age": lambda driver: driver.prune(None, keep=100, older_than=0),
        "trim_outputs": lambda driver: driver.trim_outputs(1_000_000),
        "forget": lambda driver: driver.forget(["no such job"]),
        "changes": lambda driver: driver.changes(""),
    }
