"""The connections of `mysql.py`: made when they are needed, held to a time limit, made anew when they are gone."""

import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn, TypeVar

import pymysql
from pymysql.constants import CLIENT

from kala.drivers.contract import TIMEOUT
from kala.drivers.mysql_address import Way
from kala.drivers.mysql_faults import EMPTIED, REPEATED, code_of, faults, is_lost
from kala.drivers.mysql_rows import packets
from kala.errors import StoreRefused, StoreUnavailable

LIMIT = TIMEOUT - 1.0  # seconds for a call, all in all
TURN = 4.5  # seconds of these that it waits for its turn
PING = 3.0  # seconds that a connection has to show that it is there still
IDLE = 30.0  # seconds without use after which it has to: a firewall may have forgotten it
READERS = 4
LOCK_WAIT = 3  # seconds for a lock of another writer
IN_TRANSACTION = 5
"""Seconds after which the server ends a transaction whose client is silent. A host that dies would hold its locks for
hours otherwise. Below `LIMIT`, so that others' calls outlast it."""
MOST = 33 * 1024 * 1024  # bytes of a packet: twice the largest value, which may be twice as long when it is escaped

_CLEAR = ("mysql_clear_password", "dialog")

T = TypeVar("T")


class Answer(NamedTuple):
    """To one statement: the number of rows that it changed or gives, and those that it gives."""

    changed: int
    rows: Sequence[tuple[Any, ...]]


class InTheClear:
    """A way of logging in that tells the password, which whoever pretends to be the server could ask for."""

    def __init__(self, connection: object) -> None:
        pass

    def authenticate(self, packet: object) -> NoReturn:
        raise pymysql.err.OperationalError(2059, "it asks for the password in the clear, which only goes by TLS")


