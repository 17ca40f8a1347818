"""Tokens: who may come in, and what each may do. A token is 256 random bits; kept is only its SHA-256, which for such a
one needs no salt and no slow hash. A line for each, in a file or a variable:

    # name  role   hash           until, if it is to end
    ci      run    sha256:9f86d…  2027-01-01T00:00:00Z
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from kala import clock
from kala.clock import Moment
from kala.durable import synced
from kala.errors import KalaError, SettingsError, shortened
from kala.roles import Role

PREFIX = "kala_"
FORM = re.compile(r"kala_[A-Za-z0-9_-]{43}")
"""Nothing else is a token: a word that somebody has thought up cannot be one."""
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MOST = 1_000
LARGEST = 1 << 20  # bytes of a file
OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IRWXO
"""What a file's mode must not have. Its group may read it: root's file, and the daemon's user in its group."""

_LINE = re.compile(r"(\S+)\s+(\S+)\s+sha256:([0-9a-f]{64})(?:\s+(\S+))?")


class Token(Struct, frozen=True):
    """One token, as it is kept."""

    name: str
    role: Role
    digest: bytes  # SHA-256 of the token
    until: Moment | None = None

    def is_over(self, now: Moment) -> bool:
        return self.until is not None and now >= self.until

    def line(self) -> str:
        """The token in a tokens file."""
        until = "" if self.until is None else f" {clock.rfc3339(self.until)}"
        return f"{self.name} {self.role} sha256:{self.digest.hex()}{until}"


class Tokens:
    """The tokens of a daemon. `reload` reads them anew."""

    def __init__(self, path: str = "", lines: str = "") -> None:
        """`path` is a tokens file, `lines` the value of a variable. Raises `SettingsError`."""
        self._path, self._lines = path, lines
        self._all: list[Token] = self._read()

    @property
    def demanded(self) -> bool:
        """Whoever comes needs a token. Where there are none, everybody who gets here may do everything."""
        return bool(self._path or self._lines)

    def reload(self) -> None:
        """Read them anew. Raises `SettingsError`, and then those from before still hold."""
        self._all = self._read()

    def find(self, secret: str, now: Moment) -> Token | None:
        """The token that `secret` is. Takes the same time whichever it is, or is not."""
        digest, found = digest_of(secret), None
        for token in self._all:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return None if found is None or found.is_over(now) else found

    def named(self, name: str, now: Moment) -> Token | None:
        """The token of this name, unless it is over."""
        return next((token for token in self._all if token.name == name and not token.is_over(now)), None)

    def holds(self, token: Token, now: Moment) -> bool:
        """Whether a token that was found before is still good."""
        return self.named(token.name, now) == token

    def _read(self) -> list[Token]:
        found = read_lines(self._lines, "KALA_TOKENS") if self._lines else []
        if self._path:
            found += read_file(Path(self._path))
        if len({token.name for token in found}) < len(found):
            raise SettingsError("the tokens of KALA_TOKENS and those of --tokens-file have a name in common")
        if self.demanded and not found:
            raise SettingsError(
                f"--tokens-file {self._path}: holds no token, so that nobody could come in: `kala token new` adds one"
            )
        return found


def read_file(path: Path) -> list[Token]:
    """The tokens in a file that nobody else may change or read. Raises `SettingsError`."""
    what = f"--tokens-file {path}"
    try:
        with path.open("rb") as file:
            told = os.fstat(file.fileno())
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise SettingsError(f"{what}: cannot be read: {error.strerror}") from None
    if told.st_mode & OPEN_TO_OTHERS:
        mode = f"{stat.S_IMODE(told.st_mode):o}"
        raise SettingsError(f"{what}: others may read or change it (mode {mode}): chmod 600, or 640 for its group")
    if told.st_uid not in (0, os.geteuid()):
        raise SettingsError(f"{what}: belongs to another user ({told.st_uid}), who could change it")
    if len(data) > LARGEST:
        raise SettingsError(f"{what}: is larger than {LARGEST} bytes")
    return read_lines(data.decode(errors="replace"), what)


