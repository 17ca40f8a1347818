"""Users of this host as which commands run: who is meant, and whether this daemon may start commands as them."""

import grp
import os
import pwd
import re
import time
from functools import partial
from typing import NamedTuple

import trio

from kala import threads
from kala.errors import CommandError, shortened

NAME = r"[A-Za-z0-9_.][A-Za-z0-9_.@\\-]{0,126}\$?"
PATTERN = re.compile(rf"(?P<user>{NAME})(?::(?P<group>{NAME}))?")
PATTERN_OF_SCHEMA = f"{NAME}(?::{NAME})?"
HIGHEST = 2**32 - 2  # the one above is -1, which means "as it is" to the calls that set an id
ROOT = 0
FRESH = 1.0  # seconds for which a user found is not looked for again
MAX_FOUND = 1000  # users remembered
PATIENCE = 10.0  # seconds for a look-up: it may ask a server


class User(NamedTuple):
    """A user as a process has it. `groups` are all of its groups; `own_group` says whether `gid` is one that the user
    has by the host's word, and not by the job's alone."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str
    own_group: bool = True

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}


def parted(text: str) -> tuple[str, str]:
    """The user and the group, which may be empty, of `user` or `user:group`. Raises CommandError."""
    match = PATTERN.fullmatch(text)
    if match is None:
        raise CommandError(f"must be a user, or user:group, by name or number, not {shortened(text)!r}")
    for part in (match["user"], match["group"] or ""):
        if part.isdigit() and int(part) > HIGHEST:
            raise CommandError(f"{part} is above the highest number of a user or group, {HIGHEST}")
    return match["user"], match["group"] or ""


def find_user(text: str) -> User:
    """The user of `user` or `user:group` on this host; what is all digits is a number. May ask a server. Raises
    CommandError."""
    user, group = parted(text)
    try:
        known = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        known = None
    if group.isdigit():
        gid = int(group)
    elif group:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            raise CommandError(f"there is no group {group} on this host") from None
    if known is not None:
        own = os.getgrouplist(known.pw_name, known.pw_gid)
        gid = gid if group else known.pw_gid
        groups = tuple(sorted(set(os.getgrouplist(known.pw_name, gid))))
        return User(
            known.pw_name, known.pw_uid, gid, groups, known.pw_dir or "/", known.pw_shell or "/bin/sh", gid in own
        )
    if not user.isdigit():
        raise CommandError(f"there is no user {user} on this host")
    if not group:
        raise CommandError(f"user {user} is not known on this host, so that its group is needed: {user}:GROUP")
    return User(user, int(user), gid, (gid,), "/", "/bin/sh", own_group=False)


class Users:
    """Who may be had. `default` is for commands that name nobody; empty: they run as the daemon does.

    With a default that is not root, commands cannot become root by naming it, nor take a group that the user they name
    does not have. Raises CommandError when the default cannot be had.
    """

    def __init__(self, default: str = "") -> None:
        self._default = default
        self._guarded = False
        self._found: dict[str, tuple[float, User]] = {}
        if default:
            user = find_user(default)
            allow(user)
            self._guarded = user.uid != ROOT

    async def named(self, text: str) -> User | None:
        """The user of `user` or `user:group`, or else the default; None when there is none. Raises CommandError when
        it cannot be had."""
        wanted = text or self._default
        if not wanted:
            return None
        user = await self._looked_up(wanted)
        allow(user)
        if self._guarded and wanted != self._default:
            if user.uid == ROOT:
                raise CommandError("root is refused to commands, as this daemon has --run-as")
            if not user.own_group:
                raise CommandError(f"{user.name} is not in group {user.gid}, and this daemon has --run-as")
        return user

    async def _looked_up(self, text: str) -> User:
        found = self._found.get(text)
        if found is not None and time.monotonic() - found[0] < FRESH:
            return found[1]
        user = None
        with trio.move_on_after(PATIENCE):
            user = await threads.in_thread(partial(find_user, text), abandon_on_cancel=True)
        if user is None:
            raise CommandError(f"looking up user {shortened(text)} has not ended within {PATIENCE:g} s")
        if len(self._found) >= MAX_FOUND:
            self._found.clear()
        self._found[text] = time.monotonic(), user
        return user


def allow(user: User) -> None:
    """Raise CommandError unless this process can start commands as `user`."""
    if os.geteuid() != ROOT and not is_ours(user):
        raise CommandError(
            f"only a daemon that runs as root can start commands as {user.name}, and this one runs as user"
            f" {os.geteuid()}, group {os.getegid()}"
        )


def is_ours(user: User) -> bool:
    """Whether this process runs as `user` already."""
    return (user.uid, user.gid) == (os.geteuid(), os.getegid())
