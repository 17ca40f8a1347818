"""Who did what: a line of JSON for each request that may change something, and for each that was not let in.

A line is written before its answer is sent. The latest are in memory as well, for who asks (`/api/v1/audit/`); a start
reads them back from the file. A file of `LARGEST` bytes becomes `….1`, in place of the one before it.
"""

import logging
import os
from collections import deque
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from kala.clock import Clock, rfc3339
from kala.errors import SettingsError, shortened
from kala.logs import fields

log = logging.getLogger(__name__)

KEPT = 1_000
"""Entries in memory."""
LARGEST = 32 << 20  # bytes
TAIL = 1 << 20
"""Bytes at the end of a file in which the latest entries are looked for."""
LONGEST = 500  # characters of a path, of which a client may send many


class Entry(Struct, omit_defaults=True):
    """One request. `who` is the name of a token, empty where nobody needs one; `session`: by the page's login. `job`,
    `run` or `jobs` (a number) say what came of it."""

    at: str
    address: str
    method: str
    path: str
    status: int
    who: str = ""
    role: str = ""
    session: bool = False
    job: str | UnsetType = UNSET
    run: str | UnsetType = UNSET
    jobs: int | UnsetType = UNSET


class About(Struct):
    """What a view says of what it did."""

    job: str | UnsetType = UNSET
    run: str | UnsetType = UNSET
    jobs: int | UnsetType = UNSET


class Audit:
    """The log of it. Without a path it is in memory alone."""

    def __init__(self, clock: Clock, path: Path | None) -> None:
        """Raises `SettingsError` when the file cannot be written."""
        self._clock, self._path = clock, path
        self._latest: deque[Entry] = deque(maxlen=KEPT)
        self._size, self._lost = 0, 0
        self._descriptor = -1
        if path is not None:
            try:
                self._latest.extend(_tail(path))
                self._open()
            except OSError as error:
                raise SettingsError(f"--audit-file {path}: cannot be written: {error.strerror}") from None

    def note(
        self,
        *,
        address: str,
        method: str,
        path: str,
        status: int,
        who: str,
        role: str,
        session: bool,
        about: About,
    ) -> None:
        """Add an entry. A file that cannot be written is told in the log, once, and stops nobody."""
        entry = Entry(
            rfc3339(self._clock.now()),
            address,
            method,
            shortened(path, LONGEST),
            status,
            who,
            role,
            session,
            about.job,
            about.run,
            about.jobs,
        )
        self._latest.append(entry)
        if self._descriptor < 0:
            return
        line = msgspec.json.encode(entry) + b"\n"
        try:
            if self._size + len(line) > LARGEST:
                self._turn()
            self._size += os.write(self._descriptor, line)
        except OSError as error:
            if not self._lost:
                log.error("the audit file cannot be written: %s", error.strerror, extra=fields(path=self._path))
            self._lost += 1
        else:
            if self._lost:
                log.warning("the audit file is written again", extra=fields(path=self._path, lost=self._lost))
                self._lost = 0

    def latest(self, most: int) -> list[Entry]:
        """The last entries, newest first."""
        return [entry for _, entry in zip(range(most), reversed(self._latest), strict=False)]

    def reopen(self) -> None:
        """Open the file anew, after it was moved away, for SIGHUP. When that fails, it goes on where it was."""
        if self._path is None:
            return
        before = self._descriptor
        try:
            self._open()
        except OSError as error:
            log.error("the audit file cannot be opened anew: %s", error.strerror, extra=fields(path=self._path))
        else:
            os.close(before)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._path is not None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._descriptor).st_size

    def _turn(self) -> None:
        if self._path is not None:
            self._path.rename(self._path.with_name(f"{self._path.name}.1"))
            before = self._descriptor
            self._open()
            os.close(before)


def _tail(path: Path) -> list[Entry]:
    """The last entries of a file; what is no entry (a line that a full disk cut off) is passed over."""
    found: list[Entry] = []
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read(TAIL).split(b"\n")
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=Entry))
        except msgspec.DecodeError:
            continue
    return found[-KEPT:]
