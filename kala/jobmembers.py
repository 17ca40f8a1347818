"""The members of a job that clients may send, and what each may hold: its type and its bounds.

Go's rules, which the original's clients know: names match in any case (of a name given several times, in whatever
case, the last counts), unknown members are passed over, `null` is not set, a wrong type is a fault (1.0 is not a whole
number).
"""

from collections.abc import Callable, Mapping

import msgspec

from kala import schedule
from kala.errors import Invalid, ScheduleError, shortened
from kala.job import Remote

Faults = dict[str, str]
Check = Callable[[object, str, Faults], object]
"""Takes a value and its path; gives what it stands for, None when that is nothing. Names its faults; of a list or an
object that holds some, what is sound is given, so that the other rules can be looked at."""

_decoder = msgspec.json.Decoder()


def came(value: object) -> str:
    """What was sent, for a message."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return shortened(msgspec.json.encode(value).decode(), 40)


def text(limit: int) -> Check:
    """Text of at most `limit` characters. NUL is refused: neither a process nor every database can have it."""

    def check(value: object, path: str, faults: Faults) -> object:
        if not isinstance(value, str):
            faults[path] = f"must be text, not {came(value)}"
        elif len(value) > limit:
            faults[path] = f"is {len(value):,} characters long, and at most {limit:,} are taken"
        elif "\0" in value:
            faults[path] = "holds a NUL character"
        else:
            return value
        return None

    return check


def whole(low: int, high: int) -> Check:
    """A whole number from `low` to `high`."""

    def check(value: object, path: str, faults: Faults) -> object:
        if not isinstance(value, int) or isinstance(value, bool):
            faults[path] = f"must be a whole number, not {came(value)}"
        elif not low <= value <= high:
            faults[path] = f"must be from {low} to {high}, not {came(value)}"
        else:
            return value
        return None

    return check


def flag(value: object, path: str, faults: Faults) -> object:
    """True or false."""
    if isinstance(value, bool):
        return value
    faults[path] = f"must be true or false, not {came(value)}"
    return None


def choice(*allowed: str) -> Check:
    """One of some words; empty text is not set."""

    def check(value: object, path: str, faults: Faults) -> object:
        if isinstance(value, str) and value in allowed:
            return value
        if value != "":
            faults[path] = f"must be {', '.join(allowed[:-1])} or {allowed[-1]}, not {came(value)}"
        return None

    return check


def duration(value: object, path: str, faults: Faults) -> object:
    """An ISO 8601 duration, as text; empty text is not set."""
    if _short(value, path, faults) is None or not isinstance(value, str) or not value:
        return None
    try:
        schedule.duration(value)
    except ScheduleError as error:
        faults[path] = error.fault
        return None
    return value


def time_limit(value: object, path: str, faults: Faults) -> object:
    """A duration that is longer than nothing."""
    read = duration(value, path, faults)
    if isinstance(read, str) and not schedule.duration(read):
        faults[path] = "must be longer than nothing"
    return read


def list_of(item: Check, limit: int, *, distinct: bool = False) -> Check:
    """At most `limit` items; with `distinct`, what repeats an earlier one is left out."""

    def check(value: object, path: str, faults: Faults) -> object:
        if not isinstance(value, list):
            faults[path] = f"must be a list, not {came(value)}"
        elif len(value) > limit:
            faults[path] = f"has {len(value):,} items, and at most {limit:,} are taken"
        else:
            found = [item(one, f"{path}[{number}]", faults) for number, one in enumerate(value)]
            right = [one for one in found if one is not None]
            return list(dict.fromkeys(right)) if distinct else right
        return None

    return check


def job_id(value: object, path: str, faults: Faults) -> object:
    """The id of another job. Whether there is one, the ledger knows."""
    if value == "":
        faults[path] = "is empty"
    return _short(value, path, faults)


def headers(value: object, path: str, faults: Faults) -> object:
    """A list of values for each name. What a name may be, `remote.check` knows."""
    if not isinstance(value, dict):
        faults[path] = f"must be an object of lists, not {came(value)}"
    elif len(value) > MAX_HEADERS:
        faults[path] = f"has {len(value):,} names, and at most {MAX_HEADERS} are taken"
    else:
        read: dict[object, object] = {}
        for name, values in value.items():
            path_of_name = f"{path}.{shortened(name)}"
            key = _short(name, path_of_name, faults)
            read[key] = _header_values(values if values is not None else [], path_of_name, faults)
        return {name: values for name, values in read.items() if name is not None and values is not None}
    return None


MAX_HEADERS = 100
_short = text(1_024)
_line = text(16_384)
_header_values = list_of(_line, MAX_HEADERS)

REMOTE_MEMBERS: dict[str, Check] = {
    "url": _line,
    "method": text(32),
    "body": text(524_288),  # characters: half of the largest body that a request may have
    "headers": headers,
    "timeout": whole(0, 86_400),  # seconds: a day
    "expected_response_codes": list_of(whole(100, 599), 500),
}
REMOTE_NAMES = {name.casefold(): name for name in REMOTE_MEMBERS}


def remote_properties(value: object, path: str, faults: Faults) -> object:
    """The call of a remote job; None when nothing in it is set, as the original writes it for local jobs."""
    if not isinstance(value, dict):
        faults[path] = f"must be an object, not {came(value)}"
        return None
    made = msgspec.convert(sound(canonical(value, REMOTE_NAMES), REMOTE_MEMBERS, f"{path}.", faults), Remote)
    return made if made != Remote() else None


def sound(given: Mapping[str, object], checks: Mapping[str, Check], prefix: str, faults: Faults) -> dict[str, object]:
    """What the members given stand for; those that are not set or at fault are left out."""
    found: dict[str, object] = {}
    for name, value in given.items():
        if value is not None:
            read = checks[name](value, prefix + name, faults)
            if read is not None:
                found[name] = read
    return found


MEMBERS: dict[str, Check] = {
    "name": _short,
    "command": text(131_071),  # characters; Linux takes an argument of 128 KiB with its NUL
    "owner": _short,
    "schedule": _short,
    "retries": whole(0, 1_000),
    "epsilon": duration,
    "parent_jobs": list_of(job_id, 1_000, distinct=True),
    "on_failure_job": _short,
    "TemplateDelimiters": _short,
    "resume_at_next_scheduled_time": flag,
    "type": whole(-(2**63), 2**63 - 1),
    "remote_properties": remote_properties,
    "shell": flag,
    "overlap": choice("queue", "skip", "allow"),
    "catch_up": choice("once", "none", "all"),
    "catch_up_limit": whole(1, 10_000),
    "catch_up_window": duration,
    "timeout": time_limit,
    "kill_after": duration,
    "on_lost": choice("record", "rerun"),
    "disabled": flag,
}
NAMES = {name.casefold(): name for name in MEMBERS}


def parsed(data: bytes) -> dict[str, object]:
    """The object in a body, or `Invalid` at the path ""."""
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid({"": f"the body is not JSON that can be read: {error}"}) from None
    except RecursionError:
        raise Invalid({"": "the body is nested too deeply"}) from None
    if not isinstance(value, dict):
        raise Invalid({"": f"the body must be a JSON object, not {came(value)}"})
    return value


def canonical(given: Mapping[str, object], names: Mapping[str, str]) -> dict[str, object]:
    """The members that are known, under their right names."""
    found: dict[str, object] = {}
    for key, value in given.items():
        name = names.get(key) or names.get(key.casefold())
        if name is not None and (value is not None or name not in found):
            found[name] = value
    return found
