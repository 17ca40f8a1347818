"""What a confined child is from its start until its program takes its place: it limits itself, becomes its user, enters
the directory, and finds the program.

Runs alone, in an interpreter that has neither `site` nor this package, begun as the daemon's user (`confinement.py`).
So it imports little, as that is most of what it takes, and all of it as root: the user may not be able to read it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def search(name: str | bytes, path: str | bytes, directory: str | bytes) -> tuple[bytes | None, bool]:
    """Where the program `name` is by this PATH, as we may execute it, and whether it is somewhere where we may not. A
    relative entry is below `directory`."""
    name, directory, denied = os.fsencode(name), os.fsencode(directory), False
    for folder in os.fsencode(path).split(os.fsencode(os.pathsep)):
        candidate = os.path.join(directory, folder, name)
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return os.path.abspath(candidate), denied
            denied = True
    return None, denied


def become(request: dict[str, Any], report: int) -> NoReturn:
    """Become the program of `request`, or write to the file `report` what failed: the step, the error's number, and
    whether the program is there."""
    step, there = "", False
    try:
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # which the interpreter ignores
            _signal.signal(number, _signal.SIG_DFL)
        limits = request["limits"]
        if limits:
            import resource
        if request["nice"] is not None:
            step = "nice"
            os.setpriority(os.PRIO_PROCESS, 0, request["nice"])
        for name, number, _, hard in limits:  # those that only root may raise
            step = name
            soft, old = resource.getrlimit(number)
            if old != resource.RLIM_INFINITY and old < hard:
                resource.setrlimit(number, (soft, hard))
        if request["user"] is not None:
            step = "user"
            uid, gid, groups = request["user"]
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            if uid and can_return():
                raise OSError(errno.EPERM, "the rights of root are left")
        if request["directory"] is not None:
            step = "directory"
            os.chdir(request["directory"])
        step = "search"
        path = request["argv"][0]
        if b"/" not in path:
            found, there = search(path, request["path"], b"")
            if found is None:
                raise FileNotFoundError(errno.ENOENT, "")
            path = found
        environment = dict(entry.split(b"=", 1) for entry in request["environment"])
        for name, number, soft, hard in limits:  # last: what is done here would hit them
            step = name
            resource.setrlimit(number, (soft, hard))
        step = "program"
        os.execve(path, request["argv"], environment)  # noqa: S606 - it is to be executed
    except (OSError, ValueError, MemoryError) as error:  # a ValueError is how setrlimit says EPERM
        fault = error.errno if isinstance(error, OSError) else errno.ENOMEM if isinstance(error, MemoryError) else 0
        if step == "program":
            there = os.path.isfile(path)
        os.pwrite(report, b"!%s %d %d" % (step.encode(), fault or errno.EPERM, there), 0)
    os._exit(127)


def can_return() -> bool:
    """Whether we could be root again."""
    try:
        os.setuid(0)
    except OSError:
        return False
    return True
