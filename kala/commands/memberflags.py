"""The flags of `kala jobs create` and `kala jobs edit`: one for each member of a job, from one table.

What a member may hold, the daemon says: here is only how text on a command line becomes JSON.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import click

Read = Callable[[tuple[str, ...]], Any]
"""Takes what was given, which is one text unless the flag may be repeated; gives the member. Raises `ValueError`."""


class MemberFlag(NamedTuple):
    """`member` is the name on the wire; that of a part of the HTTP call is `remote_properties.url`."""

    member: str
    flag: str
    metavar: str
    about: str
    read: Read
    many: bool = False


def text(given: tuple[str, ...]) -> str:
    return given[0]


def whole(given: tuple[str, ...]) -> int:
    try:
        return int(given[0])
    except ValueError:
        raise ValueError(f"{given[0]!r} is no whole number") from None


def number(given: tuple[str, ...]) -> float:
    try:
        return float(given[0])
    except ValueError:
        raise ValueError(f"{given[0]!r} is no number") from None


def switch(given: tuple[str, ...]) -> bool:
    return given[0] == "true"


def kind(given: tuple[str, ...]) -> int:
    kinds = {"local": 0, "remote": 1, "0": 0, "1": 1}
    if given[0] not in kinds:
        raise ValueError("must be local or remote")
    return kinds[given[0]]


def several(given: tuple[str, ...]) -> list[str]:
    """A list; a single empty text is an empty one."""
    return [one for one in given if one]


def numbers(given: tuple[str, ...]) -> list[int]:
    return [whole((one,)) for one in given if one]


def pairs(given: tuple[str, ...]) -> dict[str, str]:
    for one in given:
        if "=" not in one:
            raise ValueError(f"{one!r} is not of the form NAME=VALUE")
    return dict(one.split("=", 1) for one in given)


def amounts(given: tuple[str, ...]) -> dict[str, int]:
    return {name: whole((value,)) for name, value in pairs(given).items()}


def header_lines(given: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in given:
        name, colon, value = one.partition(":")
        if not colon:
            raise ValueError(f"{one!r} is not of the form 'Name: value'")
        found.setdefault(name.strip(), []).append(value.strip())
    return found


def targets(given: tuple[str, ...]) -> list[object]:
    """Addresses, or whole items as JSON objects."""
    found: list[object] = []
    for one in several(given):
        try:
            found.append(json.loads(one) if one.lstrip().startswith("{") else {"url": one})
        except json.JSONDecodeError as error:
            raise ValueError(f"{one!r} is not JSON: {error}") from None
    return found


CALL = "remote_properties."
TABLE: tuple[MemberFlag, ...] = (
    MemberFlag("name", "name", "TEXT", "What people call it.", text),
    MemberFlag("command", "command", "TEXT", "The program and its arguments.", text),
    MemberFlag("shell", "shell", "", "The command is given to /bin/sh -c.", switch),
    MemberFlag("directory", "directory", "PATH", "Where the command runs.", text),
    MemberFlag("environment", "environment", "NAME=VALUE", "A variable of the command's.", pairs, many=True),
    MemberFlag("schedule", "schedule", "TEXT", "R<n>/<start>/<interval>, or a cron expression.", text),
    MemberFlag("time_zone", "time-zone", "ZONE", "The zone of the schedule, such as Europe/Berlin.", text),
    MemberFlag("dst_gap", "dst-gap", "WORD", "A local time that does not exist: shift or skip.", text),
    MemberFlag("dst_fold", "dst-fold", "WORD", "One that exists twice: first, second or both.", text),
    MemberFlag("jitter", "jitter", "DURATION", "Spread over so long.", text),
    MemberFlag("owner", "owner", "TEXT", "Whose it is.", text),
    MemberFlag("labels", "label", "NAME=VALUE", "For finding it.", pairs, many=True),
    MemberFlag("disabled", "disabled", "", "It does not run.", switch),
    MemberFlag("type", "type", "KIND", "local (a command) or remote (an HTTP call).", kind),
    MemberFlag(CALL + "url", "remote-url", "URL", "What is called.", text),
    MemberFlag(CALL + "method", "remote-method", "WORD", "By which method.", text),
    MemberFlag(CALL + "body", "remote-body", "TEXT", "With which body.", text),
    MemberFlag(CALL + "headers", "remote-header", "'NAME: VALUE'", "A header.", header_lines, many=True),
    MemberFlag(CALL + "timeout", "remote-timeout", "SECONDS", "How long it may take.", whole),
    MemberFlag(
        CALL + "expected_response_codes", "remote-code", "STATUS", "A status that is success.", numbers, many=True
    ),
    MemberFlag("parent_jobs", "parent", "ID|NAME", "It runs after this job's success.", several, many=True),
    MemberFlag("parents_mode", "parents-mode", "WORD", "After any of its parents, or all.", text),
    MemberFlag("on_failure_job", "on-failure-job", "ID|NAME", "Runs when this one has failed.", text),
    MemberFlag("retries", "retries", "NUMBER", "Further attempts after a failure.", whole),
    MemberFlag("epsilon", "epsilon", "DURATION", "None starts later than this.", text),
    MemberFlag("retry_delay", "retry-delay", "DURATION", "How long before the next attempt.", text),
    MemberFlag("retry_backoff", "retry-backoff", "FACTOR", "By which that grows.", number),
    MemberFlag("retry_max_delay", "retry-max-delay", "DURATION", "Up to which it grows.", text),
    MemberFlag("timeout", "timeout", "DURATION", "How long an attempt may take.", text),
    MemberFlag("kill_after", "kill-after", "DURATION", "From TERM to KILL.", text),
    MemberFlag("overlap", "overlap", "WORD", "When a run is on: queue, skip, allow or replace.", text),
    MemberFlag("catch_up", "catch-up", "WORD", "What was missed: once, none or all.", text),
    MemberFlag("catch_up_limit", "catch-up-limit", "NUMBER", "At most so many.", whole),
    MemberFlag("catch_up_window", "catch-up-window", "DURATION", "None that is older.", text),
    MemberFlag("resume_at_next_scheduled_time", "resume-at-next-scheduled-time", "", "Nothing is made good.", switch),
    MemberFlag("on_lost", "on-lost", "WORD", "The daemon died during a run: record or rerun.", text),
    MemberFlag("run_as", "run-as", "USER[:GROUP]", "As whom the command runs.", text),
    MemberFlag(
        "limits",
        "limit",
        "NAME=NUMBER",
        "What it may use: memory (bytes), cpu_time (seconds), open_files, nice.",
        amounts,
        many=True,
    ),
    MemberFlag("output_limit", "output-limit", "BYTES", "How much of the output is kept.", whole),
    MemberFlag("notify", "notify", "URL|JSON", "Where failures are posted.", targets, many=True),
    MemberFlag(
        "TemplateDelimiters", "template-delimiters", "TEXT", "Such as '{{ }}': the command is a template.", text
    ),
)


def parameter_of(flag: MemberFlag) -> str:
    return "member_" + flag.flag.replace("-", "_")


def member_flags(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the flags to a command, in the order of the table."""
    for flag in reversed(TABLE):
        name = parameter_of(flag)
        if flag.metavar:
            add = click.option(f"--{flag.flag}", name, metavar=flag.metavar, multiple=flag.many, help=flag.about)
        else:
            negative = "enabled" if flag.flag == "disabled" else f"no-{flag.flag}"
            add = click.option(f"--{flag.flag}/--{negative}", name, default=None, help=flag.about)
        function = add(function)
    return function


def members_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The members that the flags among `given` stand for. Raises `click.UsageError`."""
    found: dict[str, Any] = {}
    for flag in TABLE:
        value = given[parameter_of(flag)]
        if value is None or value == ():
            continue
        try:
            member = flag.read(value if flag.many else (str(value).lower() if isinstance(value, bool) else value,))
        except ValueError as fault:
            raise click.UsageError(f"--{flag.flag}: {fault}") from None
        if flag.member.startswith(CALL):
            found.setdefault("remote_properties", {})[flag.member.removeprefix(CALL)] = member
        else:
            found[flag.member] = member
    return found


def cleared(names: Iterable[str], known: Iterable[str]) -> dict[str, Any]:
    """A patch that sets these members to their defaults: `labels`, or of one that holds several `labels.team`.

    Raises `click.UsageError` for what is no member.
    """
    known = list(known)
    patch: dict[str, Any] = {}
    for name in names:
        member, dot, part = name.partition(".")
        if member not in known:
            raise click.UsageError(f"--unset {name}: there is no such member; there are {', '.join(known)}")
        if dot:
            patch.setdefault(member, {})[part] = None
        else:
            patch[member] = None
    return patch
