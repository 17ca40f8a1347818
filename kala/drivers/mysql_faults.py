"""What the errors of the server of `mysql.py`, and of its client, mean to the store: the one place that knows."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from kala.drivers.mysql_address import Way
from kala.errors import KalaError, StoreRefused, StoreUnavailable

NO_TABLE, NO_COLUMN, NOT_NULL, DUPLICATE = 1146, 1054, 1048, 1062
READ_ONLY = frozenset({1290, 1792, 1836})
REPEATED = frozenset({1205, 1213, DUPLICATE})
"""A lock that was not to be had in time, a deadlock (also one of the cluster, at a commit), and two that create the
same at once: the transaction is done again."""

_LOST = frozenset({1053, 1077, 1079, 1927, 2002, 2003, 2006, 2013, 2055, 4031})
_AWAY = {
    1021: "there is no room left on the server's disk",
    1026: "the server cannot write to its disk",
    1028: "the server cannot write to its disk",
    1030: "the server's storage engine failed",
    1037: "the server has no memory left",
    1038: "the server has no memory left",
    1040: "the server has as many connections as it takes: raise max_connections",
    1041: "the server has no memory left",
    1047: "this node of the cluster takes no requests",
    1114: "there is no room left for the table",
    1203: "the user has as many connections as it may have",
    1205: "other writers have held locks for too long",
    1206: "the server has no room for locks",
    1213: "other writers were in the way each time",
    1226: "the user has used up what it may",
    1290: "the server is read-only",
    1317: "the server was told to stop the query",
    1792: "the server is read-only",
    1836: "the server is read-only",
    1969: "the server gave up the query: it took too long",
    3024: "the server gave up the query: it took too long",
    DUPLICATE: "other writers were in the way each time",
}
_LOGIN = (
    "it does not let the user in: see --jobdb-username and --jobdb-password, and whether the user has to come by TLS,"
    " or with a client certificate (--jobdb-tls-…)"
)
EMPTIED = "it was emptied or replaced while in use: start again"
_CLOSED = {
    1044: "{grant}; or {create}",  # who has no right to it is not told which
    1045: _LOGIN,
    1046: "{create}",
    1049: "{create}",
    1054: "its tables named kala_… are another program's: name another database",
    1129: "the server blocks this host after many failed connections: run `mariadb-admin flush-hosts` there",
    1130: "the server takes nobody from this host",
    1142: "{grant}",
    1143: "{grant}",
    1146: EMPTIED,
    1153: "the server's max_allowed_packet is less than it was: set it back, or start again",
    1227: "{grant}",
    1251: "the server wants another way of logging in than the client knows",
    1286: "the server has no InnoDB",
    1665: "the server's binlog_format is STATEMENT: set it to ROW or MIXED",
    1698: _LOGIN,
    1820: "the user's password has expired",
    1862: "the user's password has expired",
    2059: "the server wants another way of logging in than the client knows",
    3118: "the user's account is locked",
    3159: "the server takes connections by TLS alone: add ?tls=true to --jobdb-address, or give --jobdb-tls-…",
    4151: "the user's account is locked",
    NOT_NULL: EMPTIED,  # of the number of a change: `mysql_rows.py`
}


def code_of(error: BaseException) -> int:
    """The server's or the client's number of a fault, 0 when it has none."""
    return error.args[0] if isinstance(error, pymysql.err.Error) and error.args and type(error.args[0]) is int else 0


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, or is not to be used any more."""
    return (
        isinstance(error, OSError | pymysql.err.InterfaceError)
        or code_of(error) in _LOST
        or (isinstance(error, pymysql.err.InternalError) and not code_of(error))  # packets out of order
    )


def store_error(error: BaseException, way: Way) -> KalaError | None:
    """What a fault means to the store; None when it is none of the server or the way to it, but a bug of ours."""
    code, original = code_of(error), getattr(error, "original_exception", error)
    said = str(error.args[1]) if code and len(error.args) > 1 else str(error)
    if isinstance(original, ssl.SSLCertVerificationError):
        flag = "--jobdb-tls-servername" if "mismatch" in original.verify_message else "--jobdb-tls-capath"
        return StoreRefused(f"{way.place}: its certificate is not accepted: {original.verify_message} ({flag})")
    if code == 2026:
        return StoreRefused(f"{way.place}: the server offers no TLS, which was asked for")
    if isinstance(original, ssl.SSLError):
        return StoreRefused(f"{way.place}: TLS failed ({original.reason}): see --jobdb-tls-…")
    if isinstance(original, socket.gaierror):
        return StoreUnavailable(f"{way.place}: the host's address was not found ({original.strerror})")
    if code in _CLOSED:
        grant = (
            "its user lacks rights: grant select, insert, update, delete, create, alter, index"
            f" on `{way.database}`.* to '{way.username}'@'%'"
        )
        create = f"there is no such database: create database `{way.database}`"
        return StoreRefused(f"{way.place}: {_CLOSED[code].format(grant=grant, create=create)} ({said})")
    if code in _AWAY:
        return StoreUnavailable(f"{way.place}: {_AWAY[code]} ({said})")
    if is_lost(error):
        if isinstance(original, TimeoutError) or "timed out" in said:
            return StoreUnavailable(f"{way.place}: the server did not answer in time")
        return StoreUnavailable(f"{way.place}: the server cannot be reached, or the connection broke ({said})")
    return None


@contextmanager
def faults(way: Way) -> Iterator[None]:
    """Errors of the client and of sockets become the store's."""
    try:
        yield
    except (pymysql.err.Error, OSError) as error:
        meant = store_error(error, way)
        if meant is None:
            raise
        raise meant from error
