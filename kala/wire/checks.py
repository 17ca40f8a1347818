"""What a value that a client sends may hold: its type and its bounds, as a check, and as the JSON Schema of it.

Go's rules, which the original's clients know: `null` is not set, a wrong type is a fault (1.0 is not a whole number).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kala.errors import shortened

Faults = dict[str, str]
Schema = dict[str, Any]
Read = Callable[[object, str, Faults], object]


class Check(msgspec.Struct, frozen=True):
    """Takes a value and its path; gives what it stands for, None when that is nothing. Names its faults; of a list or
    an object that holds some, what is sound is given, so that the other rules can be looked at.

    `schema` is JSON Schema 2020-12 for what is taken. It may allow more: not all can be said in it.
    """

    read: Read
    schema: Schema

    def __call__(self, value: object, path: str, faults: Faults) -> object:
        return self.read(value, path, faults)


def check(schema: Schema) -> Callable[[Read], Check]:
    """Makes a check of a function."""
    return lambda read: Check(read, schema)


def came(value: object) -> str:
    """What was sent, for a message."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return shortened(msgspec.json.encode(value).decode(), 40)


def text(limit: int) -> Check:
    """Text of at most `limit` characters. NUL is refused: neither a process nor every database can have it."""

    @check({"type": "string", "maxLength": limit})
    def read(value: object, path: str, faults: Faults) -> object:
        if not isinstance(value, str):
            faults[path] = f"must be text, not {came(value)}"
        elif len(value) > limit:
            faults[path] = f"is {len(value):,} characters long, and at most {limit:,} are taken"
        elif "\0" in value:
            faults[path] = "holds a NUL character"
        else:
            return value
        return None

    return read


def whole(low: int, high: int) -> Check:
    """A whole number from `low` to `high`."""

    @check({"type": "integer", "minimum": low, "maximum": high})
    def read(value: object, path: str, faults: Faults) -> object:
        if not isinstance(value, int) or isinstance(value, bool):
            faults[path] = f"must be a whole number, not {came(value)}"
        elif not low <= value <= high:
            faults[path] = f"must be from {low} to {high}, not {came(value)}"
        else:
            return value
        return None

    return read


def number(low: float, high: float) -> Check:
    """A number from `low` to `high`, with or without a fraction."""

    @check({"type": "number", "minimum": low, "maximum": high})
    def read(value: object, path: str, faults: Faults) -> object:
        if not isinstance(value, int | float) or isinstance(value, bool):
            faults[path] = f"must be a number, not {came(value)}"
        elif not low <= value <= high:
            faults[path] = f"must be from {low:g} to {high:g}, not {came(value)}"
        else:
            return float(value)
        return None

    return read


@check({"type": "boolean"})
def flag(value: object, path: str, faults: Faults) -> object:
    """True or false."""
    if isinstance(value, bool):
        return value
    faults[path] = f"must be true or false, not {came(value)}"
    return None


def choice(*allowed: str) -> Check:
    """One of some words; empty text is not set."""

    @check({"type": "string", "enum": [*allowed, ""]})
    def read(value: object, path: str, faults: Faults) -> object:
        if isinstance(value, str) and value in allowed:
            return value
        if value != "":
            faults[path] = f"must be {', '.join(allowed[:-1])} or {allowed[-1]}, not {came(value)}"
        return None

    return read


def list_of(item: Check, limit: int, *, distinct: bool = False) -> Check:
    """At most `limit` items; with `distinct`, what repeats an earlier one is left out."""

    @check({"type": "array", "items": item.schema, "maxItems": limit})
    def read(value: object, path: str, faults: Faults) -> object:
        if not isinstance(value, list):
            faults[path] = f"must be a list, not {came(value)}"
        elif len(value) > limit:
            faults[path] = f"has {len(value):,} items, and at most {limit:,} are taken"
        else:
            found = [item(one, f"{path}[{number}]", faults) for number, one in enumerate(value)]
            right = [one for one in found if one is not None]
            return list(dict.fromkeys(right)) if distinct else right
        return None

    return read


def pairs(name: re.Pattern[str], what: str, of_value: Check, limit: int) -> Check:
    """An object of text by name. `what` says what a name may be; of values that are null there is nothing."""

    @check(
        {
            "type": "object",
            "propertyNames": {"pattern": f"^{name.pattern}$"},
            "additionalProperties": or_null(of_value.schema),
            "maxProperties": limit,
        }
    )
    def read(value: object, path: str, faults: Faults) -> object:
        if not isinstance(value, dict):
            faults[path] = f"must be an object of text, not {came(value)}"
        elif len(value) > limit:
            faults[path] = f"has {len(value):,} names, and at most {limit} are taken"
        else:
            read: dict[str, object] = {}
            for key, one in value.items():
                here = f"{path}.{shortened(key)}"
                if not name.fullmatch(key):
                    faults[here] = f"is no name that is taken: {what}"
                elif one is not None and (text_of := of_value(one, here, faults)) is not None:
                    read[key] = text_of
            return read or None
        return None

    return read


def or_null(schema: Schema) -> Schema:
    """The schema that takes null, too."""
    if not isinstance(schema.get("type"), str):
        return {"anyOf": [schema, {"type": "null"}]}
    more = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **more}


def members_schema(members: Mapping[str, Check], required: tuple[str, ...] = (), title: str = "") -> Schema:
    """The schema of an object with these members, each of which may be null, and is then as if it were not there. By
    its title it is found."""
    properties = {name: one.schema if name in required else or_null(one.schema) for name, one in members.items()}
    needed = {"required": list(required)} if required else {}
    return {**({"title": title} if title else {}), "type": "object", "properties": properties, **needed}


def sound(given: Mapping[str, object], checks: Mapping[str, Check], prefix: str, faults: Faults) -> dict[str, object]:
    """What the members given stand for; those that are not set or at fault are left out."""
    found: dict[str, object] = {}
    for name, value in given.items():
        if value is not None:
            read = checks[name](value, prefix + name, faults)
            if read is not None:
                found[name] = read
    return found
