"""What the faults of a Redis server, and of the way to it, mean to the store: for `redis_link.py`."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from kala.errors import KalaError, StoreRefused, StoreUnavailable

RIGHTS = "resetkeys ~kala:* -@all +@hash +@sortedset +@connection +select +evalsha"
RIGHTS += " +script|load +type +time +info +config|get"
"""What a user of an access control list needs: `ACL SETUSER name on >password` and this. `config|get` tells what the
server's settings cost, and may be left out."""

CLUSTER = "it is part of a Redis Cluster, which Kala does not use: name a server that stands alone"
LOGIN = "give the right ones by --jobdb-username and --jobdb-password, or KALA_JOBDB_USERNAME and KALA_JOBDB_PASSWORD"

_RIGHTS = f"this user lacks a right: an administrator gives all that are needed by ACL SETUSER <name> {RIGHTS}"
# A script's faults stand in the middle of other words, and redis-py takes the codes at the beginning of others away.
_AWAY = {
    "command not allowed when used memory": "its memory is full: raise its `maxmemory`, or let Kala keep less",
    "read only replica|READONLY": "it is a read-only replica: name its master",
    "enough good replicas|NOREPLICAS": "it takes no writes, as too few of its replicas are there",
    "MISCONF|RDB snapshots|writing to the AOF": "it takes no writes, as it cannot write to its disk: see its log",
    "LOADING|is loading the dataset": "it is starting, and loads its data",
    "^BUSY|busy running a script": "it is busy with a script of another program's",
    "MASTERDOWN|link with MASTER is down": "it is a replica, and its master is away",
    "max number of clients": "it takes no more connections: raise its `maxclients`",
    "No connection available": "too many calls are under way",
    "Connection not ready": "it speaks before it is asked: it takes no more connections, or is not Redis",
}
"""By what is in the server's words, or the library's: it may pass."""

_CLOSED = {
    "NOAUTH|WRONGPASS|Authentication required|invalid username-password|invalid password|without any password"
    "|no password is set": f"it does not take this user name and password: {LOGIN}",
    "NOPERM|no permissions|ACL failure|can't run this command|can't access": _RIGHTS,
    "DB index is out of range|invalid DB index": "it has no database of this number: raise its `databases`",
    "in protected mode": "it is in protected mode: set a password there, or `protected-mode no`",
    "CROSSSLOT|MOVED|Moved|CLUSTERDOWN|in cluster mode": CLUSTER,
    "unknown command|Unknown Redis command": "it lacks a command that is needed, or has it renamed",
    "WRONGTYPE": "a key of Kala's is of another type: another program has written it",
}
"""By the same: a person must act."""

_TLS = {
    "certificate required|handshake failure|bad certificate": (
        "it wants a certificate of us, or another: --jobdb-tls-certpath and --jobdb-tls-keypath"
    ),
    "unknown ca": "it does not trust our certificate (--jobdb-tls-certpath)",
    "wrong version number|record layer failure|packet length": "it does not speak TLS at this port",
}


@contextmanager
def faults(place: str) -> Iterator[None]:
    """Raise what a fault means to the store; one that is none of the server's is a bug, and passes."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        meant = store_error(error, place)
        if meant is None:
            raise
        # What a server refuses it may repeat in its words, with what must stay secret.
        raise meant from (error if isinstance(meant, StoreUnavailable) else None)


def store_error(error: BaseException, place: str) -> KalaError | None:
    said = str(error)
    for inner in _chain(error):
        if isinstance(inner, ssl.SSLError):
            return _insecure(inner, place)
        if isinstance(inner, TimeoutError) and "handshake" in str(inner):
            return StoreUnavailable(f"{place}: it does not answer in TLS in time: it may not speak it at this port")
    if (ours := _OURS.search(said)) is not None:
        return StoreRefused(f"{place}: {_refused(*ours.groups())}")
    code = getattr(error, "status_code", None)
    words = f"{code} {said}" if code else said
    for pattern, meaning in _CLOSED.items():
        if re.search(pattern, words):
            # Only which right is missing is told in the server's words: others may repeat a password.
            return StoreRefused(f"{place}: {meaning} ({said})" if meaning is _RIGHTS else f"{place}: {meaning}")
    for pattern, meaning in _AWAY.items():
        if re.search(pattern, words):
            return StoreUnavailable(f"{place}: {meaning}")
    if isinstance(error, redis.InvalidResponse):
        return StoreRefused(f"{place}: what answers there is not Redis")
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return StoreUnavailable(f"{place}: it does not answer in time")
    if isinstance(error, redis.ConnectionError | OSError):
        return StoreUnavailable(f"{place}: it cannot be reached, or the connection broke ({said})")
    return None


_OURS = re.compile(r"KALA (database|lost|type)(?: (\S+) (\S+) (.*?))?(?: script: |$)", re.DOTALL)


def _refused(what: str, wanted: str, found: str, key: str) -> str:
    """What our own script refuses."""
    if what == "database":
        return "it was emptied or replaced while in use: start again"
    if what == "lost":
        return (
            "it has lost what was written last, as its `appendonly` and `appendfsync` let it: start again, with what is"
            " left there"
        )
    return f"its key {key!r} is a {found}, and Kala's is a {wanted}: another program has written it: rename it"


def _insecure(fault: ssl.SSLError, place: str) -> KalaError:
    said = str(fault)
    if isinstance(fault, ssl.SSLCertVerificationError):
        if "match" in fault.verify_message:
            return StoreRefused(
                f"{place}: its certificate is for another name: --jobdb-tls-servername says which it must have"
                f" ({fault.verify_message})"
            )
        return StoreRefused(
            f"{place}: its certificate is not vouched for by the CA in --jobdb-tls-capath, or the system's"
            f" ({fault.verify_message})"
        )
    for pattern, meaning in _TLS.items():
        if re.search(pattern, said.replace("_", " "), re.IGNORECASE):
            return StoreRefused(f"{place}: {meaning} ({said})")
    return StoreUnavailable(f"{place}: the connection broke: it may want a certificate of us ({said})")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """redis-py tells of an error in one of its own, raised while it handled the first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