class Session:
    """One connection. Whoever has its turn sets `until`, the end of his time by the monotonic clock."""

    def __init__(self, way: Way, until: float) -> None:
        self.until = until
        self._place = way.place
        self._used = time.monotonic()
        self._connection = pymysql.connections.Connection(
            user=way.username,
            password=way.password.encode(),  # text would be sent as Latin-1
            host=way.host,
            unix_socket=way.socket or None,
            database=way.database,
            charset="utf8mb4",
            autocommit=None,  # set below
            ssl=way.tls,
            ssl_disabled=way.tls is None and not way.tls_if_offered,
            client_flag=CLIENT.MULTI_STATEMENTS,
            auth_plugin_map={} if way.tls or way.socket else dict.fromkeys(_CLEAR, InTheClear),
            program_name="kala",
            defer_connect=True,
        )
        self.most = MOST
        sock = _dialled(way, until)
        self._descriptor = sock.fileno()  # stays when it is wrapped in TLS
        try:
            self._limit(self._left())
            self._connection.connect(sock)
            *_, packet = self.ask(
                # Those of the server may be any; and without backslashes that escape, `literal` would be wrong.
                b"set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', session autocommit = 1,"
                b" session innodb_lock_wait_timeout = %d" % LOCK_WAIT,
                b"set session transaction isolation level read committed",
                b"select @@max_allowed_packet",
            )
        except BaseException as error:
            self.close()
            if isinstance(error, RuntimeError) and "cryptography" in str(error):  # so the client says what it misses
                raise StoreRefused(
                    f"{way.place}: the server's caching_sha2_password needs TLS (?tls=true), or the package"
                    " cryptography: pip install 'kala[mysql]'"
                ) from error
            raise
        self.most = min(MOST, packet.rows[0][0])

    def ask(self, *statements: bytes) -> list[Answer]:
        """The answer to each, in as few messages as the server's packets allow."""
        answers = []
        for packet in packets(statements, self.most):
            self._limit(self._left())
            with self._connection.cursor() as cursor:
                cursor.execute(packet)  # type: ignore[call-overload]  # bytes are sent as they are
                answers.append(Answer(cursor.rowcount, cursor.fetchall()))
                while cursor.nextset():
                    answers.append(Answer(cursor.rowcount, cursor.fetchall()))
        self._used = time.monotonic()
        return answers

    def begin(self, database: str, *further: bytes) -> list[Answer]:
        """Begin a transaction in the database of that id, and ask the rest within it: the answers to that. Raises
        `StoreRefused` when the database is another now."""
        _, _, found, *answers = self.ask(
            b"set session wait_timeout = %d" % IN_TRANSACTION,
            b"start transaction",
            b"select text from kala_meta where name = 'changes'",
            *further,
        )
        if [text for (text,) in found.rows] != [database.encode()]:
            raise StoreRefused(f"{self._place}: {EMPTIED}")
        return answers

    def end(self, *last: bytes) -> list[Answer]:
        """Do the last of a transaction, and commit it: the answers to that."""
        return self.ask(*last, b"commit", b"set session wait_timeout = default")[:-2]

    def give_up(self) -> None:
        """Let a transaction be as if it had not been."""
        self.ask(b"rollback", b"set session wait_timeout = default")

    def repeated(self, transaction: Callable[[], T]) -> T:
        """Do it, again when another writer was in its way, while there is time."""
        while True:
            try:
                return transaction()
            except pymysql.err.Error as error:
                if code_of(error) not in REPEATED or self._left() < LOCK_WAIT:
                    raise
            self.ask(b"rollback")
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311  # so that two do not meet each time

    def is_there(self) -> bool:
        """Whether it can be used, as far as can be told; the server is asked when something speaks against it."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(0) and time.monotonic() - self._used < IDLE:
            return True
        self._limit(min(PING, self._left()))
        try:
            self._connection.ping(reconnect=False)
        except pymysql.err.Error:  # whatever it is: a new one will tell
            return False
        return True

    def close(self) -> None:
        if self._connection.open:
            self._limit(0.1)
            self._connection.close()

    def _limit(self, seconds: float) -> None:
        """From now on, wait so long for what is sent and read. The client has no public way to say it twice."""
        self._connection._read_timeout = self._connection._write_timeout = seconds  # type: ignore[attr-defined]

    def _left(self) -> float:
        return max(self.until - time.monotonic(), 0.001)


def _dialled(way: Way, until: float) -> socket.socket:
    """A socket that is connected. However many addresses a host has, it takes no longer than until `until`."""
    if way.socket:
        places: list[Any] = [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", way.socket)]
    else:
        places = socket.getaddrinfo(way.host, way.port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, address) in enumerate(places, 1):
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(max((until - time.monotonic()) / (len(places) - number + 1), 0.001))
        try:
            sock.connect(address)
            if not way.socket:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError:
            sock.close()
            if number == len(places):
                raise
        else:
            return sock
    raise OSError("its name has no address")


class Line:
    """Connections of one use, and whose turn it is: at most `size` at once."""

    def __init__(self, size: int) -> None:
        self.turns = threading.BoundedSemaphore(size)
        self.idle: list[Session] = []


class Lines:
    """All connections to a database. Commits wait for commits alone, and reads for reads."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.writer, self.reader, self.keeper = Line(1), Line(READERS), Line(1)
        self._lock = threading.Lock()
        self._is_open = False
        self._opened = 0  # times: what was taken before does not come back

    def open(self) -> None:
        with self._lock:
            self._is_open, self._opened = True, self._opened + 1

    def close(self) -> None:
        """Close what is idle now; the rest when its call ends."""
        with self._lock:
            self._is_open = False
        for line in self.writer, self.reader, self.keeper:
            self.leave(line)

    def leave(self, line: Line) -> None:
        """Close what is idle of a line."""
        with self._lock:
            sessions, line.idle = line.idle, []
        for session in sessions:
            session.close()

    @contextmanager
    def turn(self, line: Line) -> Iterator[Session]:
        """A connection, for one call. It is not used again when the call failed."""
        until = time.monotonic() + LIMIT
        if not line.turns.acquire(timeout=TURN):
            raise StoreUnavailable(f"{self.way.place}: other calls have been under way for {TURN:g} s")
        try:
            with faults(self.way):
                opened, session = self._taken(line, until)
                try:
                    yield session
                except BaseException as error:
                    session.close()
                    if is_lost(error):  # so may be the others
                        for each in self.writer, self.reader, self.keeper:
                            self.leave(each)
                    raise
                self._put_back(line, session, opened)
        finally:
            line.turns.release()

    def _taken(self, line: Line, until: float) -> tuple[int, Session]:
        with self._lock:
            if not self._is_open:
                raise StoreUnavailable(f"{self.way.place}: it is not open")
            opened, session = self._opened, line.idle.pop() if line.idle else None
        if session is not None:
            session.until = until
            if session.is_there():
                return opened, session
            session.close()
        return opened, Session(self.way, until)

    def _put_back(self, line: Line, session: Session, opened: int) -> None:
        with self._lock:
            if self._is_open and self._opened == opened:
                line.idle.append(session)
                return
        session.close()
