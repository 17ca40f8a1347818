"""What the errors of pymongo mean to the store: the one place where they become the store's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from kala.errors import KalaError, StoreRefused, StoreUnavailable

DUPLICATE = 11_000
_CREDENTIALS = {11, 18, 8000}  # UserNotFound, AuthenticationFailed, and Atlas's
_FORBIDDEN = 13
_AWAY = {
    1: "it has failed",  # InternalError: what others than MongoDB answer when their storage fails
    6: "a server of it cannot be reached",
    7: "a server of it cannot be reached",
    24: "another client holds it locked",
    50: "it took too long",
    64: "too few of its servers have confirmed the write in time",
    79: "the write concern is not known there",
    89: "its network is too slow",
    91: "it is stopping",
    100: "it has too few servers for a majority",
    112: "another client writes the same",
    133: "no server of it is the primary",
    134: "a majority of its servers cannot be read from now",
    189: "its primary has stepped down",
    262: "it took too long",
    9001: "its network has failed",
    10107: "it is read-only: not the primary",
    11600: "it is stopping",
    11602: "its primary has changed",
    13435: "it is read-only: not the primary",
    13436: "it is recovering",
    14031: "its disk is full",
    17405: "it has no memory left",
}


@contextmanager
def faults(place: str, database: str) -> Iterator[None]:
    """`place` and `database` are for the messages."""
    try:
        yield
    except BulkWriteError as error:
        faulty = [*(error.details or {}).get("writeErrors", ()), *(error.details or {}).get("writeConcernErrors", ())]
        codes = [one for one in faulty if one.get("code") != DUPLICATE]
        meant = _of_code(codes[0].get("code"), str(codes[0].get("errmsg")), place, database) if codes else None
        if meant is None:
            raise
        raise meant from error
    except PyMongoError as error:
        meant = _meaning(error, place, database)
        if meant is None:
            raise
        raise meant from error


def _meaning(error: PyMongoError, place: str, database: str) -> KalaError | None:
    """None when it is no fault of the server's, but a bug of ours."""
    text = str(error)
    if isinstance(error, (ConnectionFailure, WaitQueueTimeoutError)):  # also the wait for a server, and for its answer
        if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
            return StoreRefused(
                f"{place}: its certificate is not the one expected: --jobdb-tls-capath names whose certificates are"
                f" trusted, and the host in --jobdb-address must be one of its names ({_short(error)})"
            )
        if "certificate required" in text.lower() or "alert bad certificate" in text.lower():
            return StoreRefused(
                f"{place}: it wants a certificate: --jobdb-tls-certpath and --jobdb-tls-keypath ({_short(error)})"
            )
        if "_ssl.c" in text:
            return StoreUnavailable(
                f"{place}: TLS does not come about with it; if it wants a certificate: --jobdb-tls-certpath and"
                f" --jobdb-tls-keypath ({_short(error)})"
            )
        if "'AuthenticationFailed'" in text:  # why pymongo has stopped to use that server for now
            return _of_code(18, _short(error), place, database)
        return StoreUnavailable(f"{place}: it does not answer ({_short(error)})")
    if isinstance(error, WriteConcernError):
        return StoreUnavailable(f"{place}: {_AWAY[64]} ({_short(error)})")
    if isinstance(error, OperationFailure):
        return _of_code(error.code, _short(error), place, database)
    if isinstance(error, ConfigurationError):
        return StoreRefused(f"{place}: {_short(error)}")
    # Out of time before a server was asked: of no class of its own.
    return StoreUnavailable(f"{place}: it took too long ({_short(error)})") if error.timeout else None


def _of_code(code: Any, said: str, place: str, database: str) -> KalaError | None:
    if code in _CREDENTIALS:
        return StoreRefused(
            f"{place}: it does not know this user or password: --jobdb-username, and --jobdb-password or"
            f" KALA_JOBDB_PASSWORD; users of another database than the one in the address need ?authSource=… ({said})"
        )
    if code == _FORBIDDEN and "auth" in said.lower() and "not authorized" not in said.lower():
        return StoreRefused(
            f"{place}: it wants a user: give --jobdb-username, and --jobdb-password or KALA_JOBDB_PASSWORD ({said})"
        )
    if code == _FORBIDDEN:
        return StoreRefused(
            f"{place}: the user may not do this; who may, says: db.grantRolesToUser(<user>,"
            f' [{{role: "readWrite", db: "{database}"}}]) ({said})'
        )
    return StoreUnavailable(f"{place}: {_AWAY[code]} ({said})") if code in _AWAY else None


def _short(error: Exception) -> str:
    """What it says, without the whole answer and the state of all servers."""
    text = str(error).split(", full error:")[0].split(", Timeout:")[0].split(", Topology Description:")[0]
    return text.split(" (configured timeouts:")[0]
