"""The limits that hold for every connection, and what all connections of a server share."""

import logging
from collections.abc import Callable
from math import inf
from ssl import SSLContext
from typing import TYPE_CHECKING, Protocol

import trio
from hypercorn.config import Config, Sockets
from msgspec import Struct

from kala.openfiles import open_files

if TYPE_CHECKING:
    from kala.web.hot import Hot


class Connection(Protocol):
    """What is asked of a connection (`guard.py`) here."""

    phase: str
    since: float  # when that began

    def leave(self) -> None:
        """Make room: it is idle."""

    def stop(self) -> None:
        """End when idle, and with the request that is on."""


def open_files_share() -> int:
    """A quarter of the open files that this process may have: the rest is for runs and the database."""
    return int(max(16, min(1024, open_files() / 4)))


class Limits(Struct, frozen=True):
    """Seconds, but for the last two."""

    head: float = 10  # for a request's head, from its first byte; and for the first byte of a new connection
    first: float = 1  # for the first byte of a new connection, where there are as many as may be
    idle: float = 75  # between requests
    body: float = 20  # for a body, and a second more for each `rate` bytes that have come
    send: float = 20  # for the peer to take a piece (64 KB at most) of an answer
    linger: float = 2  # for the peer to close after us
    graceful: float = 3  # for requests in progress when the server stops
    rate: int = 16 << 10  # bytes a second
    connections: int = 0  # 0: `open_files_share()`


class GuardConfig(Config):
    """hypercorn's settings, and what all connections of a server share."""

    def __init__(
        self, limits: Limits, sockets: Sockets, tls_context: Callable[[], SSLContext | None] = lambda: None
    ) -> None:
        self.limits = limits
        self.tls_context = tls_context  # of a connection that comes now; None: plain
        self.hot: Hot | None = None  # answers what comes most, if anything does
        self.most = limits.connections or open_files_share()
        self.connections: set[Connection] = set()
        self.idle: dict[Connection, None] = {}  # the longest idle first
        self.refusing = 0
        # Since the start: connections above the limit and cut off for slowness, requests that were no HTTP
        self.refused = self.slow = self.unreadable = 0
        self.stop_at = inf
        self._sockets = sockets
        self.graceful_timeout = limits.graceful
        self.backlog = 1024
        self.include_server_header = False
        self.keep_alive_max_requests = 1 << 62
        self.websocket_max_message_size = 16 << 10  # clients have nothing to say there
        self.errorlog = logging.getLogger("kala.web.hypercorn")
        self.errorlog.setLevel(logging.WARNING)  # its "Running on" comes before anything is ready

    def create_sockets(self) -> Sockets:
        return self._sockets

    def admit(self, connection: Connection) -> bool:
        """There is room for one more, if need be that of the longest idle, or of one that has said nothing yet."""
        if len(self.connections) >= self.most:
            now = trio.current_time()
            leaving = (one for one in self.idle if one.phase != "new" or now - one.since >= self.limits.first)
            if (longest := next(leaving, None)) is not None:
                longest.leave()
        if len(self.connections) >= self.most:
            return False
        self.connections.add(connection)
        self.idle[connection] = None
        return True

    def stop(self) -> None:
        """Idle connections end now, the others with their request, or `graceful` seconds from now."""
        self.stop_at = trio.current_time() + self.limits.graceful
        for connection in list(self.connections):
            connection.stop()
