"""What a route is. The application and the OpenAPI document are both made from one table of them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
from quart import Quart, Response

from kala.roles import Role
from kala.web.answers import Reply
from kala.web.parameters import Parameter
from kala.web.problems import JSON
from kala.wire.checks import Schema

ROOT = "/api/v1"


class Body(msgspec.Struct, frozen=True):
    """What a request holds: a schema, for each media type."""

    schemas: Mapping[str, Schema]
    required: bool = True


class Answer(msgspec.Struct, frozen=True):
    """What a request is answered with. `type` is what its JSON is encoded from, or a union of such; None: it has no
    body, unless there are `media_types` of which no more can be said."""

    about: str
    type: Any = None
    media_types: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}  # what each says


class Route(msgspec.Struct, frozen=True):
    """A path as Werkzeug writes it, one method, and the view for it. `faults` are the statuses above 399 that it
    answers with beside those that every route may have. Who does not name a role means reading for GET, and else that
    of admins; what `is_open` is for everybody. `hot` is what the view is made of, for requests that have nothing odd
    (`hot.py`): it is given what its path holds and, where it has one, the body."""

    method: str
    path: str
    view: Callable[..., Awaitable[Response]]
    about: str
    answers: Mapping[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    faults: tuple[int, ...] = ()
    role: Role | None = None
    is_open: bool = False
    hot: Callable[..., Awaitable[Reply]] | None = None

    @property
    def needs(self) -> Role | None:
        """The role that it needs; None: nobody is asked."""
        if self.is_open:
            return None
        return self.role or (Role.READ if self.method == "GET" else Role.ADMIN)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def json(schema: Schema, *, required: bool = True) -> Body:
    """A body of JSON."""
    return Body({JSON: schema}, required)


def add(app: Quart, routes: Iterable[Route]) -> None:
    """Add them. Those that end in `/` are served without it, too (`app.py`)."""
    for one in routes:
        app.add_url_rule(one.path, one.name, one.view, methods=[one.method])
