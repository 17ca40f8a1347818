"""Starting one program: libc's `posix_spawn` where there is glibc, `subprocess` elsewhere. Both block until the program
has been executed or refused, and are called in a thread of `spawn.py`.

`subprocess` holds the interpreter meanwhile; a foreign call does not, so the daemon goes on: this is what lets
thousands of programs start in a second beside a busy event loop.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

from kala.processes.programs import Entries

Launch = Callable[[bytes, Sequence[bytes], Entries, bytes | None, int, int, int], int]
"""(path, argv, environment, directory, fds for standard input, output and error) to the process's id.
The child leads a session of its own, has every signal at its default and no other descriptor. Raises OSError; a missing
directory and a missing program have the same number.
"""

SETSIGDEF, SETSIGMASK, SETSID = 0x04, 0x08, 0x80  # spawn.h of glibc
ATTRIBUTES_SIZE, ACTIONS_SIZE, SET_SIZE = 1024, 512, 128  # 336, 80 and 128 bytes on 64 bits; room for others


class Glibc:
    """`posix_spawn` through ctypes. One object for each thread: its buffers are reused."""

    def __init__(self) -> None:
        # What does not block keeps the interpreter's lock (PyDLL): giving it up and taking it again costs more.
        libc, quick = ctypes.CDLL(None), ctypes.PyDLL(None)
        self._spawn = libc.posix_spawn
        self._init = quick.posix_spawn_file_actions_init
        self._dup2 = quick.posix_spawn_file_actions_adddup2
        self._chdir = quick.posix_spawn_file_actions_addchdir_np
        self._close_from = quick.posix_spawn_file_actions_addclosefrom_np
        self._destroy = quick.posix_spawn_file_actions_destroy
        self._attributes = ctypes.create_string_buffer(ATTRIBUTES_SIZE)
        self._actions = ctypes.create_string_buffer(ACTIONS_SIZE)
        self._pid = ctypes.c_int()
        self._environment = Pointers()
        every = ctypes.create_string_buffer(b"\xff" * SET_SIZE, SET_SIZE)
        none = ctypes.create_string_buffer(SET_SIZE)
        quick.posix_spawnattr_init(self._attributes)
        quick.posix_spawnattr_setflags(self._attributes, ctypes.c_short(SETSID | SETSIGDEF | SETSIGMASK))
        quick.posix_spawnattr_setsigdefault(self._attributes, every)
        quick.posix_spawnattr_setsigmask(self._attributes, none)

    def __call__(
        self,
        path: bytes,
        argv: Sequence[bytes],
        environment: Entries,
        directory: bytes | None,
        source: int,
        output: int,
        errors: int,
    ) -> int:
        actions = self._actions
        self._check(self._init(actions))
        try:
            self._check(self._dup2(actions, source, 0))
            self._check(self._dup2(actions, output, 1))
            self._check(self._dup2(actions, errors, 2))
            if directory is not None:
                self._check(self._chdir(actions, directory))
            self._check(self._close_from(actions, 3))
            words, variables = vector(argv), self._environment.vector(environment)
            self._check(self._spawn(ctypes.byref(self._pid), path, actions, self._attributes, words, variables))
        finally:
            self._destroy(actions)
        return self._pid.value

    @staticmethod
    def _check(error: int) -> None:
        if error:
            raise OSError(error, os.strerror(error))


class Pointers:
    """Vectors of environments: what many of them share is made once, and copied."""

    def __init__(self) -> None:
        self._shared: tuple[bytes, ...] = ()
        self._pointers = vector(())

    def vector(self, entries: Entries) -> ctypes.Array[ctypes.c_char_p]:
        """A null-terminated array of pointers, to be used while `entries` and this are there."""
        shared, own = entries
        if shared is not self._shared:
            self._shared, self._pointers = shared, vector(shared)
        made = array_type(len(shared) + len(own) + 1)()
        ctypes.memmove(made, self._pointers, len(shared) * ctypes.sizeof(ctypes.c_char_p))
        made[len(shared) : -1] = [*own]
        return made


def vector(strings: Sequence[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    """A null-terminated array of pointers; it keeps `strings` alive."""
    return array_type(len(strings) + 1)(*strings, None)


@lru_cache(maxsize=256)
def array_type(length: int) -> type[ctypes.Array[ctypes.c_char_p]]:
    """Kept, as making one takes longer than filling it."""
    return ctypes.c_char_p * length


@cache
def null_device() -> int:
    """A descriptor of /dev/null above 2. Descriptors 0 to 2 are open afterwards: no pipe can land there."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    return fd


def with_popen(
    path: bytes,
    argv: Sequence[bytes],
    environment: Entries,
    directory: bytes | None,
    source: int,
    output: int,
    errors: int,
) -> int:
    """The same by `subprocess`. Signals ignored when the daemon started stay so, but for those of Python's."""
    process = subprocess.Popen(
        argv,
        executable=path,
        env=dict(entry.split(b"=", 1) for entry in environment.all()),
        cwd=directory,
        stdin=source,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    process.returncode = 0  # reaped elsewhere: subprocess is to forget it
    return process.pid


def has_glibc() -> bool:
    """Whether `Glibc` can be used: glibc 2.34 or later, which can close what a child must not have."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    return hasattr(libc, "gnu_get_libc_version") and hasattr(libc, "posix_spawn_file_actions_addclosefrom_np")


def new_launch() -> Launch:
    """The best way to start programs here, for the use of one thread."""
    return Glibc() if has_glibc() else with_popen


def allow_children() -> None:
    """Have ended children wait for us: whoever started the daemon may have had the system drop them."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
