"""Commands that run as another user, or within limits.

Neither `posix_spawn` nor `subprocess` can do both, and a thread must not change its user for a moment: others could end
the daemon by it meanwhile. So a small interpreter is started in the program's place, in the same way as any program; it
does what is to be done (`confined.py`), and then executes the program. What it is to do comes by a file without a name,
as its input; by the same file it tells why it could not. It has none of the command's environment, by which whoever
wrote the job could have it do other things while it is root.
"""

import errno
import inspect
import marshal
import os
import re
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from kala.errors import CommandError, shortened
from kala.job import Limits
from kala.processes import confined, programs
from kala.processes.leftovers import MARK
from kala.processes.syscalls import Usage
from kala.processes.users import User, is_ours

LIMITS = {"cpu_time": resource.RLIMIT_CPU, "open_files": resource.RLIMIT_NOFILE, "memory": resource.RLIMIT_AS}
"""In the order in which they are set: with the last, what sets them may come to its end."""
AFTER_CPU = 5  # seconds of processor time from XCPU, by which a program may end in order, to KILL
UNSURE = 1.0  # seconds by which what the kernel tells of it in the end may be less than what it went by
REPORT = re.compile(rb"!([a-z_]+) ([0-9]{1,4}) ([01])")
CODE = marshal.dumps(compile(inspect.getsource(confined), "confined", "exec", dont_inherit=True))
BEGINNING = (
    "import marshal, os; file = os.fdopen(os.dup(0), 'rb'); code = marshal.load(file); request = marshal.load(file);"
    " os.dup2(os.open(os.devnull, os.O_RDWR), 0, True); os.truncate(file.fileno(), 0);"
    " names = {'__name__': 'confined'}; exec(code, names); names['become'](request, file.fileno())"
)
COMMAND = [os.fsencode(sys.executable), b"-I", b"-S", b"-c", BEGINNING.encode()]
"""What is started in the program's place."""


class Confinement(Struct, frozen=True):
    """As whom, and within which limits. Without a user: as the daemon's."""

    user: User | None = None
    limits: Limits = Limits()

    @property
    def environment(self) -> dict[str, str]:
        """What the user's processes find in their environment, unless it is said otherwise."""
        return {} if self.user is None else self.user.environment

    @property
    def switched(self) -> User | None:
        """The user that the process is to become; None when it is that already."""
        return self.user if self.user is not None and (os.geteuid() == 0 or not is_ours(self.user)) else None


class Request:
    """One start: the file by which it is told what to do, and by which it tells what failed."""

    def __init__(
        self,
        confinement: Confinement,
        argv: Sequence[bytes],
        environment: Sequence[bytes],
        directory: bytes | None,
    ) -> None:
        self._confinement, self._argv, self._directory = confinement, argv, directory
        user, limits = confinement.switched, confinement.limits
        self.owner = None if user is None else (user.uid, user.gid)
        path = next((one for one in environment if one.startswith(b"PATH=")), b"PATH=" + programs.DEFAULT_PATH.encode())
        request: dict[str, Any] = {
            "argv": list(argv),
            "environment": list(environment),
            "directory": directory,
            "path": path.removeprefix(b"PATH="),
            "user": None if user is None else (user.uid, user.gid, list(user.groups)),
            "nice": limits.nice,
            "limits": [
                (name, number, soft, soft + AFTER_CPU if name == "cpu_time" else soft)
                for name, number in LIMITS.items()
                if (soft := getattr(limits, name)) is not None
            ],
        }
        self.environment = [one for one in environment if one.startswith(MARK)] + libraries()
        self.file = new_file()
        try:
            os.pwrite(self.file, CODE + marshal.dumps(request), 0)
        except BaseException:
            os.close(self.file)
            raise

    def close(self) -> CommandError | None:
        """Forget it. Returns why the program has not been started, when the process has ended; None when it has been,
        or it never came to that."""
        report = REPORT.fullmatch(os.pread(self.file, 100, 0))
        os.close(self.file)
        if report is None:  # nothing, or still the request
            return None
        return CommandError(self._sentence(report[1].decode(), int(report[2]), report[3] == b"1"))

    def _sentence(self, step: str, number: int, there: bool) -> str:
        user, name = self._confinement.user, os.fsdecode(self._argv[0])
        whose = f" (as user {user.name})" if self.owner is not None and user is not None else ""
        reason = os.strerror(number)
        if number == errno.ENOMEM and self._confinement.limits.memory is not None:
            return f"limits.memory: {self._confinement.limits.memory} is too little to start {shortened(name)}"
        if step in LIMITS or step == "nice":
            value = getattr(self._confinement.limits, step)
            if number in (errno.EPERM, errno.EACCES):
                reason = "this is more than the system allows" + (" anyone but root" if os.geteuid() else "")
            return f"limits.{step}: cannot be set to {value}: {reason}"
        if step == "user" and user is not None:
            return f"run_as: the process cannot become user {user.name}: {reason}"
        if step == "directory":
            folder = shortened(os.fsdecode(self._directory or b""))
            missing = number in (errno.ENOENT, errno.ENOTDIR)
            return (f"no such directory: {folder}" if missing else f"directory cannot be entered: {folder}") + whose
        if step == "search":
            return (programs.not_found(name, there) if number == errno.ENOENT else reason) + whose
        return programs.refusal(number, name, there) + whose


def fault_of_start(error: OSError) -> OSError | CommandError:
    """Why `COMMAND` could not be started: what would be told of the program, where it is none of its own."""
    if error.errno in programs.SENTENCES:
        return error
    reason = os.strerror(error.errno or 0)
    return CommandError(f"{sys.executable}, which sets users and limits, cannot be started: {reason}")


def libraries() -> list[bytes]:
    """The variable by which the daemon's own interpreter may find its libraries."""
    value = os.environb.get(b"LD_LIBRARY_PATH")
    return [] if value is None else [b"LD_LIBRARY_PATH=" + value]


def new_file() -> int:
    """A file without a name, in memory where there is such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("kala")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def reached_cpu_time(
    confinement: Confinement | None, exit_code: int | None, number: int | None, usage: Usage | None
) -> str:
    """What is to be said besides of a process that ended so, when that has to do with the limit of processor time."""
    limit = confinement.limits.cpu_time if confinement is not None else None
    if limit is None:
        return ""
    if number == signal.SIGXCPU:
        return f": the limit of processor time was reached, {limit} s"
    if exit_code == 128 + signal.SIGXCPU:  # as a shell tells of it
        return f": a process reached the limit of processor time, {limit} s"
    if number == signal.SIGKILL and usage is not None and usage.cpu >= limit + AFTER_CPU - UNSURE:
        return f", with more processor time used than the limit of {limit} s"
    return ""
