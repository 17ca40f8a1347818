"""What a proxy in front says of its client, believed only of proxies that are named; and the path below which it shows
this server.

Nothing behind sees these headers: who is no proxy of ours cannot pretend with them, whatever reads them one day.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any, AnyStr

from kala.errors import shortened
from kala.values import UNIX, Peers
from kala.web.problems import Refused
from kala.web.whole import path_of

FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
HEADERS = frozenset({FOR, PROTO, HOST})
IS_SECURE = {"http": False, "ws": False, "https": True, "wss": True}

_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forwarded:
    """Makes requests look as they did to the proxy. `prefix` begins with a slash, and does not end in one."""

    def __init__(self, proxies: Sequence[Peers], prefix: str) -> None:
        self._unix = UNIX in proxies
        self._networks = [one for one in proxies if not isinstance(one, str)]
        self._prefix = prefix

    def rewrite(self, scope: Any) -> None:
        """Change an ASGI scope, of a request or a websocket. Raises `Refused` when a proxy says what cannot be read."""
        if self._prefix:
            self._strip(scope)
        if HEADERS.isdisjoint(dict(scope["headers"])):
            return
        said: dict[bytes, list[str]] = {name: [] for name in HEADERS}
        others = []
        for name, value in scope["headers"]:
            if name in HEADERS:
                said[name] += (part.strip() for part in value.decode("latin-1").split(","))
            else:
                others.append((name, value))
        scope["headers"] = others
        if not self._is_proxy(scope["client"]):
            return
        if said[FOR]:
            scope["client"] = (self._client(said[FOR]), 0)
        if said[PROTO]:
            scope["scheme"] = _scheme(scope["type"], said[PROTO][-1])
        if said[HOST]:  # the gate judges it as any
            host = said[HOST][-1].encode("latin-1")
            scope["headers"] = [(name, host if name == b"host" else value) for name, value in others]

    def _strip(self, scope: Any) -> None:
        """A proxy may have taken the prefix off: a path without it is left as it is."""
        scope["path"] = path_of(_below(scope["path"], self._prefix, "/"))
        scope["raw_path"] = _below(scope["raw_path"], self._prefix.encode(), b"/")

    def _is_proxy(self, peer: tuple[str, int] | None) -> bool:
        if peer is None:
            return False
        return self._unix if peer[0] == UNIX else self._is_trusted(ipaddress.ip_address(peer[0]))

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _client(self, hops: list[str]) -> str:
        """The last that is no proxy of ours, each of which has added the one that it heard from: what stands before
        is hearsay. When all are ours, the first."""
        address = None
        for hop in reversed(hops):
            address = _address(hop)
            if not self._is_trusted(address):
                break
        return str(address)


def _below(path: AnyStr, prefix: AnyStr, slash: AnyStr) -> AnyStr:
    return path[len(prefix) :] or slash if path == prefix or path.startswith(prefix + slash) else path


def _address(hop: str) -> Address:
    """An address, perhaps with a port, as proxies write them."""
    match = _WITH_PORT.fullmatch(hop)
    try:
        address = ipaddress.ip_address(hop if match is None else match[1] or match[2])
        if "%" in hop:
            raise ValueError("a zone, which means nothing here")
    except ValueError:
        raise Refused(400, f"X-Forwarded-For has no address that can be read: {shortened(hop)!r}") from None
    return getattr(address, "ipv4_mapped", None) or address


def _scheme(kind: str, said: str) -> str:
    secure = IS_SECURE.get(said.lower())
    if secure is None:
        raise Refused(400, f"X-Forwarded-Proto is none of {', '.join(IS_SECURE)}: {shortened(said)!r}")
    return ("ws" if kind == "websocket" else "http") + ("s" if secure else "")
