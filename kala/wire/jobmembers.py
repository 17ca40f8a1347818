"""The members of a job that clients may send, and what each may hold.

Names match in any case, as in Go (of a name given several times, in whatever case, the last counts), and unknown
members are passed over.
"""

import re
from collections.abc import Mapping

import msgspec

from kala import schedule
from kala.errors import CommandError, Invalid, NotJson, ScheduleError, shortened
from kala.job import Limits, Notify, Remote
from kala.ledger import KINDS
from kala.processes import users
from kala.schedule import durations
from kala.wire.checks import (
    Check,
    Faults,
    came,
    check,
    choice,
    flag,
    list_of,
    members_schema,
    number,
    or_null,
    pairs,
    sound,
    text,
    whole,
)

_decoder = msgspec.json.Decoder()
MAX_HEADERS = 100
_short = text(1_024)
_line = text(16_384)
_header_values = list_of(_line, MAX_HEADERS)
VARIABLE = re.compile("(?!KALA_)[A-Za-z_][A-Za-z0-9_]*")
LABEL = re.compile("[A-Za-z0-9](?:[A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?")
MAX_NOTIFY, MAX_VARIABLES, MAX_LABELS = 10, 200, 50
_DURATION = {"type": "string", "pattern": f"^(?:{durations.PATTERN.pattern})?$", "examples": ["PT30S", "P1D"]}


@check(_DURATION)
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


@check(_DURATION)
def time_limit(value: object, path: str, faults: Faults) -> object:
    """A duration that is longer than nothing."""
    read = duration(value, path, faults)
    if isinstance(read, str) and not schedule.duration(read):
        faults[path] = "must be longer than nothing"
    return read


@check({**_short.schema, "minLength": 1})
def job_id(value: object, path: str, faults: Faults) -> object:
    """The id of another job. Whether there is one, the ledger knows."""
    if value == "":
        faults[path] = "is empty"
    return _short(value, path, faults)


@check({**_line.schema, "pattern": "^(?:/.*)?$"})
def directory(value: object, path: str, faults: Faults) -> object:
    """An absolute path; empty text is not set. Whether it is there, the run finds out."""
    if _line(value, path, faults) is None or not isinstance(value, str) or not value:
        return None
    if not value.startswith("/"):
        faults[path] = f"must be an absolute path, not {came(value)}"
    return value


@check(
    {
        "type": "object",
        "propertyNames": {"maxLength": _short.schema["maxLength"]},
        "additionalProperties": or_null(_header_values.schema),
        "maxProperties": MAX_HEADERS,
    }
)
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


NOTIFY_MEMBERS: dict[str, Check] = {
    "url": text(2_048),  # it is in the record with each notification that is owed
    "on": list_of(choice(*KINDS), len(KINDS), distinct=True),
    "headers": headers,
    "every": duration,
    "late_after": duration,
}
NOTIFY_NAMES = {name.casefold(): name for name in NOTIFY_MEMBERS}


@check(members_schema(NOTIFY_MEMBERS, ("url",)))
def target(value: object, path: str, faults: Faults) -> object:
    """An address, and what is posted there. What a URL may be, `remote.check` knows; one at fault keeps its place."""
    members: dict[str, object] = {}
    if isinstance(value, dict):
        members = sound(canonical(value, NOTIFY_NAMES), NOTIFY_MEMBERS, f"{path}.", faults)
        if members.get("on") == [] and not any(one.startswith(f"{path}.on") for one in faults):
            faults[f"{path}.on"] = f"names nothing: of {', '.join(KINDS)}"
    else:
        faults[path] = f"must be an object, not {came(value)}"
    return msgspec.convert({"url": "", **members}, Notify)


_targets = list_of(target, MAX_NOTIFY)


@check(_targets.schema)
def notices(value: object, path: str, faults: Faults) -> object:
    """Where to post what became of runs: a list of objects; an empty one is not set."""
    return _targets(value, path, faults) or None


