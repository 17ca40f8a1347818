"""The OpenAPI document (3.1), made from the routes and from what validates requests and writes answers."""

import re
from collections.abc import Iterable
from types import UnionType
from typing import Any, get_args

import msgspec
from quart import Response

from kala import __version__
from kala.web.answers import answer
from kala.web.problems import JSON, ErrorObject
from kala.web.routes import ROOT, Answer, Route
from kala.wire.checks import Schema
from kala.wire.jobjson import encode

EVERYWHERE = {
    400: "The request cannot be taken as it is: `fields` names each fault.",
    401: "A token is needed, and none was shown that is known.",
    403: "Not under this name of the server, or not by a page of another origin, or not with the token's role.",
    429: "Too many wrong tokens came from this address. `Retry-After` says when to try again.",
    503: "Not now: the daemon starts or stops, or its database is away. `Retry-After` says when to try again.",
}
"""What every route may answer."""
FAULTS = EVERYWHERE | {
    404: "There is no such job or run.",
    409: "Not in the state in which it is.",
    412: "The job is at another version.",
    413: "The request is too large.",
    415: "The body is packed, which is not taken here.",
}
_ABOUT = (
    "Paths are served with and without the slash at their end. Names of a job's members match in any case, members "
    "that are not known are passed over, and null is as if a member were not there. Text holds no NUL characters. What "
    "the schemas cannot say, such as whether a schedule can be read, is answered with 400 and `fields`."
)
_REF = "#/components/schemas/{name}"
_IN_PATH = re.compile("<([a-z_]+)>")


def with_document(routes: Iterable[Route]) -> list[Route]:
    """These routes, and those at which the document of them all is found."""
    table = list(routes)
    written: list[bytes] = []

    async def openapi() -> Response:
        if not written:
            written.append(encode(document(table)))
        return answer(written[0])

    for path in ("/openapi.json", f"{ROOT}/openapi.json"):
        table.append(Route("GET", path, openapi, "This document.", {200: Answer("The document.", dict[str, Any])}))
    return table


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The document that describes `routes`."""
    routes = list(routes)
    types = {kind: None for route in routes for one in route.answers.values() for kind in _kinds(one.type)}
    schemas, components = msgspec.json.schema_components([ErrorObject, *types], ref_template=_REF)
    by_type = dict(zip([ErrorObject, *types], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, by_type, components)
        paths.setdefault(_IN_PATH.sub(r"{\1}", route.path), {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kala", "version": __version__, "description": _ABOUT},
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(route: Route, by_type: dict[Any, Schema], components: dict[str, Schema]) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": _id_of(route), "summary": route.about}
    if route.needs is None:
        made["security"] = []
    else:
        made["description"] = f"Where tokens are needed, one with the role `{route.needs}`."
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(route.path)
    ]
    given = [
        {"name": one.name, "in": one.where, "description": one.about, "schema": one.schema}
        | ({} if one.explode else {"style": "form", "explode": False})
        for one in route.parameters
    ]
    if in_path or given:
        made["parameters"] = in_path + given
    faults = {**dict.fromkeys(EVERYWHERE), **dict.fromkeys(route.faults)}
    if route.body is not None:
        content = {kind: {"schema": _placed(one, components)} for kind, one in route.body.schemas.items()}
        made["requestBody"] = {"required": route.body.required, "content": content}
    made["responses"] = {str(status): _response(one, by_type) for status, one in route.answers.items()} | {
        str(status): {"description": FAULTS[status], "content": {JSON: {"schema": by_type[ErrorObject]}}}
        for status in sorted(faults.keys() - route.answers.keys())
    }
    return made


def _response(one: Answer, by_type: dict[Any, Schema]) -> dict[str, Any]:
    kinds = one.media_types or ((JSON,) if one.type is not None else ())
    made: dict[str, Any] = {"description": one.about}
    if kinds:
        # Other kinds are text for this: a line may be of the type, the whole is not
        made["content"] = {
            kind: {"schema": _any_of(one.type, by_type) if kind == JSON else {"type": "string"}} for kind in kinds
        }
    if one.headers:
        made["headers"] = {
            name: {"description": about, "schema": {"type": "string"}} for name, about in one.headers.items()
        }
    return made


def _kinds(given: Any) -> tuple[Any, ...]:
    """The types of an answer: one, several of a union, or none."""
    if isinstance(given, UnionType):
        return get_args(given)
    return () if given is None else (given,)


def _any_of(given: Any, by_type: dict[Any, Schema]) -> Schema:
    schemas = [by_type[kind] for kind in _kinds(given)]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _placed(schema: Schema, components: dict[str, Schema]) -> Schema:
    """A schema with a title stands among the components, once."""
    if "items" in schema:
        return {**schema, "items": _placed(schema["items"], components)}
    if "title" not in schema:
        return schema
    components[schema["title"]] = schema
    return {"$ref": _REF.format(name=schema["title"])}


def _id_of(route: Route) -> str:
    """Such as `jobs_create`: the view's class and name, for programs that are made from this."""
    name = route.view.__qualname__.rpartition("<locals>.")[2].replace(".", "_").lower()
    return f"{name}_of_api" if route.path == f"{ROOT}/openapi.json" else name
