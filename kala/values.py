"""The values of settings: each is read from what was given, text or a value of a file, and then used as it is."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from kala import schedule
from kala.errors import ScheduleError

Read = Callable[[object], Any]
"""From what was given (text, or a file's value) to the setting's value. Raises `ValueError` with what would be right,
as the end of a sentence that begins with what was given."""


PRIVATE, UNIX = "private", "unix"
Peers = ipaddress.IPv4Network | ipaddress.IPv6Network | str
"""Addresses: a network, or one of the words `PRIVATE` and `UNIX`."""


class LabelLimit(NamedTuple):
    """At most `most` runs at once of jobs whose label `name` has this value; None: of each value by itself."""

    name: str
    value: str | None
    most: int


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text")
    if not value.isprintable():
        raise ValueError("holds control characters")
    return value


def whole(low: int, high: int) -> Read:
    def read(value: object) -> int:
        given = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        number = int(given) if isinstance(given, str) and re.fullmatch("[+-]?[0-9]{1,18}", given) else None
        if number is None or not low <= number <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return number

    return read


def seconds(value: object) -> float:
    given = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(given, str) or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", given):
        raise ValueError("is not a number of seconds")
    return float(given)


TRUE, FALSE = frozenset({"1", "t", "true", "yes", "on"}), frozenset({"0", "f", "false", "no", "off"})


def switch(value: object) -> bool:
    word = str(value).lower() if isinstance(value, bool | int | str) else ""
    if word not in TRUE | FALSE:
        raise ValueError("is neither true nor false")
    return word in TRUE


def choice(*allowed: str) -> Read:
    def read(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"is not one of {', '.join(allowed)}")
        return str(value)

    return read


def age(value: object) -> int | None:
    """An ISO 8601 duration in microseconds; empty text and `never` are None."""
    if value in ("", "never"):
        return None
    try:
        return schedule.duration(text(value)) or None
    except ScheduleError as error:
        raise ValueError(f"is no duration: {error.fault}; or write 'never'") from None


def port(value: object) -> tuple[str | None, int]:
    """`8000`, `:8000`, `host:8000` or `[::1]:8000`: the interface, where there is one, and the number."""
    given = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[\w.-]+)?:)?([0-9]{1,5})", given) if isinstance(given, str) else None
    if match is None or int(match[2]) > 65_535:
        raise ValueError("is not a port: write 8000, :8000 or 127.0.0.1:8000, with a number up to 65535")
    return (interface(match[1]) if match[1] else None), int(match[2])


def interface(value: object) -> str:
    """The name or address of an interface, an IPv6 address without its brackets; or `unix:` and a path."""
    if isinstance(value, str) and value.startswith("unix:"):
        path = text(value).removeprefix("unix:")
        if not path.startswith("/") or len(path.encode()) > 100:  # sockaddr_un has 108 bytes, macOS' 104
            raise ValueError("is not a socket: write unix: and an absolute path of at most 100 bytes")
        return value
    if not isinstance(value, str) or not re.fullmatch(r"[\w.:%-]+|\[[0-9a-fA-F:.]+\]", value):
        raise ValueError("is not an address to listen on, such as 127.0.0.1, ::1 or localhost")
    return value.strip("[]")


def hosts(value: object) -> tuple[str, ...]:
    """Names, from a list, or from text with commas between."""
    if isinstance(value, str):
        names = value.split(",")
    elif isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        names = list(value)
    else:
        raise ValueError("is not a list of host names")
    found = tuple(name.strip().lower() for name in names)
    if not all(re.fullmatch(r"[\w.-]+|\[?(?=[^:]*:[^:]*:)[0-9a-f:.]+\]?", name) for name in found):
        raise ValueError("is not a host name: write it without a port, such as kala.example.org")
    return found


def node(value: object) -> str:
    name = text(value)
    if not 1 <= len(name) <= 255 or name != name.strip():
        raise ValueError("is not a name of 1 to 255 characters")
    return name


def several(value: object, what: str) -> list[str]:
    """Items from a list, or from text with commas between."""
    if isinstance(value, str):
        return [one.strip() for one in value.split(",") if one.strip()]
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return [part for one in value for part in several(one, what)]
    raise ValueError(f"is not a list of {what}")


def peers(word: str) -> Read:
    """Networks and addresses, or `word`."""

    def read(value: object) -> tuple[Peers, ...]:
        found: list[Peers] = []
        for one in several(value, "networks"):
            if one == word:
                found.append(one)
                continue
            try:
                found.append(ipaddress.ip_network(one.strip("[]")))
            except ValueError:
                raise ValueError(f"is not a network such as 10.0.0.0/8, an address, or the word {word}") from None
        return tuple(found)

    return read


def label_limits(value: object) -> tuple[LabelLimit, ...]:
    """`name=value:number`, and `name=*:number` for each value by itself."""
    found = []
    for one in several(value, "limits"):
        match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_./-]{0,62})=(.{0,255}):([0-9]{1,6})", one)
        if match is None or int(match[3]) < 1:
            raise ValueError("is not a limit such as pool=reports:2, or tenant=*:5 for each tenant")
        found.append(LabelLimit(match[1], None if match[2] == "*" else match[2], int(match[3])))
    return tuple(found)


def mode(value: object) -> int:
    """Permissions, in octal digits."""
    if not isinstance(value, str) or not re.fullmatch("0?[0-7]{3}", value):
        raise ValueError("is not a mode in octal digits, such as 660")
    return int(value[-3:], 8)


def path_prefix(value: object) -> str:
    """A path such as /kala; a slash at its end does not count."""
    prefix = text(value).rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9_.~-]+)*", prefix) or {".", ".."} & set(prefix.split("/")):
        raise ValueError("is not a path such as /kala")
    return prefix
