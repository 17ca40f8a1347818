"""A server that is only pretended, and a driver of it: a memory driver behind the switches of `FaultyDatabase`.

It proves the checks of faults, as do the drivers of it that are broken on purpose.
"""

import threading
from collections.abc import Callable, Iterator, Sequence

from kala.clock import Moment
from kala.drivers.contract import Changes, Conflict, Driver, Element, RunPage, RunQuery, Stored, refuse_larger
from kala.drivers.memory import MemoryDriver
from kala.errors import StoreRefused, StoreUnavailable
from kala.job import Output, Run

from .conformance.faulty import FaultyDatabase

PATIENCE = 0.3
"""Seconds that a driver waits for an answer here."""


class PretendedServer:
    """Connections are numbers: one that is below `epoch` is broken."""

    def __init__(self) -> None:
        self.memory = MemoryDriver()
        self.password = "right-1"
        self.up = self.reachable = self.writable = True
        self.free = 1_000_000_000  # bytes
        self.silent = False
        self.epoch = 0
        self.through: int | None = None  # so many elements of the next commit are written before the connection breaks
        self.asked = 0  # elements of the latest commit
        self.late: list[Callable[[], object]] = []  # what was asked in the silence
        self.healed = threading.Condition()


class PretendedDriver:
    """`direct`: what is wrong with the way to the server does not concern it."""

    name, place, server = "pretended", "pretended:1", "Pretended 1"
    max_value = max_output = MemoryDriver.max_value
    max_batch, max_batch_bytes = MemoryDriver.max_batch, MemoryDriver.max_batch_bytes

    def __init__(self, at: PretendedServer, *, direct: bool = False) -> None:
        self.at, self.direct = at, direct
        self.password = at.password
        self.connection = -1
        self.database = ""

    def open(self) -> None:
        self.database = self.ask()._database

    def close(self) -> None:
        self.connection = -1

    def ask(self, batch: Sequence[Element] = ()) -> MemoryDriver:
        """What answers. Raises as a driver does when nothing does."""
        at = self.at
        if not at.up or not (at.reachable or self.direct):
            raise self.broken("connection refused")
        if at.silent and not self.direct:
            if batch:
                at.late.append(lambda: self.arrive(batch))
            self.wait()
            raise self.broken("no answer")
        if not self.direct and 0 <= self.connection < at.epoch:
            raise self.broken("the connection broke")
        if self.connection < 0 and self.password != at.password:
            raise StoreRefused(f"{self.place}: the password is wrong: --jobdb-password")
        self.connection = at.epoch
        return at.memory

    def arrive(self, batch: Sequence[Element]) -> None:
        """A commit that was given up reaches the server."""
        self.at.memory.commit(batch)

    def wait(self) -> None:
        with self.at.healed:
            self.at.healed.wait_for(lambda: not self.at.silent, PATIENCE)

    def broken(self, fault: str) -> StoreUnavailable:
        self.connection = -1
        return StoreUnavailable(f"{self.place}: {fault}")

    def now(self) -> Moment:
        return self.ask().now()

    def load(self, kind: str) -> Iterator[Stored]:
        for stored in self.ask().load(kind):
            self.ask()
            yield stored

    def get(self, kind: str, key: str) -> Stored | None:
        return self.ask().get(kind, key)

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        refuse_larger(batch, self)
        memory, at = self.ask(batch), self.at
        if memory._database != self.database:
            raise StoreRefused(f"{self.place}: it was emptied or replaced: start again")
        if not at.writable:
            raise StoreUnavailable(f"{self.place}: it takes no writes")
        if sum(len(each.value or b"") for each in batch) > at.free:
            raise StoreUnavailable(f"{self.place}: it has no room")
        return self.send(memory, batch)

    def send(self, memory: MemoryDriver, batch: Sequence[Element]) -> list[Conflict | None]:
        at = self.at
        through, at.through, at.asked = (None, at.through, at.asked) if self.direct else (at.through, None, len(batch))
        if through is None:
            return memory.commit(batch)
        memory.commit(batch[:through])
        raise self.broken("the connection broke")

    def run(self, run_id: str) -> Run | None:
        return self.ask().run(run_id)

    def runs(self, query: RunQuery) -> RunPage:
        return self.ask().runs(query)

    def output(self, run_id: str) -> list[Output]:
        return self.ask().output(run_id)

    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: Moment | None) -> int:
        return self.ask().prune(jobs, keep=keep, older_than=older_than)

    def trim_outputs(self, limit: int) -> int:
        return self.ask().trim_outputs(limit)

    def forget(self, jobs: Sequence[str]) -> int:
        return self.ask().forget(jobs)

    def changes(self, since: str) -> Changes:
        return self.ask().changes(since)


class PretendedDatabase(FaultyDatabase):
    """`kind` is the driver under test; who looks on from aside has one that is right."""

    timeout, slack = PATIENCE, 5.0

    def __init__(self, kind: type[PretendedDriver] = PretendedDriver) -> None:
        self.at, self.kind = PretendedServer(), kind
        super().__init__(self.construct, password=self.at.password)

    def construct(self) -> Driver:
        return self.kind(self.at)

    def aside(self) -> Driver:
        driver = PretendedDriver(self.at, direct=True)
        driver.open()
        return driver

    def stop(self) -> None:
        self.at.up = False
        self.cut()

    kill = stop

    def start(self) -> None:
        self.at.up = True

    def cut(self) -> None:
        self.at.epoch += 1

    def refuse(self) -> None:
        self.at.reachable = False
        self.cut()

    def silence(self) -> None:
        self.at.silent = True

    def heal(self) -> None:
        with self.at.healed:
            self.at.silent, self.at.reachable, self.at.through = False, True, None
            self.at.healed.notify_all()
        while self.at.late:
            self.at.late.pop()()

    def cuts(self, commit: Callable[[], object]) -> Iterator[str]:
        commit()
        for number in range(self.at.asked + 1):
            self.at.through = number
            yield f"after {number} elements"

    def read_only(self, on: bool) -> None:
        self.at.writable = not on

    def full(self, on: bool) -> None:
        self.at.free = 1_000 if on else 1_000_000_000

    def change_password(self) -> None:
        self.at.password = "right-2"

    def wipe(self) -> None:
        self.at.memory = MemoryDriver()
