"""Connections to HTTP servers, kept by origin for further calls.

A client with one shared pool looks through all its connections at every call, which is quadratic when a thousand calls
are due at once: here each takes the last one kept for its origin, or opens one. How many are open is not bounded;
how many are kept is.
"""

import os
import ssl
from collections import deque
from collections.abc import Mapping, Sequence

import h11
import httpx2
import trio

from kala.calls.denied import Deny
from kala.calls.http1 import PORTS, Connection, Lost, connect, proxy_headers
from kala.calls.proxies import Proxies
from kala.values import Peers

KEPT = 100  # idle connections for each origin
IDLE = 30.0  # seconds before an idle connection is closed
SWEEP = 10.0  # seconds between two looks for such

REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})  # RFC 9110, 9.2.2

Key = tuple[httpx2.URL | None, str, bytes, int]
Headers = list[tuple[bytes, bytes]]


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
        self._trust: ssl.SSLContext | None = None
        self._closed = False

    async def request(
        self, method: bytes, url: httpx2.URL, headers: Headers, body: bytes
    ) -> tuple[Connection, h11.Response]:
        """Send a request and wait for its answer's beginning. Read its body by `chunk`, then `give_back` the
        connection. Raises ConnectFailed, Lost and h11.LocalProtocolError.

        A server may close a kept connection just when it is used again, and then nobody knows whether it took the
        request. One that may be repeated is, once, on a fresh connection; others never travel on a used one.
        """
        proxy, target = self._proxies.for_url(url), url.raw_path
        if proxy is not None and url.scheme == "http":
            headers = [*headers, *proxy_headers(proxy)]
            target = b"http://%b%b" % (url.netloc, target)
        request = h11.Request(method=method, target=target, headers=headers)
        kept = self._take(key_of(url, proxy)) if method in REPEATABLE else None
        if kept is not None:
            try:
                return kept, await self._exchange(kept, request, body)
            except Lost:
                if kept.heard:
                    raise
        fresh = await connect(url, proxy, self._trust_for(url, proxy), self._deny)
        return fresh, await self._exchange(fresh, request, body)

    async def _exchange(self, connection: Connection, request: h11.Request, body: bytes) -> h11.Response:
        try:
            await connection.send(request, body)
            return await connection.head()
        except BaseException:
            connection.close()
            raise

    def give_back(self, url: httpx2.URL, connection: Connection) -> None:
        """Keep it, when its answer has been read and another request can follow, or else close it."""
        key = key_of(url, self._proxies.for_url(url))
        if connection.reusable() and len(self._kept.get(key, ())) < KEPT and not self._closed:
            self._kept.setdefault(key, deque()).append(connection)
        else:
            connection.close()

    def _take(self, key: Key) -> Connection | None:
        kept = self._kept.get(key)
        while kept:
            connection = kept.pop()
            if connection.usable(IDLE):
                return connection
            connection.close()
        return None

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
        for key, kept in list(self._kept.items()):
            for connection in list(kept):
                if not connection.usable(IDLE):
                    kept.remove(connection)
                    connection.close()
            if not kept:
                del self._kept[key]

    async def aclose(self) -> None:
        """Close what is kept; calls that are on close theirs when they end."""
        self._closed = True
        for kept in self._kept.values():
            for connection in kept:
                connection.close()
        self._kept.clear()


def key_of(url: httpx2.URL, proxy: httpx2.URL | None) -> Key:
    return proxy, url.scheme, url.raw_host, url.port or PORTS[url.scheme]
