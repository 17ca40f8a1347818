"""The login, for browsers; who somebody is; and the audit log."""

from msgspec import UNSET, Struct, UnsetType
from quart import Response, request

from kala.audit import KEPT, Entry
from kala.clock import DAY, SECOND, rfc3339
from kala.errors import Invalid
from kala.roles import Role
from kala.tokens import session_of
from kala.web import parameters, routes
from kala.web.answers import answer, body_sent, nothing
from kala.web.door import Door, Who, cookie_name
from kala.web.parameters import asked
from kala.web.problems import Refused
from kala.web.routes import ROOT, Answer, Route
from kala.wire.checks import Faults, members_schema, sound, text
from kala.wire.jobjson import encode
from kala.wire.jobmembers import canonical, parsed
from kala.wire.runjson import Time

LASTS = 7 * DAY
"""How long a login lasts, unless its token ends before."""
LONGEST = 4_096  # bytes of a login, which anybody may send
SHOWN = {"token": text(200)}
LIMIT = parameters.whole("limit", "At most so many entries.", 1, KEPT, 100)


class SessionObject(Struct):
    """Who is here. `name` is that of the token, empty where none is needed; `until` is when the login ends."""

    name: str
    role: Role
    tokens: bool
    """Whether a token is needed here."""
    until: Time | UnsetType = UNSET


class AuditAnswer(Struct):
    """What was done, newest first."""

    entries: list[Entry]


class SessionRoutes:
    """The views."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self) -> list[Route]:
        one, here = f"{ROOT}/session/", {200: Answer("Who is here.", SessionObject)}
        return [
            Route("GET", one, self.get, "Who is here, and with which role.", here),
            Route(
                "POST",
                one,
                self.enter,
                "Log in: for a token, a cookie that stands for it.",
                {200: Answer("Who is here now.", SessionObject, headers={"Set-Cookie": "The session."})},
                body=routes.json(members_schema(SHOWN, ("token",))),
                faults=(400, 413),
                is_open=True,
            ),
            Route("DELETE", one, self.leave, "Log out.", {204: Answer("It is done.")}, role=Role.READ),
            Route(
                "GET",
                f"{ROOT}/audit/",
                self.audit,
                "Who did what: requests that may have changed something, and those that were not let in.",
                {200: Answer("The latest, newest first.", AuditAnswer)},
                parameters=(LIMIT,),
                faults=(400, 404),
                role=Role.ADMIN,
            ),
        ]

    async def get(self) -> Response:
        who: Who = request.scope["state"]["who"]
        return answer(encode(self._object(who)))

    def _object(self, who: Who) -> SessionObject:
        until = UNSET if who.until is None else rfc3339(who.until)
        return SessionObject(who.name, who.role, self._door.tokens.demanded, until)

    async def enter(self) -> Response:
        body, faults = await body_sent(), Faults()
        if len(body) > LONGEST:
            raise Refused(413, f"a login is no larger than {LONGEST} bytes")
        shown = sound(canonical(parsed(body), {"token": "token"}), SHOWN, "", faults).get("token")
        if not isinstance(shown, str) or not shown:
            faults.setdefault("token", "is needed")
        if faults:
            raise Invalid(faults)
        if not self._door.tokens.demanded:
            return await self.get()
        token, now = self._door.entered(request.scope, str(shown).strip()), self._door.clock.now()
        until = now + LASTS if token.until is None else min(now + LASTS, token.until)
        who = Who(token.role, token, session=True, until=until)
        request.scope["state"]["who"] = who
        return answer(encode(self._object(who)), headers={"Set-Cookie": self._cookie(session_of(token, until), until)})

    async def leave(self) -> Response:
        response = nothing()
        response.headers["Set-Cookie"] = self._cookie("", 0)
        return response

    def _cookie(self, value: str, until: int) -> str:
        """`until` 0: it goes."""
        age = max(0, (until - self._door.clock.now()) // SECOND)
        secure = "; Secure" if request.scope["scheme"] in ("https", "wss") else ""
        return f"{cookie_name(request.scope)}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"

    async def audit(self) -> Response:
        limit = asked((LIMIT,))["limit"]
        if self._door.audit is None:
            raise Refused(404, "nothing is noted here: there is neither --audit-file, nor are there tokens")
        return answer(encode(AuditAnswer(self._door.audit.latest(limit))))
