"""Reading the wire format: what clients send, to a `Job` or to all faults of it at once.

`jobmembers.py` knows each member by itself; here are the rules of the whole. Members that only the server sets (id,
counters, next_run_at …) are passed over whatever they hold.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from kala import schedule, secrets, template
from kala.calls import remote
from kala.clock import Moment, rfc3339
from kala.errors import CommandError, Invalid, ScheduleError, TemplateFault, ZoneError
from kala.job import LOCAL, REMOTE, Job, Remote
from kala.ledger import plan_of
from kala.processes import words
from kala.wire.checks import Faults, sound
from kala.wire.jobjson import notify_objects, remote_object
from kala.wire.jobmembers import MEMBERS, NAMES, REMOTE_NAMES, canonical, limits_named, parsed
from kala.wire.plainjob import read_plain

RENAMED = {"TemplateDelimiters": "template_delimiters", "remote_properties": "remote"}
"""Members whose field in `Job` has another name."""


class NewJob(NamedTuple):
    """A definition that has been read. `warnings` are sentences for whoever sent it: it is taken all the same."""

    job: Job
    disabled: bool
    warnings: list[str]


def taken(given: Mapping[str, object], faults: Faults, *, owner: str = "", not_before: Moment | None = None) -> NewJob:
    """The job that canonical members make, every rule looked at; meaningless when `faults` has gained any.

    `not_before` is the moment before which a schedule may not start; None when it may.
    """
    found = sound(given, MEMBERS, "", faults)
    disabled = found.pop("disabled", False) is True
    if not found.get("owner"):
        found["owner"] = owner
    fields = {RENAMED.get(name, name): value for name, value in found.items()}
    job = msgspec.convert({"name": "", **fields}, Job)
    warnings = secrets.warnings(job)
    rules = [*rules_of_when(job, not_before), *rules_of_notify(job), *secrets.faults(job)]
    if faults.keys().isdisjoint({"type", "shell", "TemplateDelimiters"}):
        rules += rules_of_what(job, warnings)
    for path, fault in rules:
        if not any(path == bad or path.startswith((f"{bad}.", f"{bad}[")) for bad in faults):
            faults[path] = fault
    return NewJob(job, disabled, warnings)


def rules_of_when(job: Job, not_before: Moment | None) -> Iterator[tuple[str, str]]:
    """The path and fault of each rule about the name and the schedule that is broken."""
    if not job.name:
        yield "name", "is needed"
    if job.schedule:
        try:
            start = plan_of(job).start
        except ZoneError as error:
            yield "time_zone" if job.time_zone else "schedule", error.fault
        except ScheduleError as error:
            yield "schedule", error.fault
        else:
            if not_before is not None and start is not None and start < not_before and not job.parent_jobs:
                yield "schedule", f"its start {rfc3339(start)} is past"
    elif job.time_zone:
        try:
            schedule.parse("@daily", job.time_zone)
        except ZoneError as error:
            yield "time_zone", error.fault


def rules_of_what(job: Job, warnings: list[str]) -> Iterator[tuple[str, str]]:
    """The path and fault of each rule about the command or the call that is broken."""
    templated: dict[str, str] = {}
    if job.type == LOCAL:
        templated = {"command": job.command}
        if not job.command.strip():
            yield "command", "is needed for a local job (type 0)"
        elif not job.shell and not job.template_delimiters:
            try:
                warnings += words.check(job.command)
            except CommandError as error:
                yield "command", str(error)
    elif job.type == REMOTE:
        call = job.remote or Remote()
        if not call.url:
            yield "remote_properties.url", "is needed for a remote job (type 1)"
        if job.template_delimiters:
            templated = {"remote_properties.url": call.url, "remote_properties.body": call.body}
        yield from ((path, fault) for path, fault in remote.check(call).items() if path not in templated)
        for member in ("environment", "directory", "run_as", "limits"):
            if getattr(job, member):
                yield member, "is for a local job (type 0): a call has none"
    else:
        yield "type", f"must be 0 (a local command) or 1 (a remote job), not {job.type}"
    if job.template_delimiters:
        yield from template_faults(job.template_delimiters, templated)


def rules_of_notify(job: Job) -> Iterator[tuple[str, str]]:
    """The path and fault of each rule about where notifications go that is broken."""
    urls = [target.url for target in job.notify or ()]
    for place, target in enumerate(job.notify or ()):
        for path, fault in remote.check(Remote(target.url, headers=target.headers)).items():
            yield f"notify[{place}].{path.removeprefix('remote_properties.')}", fault
        if target.url and (first := urls.index(target.url)) < place:
            yield f"notify[{place}].url", f"is that of notify[{first}] already: one address is told one way"


def template_faults(delimiters: str, texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the delimiters, or else with the texts between them."""
    if len(delimiters.split(" ")) != 2 or "" in delimiters.split(" "):  # the original's rule
        yield "TemplateDelimiters", "must be two words with one space between them, such as '{{ }}'"
        return
    for path, one in texts.items():
        try:
            template.check(one, delimiters)
        except TemplateFault as error:
            yield path, str(error)


def read_job(data: bytes, *, now: Moment, default_owner: str = "") -> NewJob:
    """The job that the body of a POST defines. `default_owner` is set when it names none.

    Raises `Invalid` with every fault. Whether its parents and failure job are there, the ledger looks at.
    """
    if (plain := read_plain(data, now=now, default_owner=default_owner)) is not None:
        return NewJob(plain, False, [])
    return read_any(data, now=now, default_owner=default_owner)


def read_any(data: bytes, *, now: Moment, default_owner: str = "") -> NewJob:
    """The same, whatever the job has."""
    faults: Faults = {}
    new = taken(canonical(parsed(data), NAMES), faults, owner=default_owner, not_before=now)
    if faults:
        raise Invalid(faults)
    return new


def read_patch(data: bytes, job: Job, disabled: bool, *, now: Moment) -> NewJob:
    """The job that a JSON merge patch (RFC 7396) makes of `job`: members given replace, `null` sets the default.

    The rules hold for the whole result; that a schedule may not start in the past, only for one that has changed.
    Raises `Invalid` with every fault.
    """
    members = definition(job, disabled)
    for name, value in canonical(parsed(data), NAMES).items():
        if name == "remote_properties" and isinstance(value, dict):
            call = dict(members[name])
            for part, new in canonical(value, REMOTE_NAMES).items():
                call[part] = merged(call[part], new) if part == "headers" and isinstance(new, dict) else new
            value = call
        elif name in ("environment", "labels") and isinstance(value, dict):
            value = merged(members[name], value)
        elif name == "limits" and isinstance(value, dict):
            value = merged(members[name], limits_named(value))
        members[name] = value
    faults: Faults = {}
    made = taken(members, faults, not_before=None if members["schedule"] == job.schedule else now)
    if faults:
        raise Invalid(faults)
    return made


def merged(old: Mapping[str, object] | None, patch: Mapping[str, object]) -> dict[str, object]:
    """`old` with the members given in place of its own, and without those that are now null."""
    return {key: value for key, value in {**(old or {}), **patch}.items() if value is not None}


def definition(job: Job, disabled: bool) -> dict[str, Any]:
    """What a client would send to make this job."""
    members = {name: getattr(job, RENAMED.get(name, name)) for name in MEMBERS if name != "disabled"}
    return members | {
        "remote_properties": msgspec.to_builtins(remote_object(job.remote, has_run=False)),
        "notify": msgspec.to_builtins(notify_objects(job.notify)),
        "limits": msgspec.to_builtins(job.limits),
        "disabled": disabled,
    }
