"""Reading a crontab into job definitions.

As cron has it: blank lines and comments; settings (`NAME = value`, with or without quotes), which count for the lines
after them; and lines of five fields or an `@` word, in the system's crontabs a user, and a command. In a command `%`
ends what the shell gets: what follows is its standard input, each further `%` a new line; `\\%` is a percent sign.
"""

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kala.errors import ScheduleError, shortened
from kala.schedule import cron, zones
from kala.wire.jobmembers import VARIABLE

SH = "/bin/sh"
_SETTING = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^\s="'#]+))[ \t]*=[ \t]*(?:"([^"]*)"|'([^']*)'|([^"'].*)|)[ \t]*""")
_PIECES = re.compile(r"\\.|[^\\%]+|%|\\")


class Entry(NamedTuple):
    """What a line makes: a job's members as POST /job/ takes them, or None and the fault.

    `warnings` say what is lost or otherwise than under cron. `name` is the job's, or the line's beginning.
    """

    line: int
    name: str
    members: dict[str, Any] | None
    fault: str
    warnings: list[str]


class _Settings:
    """The settings so far, and what is to be said about them and has not been said."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.variables: dict[str, str] = {}
        self.warnings: list[str] = []
        self.said: set[str] = set()

    def take(self, name: str, value: str) -> None:
        if name == "MAILTO":
            if value:
                self.warn(f"MAILTO={value}: nothing is mailed here; see the member notify")
        elif name == "CRON_TZ" or VARIABLE.fullmatch(name):
            self.variables[name] = value
        else:
            self.warn(f"{shortened(name)} is left out of the environment: it cannot be a variable's name here")

    def warn(self, text: str) -> None:
        if text not in self.said:
            self.said.add(text)
            self.warnings.append(text)

    @property
    def time_zone(self) -> str:
        return self.variables.get("CRON_TZ") or self.variables.get("TZ", "").removeprefix(":") or self.zone

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in self.variables.items() if name != "CRON_TZ"}


def read(text: str, system: bool = False, zone: str = "") -> list[Entry]:
    """The jobs of a crontab, and the lines that make none. `system`: its lines name a user, who becomes the owner.

    `zone` is that of times before any CRON_TZ or TZ; without, they are in UTC. What a setting loses is a warning of
    the first job after it. Names are distinct: where a command comes again, its name has its line.
    """
    settings = _Settings(zone)
    entries = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.removesuffix("\r").lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        if setting := _SETTING.fullmatch(line):
            name = setting[1] or setting[2] or setting[3] or ""
            settings.take(name, setting[4] or setting[5] or (setting[6] or "").rstrip(" \t"))
            continue
        try:
            members = _job(line, system, settings)
        except ScheduleError as error:
            entries.append(Entry(number, shortened(line.rstrip()), None, error.fault, []))
            continue
        entries.append(Entry(number, members["name"], members, "", settings.warnings))
        settings.warnings = []
    return list(_distinct(entries))


def _job(line: str, system: bool, settings: _Settings) -> dict[str, Any]:
    """The members of the job that a line makes. Raises `ScheduleError` for any fault."""
    count = 1 if line.startswith("@") else 5
    fields = re.split("[ \t]+", line, maxsplit=count + system)
    when, rest = " ".join(fields[:count]), fields[count:]
    zone = settings.time_zone
    cron.read(when, None)
    if zone:
        zones.find(zone)
    if len(rest) <= system or not rest[-1].strip():
        raise ScheduleError(line, "the line ends before the user and the command" if system else "there is no command")
    command, given = _split(rest[-1])
    if not command.strip():
        raise ScheduleError(line, "there is no command before the %")
    members: dict[str, Any] = {
        "name": shortened(" ".join(command.split())),
        "command": _under_sh(command, given, settings.variables.get("SHELL") or SH),
        "shell": True,
        "schedule": when,
        "labels": {"from": "crontab"},
    }
    if zone:
        members["time_zone"] = zone
    else:
        settings.warn("its times are taken as UTC: neither CRON_TZ nor --time-zone says another zone")
    if environment := settings.environment():
        members["environment"] = environment
    if (home := environment.get("HOME", "")).startswith("/"):
        members["directory"] = home  # where cron starts commands
    if system:
        members["owner"] = rest[0]
        settings.warn(f"the user {rest[0]} becomes the owner: the command runs as whoever the daemon runs as")
    return members


def _split(text: str) -> tuple[str, str]:
    """The command, and what it is given as standard input."""
    parts = [""]
    for piece in _PIECES.findall(text):
        if piece == "%":
            parts.append("")
        else:
            parts[-1] += "%" if piece == r"\%" else piece
    command, *lines = parts
    given = "\n".join(lines)
    return command, given if not given or given.endswith("\n") else f"{given}\n"


def _under_sh(command: str, given: str, shell: str) -> str:
    """What /bin/sh does to run `command` by `shell`, with `given` as its standard input."""
    by_shell = f"{shlex.quote(shell)} -c {shlex.quote(command)}"
    if given:
        lines = given.removesuffix("\n").split("\n")
        return f"printf '%s\\n' {shlex.join(lines)} | {by_shell}"
    return command if shell == SH else f"exec {by_shell}"


def _distinct(entries: Iterable[Entry]) -> Iterator[Entry]:
    taken: set[str] = set()
    for entry in entries:
        if entry.members is not None and entry.name in taken:
            name = f"{entry.name} (line {entry.line})"
            entry = entry._replace(name=name, members={**entry.members, "name": name})
        taken.add(entry.name)
        yield entry
