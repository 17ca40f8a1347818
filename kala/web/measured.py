"""The application's outermost part: how requests were answered, and when, is noted in one place, whichever way they
came and wherever their answers were made."""

import re
import time
from functools import lru_cache
from typing import Any

from quart import Request, Websocket
from quart_trio import QuartTrio

from kala.traffic import Asked, Traffic

SWITCHING = 101
FAILED = 500
_IN_PATH = re.compile("<(?:path:)?([a-z_]+)>")
BEGIN = {"http.response.start", "websocket.http.response.start"}


class MeasuredApp(QuartTrio):
    """Tells `traffic`. What came without ever being a request that could be read is not told: `http1.py` answers it."""

    traffic: Traffic

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        begun, asked = time.perf_counter(), Asked()
        scope["state"] = {**scope["state"], "asked": asked}

        async def noted(message: Any) -> None:
            if message["type"] in BEGIN:
                self.traffic.note(asked, message["status"], time.perf_counter() - begun)
            elif message["type"] == "websocket.accept":
                self.traffic.note(asked, SWITCHING, time.perf_counter() - begun)
            await send(message)

        try:
            await super().__call__(scope, receive, noted)
        except Exception:
            if not asked.answered:  # the layers below answer it
                self.traffic.note(asked, FAILED, time.perf_counter() - begun)
            raise

    # A context is of another class in each version of Quart's; what is looked at has the same name in all.

    async def full_dispatch_request(self, context: Any = None) -> Any:
        if context is not None:
            note_route(context.request)
        return await super().full_dispatch_request(context)

    async def full_dispatch_websocket(self, context: Any = None) -> Any:
        if context is not None:
            note_route(context.websocket)
        return await super().full_dispatch_websocket(context)


def note_route(asked: Request | Websocket) -> None:
    """Note the route of a request, if there is one."""
    if (rule := asked.url_rule) is not None:
        asked.scope["state"]["asked"].route = route_of(str(rule.endpoint), rule.rule)


@lru_cache(maxsize=256)
def route_of(name: str, path: str) -> tuple[str, str]:
    """Method and path, as in `/openapi.json`. What `HEAD` and `OPTIONS` ask about is told with the route's own method:
    there are no more than routes."""
    method, _, _ = name.partition(" /")
    return method if method.isupper() else "GET", _IN_PATH.sub(r"{\1}", path)
