"""Finding a program, encoding what it is given, and saying why it could not be started."""

import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kala.errors import CommandError, shortened
from kala.processes.confined import search

FRESH = 1.0  # seconds for which a program found is not looked for again
MAX_FOUND = 1000  # programs remembered
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"  # without PATH; as shells have it

SENTENCES = {
    errno.E2BIG: "argument list or environment too long",
    errno.EMFILE: "no file descriptor is left for this daemon (EMFILE)",
    errno.ENFILE: "no file descriptor is left on this host (ENFILE)",
    errno.EAGAIN: "no process can be started: a limit of this host or user is reached (EAGAIN)",
    errno.ENOMEM: "no process can be started: no memory is left (ENOMEM)",
}

_found: dict[tuple[str, str, str | None], tuple[float, bytes]] = {}


class Entries(NamedTuple):
    """`NAME=value` for each variable. Those that many programs share are one object."""

    shared: tuple[bytes, ...]
    own: tuple[bytes, ...] = ()

    def all(self) -> list[bytes]:
        return [*self.shared, *self.own]


class Environment(Mapping[str, str]):
    """A process's environment over a `base` that is encoded once: `Environment(base).extended({"KALA_RUN_ID": …})`."""

    def __init__(self, base: Mapping[str, str]) -> None:
        self._base, self._own = dict(base), dict[str, str]()
        self._entries = Entries(tuple(_entries(self._base)))

    def extended(self, more: Mapping[str, str]) -> "Environment":
        """This one with `more` added or replaced."""
        if not self._base.keys().isdisjoint(more):
            return Environment({**self, **more})
        made = Environment.__new__(Environment)
        made._base, made._own = self._base, {**self._own, **more}
        made._entries = Entries(self._entries.shared, tuple(_entries(made._own)))
        return made

    def entries(self) -> Entries:
        return self._entries

    def __getitem__(self, name: str) -> str:
        return self._own[name] if name in self._own else self._base[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._base
        yield from self._own

    def __len__(self) -> int:
        return len(self._base) + len(self._own)


def entries(environment: Mapping[str, str]) -> Entries:
    """`NAME=value` for each. Raises CommandError."""
    if isinstance(environment, Environment):
        return environment.entries()
    return Entries(tuple(_entries(environment)))


def _entries(environment: Mapping[str, str]) -> list[bytes]:
    """Raises CommandError."""
    texts = [f"{name}={value}" for name, value in environment.items()]
    joined = "\0".join(texts)
    named = "" not in environment and "=" not in "".join(environment)
    if named and joined.isascii() and joined.count("\0") == len(texts) - 1:
        return joined.encode().split(b"\0")  # all at once, as it is done for every run
    return [entry(name, value) for name, value in environment.items()]


def entry(name: str, value: str) -> bytes:
    if not name or "=" in name:
        raise CommandError(f"not a name for an environment variable: {shortened(name)!r}")
    return encoded(f"{name}={value}", f"environment variable {shortened(name)}")


def encoded(text: str, what: str) -> bytes:
    """`text` as a program gets it. Raises CommandError, where it cannot."""
    try:
        data = text.encode() if text.isascii() else os.fsencode(text)  # a quarter of the time, and the same
    except UnicodeEncodeError:
        raise CommandError(f"{what} cannot be encoded: {shortened(text)!a}") from None
    if b"\0" in data:
        raise CommandError(f"{what} holds a NUL byte, which no program can be given: {shortened(text)!r}")
    return data


def arguments(argv: Sequence[str]) -> list[bytes]:
    """Each encoded. Raises CommandError."""
    if not argv or not argv[0]:
        raise CommandError("the command is empty")
    return [encoded(argument, "an argument") for argument in argv]


def find(name: str, environment: Mapping[str, str], directory: str | None) -> bytes:
    """The path of the program `name`: by the PATH of `environment` when it has no slash, where a relative entry is
    below `directory`, in which the program will be started. Raises CommandError.

    What was found is believed for a second, and executing it says so if it has gone.
    """
    if "/" in name:
        return encoded(name, "the program's name")
    path = environment.get("PATH", DEFAULT_PATH)
    now = time.monotonic()
    key = name, path, directory
    known = _found.get(key)
    if known is not None and now - known[0] < FRESH:
        return known[1]
    folder = b"" if directory is None else encoded(directory, "the directory")
    found, denied = search(name, encoded(path, "environment variable PATH"), folder)
    if found is None:
        _found.pop(key, None)
        raise CommandError(not_found(name, denied))
    if len(_found) >= MAX_FOUND:
        _found.clear()
    _found[key] = now, found
    return found


def not_found(name: str, denied: bool) -> str:
    """One sentence on a program that no folder of PATH has, or only as one that may not be executed."""
    return f"{'not executable' if denied else 'no such program'}: {shortened(name)}"


def explanation(error: OSError, name: str, path: bytes, directory: str | None) -> str:
    """One sentence on why starting `path`, called `name`, in `directory` failed."""
    if error.errno in SENTENCES:
        return SENTENCES[error.errno]
    if directory is not None and not os.path.isdir(directory):
        return f"no such directory: {shortened(directory)}"
    if directory is not None and not os.access(directory, os.X_OK):
        return f"directory cannot be entered: {shortened(directory)}"
    return refusal(error.errno or 0, name, os.path.isfile(os.path.join(os.fsencode(directory or ""), path)))


def refusal(number: int, name: str, there: bool) -> str:
    """One sentence on why a program, which is `there` or not, could not be executed, by the error's number."""
    name = shortened(name)
    if number in SENTENCES:
        return SENTENCES[number]
    if number in {errno.ENOENT, errno.ENOTDIR}:
        return f"the interpreter of this program is missing: {name}" if there else f"no such program: {name}"
    if number in {errno.EACCES, errno.EPERM}:
        return f"not executable: {name}"
    if number == errno.ENOEXEC:
        return f"not a program of this system, nor a script with a #! line: {name}"
    return f"cannot be started: {name}: {os.strerror(number)}"