REMOTE_MEMBERS: dict[str, Check] = {
    "url": _line,
    "method": text(32),
    "body": text(524_288),  # characters: half of the largest body that a request may have
    "headers": headers,
    "timeout": whole(0, 86_400),  # seconds: a day
    "expected_response_codes": list_of(whole(100, 599), 500),
}
REMOTE_NAMES = {name.casefold(): name for name in REMOTE_MEMBERS}


@check(members_schema(REMOTE_MEMBERS))
def remote_properties(value: object, path: str, faults: Faults) -> object:
    """The call of a remote job; None when nothing in it is set, as the original writes it for local jobs."""
    if not isinstance(value, dict):
        faults[path] = f"must be an object, not {came(value)}"
        return None
    made = msgspec.convert(sound(canonical(value, REMOTE_NAMES), REMOTE_MEMBERS, f"{path}.", faults), Remote)
    return made if made != Remote() else None


@check({**_short.schema, "pattern": f"^(?:{users.PATTERN_OF_SCHEMA})?$", "examples": ["www-data", "1000:1000"]})
def run_as(value: object, path: str, faults: Faults) -> object:
    """A user, or user:group; empty text is not set. Whether there is such, the run finds out: it may be elsewhere."""
    if _short(value, path, faults) is None or not isinstance(value, str) or not value:
        return None
    try:
        users.parted(value)
    except CommandError as error:
        faults[path] = str(error)
    return value


LIMITS: dict[str, Check] = {
    "memory": whole(2**20, 2**50),  # bytes
    "cpu_time": whole(1, 366 * 86_400),  # seconds
    "open_files": whole(8, 2**20),  # a program needs some to be started; more no Linux has
    "nice": whole(-20, 19),
}


@check(members_schema(LIMITS))
def limits(value: object, path: str, faults: Faults) -> object:
    """What a command may use; None when nothing in it is set. A name that is not known is a fault here: nobody should
    believe in a limit that there is not."""
    if not isinstance(value, dict):
        faults[path] = f"must be an object, not {came(value)}"
        return None
    given = limits_named(value)
    for name in given.keys() - LIMITS.keys():
        faults[f"{path}.{shortened(name)}"] = f"is no limit: there are {', '.join(LIMITS)}"
    known = {name: one for name, one in given.items() if name in LIMITS}
    made = msgspec.convert(sound(known, LIMITS, f"{path}.", faults), Limits)
    return made if made != Limits() else None


def limits_named(given: Mapping[str, object]) -> dict[str, object]:
    """These with the names of limits as they are written here; others stay."""
    others = {name: value for name, value in given.items() if name.casefold() not in LIMITS}
    return canonical(given, {name: name for name in LIMITS}) | others


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
    "overlap": choice("queue", "skip", "allow", "replace"),
    "catch_up": choice("once", "none", "all"),
    "catch_up_limit": whole(1, 10_000),
    "catch_up_window": duration,
    "timeout": time_limit,
    "kill_after": duration,
    "on_lost": choice("record", "rerun"),
    "retry_delay": duration,
    "retry_backoff": number(1, 100),
    "retry_max_delay": duration,
    "jitter": duration,
    "time_zone": _short,
    "dst_gap": choice("shift", "skip"),
    "dst_fold": choice("first", "second", "both"),
    "parents_mode": choice("any", "all"),
    "environment": pairs(VARIABLE, "letters, digits and _, not a digit first, nor KALA_", _line, MAX_VARIABLES),
    "directory": directory,
    "output_limit": whole(0, 2**24),  # bytes
    "labels": pairs(LABEL, "up to 63 letters and digits, with _ . / - between", text(255), MAX_LABELS),
    "notify": notices,
    "run_as": run_as,
    "limits": limits,
    "disabled": flag,
}
NAMES = {name.casefold(): name for name in MEMBERS}


def parsed(data: bytes) -> dict[str, object]:
    """The object in a body, or `Invalid` at the path ""."""
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(f"the body is not JSON that can be read: {error}") from None
    except RecursionError:
        raise NotJson("the body is nested too deeply") from None
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