def read_lines(text: str, what: str) -> list[Token]:
    """The tokens in lines. Raises `SettingsError`, naming the line, and telling nothing of what stands there."""
    found: dict[str, Token] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if (line := line.strip()) and not line.startswith("#"):
            try:
                token = read_line(line)
            except ValueError as fault:
                raise SettingsError(f"{what}: line {number}: {fault}") from None
            if token.name in found:
                raise SettingsError(f"{what}: line {number}: there is a token {token.name} above")
            found[token.name] = token
    if len(found) > MOST:
        raise SettingsError(f"{what}: has {len(found)} tokens, and at most {MOST} are taken")
    return list(found.values())


def read_line(line: str) -> Token:
    """The token in a line. Raises `ValueError`."""
    if FORM.search(line):
        raise ValueError("holds a token itself; its hash belongs there: make a new one, as this one may have been seen")
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("is not `name role sha256:hash`, as `kala token new` writes it")
    name, role, digest, until = match.groups()
    checked_name(name)
    if role not in set(Role):
        raise ValueError(f"{shortened(role)!r} is no role: {', '.join(Role)}")
    return Token(name, Role(role), bytes.fromhex(digest), None if until is None else read_moment(until))


def read_moment(text: str) -> Moment:
    """A moment in RFC 3339. Raises `ValueError`."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return clock.from_datetime(moment)
    except (ValueError, OverflowError):
        raise ValueError(f"{shortened(text)!r} is not a moment such as 2027-01-01T00:00:00Z") from None


def checked_name(name: str) -> str:
    """`name`, when a token can have it. Raises `ValueError`."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{shortened(name)!r} is not a name of 1 to 64 letters, digits, and . _ -")
    return name


def new_token(name: str, role: Role, until: Moment | None = None) -> tuple[str, Token]:
    """A new token, and what is kept of it. Raises `ValueError` for a name that it cannot have."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, Token(checked_name(name), role, digest_of(secret), until)


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


# Sessions: what a browser has in a cookie instead of the token.


def session_of(token: Token, until: Moment) -> str:
    """A session for whoever has `token`, as a cookie's value. It is signed with what is kept of the token: it ends with
    it, and every daemon that knows the one knows the other."""
    told = f"1:{token.name}:{until}"
    return f"{told}:{_signed(token, told)}"


def token_of(session: str, tokens: Tokens, now: Moment) -> tuple[Token, Moment] | None:
    """The token that a session stands for, and until when; None when it is none, or is over."""
    told, _, signature = session.rpartition(":")
    parts = told.split(":")
    if len(parts) != 3 or parts[0] != "1" or not re.fullmatch("[0-9]{1,18}", parts[2]):
        return None
    token, until = tokens.named(parts[1], now), int(parts[2])
    # compared as bytes: a cookie may hold what is not ASCII
    if token is None or not hmac.compare_digest(_signed(token, told).encode(), signature.encode("utf-8", "replace")):
        return None
    return (token, until) if now < until else None


def _signed(token: Token, told: str) -> str:
    mac = hmac.digest(token.digest, b"kala session\0" + told.encode(), "sha256")
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


# The file, as the command line changes it.


class TokenExists(KalaError):
    """A token of this name is there already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a token {name} already: take another name, or revoke that one first")


def change_file(path: Path, add: Sequence[Token] = (), remove: Sequence[str] = ()) -> None:
    """Write a tokens file anew, in one step, with its comments: lines of `remove` out, those of `add` at the end. A new
    one is its owner's alone; mode and group of one that is there stay. Raises `SettingsError`, `TokenExists`."""
    there = {token.name for token in read_file(path)} if path.exists() else set()
    for token in add:
        if token.name in there:
            raise TokenExists(token.name)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        old = path.read_text() if path.exists() else ""
        kept = [line for line in old.splitlines() if not line.split() or line.split()[0] not in remove]
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            if path.exists():
                told = path.stat()
                os.fchown(file.fileno(), told.st_uid, told.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(told.st_mode))
            file.write("".join(f"{line}\n" for line in [*kept, *(token.line() for token in add)]))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        synced(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise SettingsError(f"--tokens-file {path}: cannot be written: {error.strerror}") from None
