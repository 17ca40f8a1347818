"""Secrets as references: a job says `secret:NAME`, and the value is there only within an attempt, or one post.

A reference stands for a whole value of `environment`, for the body of a call, and in a header for the whole value or
for what follows a scheme (`Bearer secret:NAME`). Nowhere else does it mean anything: a command and a URL are seen by
many.
"""

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from kala import threads
from kala.calls.remote import BLANKS, BODY, CONTROL, TOKEN
from kala.errors import CommandError, KalaError, SettingsError, shortened
from kala.job import LOCAL, REMOTE, Job, Remote, replace
from kala.masking import Mask
from kala.processes import words
from kala.processes.words import Line, Substitute

WORD = "secret:"
NAME = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
VARIABLES = "KALA_SECRET_"
LARGEST = 65_536  # bytes
UNSAFE = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP
A_NAME = "write secret: and a name of up to 128 letters, digits, _ . -, which begins with none of the last two"
SEEN = 'and all users of this host can see arguments: set "shell": true, or let the program read the variable'

_WHOLE = re.compile(f"{WORD}({NAME})")
_IN_HEADER = re.compile(f"((?:{TOKEN.pattern} +)?){WORD}({NAME})")
_MEANT = re.compile(f"(?:{TOKEN.pattern} +)?{WORD}")

Headers = Mapping[str, Sequence[str]]


class SecretFault(KalaError):
    """A secret that cannot be had, or not be used where it is to be. Its text holds nothing of the value."""


class Withheld(Exception):
    """A bug in an attempt that has secrets. Of what was raised only the type is told: its text may hold a value."""


def withheld(bug: Exception) -> Withheld:
    """What to raise in place of it."""
    return Withheld(type(bug).__name__).with_traceback(bug.__traceback__)


