"""Connections to HTTP servers, kept by origin for further calls.

A client with one shared pool looks through all its connections at every call, which is quadratic when a thousand calls
are due at once: here each takes the last one kept for its origin, or opens one. How many are kept is bounded, for each
origin and in all; how many are open, by the slots of the calls that are on.
"""

import os
import ssl
from collections import deque
from collections.abc import Mapping, Sequence

import httpx2
import trio

from kala.calls.denied import Deny
from kala.calls.http1 import Connection, Head, Lost, Request
from kala.calls.opening import connect, proxy_headers
from kala.calls.plain import Headers
from kala.calls.proxies import Proxies
from kala.calls.slots import Slots
from kala.calls.target import Origin, Target
from kala.openfiles import open_files
from kala.values import Peers

KEPT = 100  # idle connections for each origin
KEPT_IN_ALL = 1000  # and at most an eighth of the open files that may be
IDLE = 30.0  # seconds before an idle connection is closed
SWEEP = 10.0  # seconds between two looks for such

REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})  # RFC 9110, 9.2.2

Key = tuple[httpx2.URL | None, Origin]
"""The proxy, if any, and the origin that a connection leads to."""


class Connections:
    """All of them; one object for a daemon. Run `tend` beside it, and `aclose` it at the end.

    Proxies come from `environment`. TLS is verified by the system's trust store, or by what SSL_CERT_FILE or
    SSL_CERT_DIR names. None is made to an address that is denied, so that none is kept. Raises SettingsError when a
    proxy of the environment cannot be used.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ, denied: Sequence[Peers] = ()) -> None:
        self._deny = Deny(denied)
        self._proxies = Proxies(environment)
        self._kept: dict[Key, deque[Connection]] = {}
        self._idle: dict[Connection, Key] = {}  # the same, the longest idle first
        self.slots = Slots()
        self._trust: ssl.SSLContext | None = None
        self._closed = False

    async def request(self, method: bytes, target: Target, headers: Headers, body: bytes) -> tuple[Connection, Head]:
        """Send a request and wait for its answer's beginning. Read its body by `chunk`, then `give_back` the
        connection. Raises ConnectFailed, Lost and h11.LocalProtocolError.

        A server may close a kept connection just when it is used again, and then nobody knows whether it took the
        request. One that may be repeated is, once, on a fresh connection; others never travel on a used one.
        """
        proxy, path = self._proxies.for_url(target.server), target.path
        if proxy is not None and target.origin[0] == "http":
            headers = [*headers, *proxy_headers(proxy)]
            path = b"http://%b%b" % (target.host, path)
        request = Request(method, path, target.host, headers, body)
        kept = self._take((proxy, target.origin)) if method in REPEATABLE else None
        if kept is not None:
            try:
                return kept, await self._exchange(kept, request)
            except Lost:
                if kept.heard:
                    raise
        fresh = await connect(target.server, proxy, self._trust_for(target.server, proxy), self._deny)
        return fresh, await self._exchange(fresh, request)

    async def _exchange(self, connection: Connection, request: Request) -> Head:
        try:
            await connection.send(request)
            return await connection.head()
        except BaseException:
            connection.close()
            raise

    def give_back(self, target: Target, connection: Connection) -> None:
        """Keep it, when its answer has been read and another request can follow, or else close it."""
        key = self._proxies.for_url(target.server), target.origin
        if self._closed or not connection.reusable() or len(self._kept.get(key, ())) >= KEPT:
            connection.close()
            return
        if len(self._idle) >= max(1, min(KEPT_IN_ALL, open_files() / 8)):
            self._drop(next(iter(self._idle)))
        self._kept.setdefault(key, deque()).append(connection)
        self._idle[connection] = key

    def _take(self, key: Key) -> Connection | None:
        while kept := self._kept.get(key):
            connection = kept[-1]
            if connection.usable(IDLE):
                self._forget(connection)
                return connection
            self._drop(connection)
        return None

    def _forget(self, connection: Connection) -> None:
        key = self._idle.pop(connection)
        kept = self._kept[key]
        if kept[-1] is connection:
            kept.pop()
        else:
            kept.remove(connection)
        if not kept:
            del self._kept[key]

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.close()

    def _trust_for(self, url: httpx2.URL, proxy: httpx2.URL | None) -> ssl.SSLContext | None:
        if url.scheme == "http" and (proxy is None or proxy.scheme == "http"):
            return None
        if self._trust is None:
            self._trust = httpx2.create_ssl_context()  # takes some 10 ms
            self._trust.set_alpn_protocols(["http/1.1"])
        return self._trust

    async def tend(self) -> None:
        """Close connections that have been idle for long, for ever."""
        while True:
            await trio.sleep(SWEEP)
            self._sweep()

    def _sweep(self) -> None:
        for connection in list(self._idle):
            if not connection.usable(IDLE):
                self._drop(connection)

    async def aclose(self) -> None:
        """Close what is kept; calls that are on close theirs when they end."""
        self._closed = True
        for connection in list(self._idle):
            self._drop(connection)
