"""The HTTP server: its listening sockets, hypercorn on them, and how it ends."""

import errno
import ipaddress
import logging
import socket
import stat
from functools import partial

import trio
from hypercorn.config import Sockets
from hypercorn.trio import run as hypercorn_run
from hypercorn.trio import serve as hypercorn_serve

from kala.errors import SettingsError
from kala.settings import Settings
from kala.values import UNIX
from kala.web.app import WebApp
from kala.web.limits import GuardConfig, Limits
from kala.web.shortway import ShortWay
from kala.web.tls import ServerTls
from kala.web.unixsocket import UnixSocket

log = logging.getLogger(__name__)

SILENCE = 30
"""Seconds: a peer that acknowledges nothing for so long is gone, as is an idle one that answers no probe."""

NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""What binding `::1` gives on a machine without IPv6."""


async def serve(
    app: WebApp,
    settings: Settings,
    *,
    stop: trio.Event,
    tls: ServerTls | None = None,
    limits: Limits | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until `stop` is set, and `limits.graceful` seconds more for requests in progress.

    Started with the URLs at which it listens, once it does. Raises `SettingsError`, saying what to do, when the
    address cannot be had, or should not be. `tls` is asked for each connection anew; None: as the settings say.
    """
    kept = tls or ServerTls(settings)
    place = unix_socket(settings)
    sockets = await listen(settings) if place is None else [place.socket]
    warn_of_listeners(settings, sockets, is_secure=kept.context is not None)
    config = GuardConfig(limits or Limits(), Sockets([], sockets, []), lambda: kept.context)
    app.traffic.connections, config.hot = config, app.hot
    # hypercorn has no setting for the class of its connections: this name is where its server looks it up
    hypercorn_run.TCPServer = ShortWay  # type: ignore[attr-defined]

    async def stopped() -> None:
        await stop.wait()
        if place is not None:
            place.remove()
        config.stop()

    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(hypercorn_serve, app, config, shutdown_trigger=stopped))
            task_status.started([url_of(one, is_secure=kept.context is not None) for one in sockets])
    finally:
        if place is not None:
            place.remove()
        for one in sockets:
            one.close()


async def listen(settings: Settings) -> list[socket.socket]:
    """Sockets bound to the interface and port of the settings: one for each address that the interface's name has."""
    interface, port = settings.interface, settings.port
    try:
        found = await trio.socket.getaddrinfo(interface, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"--interface {interface}: this machine knows no such name or address ({error}); "
            "127.0.0.1 is this machine alone"
        ) from None
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    exposed = [str(address[0]) for _, address in addresses if not is_loopback(str(address[0]))]
    if exposed and not (settings.has_tokens or settings.insecure):
        raise SettingsError(
            f"listening on {exposed[0]} would let everyone who reaches it run commands here: give tokens with "
            "--tokens-file (`kala token new` makes them), or take --interface 127.0.0.1, or say --insecure to do it "
            "all the same"
        )
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            try:
                sockets.append(bound(family, (address[0], port, *address[2:])))
            except OSError as error:
                if error.errno not in NOT_HERE or (not sockets and (family, address) == addresses[-1]):
                    raise SettingsError(unbound(interface, port, error)) from None
            else:
                port = sockets[0].getsockname()[1]
    except SettingsError:
        for one in sockets:
            one.close()
        raise
    return sockets


def bound(family: int, address: tuple[str | int, ...]) -> socket.socket:
    """A socket at `address`. What is set on it holds for the connections that it accepts."""
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENCE // 3)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)
        one.bind(address)
        # Two programs may bind one port with SO_REUSEADDR; that it is taken shows here
        one.listen(1024)
        one.setblocking(False)
    except OSError:
        one.close()
        raise
    return one


def unbound(interface: str, port: int, error: OSError) -> str:
    """What to say when the address cannot be had."""
    where = f"[{interface}]:{port}" if ":" in interface else f"{interface}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another program, perhaps another kala: stop it, or take another --port"
    if error.errno == errno.EACCES:
        return f"{where} may not be listened on by this user: take a --port from 1024 on"
    return f"{where} cannot be listened on ({error.strerror}): is --interface an address of this machine?"


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def unix_socket(settings: Settings) -> UnixSocket | None:
    """The socket that the settings name, if it is one of a path."""
    path = settings.interface.removeprefix(f"{UNIX}:")
    return UnixSocket(path, settings.socket_mode) if path != settings.interface else None


def warn_of_listeners(settings: Settings, sockets: list[socket.socket], *, is_secure: bool) -> None:
    """Say in the log what others can do with these sockets that may not be meant."""
    for one in sockets:
        if one.family == socket.AF_UNIX:
            if settings.socket_mode & stat.S_IWOTH and not settings.has_tokens:
                log.warning(
                    "everybody on this machine can run commands here: no tokens, --socket-mode 660 keeps them off"
                )
        elif settings.has_tokens and not is_secure and not is_loopback(one.getsockname()[0]):
            log.warning("tokens travel in the clear to %s: give --tls-cert, or have a proxy with TLS", url_of(one))


def url_of(one: socket.socket, *, is_secure: bool = False) -> str:
    if one.family == socket.AF_UNIX:
        return f"{UNIX}:{one.getsockname()}"
    scheme = "https" if is_secure else "http"
    host, port = one.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if one.family == socket.AF_INET6 else f"{scheme}://{host}:{port}"
