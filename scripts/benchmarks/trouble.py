"""What makes it hard for the daemon: `--trouble` measures it in each of these, beside itself without."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmarks.tools import HERE, Tools, free_port, request
from msgspec.structs import replace

from kala.drivers.server import Server

if TYPE_CHECKING:
    from benchmarks.peers import Web

COMMIT_MS, LINE_MS, OPEN, EACH = 50, 20, 1_000, 30.0


class Trouble:
    """None at all; and what kinds of it may do."""

    title = ""
    needs_server = False
    """It is between the daemon and its database, and there is nothing between it and SQLite."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    def environment(self) -> dict[str, str]:
        """Of the daemon, and of its database's server."""
        return {}

    def reached(self, server: Server) -> Server:
        """By what way the daemon comes to its database."""
        return server

    def begin(self, daemon: "Web") -> None:
        """The daemon is up."""

    def end(self) -> None:
        """Its daemon is about to be stopped."""

    def close(self) -> None:
        """It is over."""


class SlowDisk(Trouble):
    title = f"a commit takes {COMMIT_MS} ms"

    def environment(self) -> dict[str, str]:
        library = self.tools.path("slowdisk", "-shared", "-fPIC", "-ldl")
        return {"LD_PRELOAD": str(library), "SLOW_DISK_MS": str(COMMIT_MS)}


class SlowLine(Trouble):
    title = f"a database {LINE_MS} ms away"
    needs_server = True

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._process: subprocess.Popen[bytes] | None = None

    def reached(self, server: Server) -> Server:
        address, slash, path = server.address.partition("/")
        host, _, port = address.rstrip(")").rpartition(":")
        near = free_port()
        command = [sys.executable, HERE / "slowline.py", near, port, LINE_MS / 2]
        self._process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it listens
        closing = ")" if address.endswith(")") else ""
        return replace(server, address=f"{host}:{near}{closing}{slash}{path}")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class BusyCore(Trouble):
    title = "one core busy with something else"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, daemon: "Web") -> None:
        core = max(os.sched_getaffinity(0))
        spin = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
        self._process = subprocess.Popen([sys.executable, "-c", spin])

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Connections(Trouble):
    title = f"{OPEN:,} connections open"

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._open: list[socket.socket] = []
        self._over = threading.Event()
        self._asking: threading.Thread | None = None
        self.wrong = ""  # what is no longer as it was to be

    def begin(self, daemon: "Web") -> None:
        """Each asks once in `EACH` seconds, so that it counts as open and not as left behind."""
        self._question = request("GET", daemon.stats_path, daemon.headers)
        self._over.clear()
        for _ in range(OPEN):
            self._open.append(socket.create_connection(("127.0.0.1", daemon.port), timeout=60))
            self._ask(self._open[-1])
        self._asking = threading.Thread(target=self._go_on, daemon=True)
        self._asking.start()

    def _ask(self, one: socket.socket) -> None:
        one.sendall(self._question)
        if not (answer := one.recv(65_536)).startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a connection that was open is answered with {answer[:100]!r}")

    def _go_on(self) -> None:
        try:
            while True:
                for one in self._open:
                    if self._over.wait(EACH / OPEN):
                        return
                    self._ask(one)
        except (SystemExit, OSError) as fault:
            self.wrong = str(fault) or "a connection that was open is closed"

    def end(self) -> None:
        self._over.set()
        if self._asking is not None:
            self._asking.join()
            self._asking = None
        for one in self._open:
            one.close()
        self._open.clear()
        if self.wrong:
            raise SystemExit(self.wrong)


TROUBLES: Mapping[str, type[Trouble]] = {
    "slow-disk": SlowDisk,
    "slow-line": SlowLine,
    "busy-core": BusyCore,
    "connections": Connections,
}
