"""Connections to HTTP servers, kept by origin for further calls.

A client with one shared pool looks through all its connections at every call, which is quadratic when a thousand calls
are due at once: here each takes the last one kept for its origin, or opens one. How many are open is not bounded;
how many are kept is.
"""

import os
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpcore2
import httpx2
import trio

from kala.proxies import Proxies
from kala.streams import Backend

KEPT = 100  # idle connections for each origin
IDLE = 30.0  # seconds before an idle connection is closed
SWEEP = 10.0  # seconds between two looks for such
CLOSE_WAIT = 1.0  # seconds that giving a connection back may take: it only closes a socket

REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})  # RFC 9110, 9.2.2
STALE = (httpcore2.ReadError, httpcore2.WriteError, httpcore2.RemoteProtocolError)

Connection = httpcore2.AsyncConnectionInterface
Key = tuple[httpx2.URL | None, bytes, bytes, int]


class Connections:
    """All of them; one object for a daemon. Run `tend` beside it, and `aclose` it at the end.

    Proxies come from `environment`. TLS is verified by the system's trust store, or by what SSL_CERT_FILE or
    SSL_CERT_DIR names. Raises SettingsError when a proxy of the environment cannot be used.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._proxies = Proxies(environment)
        self._kept: dict[Key, deque[Connection]] = {}
        self._trust: ssl.SSLContext | None = None
        self._backend = Backend()
        self._closed = False

    @asynccontextmanager
    async def exchange(
        self, method: bytes, url: httpx2.URL, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> AsyncIterator[httpcore2.Response]:
        """Send a request; the response's stream is read inside the context. Raises httpcore2's exceptions.

        A server may close a kept connection just when it is used again, and then nobody knows whether it took the
        request. One that may be repeated is, once, on a fresh connection; others never travel on a used one.
        """
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        request = httpcore2.Request(method, target, headers=headers, content=body)
        origin, proxy = target.origin, self._proxies.for_url(url)
        key = proxy, origin.scheme, origin.host, origin.port
        response = None
        connection = await self._take(key) if method in REPEATABLE else None
        if connection is not None:
            try:
                response = await connection.handle_async_request(request)
            except STALE:
                connection = None  # it has closed itself
        if connection is None or response is None:
            connection = self._new(proxy, origin)
            response = await connection.handle_async_request(request)
        try:
            yield response
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_WAIT):
                await response.aclose()
                await self._keep(key, connection)

    async def _take(self, key: Key) -> Connection | None:
        kept = self._kept.get(key)
        while kept:
            connection = kept.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _keep(self, key: Key, connection: Connection) -> None:
        kept = self._kept.setdefault(key, deque())
        if connection.is_available() and len(kept) < KEPT and not self._closed:
            kept.append(connection)
        else:
            await connection.aclose()

    def _new(self, proxy: httpx2.URL | None, origin: httpcore2.Origin) -> Connection:
        if self._trust is None and (origin.scheme == b"https" or (proxy is not None and proxy.scheme == "https")):
            self._trust = httpcore2.default_ssl_context()  # takes some 10 ms, so only when it is needed
        if proxy is None:
            return httpcore2.AsyncHTTPConnection(
                origin, ssl_context=self._trust, keepalive_expiry=IDLE, network_backend=self._backend
            )
        return httpcore2.AsyncHTTPProxy(
            httpcore2.URL(scheme=proxy.raw_scheme, host=proxy.raw_host, port=proxy.port, target=b"/"),
            proxy_auth=(proxy.username.encode(), proxy.password.encode()) if proxy.userinfo else None,
            ssl_context=self._trust,
            proxy_ssl_context=self._trust if proxy.scheme == "https" else None,
            keepalive_expiry=IDLE,
            network_backend=self._backend,
        ).create_connection(origin)

    async def tend(self) -> None:
        """Close connections that have been idle for long, for ever."""
        while True:
            await trio.sleep(SWEEP)
            expired = []
            for key, kept in list(self._kept.items()):
                # In place, and without a pause: others are using the same queue.
                for connection in list(kept):
                    if not connection.is_available() or connection.has_expired():
                        kept.remove(connection)
                        expired.append(connection)
                if not kept:
                    del self._kept[key]
            for connection in expired:
                await connection.aclose()

    async def aclose(self) -> None:
        """Close what is kept; calls that are on close theirs when they end."""
        self._closed = True
        while self._kept:
            _, kept = self._kept.popitem()
            while kept:
                await kept.pop().aclose()