class Secrets:
    """Where the values are: files in a folder, which are read each time, and variables. Raises SettingsError when there
    is no such folder."""

    def __init__(self, folder: str = "", environment: Mapping[str, str] | None = None) -> None:
        self._folder = Path(folder).absolute() if folder else None
        self._variables = {name: value for name, value in (environment or {}).items() if name.startswith(VARIABLES)}
        if self._folder is not None and not self._folder.is_dir():
            raise SettingsError(f"--secrets-folder: {folder!r} is no folder that can be read")

    async def values(self, names: Collection[str]) -> dict[str, str]:
        """The secrets of these names. Raises SecretFault."""
        if self._folder is None:
            return {name: self._value(name) for name in names}
        return await threads.in_thread(lambda: {name: self._value(name) for name in names})

    async def warnings(self, job: Job) -> list[str]:
        """A sentence for each secret that the job refers to and that cannot be had now."""
        names = names_of(job)
        return await threads.in_thread(lambda: list(self._faults(names))) if names else []

    def _faults(self, names: Collection[str]) -> Iterator[str]:
        for name in names:
            try:
                self._value(name)
            except SecretFault as fault:
                yield f"{fault}; until it can be had, what needs it fails"

    def _value(self, name: str) -> str:
        variable = VARIABLES + re.sub("[.-]", "_", name.upper())
        data, place = self._in_folder(name), f"the variable {variable}"
        if data is not None:
            place = str(self._path(name))
        elif variable in self._variables:
            data = os.fsencode(self._variables[variable])
        else:
            looked = f"there is neither {self._path(name)} nor" if self._folder is not None else "there is no"
            raise SecretFault(f"{WORD}{name} is not there: {looked} {place.removeprefix('the ')}")
        if not data or b"\0" in data:
            raise SecretFault(f"{WORD}{name}: {place} {'holds a NUL' if data else 'is empty'}")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise SecretFault(f"{WORD}{name}: {place} is not text in UTF-8") from None

    def _path(self, name: str) -> Path:
        return (self._folder or Path()) / name

    def _in_folder(self, name: str) -> bytes | None:
        """What the file of this name holds; None when there is none. Symbolic links are followed: it is the file at
        their end that is looked at."""
        if self._folder is None:
            return None
        path = self._path(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would be waited for
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise SecretFault(f"{WORD}{name}: {path} is no file")
                if status.st_mode & UNSAFE:
                    mode = stat.S_IMODE(status.st_mode)
                    raise SecretFault(
                        f"{WORD}{name}: {path} has mode {mode:o}, with which others can read it, or others or its group"
                        " write it: chmod 600 (or 640) it"
                    )
                with open(descriptor, "rb", closefd=False) as file:
                    data = file.read(LARGEST + len(b"\r\n") + 1)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretFault(f"{WORD}{name}: {path} cannot be read: {os.strerror(error.errno or 0).lower()}") from None
        if data.endswith(b"\n"):
            data = data[:-1].removesuffix(b"\r")
        if len(data) > LARGEST:
            raise SecretFault(f"{WORD}{name}: {path} is larger than {LARGEST} bytes")
        return data


# What refers to secrets, and what it stands for.


def names_in(headers: Headers | None) -> Iterator[str]:
    for values in (headers or {}).values():
        for value in values:
            if match := _IN_HEADER.fullmatch(value):
                yield match[2]


def names_of_attempt(job: Job) -> list[str]:
    """The secrets that an attempt needs, each once."""
    if job.type == LOCAL:
        found = [match[1] for value in (job.environment or {}).values() if (match := _WHOLE.fullmatch(value))]
    else:
        call = job.remote or Remote()
        found = list(names_in(call.headers))
        if match := _WHOLE.fullmatch(call.body):
            found.append(match[1])
    return list(dict.fromkeys(found))


def may_refer(job: Job) -> bool:
    """Whether there is anything in a job that may refer to secrets."""
    return bool(job.environment or job.remote or job.notify)


def names_of(job: Job) -> list[str]:
    """The same, with those of its notifications."""
    if not may_refer(job):
        return []
    notified = (name for target in job.notify or () for name in names_in(target.headers))
    return list(dict.fromkeys([*names_of_attempt(job), *notified]))


def environment_with(given: Mapping[str, str] | None, values: Mapping[str, str]) -> dict[str, str]:
    """A job's environment with the values in place."""
    return {
        name: values[match[1]] if (match := _WHOLE.fullmatch(text)) else text for name, text in (given or {}).items()
    }


def headers_with(given: Headers, values: Mapping[str, str]) -> dict[str, list[str]]:
    """Headers with the values in place. Raises SecretFault for what no header may have."""

    def value_of(text: str) -> str:
        if not (match := _IN_HEADER.fullmatch(text)):
            return text
        value = values[match[2]]
        if CONTROL.search(value) or value != value.strip(BLANKS):
            raise SecretFault(f"{WORD}{match[2]} cannot be in a header: it has several lines, or blanks at an end")
        return match[1] + value

    return {name: [value_of(text) for text in texts] for name, texts in given.items()}


def call_with(call: Remote, defined: Remote, values: Mapping[str, str]) -> tuple[Remote, frozenset[bytes]]:
    """A call with the values in place, as it was `defined` before templates were rendered; and what of it is for no
    other host: the names of headers, in lower case, and `BODY`. Raises SecretFault."""
    private = {name.lower().encode() for name, texts in (call.headers or {}).items() if any(names_in({name: texts}))}
    if match := _WHOLE.fullmatch(defined.body):
        call = replace(call, body=values[match[1]])
        private.add(BODY)
    return replace(call, headers=headers_with(call.headers or {}, values)), frozenset(private)


async def expanded(
    line: Line, environment: Mapping[str, str], substitute: Substitute, *, given: Mapping[str, str], mask: Mask
) -> list[str]:
    """The argument list of a command without a shell, by `words.expand`. Raises CommandError when one of its variables
    is a secret by the environment that was `given`, or a command in its backticks prints one."""
    for name in sorted(words.variables(line)):
        if _WHOLE.fullmatch(given.get(name, "")):
            raise CommandError(f"${name} is a secret, {SEEN}")

    async def within(argv: list[str]) -> str:
        output = await substitute(argv)
        if mask.finds(output):
            raise CommandError(f"{shortened(mask.text(argv[0]))} in backticks printed a secret, {SEEN}")
        return output

    return await words.expand(line, environment, within)


# What a client sent.


def faults(job: Job) -> Iterator[tuple[str, str]]:
    """The path and fault of each value that is meant to be a reference and is none."""
    for name, value in (job.environment or {}).items():
        if value.startswith(WORD) and not _WHOLE.fullmatch(value):
            yield f"environment.{shortened(name)}", f"is no reference to a secret: {A_NAME}"
    headers = [("remote_properties.headers", job.remote.headers if job.remote else None)]
    headers += [(f"notify[{place}].headers", target.headers) for place, target in enumerate(job.notify or ())]
    for path, given in headers:
        for name, values in (given or {}).items():
            if any(_MEANT.match(value) and not _IN_HEADER.fullmatch(value) for value in values):
                yield path, f"the value of {shortened(name)} is no reference to a secret: {A_NAME}"


def warnings(job: Job) -> list[str]:
    """Sentences about references where they mean nothing."""
    if job.type == LOCAL and WORD in job.command:
        return [
            f"`{WORD}` in a command means nothing, since all users of this host can see commands: put the reference"
            " into `environment`"
        ]
    if job.type == REMOTE and job.remote is not None and WORD in job.remote.url:
        return [f"`{WORD}` in a URL means nothing, since URLs are in logs: put the reference into a header or the body"]
    return []
