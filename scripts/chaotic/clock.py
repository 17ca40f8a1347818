"""The time as the daemon sees it, by libfaketime: ahead of the real one, or behind it."""

import time
from pathlib import Path

PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")
LIBRARY = "libfaketimeMT.so.1"


def library() -> str | None:
    """Where libfaketime is; None: it is not installed."""
    return next((str(path) for place in PLACES for path in Path("/").glob(f"{place[1:]}/{LIBRARY}")), None)


class Clock:
    """`offset` is how far ahead the daemon's clock is, in seconds; what is monotonic goes on as ever. `file` is where
    the library reads it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._set: list[tuple[float, float]] = []  # since when (real time), and the offset
        self.set(0.0)

    @property
    def offset(self) -> float:
        return self._set[-1][1]

    def set(self, offset: float) -> None:
        aside = self._file.with_suffix(".new")
        aside.write_text(f"{offset:+f}\n")
        aside.rename(self._file)  # it is read all the time
        self._set.append((time.time(), offset))

    def environment(self) -> list[str]:
        return [
            f"LD_PRELOAD={library()}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            *("FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"),
        ]

    def real(self, moment: float) -> float:
        """When it was that the daemon's clock showed this; the latest, where it did so more than once."""
        for number in range(len(self._set) - 1, -1, -1):
            since, offset = self._set[number]
            until = self._set[number + 1][0] if number + 1 < len(self._set) else float("inf")
            if since <= moment - offset <= until:
                return moment - offset
        return moment - self.offset

    @staticmethod
    def forget(pid: int) -> None:
        """Remove what the library of a process that was killed has left."""
        for name in f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}":
            Path("/dev/shm", name).unlink(missing_ok=True)
