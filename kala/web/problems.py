"""The one table from errors to HTTP statuses, and the one shape of an answer that says no: `{"error": text}`."""

import logging

import msgspec
from werkzeug.exceptions import HTTPException

from kala import errors
from kala.errors import Invalid, KalaError, RunEnded

log = logging.getLogger(__name__)

JSON = "application/json"

STATUSES: dict[type[KalaError], int] = {
    errors.Invalid: 400,
    errors.NotJson: 400,
    errors.ScheduleError: 400,
    errors.ZoneError: 400,
    errors.CommandError: 400,
    errors.TemplateFault: 400,
    errors.JobNotFound: 404,
    errors.RunNotFound: 404,
    errors.RunEnded: 409,
    errors.Paused: 409,
    errors.KeyUsed: 409,
    errors.JobDisabled: 409,
    errors.JobExists: 409,
    errors.VersionChanged: 412,
    errors.ValueTooLarge: 413,
    errors.Stopping: 503,
    errors.StoreUnavailable: 503,
    errors.StoreRefused: 503,
}
"""What is not here is a bug, and 500."""

RETRY_AFTER: dict[type[KalaError], int] = {errors.Stopping: 5, errors.StoreUnavailable: 1, errors.StoreRefused: 5}
"""Seconds after which trying again is worth it: a restart takes some, as does whoever must act; a database may be back
at once."""


class Refused(KalaError):
    """A request that is answered before any route sees it."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        super().__init__(text)


class ErrorObject(msgspec.Struct):
    """What went wrong; `fields` when single members are at fault, by their paths; `state` of a run that is not in the
    state in which it would have to be."""

    error: str
    fields: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    state: str | msgspec.UnsetType = msgspec.UNSET


class Problem(msgspec.Struct, frozen=True):
    """An answer that says no. `body` is JSON."""

    status: int
    body: bytes
    headers: dict[str, str]


def error_body(text: str) -> bytes:
    return msgspec.json.encode(ErrorObject(text))


def error_object(error: KalaError) -> ErrorObject:
    """What to say of an error that is in the table."""
    said = ErrorObject(_clean(str(error)))
    if isinstance(error, RunEnded):
        said.state = error.state
    if isinstance(error, Invalid):
        said.fields = {_clean(path): _clean(fault) for path, fault in error.fields.items()}
    return said


def _clean(text: str) -> str:
    """Half of a surrogate pair, which only a message about bad input can hold, has no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def problem_of(error: BaseException, what: str) -> Problem:
    """The answer to an error that ended a request; `what` names the request in the log.

    An error that nobody foresaw is logged with its traceback, and tells the client nothing of the inside.
    """
    if isinstance(error, Refused):
        return Problem(error.status, error_body(str(error)), error.headers)
    if isinstance(error, HTTPException) and error.code is not None and error.code >= 400:
        return _of_routing(error, error.code)
    for kind in type(error).__mro__:
        if (status := STATUSES.get(kind)) is not None and isinstance(error, KalaError):
            headers = {"Retry-After": str(RETRY_AFTER[kind])} if kind in RETRY_AFTER else {}
            return Problem(status, msgspec.json.encode(error_object(error)), headers)
    log.error("%s failed", what, exc_info=error)
    return Problem(500, error_body("internal error: the daemon's log says more"), {})


def _of_routing(error: HTTPException, status: int) -> Problem:
    """What Quart itself refuses: no such path, or not by this method."""
    if status == 404:
        text = "there is nothing at this path"
    elif status == 405:
        text = "this path does not take this method"
    else:
        text = f"{error.name}: {error.description}"
    headers = {name: value for name, value in error.get_headers() if name.lower() == "allow"}
    return Problem(status, error_body(text), headers)
