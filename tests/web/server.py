"""A web server over the real service, store, scheduler and memory driver, in a thread of its own with its own Trio.

Only the attempt is pretended: a command "true" succeeds, "false" fails, and "wait" goes on until `Server.let_go`, or
until it is cancelled.
"""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import trio
from msgspec.structs import replace

from kala.audit import Audit
from kala.clock import Clock
from kala.drivers.memory import MemoryDriver
from kala.hub import Hub
from kala.job import Attempt, Record, Run
from kala.lease import Lease
from kala.scheduler import Scheduler
from kala.service import Service
from kala.settings import Settings
from kala.states import State
from kala.stop import Stop
from kala.store import Store
from kala.tokens import Tokens
from kala.web import serve as serving
from kala.web.app import create_app
from kala.web.door import Door
from kala.web.limits import GuardConfig, Limits

DEADLINE = 10.0
FUTURE = "R/2099-01-01T00:00:00Z/P1D"
LIMITS = Limits(head=10, idle=30, body=10, send=10, linger=0.1, graceful=3, rate=1 << 20, connections=200)
HASTY = replace(LIMITS, head=1.0, body=1.0)
"""For tests in which the time for a head or a body ends."""
LINGERING = replace(LIMITS, linger=5)
"""For tests in which a client goes on sending after the answer."""
GRACEFUL = replace(LIMITS, graceful=DEADLINE + 5)
"""For tests of the stop: one that waits for the end of `graceful` does not end soon enough for `Server.stop`."""


class AwayDriver(MemoryDriver):
    """A memory driver that can be away."""

    away: Exception | None = None

    def commit(self, batch: Any) -> Any:
        if self.away is not None:
            raise self.away
        return super().commit(batch)

    def runs(self, query: Any) -> Any:
        if self.away is not None:
            raise self.away
        return super().runs(query)


class AheadClock(Clock):
    """The system's clock, which a test can set ahead."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


class Server:
    """A running server and its parts. `call` runs a function in its Trio thread."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self.settings, self.limits = settings, limits
        self.driver, self.clock, self.hub = AwayDriver(), AheadClock(), Hub()
        self.service: Service
        self.guard: GuardConfig
        self.urls: list[str] = []
        self.error: BaseException | None = None
        self.attempts = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def start(self) -> "Server":
        self._thread.start()
        assert self._ready.wait(DEADLINE), "the server did not start"
        if self.error is not None:
            raise self.error
        return self

    def _main(self) -> None:
        try:
            trio.run(self._run)
        except BaseException as error:  # noqa: BLE001  # for the test's thread
            self.error = error
        finally:
            self._ready.set()

    async def _run(self) -> None:
        self._token, self._stop, self._gate = trio.lowlevel.current_trio_token(), trio.Event(), trio.Event()
        self._stop_web, self._web_ended = trio.Event(), trio.Event()
        store = Store(self.driver, self.clock, self.hub)
        lease = Lease(self.driver, "test")
        self.scheduler = Scheduler(
            store, self.clock, self.hub, lease, self._attempt, max_runs=10, limits=self.settings.limit_runs
        )
        self.service = Service(store, self.scheduler, lease, self.clock, self.hub, default_owner="me@example.org")
        await store.load()
        lease.take(shared=False)
        lease.start()
        async with trio.open_nursery() as root:
            root.start_soon(store.write)
            root.start_soon(self.hub.run)
            await root.start(self._scheduler_then_web)
            self.urls = await root.start(self._serve)
            self._ready.set()
            await self._stop.wait()
            self._gate.set()
            self.scheduler.stop_starting()
            await self._web_ended.wait()
            store.close()
        lease.give_back()

    async def _scheduler_then_web(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        await self.scheduler.run(task_status=task_status)
        self.hub.close()
        self._stop_web.set()

    async def _serve(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        self.tokens = Tokens(self.settings.tokens_file, self.settings.tokens)
        self.door = Door(self.clock, self.tokens, Audit(self.clock, None) if self.tokens.demanded else None)
        self.app = create_app(self.service, self.settings, self.door)
        await serving.serve(self.app, self.settings, stop=self._stop_web, limits=self.limits, task_status=task_status)
        self._web_ended.set()

    async def _attempt(self, record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        self.attempts += 1
        started = self.clock.now()
        state = State.FAILED if record.job.command == "false" else State.SUCCEEDED
        if record.job.command == "wait":
            with trio.CancelScope() as scope:
                stop.attach(scope.cancel)
                await self._gate.wait()
            if scope.cancelled_caught:
                state = State.CANCELLED
        return Attempt(len(run.attempts) + 1, started, self.clock.now(), state, exit_code=0), b""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return trio.from_thread.run_sync(function, *arguments, trio_token=self._token)

    def let_go(self) -> None:
        self.call(self._gate.set)

    def stop(self) -> None:
        """Stop it; it must end soon, and without an error."""
        if self._thread.is_alive():
            self.call(self._stop.set)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the server did not stop"
        if self.error is not None:
            raise self.error

    @property
    def address(self) -> tuple[str, int]:
        host, port = urlsplit(self.urls[0]).netloc.rsplit(":", 1)
        return host, int(port)

    def connect(self) -> http.client.HTTPConnection:
        if self.urls[0].startswith("https:"):
            return http.client.HTTPSConnection(*self.address, timeout=DEADLINE, context=unverified())
        return http.client.HTTPConnection(*self.address, timeout=DEADLINE)

    def dial(self) -> socket.socket:
        """A connection for any bytes, within TLS where the server has it."""
        connection = socket.create_connection(self.address, timeout=DEADLINE)
        return unverified().wrap_socket(connection) if self.urls[0].startswith("https:") else connection

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> "Answer":
        """One request on a connection of its own; a body that is not bytes is sent as JSON."""
        connection = self.connect()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            with suppress(BrokenPipeError, ConnectionResetError):  # it may be refused before it has been sent whole
                connection.request(method, path, data, named)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def create(self, **members: Any) -> str:
        answer = self.ask("POST", "/api/v1/job/", {"name": "j", "command": "true", "schedule": FUTURE, **members})
        assert answer.status == 201, answer.text
        return str(answer.json["id"])


def unverified() -> ssl.SSLContext:
    """Of a client that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Answer:
    """A whole HTTP answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    line: bytes = b"GET /healthz HTTP/1.1", *fields: bytes, body: bytes = b"", host: bytes = b"localhost"
) -> bytes:
    return b"\r\n".join([line, b"Host: " + host, *fields, b"", body])


def connections(server: Server) -> list[Any]:
    return list(server.call(lambda: list(server.guard.connections)))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)
