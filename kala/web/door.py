"""Who somebody is, and whether they may: between the gate, which looks at names and origins, and the routes.

A program shows its token as `Authorization: Bearer …`. A browser shows a session, which it got for a token at the login
(`session.py`), in a cookie that no script can read and no other site's page can send. Neither ever stands in a URL.
"""

import ipaddress
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
from msgspec import Struct
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from kala.audit import About, Audit
from kala.clock import SECOND, Clock, Moment
from kala.logs import fields
from kala.roles import Role
from kala.tokens import Token, Tokens, token_of
from kala.web.gate import SAFE
from kala.web.problems import Refused

log = logging.getLogger(__name__)

CHALLENGE = 'Bearer realm="kala"'
COOKIE = "kala_session"
LONGEST_COOKIE = 4_096  # bytes of a Cookie header that is looked into
BURST, EVERY = 10, 6.0
"""Failures of one address that are answered with 401 at once, and seconds until one more is; between them it is 429. A
token that is right is let in all the same: nobody guesses 256 bits, and nobody is to be locked out by a neighbour."""
ADDRESSES = 10_000  # whose failures are remembered


class Who(Struct, frozen=True):
    """Who has sent a request. `token` is None where nobody needs one. `until` is when a session ends."""

    role: Role = Role.ADMIN
    token: Token | None = None
    session: bool = False
    until: Moment | None = None

    @property
    def name(self) -> str:
        return "" if self.token is None else self.token.name


ANYBODY = Who()


