"""A database that is away now and then."""

from collections.abc import Callable
from typing import Any

from kala.drivers.contract import Conflict, Driver, Element
from kala.drivers.memory import MemoryDriver
from kala.errors import StoreUnavailable
from kala.job import Run


class Weather:
    """A driver over another that is away when told to be: `away` "before" loses what is written, "after" the answer.
    `strike` says of which batch the answer is lost, and all that comes after.

    `batches` are the commits of jobs that were asked for.
    """

    def __init__(self, inner: Driver | None = None) -> None:
        self.inner = inner or MemoryDriver()
        self.away = ""
        self.strike: Callable[[list[Element]], bool] = lambda batch: False
        self.batches: list[list[Element]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _look(self) -> None:
        if self.away:
            raise StoreUnavailable("a storm")

    def commit(self, batch: list[Element]) -> list[Conflict | None]:
        if batch[0].kind == "job":
            self.batches.append(list(batch))
            if self.strike(batch):
                self.away = "after"
        if self.away != "after":
            self._look()
        answers = self.inner.commit(batch)
        self._look()
        return answers

    def get(self, kind: str, key: str) -> Any:
        self._look()
        return self.inner.get(kind, key)

    def run(self, run_id: str) -> Run | None:
        self._look()
        return self.inner.run(run_id)
