"""What requests carry beside their path and body: each parameter's name, what it may be, and how it is read."""

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec
from quart import request
from werkzeug.datastructures import Headers, MultiDict

from kala.clock import Moment, from_datetime
from kala.errors import Invalid, shortened
from kala.schedule.durations import EARLIEST, LATEST
from kala.wire.checks import Schema, came

DIGITS = 8
"""No whole number here has more, unless it may be larger."""
_RFC3339 = re.compile(
    # a + that was not escaped comes as a blank
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([ +-])([0-9]{2}:[0-9]{2}))"
)


class Parameter(msgspec.Struct, frozen=True):
    """`read` gives what a text stands for, and raises `ValueError` with what is wrong with it. `several`: it may be
    repeated, up to `most` times, and its value is the list of what was given; without `explode`, it may also hold
    several, with commas between. In a query, empty text is as if it were not there."""

    name: str
    about: str
    read: Callable[[str], Any]
    schema: Schema
    where: Literal["query", "header"] = "query"
    default: Any = None
    several: bool = False
    explode: bool = True
    most: int | None = None


def asked(parameters: Iterable[Parameter]) -> dict[str, Any]:
    """The values of the request's parameters, by name. Raises `Invalid` with every fault."""
    return given(parameters, request.args, request.headers)


def given(parameters: Iterable[Parameter], arguments: MultiDict[str, str], headers: Headers) -> dict[str, Any]:
    """The same, of any request."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for one in parameters:
        if one.where == "header":
            texts = headers.getlist(one.name)
        else:
            texts = [text for text in arguments.getlist(one.name) if text]
        if one.several and one.most is not None and len(texts) > one.most:
            faults[one.name] = f"is given {len(texts):,} times, and at most {one.most:,} are taken"
            continue
        try:
            read = [one.read(text) for text in (texts if one.several else texts[:1])]
        except ValueError as fault:
            faults[one.name] = str(fault)
        else:
            values[one.name] = read if one.several else read[0] if read else one.default
    if faults:
        raise Invalid(faults)
    return values


def whole(name: str, about: str, low: int, high: int, default: int | None = None) -> Parameter:
    """A whole number from `low` to `high`."""

    def read(text: str) -> int:
        if not (
            text.isascii() and text.isdigit() and len(text) <= max(DIGITS, len(str(high))) and low <= int(text) <= high
        ):
            raise ValueError(f"must be a whole number from {low} to {high}, not {came(text)}")
        return int(text)

    given = {} if default is None else {"default": default}
    return Parameter(name, about, read, {"type": "integer", "minimum": low, "maximum": high, **given}, default=default)


def flag(name: str, about: str, default: bool | None = None) -> Parameter:
    """true or false; also 1 or 0, yes or no."""

    def read(text: str) -> bool:
        if (word := text.lower()) not in ("true", "1", "yes", "false", "0", "no"):
            raise ValueError(f"must be true or false, not {came(text)}")
        return word in ("true", "1", "yes")

    given = {} if default is None else {"default": default}
    return Parameter(name, about, read, {"type": "boolean", **given}, default=default)


def text(name: str, about: str, *, several: bool = False, most: int | None = None) -> Parameter:
    """Any text."""
    schema = _listed({"type": "string"}, several) | ({} if most is None else {"maxItems": most})
    return Parameter(name, about, lambda given: given, schema, several=several, most=most)


def choice(name: str, about: str, words: Iterable[str], default: str | None = None) -> Parameter:
    """One of some words."""
    known = list(words)

    def read(given: str) -> str:
        if given not in known:
            raise ValueError(f"{shortened(given)!r} is none; there are {', '.join(known)}")
        return given

    shown = {} if default is None else {"default": default}
    return Parameter(name, about, read, {"type": "string", "enum": known, **shown}, default=default)


def words(name: str, about: str, known: Iterable[str]) -> Parameter:
    """Some of these words, with commas between them, or in several parameters; a list of lists."""
    one = choice(name, about, known)

    def read(given: str) -> list[str]:
        return [one.read(word.strip()) for word in given.split(",") if word.strip()]

    return Parameter(name, about, read, _listed(one.schema, True), several=True, explode=False)


def moment(name: str, about: str) -> Parameter:
    """A time as in RFC 3339; what is finer than a microsecond is dropped."""

    def read(given: str) -> Moment:
        match = _RFC3339.fullmatch(given)
        try:
            if match is None:
                raise ValueError
            day, time, fraction, sign, offset = match.groups()
            east = "+00:00" if sign is None else f"{'-' if sign == '-' else '+'}{offset}"
            found = from_datetime(datetime.fromisoformat(f"{day}T{time}.{(fraction or '')[:6]:0<6}{east}"))
            if not EARLIEST <= found <= LATEST:  # by its offset it is in the year 0, or in 10000
                raise ValueError
            return found
        except ValueError:
            fault = f"must be a time as in RFC 3339, such as 2030-01-31T08:00:00Z, not {came(given)}"
            raise ValueError(fault) from None

    return Parameter(name, about, read, {"type": "string", "format": "date-time"})


def labels(about: str) -> Parameter:
    """`name` or `name=value`, repeated; a list of both, the value None where there is none."""

    def read(given: str) -> tuple[str, str | None]:
        name, equals, value = given.partition("=")
        return name, value if equals else None

    return Parameter("label", about, read, _listed({"type": "string"}, True), several=True)


def _key(given: str) -> str:
    if not re.fullmatch("[ -~]{1,255}", given):
        raise ValueError("must be from 1 to 255 printable ASCII characters")
    return given


IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "Made up by the client: the same key again is answered as the first time, and does nothing more.",
    _key,
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$"},
    where="header",
    default="",
)


def _listed(schema: Schema, several: bool) -> Schema:
    return {"type": "array", "items": schema} if several else schema
