"""Opening connections: to an address or a name, by TLS, through a proxy."""

import socket
import ssl

import httpx2
import trio

from kala.calls.denied import Denied, Deny, open_allowed
from kala.calls.http1 import BROKEN, Connection, Lost, Request, Tls, reason
from kala.calls.plain import Headers
from kala.calls.target import PORTS, basic, place


class ConnectFailed(Exception):
    """No connection has come about: nothing was sent. Its text says why."""


async def connect(url: httpx2.URL, proxy: httpx2.URL | None, trust: ssl.SSLContext | None, deny: Deny) -> Connection:
    """A connection for requests to the host of `url`. `trust` is needed where TLS is. Raises ConnectFailed, also where
    `deny` keeps us from all of its addresses, or a proxy from seeing them."""
    if deny and proxy is not None:
        raise ConnectFailed(
            f"{place(url)} would be called through the proxy {place(proxy)}, behind which nobody can tell its address:"
            " with --remote-deny no call goes through a proxy"
        )
    sock, tls = await open_socket(proxy or url, deny), None
    try:
        if proxy is not None and proxy.scheme == "https":
            tls = await encrypted(sock, None, proxy, trust)
        if url.scheme == "https":
            if proxy is not None:
                await tunnel(Connection(sock, tls), url, proxy)
            tls = await encrypted(sock, tls, url, trust)
        return Connection(sock, tls)
    except BaseException:
        sock.close()
        raise


async def open_socket(url: httpx2.URL, deny: Deny) -> socket.socket:
    try:
        return await open_allowed(url.raw_host.decode("ascii"), url.port or PORTS[url.scheme], deny)
    except Denied as denied:
        raise ConnectFailed(f"{place(url)} may not be called: --remote-deny {denied.rules}") from denied
    except OSError as error:
        raise ConnectFailed(f"cannot connect to {place(url)}: {reason(error)}") from error


async def encrypted(sock: socket.socket, tls: Tls | None, url: httpx2.URL, trust: ssl.SSLContext | None) -> Tls:
    """TLS with the host of `url`, on a socket or on what is on it already."""
    if trust is None:
        raise TypeError("TLS needs something to trust")
    below = trio.SocketStream(trio.socket.from_stdlib_socket(sock)) if tls is None else tls
    made = Tls(below, trust, server_hostname=url.raw_host.decode("ascii"), https_compatible=True)
    try:
        await made.do_handshake()
    except (*BROKEN, ssl.CertificateError) as error:
        raise ConnectFailed(f"cannot connect to {place(url)}: {reason(error)}") from error
    return made


async def tunnel(connection: Connection, url: httpx2.URL, proxy: httpx2.URL) -> None:
    """Have a proxy connect us to the host of `url`."""
    target = place(url).encode("ascii")
    try:
        await connection.send(Request(b"CONNECT", target, target, proxy_headers(proxy)))
        answer = await connection.head()
    except Lost as error:
        raise ConnectFailed(f"the proxy {place(proxy)} gave no proper answer: {error}") from error
    if not 200 <= answer.status < 300:
        raise ConnectFailed(f"the proxy {place(proxy)} answered {answer.status} for {place(url)}")


def proxy_headers(proxy: httpx2.URL) -> Headers:
    """What a proxy is to be told of us."""
    credentials = basic(proxy)
    return [] if credentials is None else [(b"Proxy-Authorization", credentials)]
