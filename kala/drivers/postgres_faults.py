"""What PostgreSQL's faults mean to the store, and what to do about each: the one seam for `postgres.py`.

A server that is connected gives its errors numbers (SQLSTATE); one that refuses a connection gives words alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from psycopg.sql import Identifier

from kala.drivers.contract import TIMEOUT
from kala.errors import KalaError, StoreRefused, StoreUnavailable

OURS = TIMEOUT - 1.0
"""Seconds for all that a call does. The rest of `TIMEOUT` is for a busy machine."""


class TimeOver(psycopg.OperationalError):
    """The server was silent for too long; the connection is cut."""


class Where(NamedTuple):
    """What a message names."""

    place: str
    database: str
    username: str  # empty: the client library's default


_AWAY = {
    "08": "the connection was lost",
    "23505": "other daemons write the same records at once",  # and `commit` has tried again until its time was over
    "25006": "it takes no writes now: it is a standby, or default_transaction_read_only is on",
    "25P03": "it ended the transaction, which took too long",
    "40": "other daemons write the same records at once",
    "53": "it has run out of something",
    "53100": "its disk is full",
    "53200": "it has no memory left",
    "53300": "it takes no more connections: raise max_connections there",
    "55": "what is to be written is locked by somebody",
    "57": "it ended what was under way",
    "57014": "it did not get done in time",
    "57P01": "it is being stopped, or an administrator ended the connection",
    "57P02": "it is starting anew after a crash",
    "57P03": "it is starting or stopping",
    "58": "its disk cannot be read or written",
}
"""By SQLSTATE, or its class: it may pass."""

_CLOSED = {
    "42P01": "its tables are gone: it was emptied or replaced while in use: start again",
    "3F000": "there is no schema to make tables in: create it, or set search_path for this user",
    "42P07": "it has tables of these names that are another program's: name another database",
    "XX001": "it is damaged: restore it from a backup",
    "XX002": "an index is damaged: run reindex there",
}
"""By SQLSTATE: a person must act."""

_LOGIN = (
    "password authentication failed",
    "authentication failed for user",
    "no password supplied",
    "is not permitted to log in",
    "role ",
)
_TLS = {
    "certificate verify failed": "its certificate is not vouched for by the CA in --jobdb-tls-capath",
    "does not match host name": "its certificate is for another name: --jobdb-tls-servername says which it must have",
    "certificate required": "it wants a certificate of us: --jobdb-tls-certpath and --jobdb-tls-keypath",
    "requires a valid client certificate": "it wants a certificate of us: --jobdb-tls-certpath and --jobdb-tls-keypath",
    "unknown ca": "it does not trust our certificate (--jobdb-tls-certpath)",
    "does not support ssl": "it does not speak TLS: set ssl = on there, or connect without",
    "private key file": "the key in --jobdb-tls-keypath cannot be used",
    "certificate authentication failed": "the certificate in --jobdb-tls-certpath is another user's",
}
"""By what is in the client library's words: TLS that is refused, by either side."""


@contextmanager
def faults(where: Where) -> Iterator[None]:
    """The one place where the client library's errors become the store's."""
    try:
        yield
    except psycopg.Error as error:
        meant = meaning(error, where)
        if meant is None:
            raise
        raise meant from error


def meaning(error: psycopg.Error, where: Where) -> KalaError | None:
    """What a fault means to the store; None when it is a bug of ours."""
    place, said, code = where.place, _said(error), error.sqlstate
    if isinstance(error, TimeOver | psycopg.errors.ConnectionTimeout):
        return StoreUnavailable(f"{place}: it did not answer in time")
    if code is None:
        return _connecting(said, where) if isinstance(error, psycopg.OperationalError) else None
    if code == "42501":
        user = _user(where)
        return StoreRefused(
            f"{place}: the user lacks a right ({said}): as the owner, say there:"
            f" grant usage, create on schema public to {user};"
            f" grant all on all tables in schema public to {user}"
        )
    if code in _CLOSED:
        return StoreRefused(f"{place}: {_CLOSED[code]} ({said})")
    if (away := _AWAY.get(code) or _AWAY.get(code[:2])) is not None:
        return StoreUnavailable(f"{place}: {away} ({said})")
    return _connecting(said, where) if code[:2] in ("28", "3D") else None


def _connecting(said: str, where: Where) -> KalaError:
    """What the words mean with which a connection is refused, or was lost."""
    place, user, database, words = where.place, _user(where), Identifier(where.database).as_string(), said.lower()
    for word, meant in _TLS.items():
        if word in words:
            return StoreRefused(f"{place}: {meant} ({said})")
    if "database" in words and "does not exist" in words:
        return StoreRefused(f"{place}: there is no such database: create it with: create database {database}")
    if "permission denied for database" in words:
        return StoreRefused(f"{place}: the user may not connect: grant connect on database {database} to {user}")
    if "pg_hba.conf" in words:
        return StoreRefused(f"{place}: its pg_hba.conf does not let this user in from here ({said})")
    if any(word in words for word in _LOGIN):
        return StoreRefused(
            f"{place}: it does not let the user in ({said}): set --jobdb-username and --jobdb-password,"
            " or KALA_JOBDB_USERNAME and KALA_JOBDB_PASSWORD"
        )
    return StoreUnavailable(f"{place}: it cannot be reached ({said})")


def _user(where: Where) -> str:
    return Identifier(where.username).as_string() if where.username else "that user"


def _said(error: psycopg.Error) -> str:
    """The server's or the library's words, on one line and without what comes before each."""
    text = error.diag.message_primary or str(error)
    return " ".join(text.rpartition("FATAL:")[2].split()) or type(error).__name__
