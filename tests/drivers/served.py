"""A database on a real server, behind a proxy: what the checks of faults are given for each engine."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace
from servers.proxy import Proxy
from servers.service import Service, Unsupported

from kala.drivers import driver_class
from kala.drivers.contract import Driver
from kala.drivers.server import Server

from .conformance.database import Database, Sizes
from .conformance.faulty import FaultyDatabase

CUTS = 6
"""Places among the answers of a commit at which it is cut."""

SIZES = {
    "Consul": Sizes(jobs=200),
    "FerretDB": Sizes(jobs=50),
    "SecantusDB": Sizes(records=10_000, jobs=50),
}
"""Where it is less: by the titles of servers that are slow by themselves."""


def driver_of(engine: str, server: Server) -> Driver:
    return driver_class(engine)(server)  # type: ignore[call-arg]  # the protocol leaves open what one is made of


def database_on(service: Service) -> Database:
    """A new database on a server that runs."""
    server = service.fresh()
    return Database(lambda: driver_of(service.engine, server), password=server.password, sizes=SIZES.get(service.title))


class ServedDatabase(FaultyDatabase):
    """A new database on `service`, which belongs to the test alone. `close` makes all well that a check has left."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._direct = service.fresh()
        self._proxy = Proxy(service.port)
        self._server = replace(
            self._direct, address=self._direct.address.replace(str(service.port), str(self._proxy.port))
        )
        assert self._server.address != self._direct.address
        super().__init__(self.construct, password=self._direct.password)

    def construct(self) -> Driver:
        return driver_of(self._service.engine, self._server)

    def aside(self) -> Driver:
        driver = driver_of(self._service.engine, self._direct)
        driver.open()
        self._opened.append(driver)
        return driver

    def close(self) -> None:
        self._proxy.close()
        super().close()
        self.start()

    def stop(self) -> None:
        self._service.stop()

    def kill(self) -> None:
        self._service.kill()

    def start(self) -> None:
        if self._service.process is None or self._service.process.poll() is not None:
            self._service.start()

    def cut(self) -> None:
        self._proxy.cut()

    def refuse(self) -> None:
        self._proxy.refuse()

    def silence(self) -> None:
        self._proxy.silence()

    def heal(self) -> None:
        self._proxy.heal()

    def cuts(self, commit: Callable[[], object]) -> Iterator[str]:
        bytes_before, answers_before = self._proxy.sent, self._proxy.answered
        commit()
        size, answers = self._proxy.sent - bytes_before, self._proxy.answered - answers_before
        for number in sorted({1, size // 20, size // 4, size // 2, size * 3 // 4, size - 40, size - 1}):
            self._proxy.cut_after(number)
            yield f"after {number} of {size} bytes"
        lost = 0
        for number in sorted({(answers - 1) * part // CUTS for part in range(CUTS + 1)} | {answers - 2}):
            self._proxy.lose_answer(max(0, number))
            yield f"in place of answer {number + 1} of {answers}"
            lost += self._proxy.fired
        assert lost, "no answer was lost"

    def read_only(self, on: bool) -> None:
        self._do(lambda: self._service.read_only(on))

    def full(self, on: bool) -> None:
        self._do(lambda: self._service.full(on))

    def change_password(self) -> None:
        self._do(self._service.old_password)

    def wipe(self) -> None:
        self._service.wipe(self._direct)

    def _do(self, switch: Callable[[], None]) -> None:
        try:
            switch()
        except Unsupported as because:
            pytest.skip(str(because))
