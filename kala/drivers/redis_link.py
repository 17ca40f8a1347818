"""The way to a Redis server, for `redis.py`: its address, its connections, and what goes wrong there.

redis-py's timeouts are for one step of many. Here a call has one deadline, held to by the sockets themselves: whatever
the server sends, and however slowly, the call ends.
"""

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, getaddrinfo, socket
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import BlockingConnectionPool, Connection
from redis.retry import Retry

from kala.drivers.redis_faults import faults
from kala.drivers.server import Address, Server, read_address, tls_context
from kala.errors import SettingsError, StoreUnavailable

CONNECTIONS = 8
"""At once, for the writer, the lease and the readers; who finds none free waits."""
TURN_WAIT = 2.0  # seconds for a free connection
CONNECTING = 3.0  # seconds for a new one, with TLS, login and choosing the database; the pool tries a second time
CALL = 8.5  # seconds for a call with all of these, and all that it asks: below the contract's `TIMEOUT`

SCHEMES = {"redis": None, "rediss": True, "unix": None}
PORT = 6379

Command = Sequence[str | bytes | int]


def read_redis_address(server: Server) -> tuple[Address, str, int]:
    """The address, the path of its Unix socket ("" without one), and the number of the database. `SettingsError`."""
    given = read_address(server, SCHEMES, PORT)
    number = given.options.pop("db", "")
    if given.options:
        raise SettingsError(f"--jobdb-address: there is no option {sorted(given.options)[0]!r} for Redis, but db")
    if given.scheme == "unix":
        if not given.path:
            raise SettingsError("--jobdb-address: a Unix socket is written unix:///path/of/redis.sock?db=0")
        if server.tls:
            raise SettingsError("--jobdb-address: a Unix socket has no TLS")
        path = f"/{given.path}"
    else:
        path, number = "", given.path or number
    if len(given.hosts) > 1:
        raise SettingsError(
            "--jobdb-address: Redis is reached at one host:port: Sentinel and Cluster are not used, name the master"
        )
    if number and not (number.isascii() and number.isdecimal() and len(number) < 10):
        # It is not shown: it may be a part of a password that is written with a slash.
        raise SettingsError("--jobdb-address: behind the host must be the number of a database, as in host:6379/2")
    return given, path, int(number or 0)


def deadline() -> float:
    """By when a call that begins now is to end."""
    return time.monotonic() + CALL


class Deadline:
    """What makes a socket end every step by a moment of the monotonic clock. A step of no waiting stays one."""

    until = 0.0

    def left(self: Any) -> None:
        if self.gettimeout() == 0:
            return
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for this call is over")
        self.settimeout(left)

    def recv(self: Any, *arguments: Any) -> bytes:
        self.left()
        received: bytes = super().recv(*arguments)  # type: ignore[misc]
        return received

    def recv_into(self: Any, *arguments: Any) -> int:
        self.left()
        count: int = super().recv_into(*arguments)  # type: ignore[misc]
        return count

    def send(self: Any, *arguments: Any) -> int:
        self.left()
        count: int = super().send(*arguments)  # type: ignore[misc]
        return count

    def sendall(self: Any, *arguments: Any) -> None:
        self.left()
        super().sendall(*arguments)  # type: ignore[misc]


class TimedSocket(Deadline, socket):
    pass


class TimedTls(Deadline, ssl.SSLSocket):
    def send(self, *arguments: Any) -> int:
        try:
            return super().send(*arguments)
        except (ssl.SSLEOFError, ConnectionError):
            # A server that wants a certificate says so after the handshake, and hangs up: its words may be here.
            self.recv(1)
            raise


class TimedConnection(Connection):
    """A connection of redis-py over sockets with a deadline. `path` is a Unix socket's."""

    def __init__(self, path: str, context: ssl.SSLContext | None, **named: Any) -> None:
        super().__init__(**named)  # type: ignore[no-untyped-call]  # the class itself has types
        self.path, self.context = path, context

    def _connect(self) -> Deadline:
        until = time.monotonic() + CONNECTING
        if self.path:
            return self._connected(AF_UNIX, self.path, until)
        fault: OSError = OSError("the name has no address")
        for family, _, _, _, address in getaddrinfo(self.host, self.port, 0, SOCK_STREAM):
            try:
                return self._connected(family, address, until)
            except OSError as error:
                fault = error
        raise fault

    def _connected(self, family: int, address: Any, until: float) -> Deadline:
        made: TimedSocket | TimedTls = TimedSocket(family, SOCK_STREAM)
        try:
            made.settimeout(max(0.001, until - time.monotonic()))
            made.connect(address)
            if family in (AF_INET, AF_INET6):
                made.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            if self.context is not None:
                made.settimeout(max(0.001, until - time.monotonic()))
                made = cast(TimedTls, self.context.wrap_socket(made, server_hostname=self.host))
        except BaseException:
            made.close()
            raise
        made.until = until
        return made

    def end_by(self, until: float) -> None:
        cast(Deadline, self._sock).until = until

    def _host_error(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class Link:
    """Connections to one database, for any thread. `place` is for people."""

    def __init__(self, server: Server) -> None:
        given, path, self.number = read_redis_address(server)
        context = None
        if given.secure or server.tls:
            context = tls_context(server.tls)
            context.sslsocket_class = TimedTls
        host, port = given.hosts[0]
        where = path or Address("", given.hosts, "", {}, "", "").place
        self.place = f"{where}/{self.number}" if self.number else where
        self._named: dict[str, Any] = {
            "path": path,
            "context": context,
            "host": host,
            "port": port,
            "db": self.number,
            "username": given.username or None,
            "password": given.password or None,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,
        }
        self._pool: BlockingConnectionPool | None = None

    def open(self) -> None:
        """From now on connections may be made."""
        self.close()
        self._pool = BlockingConnectionPool(
            max_connections=CONNECTIONS, timeout=TURN_WAIT, connection_class=TimedConnection, **self._named
        )

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.disconnect()

    def ask(self, *commands: Command, until: float | None = None) -> list[Any]:
        """Send commands at once, and return what each is answered: a `redis.ResponseError` for one that was refused.
        Raises `StoreUnavailable`, also when the moment `until` of the monotonic clock comes first, and `StoreRefused`.
        """
        with faults(self.place), self._connection(deadline() if until is None else until) as connection:
            return converse(connection, commands)

    @contextmanager
    def _connection(self, until: float) -> Iterator[TimedConnection]:
        pool = self._pool
        if pool is None:
            raise StoreUnavailable(f"{self.place}: it is not open")
        connection = pool.get_connection()
        try:
            connection.end_by(until)
            yield connection
        except BaseException:
            connection.disconnect()  # an answer may be under way still
            raise
        finally:
            pool.release(connection)


def converse(connection: Connection, commands: Sequence[Command]) -> list[Any]:
    connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    answers = []
    for _ in commands:
        try:
            answers.append(connection.read_response())
        except redis.ResponseError as refused:
            answers.append(refused)
    return answers
