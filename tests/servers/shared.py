"""One server of each kind for a session of tests: started when it is first needed, stopped at the end."""

from pathlib import Path
from typing import NamedTuple

from kala.drivers.server import Server

from .registry import SERVICES
from .service import Service


class EngineServer(NamedTuple):
    """A new database, the server that it is on, and the flags by which `kala serve` uses it."""

    engine: str  # as `--jobdb` calls it
    server: Server
    service: Service
    flags: list[str]


class Shared:
    """`folder` holds their data, in a folder for each. `ran` tells what was started, by name: product and version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran: dict[str, str] = {}
        self._services: dict[str, Service] = {}
        self._faults: dict[str, BaseException] = {}

    def get(self, name: str) -> Service:
        """The server of that name, running. It must not be missing (`Service.missing`)."""
        if name in self._faults:  # the second test does not wait as long as the first
            raise AssertionError(f"{SERVICES[name].title} could not be started") from self._faults[name]
        if name not in self._services:
            service = SERVICES[name](self.folder / name)
            try:
                self._services[name] = service.start()
                self.note(name, service)
            except BaseException as fault:
                service.kill()
                self._faults[name] = fault
                raise
        return self._services[name]

    def note(self, name: str, service: Service) -> None:
        """It ran, of this version."""
        self.ran[name] = service.version()

    def summary(self) -> str:
        """What ran, and what did not and why, in one line."""
        others = [
            f"{kind.title} ({f'{lacking} is missing' if (lacking := kind.missing()) else 'no test needed it'})"
            for name, kind in SERVICES.items()
            if name not in self.ran
        ]
        ran = ", ".join(dict.fromkeys(self.ran.values())) or "none"
        return f"servers: {ran}" + (f"; not started: {', '.join(others)}" if others else "")

    def close(self) -> None:
        for service in self._services.values():
            service.kill()  # what they hold is not needed any more