class Door:
    """The check of a request. `audit` None: nothing is noted."""

    def __init__(self, clock: Clock, tokens: Tokens, audit: Audit | None = None) -> None:
        self.clock, self.tokens, self.audit = clock, tokens, audit
        self._failures, self._unknown = Failures(), Failures()
        self._lasting: dict[trio.CancelScope, Who] = {}
        self.refused = 0
        """Requests that were not let in, for who counts them."""

    def who(self, scope: Any) -> Who:
        """Who has sent a request (an ASGI scope that has passed the gate). Raises `Refused`."""
        if not self.tokens.demanded:
            return ANYBODY
        now = self.clock.now()
        bearer, cookies, shows_origin = "", b"", False
        for name, value in scope["headers"]:
            if name == b"authorization":
                bearer = value.decode("latin-1")
            elif name == b"cookie":
                cookies += b"; " + value
            elif name in (b"origin", b"sec-fetch-site"):
                shows_origin = True  # its own, or the gate had refused it
        if bearer:
            kind, _, secret = bearer.partition(" ")
            token = self.tokens.find(secret.strip(), now) if kind.lower() == "bearer" else None
            if token is None:
                raise self.failed(scope, "this token is not known, or has ended")
            return Who(token.role, token, until=token.until)
        session = self._session(scope, cookies, now)
        if session is None:
            raise Refused(401, "a token is needed: Authorization: Bearer …", {"WWW-Authenticate": CHALLENGE})
        if not shows_origin and (scope["type"] == "websocket" or scope["method"] not in SAFE):
            raise Refused(403, "a browser that does not say which page sends this may not do it")
        return session

    def _session(self, scope: Any, cookies: bytes, now: Moment) -> Who | None:
        value = cookie_in(cookies, cookie_name(scope))
        found = None if value is None else token_of(value, self.tokens, now)
        if found is None:
            return None
        token, until = found
        return Who(token.role, token, session=True, until=until if token.until is None else min(until, token.until))

    def entered(self, scope: Any, secret: str) -> Token:
        """The token that somebody shows at the login. Raises `Refused`."""
        token = self.tokens.find(secret, self.clock.now())
        if token is None:
            raise self.failed(scope, "this token is not known, or has ended")
        return token

    def failed(self, scope: Any, text: str) -> Refused:
        """What to say to somebody whose token is wrong, by how often that was so."""
        self.refused += 1
        address = address_of(scope)
        wait = self._failures.add(address)
        if wait:
            return Refused(429, "too many wrong tokens from this address", {"Retry-After": str(round(wait) + 1)})
        log.warning("a wrong token was shown", extra=fields(address=address, path=scope["path"]))
        return Refused(401, text, {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'})

    def let_in(self, scope: Any, needed: Role | None) -> Who:
        """Who has sent a request that has passed the gate; the scope's state is told, too. Raises `Refused` when they
        may not do what needs this role; None: it is for everybody."""
        if needed is None or not self.tokens.demanded:
            scope["state"] = {**scope["state"], "who": ANYBODY}
            return ANYBODY
        who = self.who(scope)
        scope["state"] = {**scope["state"], "who": who}
        self.demand(who, needed)
        return who

    def demand(self, who: Who, needed: Role) -> None:
        """Raises `Refused` when somebody may not do what needs a role."""
        if not who.role.may(needed):
            self.refused += 1
            raise Refused(403, f"this needs the role {needed}, and the token {who.name} has the role {who.role}")

    @contextmanager
    def while_welcome(self, who: Who) -> Iterator[None]:
        """What lasts (events, an output that is followed) ends when whoever asked for it may not come in any more."""
        if who.token is None:
            yield
            return
        with trio.CancelScope() as scope:
            if who.until is not None:
                scope.deadline = trio.current_time() + (who.until - self.clock.now()) / SECOND
            self._lasting[scope] = who
            try:
                yield
            finally:
                del self._lasting[scope]

    def look_again(self) -> None:
        """Tokens were read anew: whoever has lost theirs is shown out."""
        now = self.clock.now()
        for scope, who in list(self._lasting.items()):
            if who.token is not None and not self.tokens.holds(who.token, now):
                scope.cancel()

    def note(self, scope: Any, status: int) -> None:
        """Write down a request that may have changed something, or was not let in. `status` 0: it had no answer."""
        if self.audit is None or (scope["type"] == "websocket" and status < 400):
            return
        method = scope.get("method", "GET")
        who, about = scope["state"].get("who", ANYBODY), scope["state"].get("about") or About()
        if method in SAFE and status not in (401, 403):
            return
        if who.token is None and self.tokens.demanded and self._unknown.add(address_of(scope)):
            return  # whoever has no token must not be able to fill the log, and drive out what stands there
        self.audit.note(
            address=address_of(scope),
            method=method,
            path=scope["path"],
            status=status,
            who=who.name,
            role="" if who.token is None else who.role,
            session=who.session,
            about=about,
        )


class Failures:
    """What comes from whom nobody knows, by address: a bucket that holds `BURST` and loses one in `EVERY` seconds."""

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        self._now = now
        self._full_until: dict[str, float] = {}  # when each bucket is empty again; the longest unchanged first

    def add(self, address: str) -> float:
        """Count one; seconds until the next may come when it is too many."""
        address, now = network_of(address), self._now()
        empty_at = max(self._full_until.pop(address, now), now)
        wait = empty_at - now - (BURST - 1) * EVERY
        self._full_until[address] = empty_at if wait > 0 else empty_at + EVERY
        if len(self._full_until) > ADDRESSES:
            del self._full_until[next(iter(self._full_until))]
        return max(wait, 0.0)


class Roles:
    """Which role a request needs, by the table of routes; what is at no route needs that of reading."""

    def __init__(self, url_map: Map, by_route: dict[str, Role | None]) -> None:
        self._urls = url_map.bind("")
        self._by_route = by_route

    def needed(self, scope: Any) -> Role | None:
        """None: it is for everybody, as the page is before the login."""
        is_socket = scope["type"] == "websocket"
        method = "GET" if is_socket else scope["method"]
        try:
            name, _ = self._urls.match(scope["path"], method, websocket=is_socket)
        except HTTPException:  # 404, and 405
            return Role.READ
        return self._by_route.get(name, Role.READ)


def address_of(scope: Any) -> str:
    """The client's, as far as it is known."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def network_of(address: str) -> str:
    """Whose failures count together: an address of IPv4, 64 bits of IPv6, of which a host may have all."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def cookie_name(scope: Any) -> str:
    """The session's: with the port, since browsers share cookies among all servers of a host."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    port = host.rpartition(":")[2]
    return f"{COOKIE}_{port}" if port.isdigit() else COOKIE


def cookie_in(header: bytes, name: str) -> str | None:
    """The value of a cookie; None when it is not there, or the header cannot be read."""
    if name.encode() not in header or len(header) > LONGEST_COOKIE:
        return None
    for one in header.decode("latin-1").split(";"):
        key, equals, value = one.strip().partition("=")
        if equals and key == name:
            return value
    return None
