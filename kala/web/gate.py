"""Who may come in: the names under which this server is known, and, for a browser, which pages may speak to it.

A page from elsewhere must not make a browser run commands here. Without a check of `Host`, a name of the attacker's
that resolves to this machine makes its page "same origin" (DNS rebinding); without a check of `Origin`, any page may
send a form. Programs send no `Origin` and are not held up. An address in `Host` is always fine: it cannot be rebound.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from kala.errors import shortened
from kala.web.problems import Refused

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/healthz/", "/readyz/"})
"""Load balancers and probes ask these under any name; they tell nothing worth stealing."""

KNOWN = 256  # verdicts about Host headers that are remembered
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")


class Gate:
    """The check of a request before any route sees it. `interface` is the name or address bound, `allowed_hosts` the
    further names given by whoever runs this."""

    def __init__(self, interface: str, allowed_hosts: Iterable[str]) -> None:
        self._allowed = {_plain(name) for name in allowed_hosts}
        self._names = self._allowed | {"localhost", _plain(interface), _plain(socket.gethostname())} - {""}
        self._verdicts: dict[bytes, Refused | None] = {}

    def refusal(self, scope: Any) -> Refused | None:
        """Why this request (an ASGI scope) is not let in; None when it is."""
        if scope["path"] in OPEN_PATHS:
            return None
        hosts, origin, site = [], None, None
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if len(hosts) != 1:
            return Refused(400, "a request needs one Host header")
        host = hosts[0]
        try:
            fault = self._verdicts[host]
        except KeyError:
            fault = self._verdict(host)
            if len(self._verdicts) < KNOWN:
                self._verdicts[host] = fault
        if fault is not None:
            return fault
        if scope["type"] == "http" and scope["method"] in SAFE:
            return None
        if site not in (None, b"same-origin", b"none") or (origin is not None and not self._own(origin, host)):
            return Refused(403, "a page of another origin may not do this")
        return None

    def _verdict(self, header: bytes) -> Refused | None:
        text = header.decode("latin-1")
        match = _HOST.fullmatch(text)
        if match is None:
            return Refused(400, f"this Host cannot be read: {shortened(text)!r}")
        name = _plain(match[1])
        if name in self._names or name.endswith(".localhost") or _is_address(name):
            return None
        return Refused(
            403, f"{shortened(name)!r} is not a name of this server: --allowed-host {shortened(name)} adds it"
        )

    def _own(self, origin: bytes, host: bytes) -> bool:
        """`origin` is this server's own: the same name and port, or a name given as allowed (a proxy in front)."""
        try:
            url = urlsplit(origin.decode("latin-1"))
            port = url.port
        except ValueError:
            return False
        if url.scheme not in ("http", "https") or not url.hostname:
            return False
        if _plain(url.hostname) in self._allowed:
            return True
        match = _HOST.fullmatch(host.decode("latin-1"))
        default = 443 if url.scheme == "https" else 80
        return (
            match is not None
            and _plain(url.hostname) == _plain(match[1])
            and (port or default) == int(match[2] or default)
        )


def _plain(name: str) -> str:
    return name.lower().strip("[]").removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
