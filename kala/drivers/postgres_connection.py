"""Connections of `postgres.py`: the address as libpq takes it, an end to every wait, and lines that threads share."""

import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from psycopg import Connection, pq
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

from kala.drivers.postgres_arrays import teach
from kala.drivers.postgres_faults import OURS, TimeOver, Where, faults
from kala.drivers.server import Address, Server, read_address, tls_context
from kala.errors import KalaError, SettingsError, StoreRefused, StoreUnavailable

OLDEST = 13
"""The first version with 64-bit transaction numbers as a type, by which changes are found."""
TURN_WAIT = 5.0
"""Seconds that a call waits for another's to end, when all lines are taken."""
LEAST = 2.0
"""Seconds that the client library gives a connection at least."""

_Value = TypeVar("_Value")

logging.getLogger("psycopg").setLevel(logging.ERROR)  # its warnings tell of what it raises as well

_SETTINGS = {
    "statement_timeout": "9s",
    "lock_timeout": "8s",
    "idle_in_transaction_session_timeout": "15s",  # so that a client that vanished keeps no lock
    "tcp_user_timeout": "15s",
    "tcp_keepalives_idle": "15",
    "default_transaction_isolation": "read committed",
    # Every statement is to go by an index, also before the first statistics are there. What cannot is thought dear,
    # and would be compiled.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
}
_SESSION = (
    "select "
    + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items())
    + """, set_config('synchronous_commit',
        case when current_setting('synchronous_commit') = 'remote_apply' then 'remote_apply' else 'on' end, false),
      current_setting('server_version_num')::int, pg_is_in_recovery()"""
)


class Bounded(Connection[TupleRow]):
    """A connection on which every wait for the server ends at `until`, by the monotonic clock; it is cut then.

    A server that is silent keeps none of its own timeouts, and the kernel acknowledges what it does not read.
    """

    until = float("inf")

    def wait(self, gen: PQGen[_Value], *given: Any, **named: Any) -> _Value:
        return super().wait(self._in_time(gen), *given, **named)

    def _in_time(self, gen: PQGen[_Value]) -> PQGen[_Value]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if time.monotonic() > self.until:
                    self.pgconn.finish()
                    raise TimeOver("no answer in time")
                wanted = gen.send(ready)
        except StopIteration as end:
            found: _Value = end.value
            return found

    @property
    def usable(self) -> bool:
        """Whether nothing is under way on it, and the server has not hung up."""
        if self.closed or self.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            return False
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return not poll.poll(0)


class Way:
    """The way to a database: its servers, of which one is the primary, and how to come in. Raises `SettingsError`."""

    def __init__(self, server: Server) -> None:
        address = read_address(server, {"postgresql": None, "postgres": None}, 5432)
        options = dict(address.options)
        _check_options(options)
        hosts = _hosts(address, options)
        database = address.path or options.pop("dbname", "kala")
        self._hosts = hosts
        self._name = server.tls.name
        self._failed: dict[tuple[str, int, str], float] = {}  # when, by the monotonic clock
        self.options: dict[str, str] = {  # libpq's, but for servers
            "gssencmode": "disable",
            "keepalives_idle": "15",
            "keepalives_interval": "5",
            "keepalives_count": "3",
            "tcp_user_timeout": "10000",
            "application_name": "kala",
            **options,
            **_tls(server, options),
            "dbname": database,
            "client_encoding": "utf8",
        }
        for name, value in ("user", address.username), ("password", address.password):
            if value:
                self.options[name] = value
        place = ",".join(_place(host, port) for host, port in hosts)
        self.where = Where(f"{place}/{database}", database, self.options.get("user", ""))

    def connect(self, until: float) -> Bounded:
        """A connection to the primary: each server is tried in turn, those last that failed last."""
        refusals: list[KalaError] = []
        with_names = self._addresses(refusals)
        for number, (host, port, address) in enumerate(with_names):
            left = until - time.monotonic()
            if number and left < LEAST:
                break
            where = self.where._replace(place=f"{_place(host, port)}/{self.where.database}")
            try:
                with faults(where):
                    connection = self._connected(host, port, address, left / (len(with_names) - number))
                    connection.until = until
                    _begin_session(connection, where)
            except (StoreUnavailable, StoreRefused) as error:
                self._failed[host, port, address] = time.monotonic()
                refusals.append(error)
                continue
            self._failed.pop((host, port, address), None)
            return connection
        kind = StoreRefused if all(isinstance(one, StoreRefused) for one in refusals) else StoreUnavailable
        raise kind("; ".join(map(str, refusals))) from (refusals[-1] if len(refusals) == 1 else None)

    def _connected(self, host: str, port: int, address: str, seconds: float) -> Bounded:
        found: dict[str, Any] = {**self.options, "host": host, "port": port}
        if address:
            # The certificate is held against `host`, whatever address it was reached by.
            found |= {"host": self._name or host, "hostaddr": address}
        wanted = int(found.get("connect_timeout") or 0)
        found["connect_timeout"] = max(int(LEAST), int(min(wanted or seconds, seconds)))
        connection = Bounded.connect(**found, autocommit=True)
        teach(connection)
        return connection

    def _addresses(self, refusals: list[KalaError]) -> list[tuple[str, int, str]]:
        found: dict[tuple[str, int, str], None] = {}
        for host, port in self._hosts:
            if host.startswith("/"):
                found[host, port, ""] = None
                continue
            try:
                answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                refusals.append(StoreUnavailable(f"{_place(host, port)}: its name cannot be found ({error.strerror})"))
                continue
            found |= {(host, port, str(answer[4][0])): None for answer in answers}
        return sorted(found, key=lambda one: self._failed.get(one, 0.0))


