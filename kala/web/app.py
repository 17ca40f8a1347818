"""The web application: the gate and the limits before every route, the routes, and the answers to what goes wrong."""

from typing import TYPE_CHECKING, Any

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Response, has_request_context, request, websocket

from kala.settings import Settings
from kala.tokens import Tokens
from kala.web import api, live, pages
from kala.web.answers import SECURITY
from kala.web.door import Door, Roles, Who
from kala.web.forwarded import Forwarded
from kala.web.gate import Gate
from kala.web.hot import Hot
from kala.web.measured import MeasuredApp
from kala.web.problems import JSON, Problem, Refused, problem_of
from kala.web.routes import ROOT, add
from kala.web.whole import Incoming, WholeConnection, WholeRequest, body_of, comes_slowly, dropping, may_last, path_of

if TYPE_CHECKING:
    from kala.service import Service

BODY_LIMIT = 1 << 20
IMPORT_LIMIT = 128 << 20
"""One import holds about 100,000 jobs in a body of this size; one at a time, since it is held in memory."""
LONG = {f"{ROOT}/job/import": "import", f"{ROOT}/job/batch": "batch"}
"""The routes that take one request at a time."""


class WebApp(MeasuredApp):
    """The application. `asgi_app` is what stands before Quart's own."""

    asgi_http_class = WholeConnection
    request_class = WholeRequest

    def __init__(self, service: "Service", settings: Settings, door: Door) -> None:
        super().__init__("kala.web", static_folder=None, template_folder=None)
        self.service, self.traffic = service, service.metrics.traffic
        self.gate, self.door = Gate(settings.interface, settings.allowed_hosts), door
        self.forwarded = Forwarded(settings.trusted_proxies, settings.path_prefix)
        self.traffic.door = door
        self.roles: Roles  # when the routes are known
        self.hot: Hot
        self.under_way: set[str] = set()  # of the routes in `LONG`
        self.url_map.strict_slashes = False  # both forms are served: a redirected POST loses its body
        self.url_map.merge_slashes = False
        self.config["RESPONSE_TIMEOUT"] = None  # a start lasts as long as its run; `guard.py` ends stalled peers
        self.config["MAX_CONTENT_LENGTH"] = None  # `body_of` has the limits

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "lifespan":
            await super().asgi_app(scope, receive, send)
            return

        status = 0

        async def guarded(message: Any) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = [*message["headers"], *SECURITY]
                status = message["status"]
                self.door.note(scope, status)
            await send(message)

        try:
            if scope["type"] == "http":
                scope["path"] = path_of(scope["path"])
            self.forwarded.rewrite(scope)
            who = self._let_in(scope)
        except Refused as fault:
            await self._turn_away(fault, scope, receive, guarded)
            return
        if scope["type"] == "websocket":
            with self.door.while_welcome(who):
                await super().asgi_app(scope, receive, guarded)
            return
        try:
            if may_last(scope):
                with self.door.while_welcome(who):
                    await self._answer(scope, receive, guarded)
            else:
                await self._answer(scope, receive, guarded)
        finally:
            if not status:
                self.door.note(scope, 0)  # its client has gone before there was an answer

    def _let_in(self, scope: Any) -> Who:
        """Who has sent this; raises `Refused` when it may not be answered."""
        if (fault := self.gate.refusal(scope)) is not None:
            raise fault
        return self.door.let_in(scope, self.roles.needed(scope) if self.door.tokens.demanded else None)

    async def _turn_away(self, fault: Refused, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await refuse_websocket(fault, send)
        else:
            await refuse(problem_of(fault, ""), receive, send)

    async def _answer(self, scope: Any, receive: Any, guarded: Any) -> None:
        path = scope["path"].rstrip("/")
        long = path if path in LONG and scope["method"] == "POST" else ""
        if long in self.under_way:
            fault = Refused(503, f"another {LONG[long]} is under way", {"Retry-After": "5"})
            await self._turn_away(fault, scope, receive, guarded)
            return
        if not long:
            await self._with_body(BODY_LIMIT, scope, receive, guarded)
            return
        self.under_way.add(long)
        try:
            if comes_slowly(path):
                await self._while_it_comes(scope, receive, guarded)
            else:
                await self._with_body(IMPORT_LIMIT, scope, receive, guarded)
        finally:
            self.under_way.discard(long)

    async def make_default_options_response(self, *context: Any) -> Response:
        response: Response = await super().make_default_options_response(*context)
        response.status_code = 204
        del response.headers["Content-Type"]
        del response.headers["Content-Length"]
        return response

    async def _with_body(self, limit: int, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = await body_of(scope, receive, limit)
        except Refused as fault:
            await refuse(problem_of(fault, ""), receive, send)
            return
        if body is not None:
            scope["state"] = {**scope["state"], "body": body}
            await super().asgi_app(scope, receive, send)

    async def _while_it_comes(self, scope: Any, receive: Any, send: Any) -> None:
        """The route reads the body itself, and says how long its sender may be silent."""
        connection = scope["state"].get("connection")  # there is none when the request has come whole
        scope["state"] = {**scope["state"], "incoming": Incoming(receive)}
        if connection is not None:
            connection.be_patient(True)
        try:
            await super().asgi_app(scope, receive, send)
        finally:
            if connection is not None:
                connection.be_patient(False)


def create_app(service: "Service", settings: Settings, door: Door | None = None) -> WebApp:
    """The application over `service`. `settings`: `interface` and `allowed_hosts` name this server. Without a `door`
    everybody who gets here may do everything."""
    door = door or Door(service.clock, Tokens())
    app = WebApp(service, settings, door)
    table = api.table(service, door)
    add(app, table)
    live.add_routes(app, service)
    pages.add_routes(app, settings.path_prefix)
    app.hot = Hot(table, app.gate, door, app.traffic, settings.path_prefix)
    app.roles = Roles(app.url_map, {one.name: one.needs for one in table} | dict.fromkeys(pages.NAMES))

    async def failed(error: Exception) -> Response:
        asked = request if has_request_context() else websocket
        problem = problem_of(error, f"{asked.method} {asked.path}")
        return Response(problem.body, problem.status, problem.headers, content_type=JSON)

    app.register_error_handler(Exception, failed)
    return app


async def refuse(problem: Problem, receive: Any, send: Any) -> None:
    """Answer without having read the body. What comes of it meanwhile is dropped: nothing may wait for its reader."""

    async with dropping(receive):
        await send({"type": "http.response.start", "status": problem.status, "headers": headers_of(problem)})
        await send({"type": "http.response.body", "body": problem.body, "more_body": False})


async def refuse_websocket(fault: Refused, send: Any) -> None:
    problem = problem_of(fault, "")
    await send({"type": "websocket.http.response.start", "status": problem.status, "headers": headers_of(problem)})
    await send({"type": "websocket.http.response.body", "body": problem.body, "more_body": False})


def headers_of(problem: Problem) -> list[tuple[bytes, bytes]]:
    further = [(name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    return [*further, (b"content-type", JSON.encode()), (b"content-length", b"%d" % len(problem.body))]
