"""What a client would send to make a job: from what a daemon answers about it, and what two of these differ in."""

from collections.abc import Mapping
from typing import Any

from kala.clock import Moment
from kala.job import Job
from kala.wire.checks import Faults
from kala.wire.jobmembers import NAMES, canonical
from kala.wire.jobread import definition, taken

CODES, TYPE = [200], ("Content-Type", ["application/json"])
"""What a daemon adds to a call that has been made, as the original did."""

DEFAULTS: Mapping[str, Any] = definition(Job(""), False)
NOT_SAID = ("owner", "disabled")
"""Members that a file may leave to the server: its default owner, and who disabled a job by hand."""


def of_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """All members of a job that a daemon has answered with, in their order."""
    return read(canonical(job, NAMES), {}, None)


def read(members: Mapping[str, Any], faults: Faults, not_before: Moment | None) -> dict[str, Any]:
    """All members that these, given under their right names, come to; the rules' faults are added to `faults`."""
    new = taken(members, faults, not_before=not_before)
    full = definition(new.job, new.disabled)
    call = full["remote_properties"]
    if call["expected_response_codes"] in (CODES, []):
        call["expected_response_codes"] = None
    headers = {name: values for name, values in (call["headers"] or {}).items() if (name, values) != TYPE}
    call["headers"] = headers or None
    return full


def sparse(full: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are not what they are by themselves, and the name."""
    made: dict[str, Any] = {"name": full["name"]}
    for name, value in full.items():
        if value != DEFAULTS[name]:
            default = DEFAULTS[name]
            made[name] = (
                {key: one for key, one in value.items() if one != default[key]} if isinstance(default, dict) else value
            )
    return made


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The members in which `new` differs, each as (old, new)."""
    return {name: (old[name], value) for name, value in new.items() if old[name] != value}


def patch_of(changed: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7396) that makes these changes."""
    return {name: merge_patch(old, new) for name, (old, new) in changed.items()}


def merge_patch(old: Any, new: Any) -> Any:
    if not isinstance(new, dict) or not isinstance(old, dict):
        return new
    return {key: merge_patch(old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}