class Lines:
    """Up to `number` connections, made when they are needed, and whose turn it is on them. Broken ones are dropped."""

    def __init__(self, way: Way, number: int) -> None:
        self._way = way
        self._turns = threading.BoundedSemaphore(number)
        self._lock = threading.Lock()
        self._idle: list[Bounded] = []
        self._closed = False

    @contextmanager
    def taken(self) -> Iterator[Bounded]:
        """A connection, for `OURS` seconds."""
        until = time.monotonic() + OURS
        if not self._turns.acquire(timeout=TURN_WAIT):
            raise StoreUnavailable(f"{self._way.where.place}: other calls have been under way for {TURN_WAIT:g} s")
        try:
            connection = self._kept() or self._way.connect(until)
            connection.until = until
            try:
                yield connection
            finally:
                with self._lock:
                    kept = connection.usable and not self._closed
                    if kept:
                        self._idle.append(connection)
                if not kept:
                    connection.close()
        finally:
            self._turns.release()

    def _kept(self) -> Bounded | None:
        while True:
            with self._lock:
                if self._closed:
                    raise StoreUnavailable(f"{self._way.where.place}: it is not open")
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()

    def close(self) -> None:
        """Close what is idle; what is taken is closed when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _begin_session(connection: Bounded, where: Where) -> None:
    """Refuse a server that will not do, and set what statements are to keep to."""
    try:
        version = connection.info.server_version
        if version < OLDEST * 10_000:
            raise StoreRefused(
                f"{where.place}: PostgreSQL {version // 10_000} answers, and {OLDEST} is the oldest that will do"
            )
        found = connection.execute(_SESSION).fetchone()
        if found is not None and found[-1]:
            raise StoreUnavailable(
                f"{where.place}: it is a standby, which cannot be written: --jobdb-address must name the primary,"
                " or all servers with commas between"
            )
    except BaseException:
        connection.close()
        raise


def _hosts(address: Address, options: dict[str, str]) -> tuple[tuple[str, int], ...]:
    """Servers and ports; the `host` option names the folder of a socket, as libpq has it."""
    host, port = options.pop("host", ""), options.pop("port", "")
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise SettingsError(f"--jobdb-address: {port!r} is not a port")
    if host:
        return ((host, int(port or address.hosts[0][1])),)
    return tuple((name, int(port or number)) for name, number in address.hosts)


def _place(host: str, port: int) -> str:
    if host.startswith("/"):
        return f"{host}/.s.PGSQL.{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_options(options: dict[str, str]) -> None:
    """What stands behind the ? is handed on to libpq, which must know it."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} - {"hostaddr"}
    if unknown := sorted(set(options) - known):
        raise SettingsError(f"--jobdb-address: PostgreSQL has no option {unknown[0]!r}")
    if not options.get("connect_timeout", "0").isdecimal():
        raise SettingsError("--jobdb-address: connect_timeout must be a number of seconds")
    modes = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
    if options.get("sslmode", "prefer") not in modes:
        raise SettingsError(f"--jobdb-address: sslmode must be one of {', '.join(modes)}")


def _tls(server: Server, options: dict[str, str]) -> dict[str, str]:
    """libpq's options for what `--jobdb-tls-…` say."""
    tls = server.tls
    if not tls:
        return {}
    tls_context(tls)  # whether the files can be used
    mode = options.get("sslmode", "verify-full")
    if mode in ("disable", "allow", "prefer"):
        raise SettingsError(f"--jobdb-address says sslmode={mode}, and --jobdb-tls-… ask for TLS")
    found = {"sslmode": mode, "sslrootcert": tls.ca or ssl.get_default_verify_paths().cafile or "system"}
    if tls.certificate:
        found |= {"sslcert": tls.certificate, "sslkey": tls.key or tls.certificate}
    return found
