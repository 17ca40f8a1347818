"""What is done to a daemon: each fault by its name, and why one cannot be had here."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chaotic.clock import Clock, library
from chaotic.daemon import Daemon, Died, as_user
from chaotic.database import Embedded, Served
from chaotic.disk import Disk

from kala.lease import TTL

USER = 61_700
"""Who the daemon is when we are root, whom limits on processes do not bind: nobody has this number."""
READY = 120.0
"""Seconds within which it has to be ready after a fault."""
WELL = 30.0
"""Seconds within which a database's server is to be well again when its disk has room; else it is started again."""
AGAIN = 60.0
"""Seconds within which something has to run then."""


AHEAD = 20.0
"""The most by which the clock is set ahead and back, in seconds: what began meanwhile seems to have begun later."""
NEAR = 5.0
"""Seconds by which a clock that was set may differ from what it was set to, on a busy machine."""


class Strike(NamedTuple):
    """A fault that was. Moments are in seconds, by the real clock and as the daemon's showed before and after."""

    kind: str
    since: float
    until: float
    shown_since: float
    shown_until: float

    def met(self, at: float, before: float) -> bool:
        """Whether this moment of the daemon's was in it, or so many seconds before it. Without a descriptor libfaketime
        cannot read how far ahead the clock is, and shows the real time."""
        shown = self.shown_since - before <= at <= self.shown_until
        return shown or self.since - before <= at <= self.until


class Scene:
    """What there is to strike, and what was seen: `seen` counts it in words. `down` is how long the daemon stays down
    after a kill, in seconds, by the kill's number from 0; `silence` the longest that the database is silent."""

    def __init__(
        self,
        folder: Path,
        daemon: Daemon,
        database: Embedded | Served,
        disk: Disk,
        *,
        clock: Clock | None,
        other: Callable[[], Daemon] | None,
        chance: random.Random,
    ) -> None:
        self.folder, self.daemon, self.database, self.disk = folder, daemon, database, disk
        self.clock, self.other, self.chance = clock, other, chance
        self.down: dict[int, float] = {}
        self.silence = 40.0
        self._killed = 0.0, 0.0
        self.strikes: list[Strike] = []
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    def shown(self) -> float:
        return time.time() + (self.clock.offset if self.clock is not None else 0.0)

    def strike(self, kind: str) -> str:
        """Do it, and wait until the daemon is ready, and runs jobs. What there is to tell of it. Raises `Died`."""
        away = self.daemon.logged("the database is away")
        since, shown = time.time(), self.shown()
        about = FAULTS[kind](self)
        took = self.daemon.wait_ready(READY)
        if kind == "kill":  # it met what was on at one moment
            since, shown = self._killed
            self.strikes.append(Strike(kind, since, since, shown, shown))
        else:
            self.strikes.append(Strike(kind, since, time.time(), shown, self.shown()))
        self.seen["the database was away"] += self.daemon.logged("the database is away") - away
        ledger = self.folder / "ledger"
        size, until = ledger.stat().st_size, time.monotonic() + AGAIN
        while ledger.stat().st_size == size:
            if time.monotonic() > until:
                raise Died(f"nothing runs within {AGAIN:g} s after {kind}")
            time.sleep(0.02)
        return f"{about}; ready after {took:.1f} s"

    def kill(self) -> str:
        """`kill -9`; every second time the database's server is killed shortly before, and back before or after."""
        number = sum(strike.kind == "kill" for strike in self.strikes)
        if number % 2 == 0 and self.database.fail():
            time.sleep(self.chance.uniform(0, 4))
            if number % 4 == 0:  # the daemon sees it come back
                self.database.settle()
                self.daemon.wait_ready()
        alive = self.daemon.alive()
        self.daemon.kill()
        self._killed = time.time(), self.shown()
        time.sleep(self.down.get(number, 0.0))
        self.daemon.start()
        return f"{alive} processes were alive"

    def stop(self) -> str:
        """STOP for longer than its lease, and CONT: another daemon, where there is one, has taken over meanwhile."""
        other = self.other() if self.other is not None else None
        least = TTL + self.chance.uniform(2, 6)
        if other is None:
            self._hold(least)
            return f"stopped for {least:.0f} s"
        other.start()
        try:
            other.wait_ready(READY)
            began = time.monotonic()
            os.kill(self.daemon.pid, signal.SIGSTOP)
            try:
                died = other.logged("an instance has died")
                while (lasted := time.monotonic() - began) < 3 * TTL and (
                    lasted < least or other.logged("an instance has died") == died
                ):
                    other.is_ready()
                    time.sleep(0.1)
                lost = other.logged("a run was cut off")
            finally:
                os.kill(self.daemon.pid, signal.SIGCONT)
            taken_over = other.logged("an instance has died") > died
            self.seen["another daemon took over"] += taken_over
            self.daemon.wait_ready(READY)
            time.sleep(self.chance.uniform(1, 5))  # both work
            if (code := other.stop()) != 0:
                self.wrong.append(f"the other daemon ended with {code}")
        finally:
            if other.process.poll() is None:
                other.kill()
        word = f"another took over {lost} runs" if taken_over else "another did not take over"
        return f"stopped for {lasted:.0f} s, {word}"

    def _hold(self, seconds: float) -> None:
        os.kill(self.daemon.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self.daemon.pid, signal.SIGCONT)

    def pause(self) -> str:
        """The database is silent."""
        seconds = self.chance.uniform(5, self.silence)
        with self.database.silent():
            time.sleep(seconds)
        return f"the database was silent for {seconds:.0f} s"

    def fill(self) -> str:
        """The disk of the database, and of the daemon's own folder, is full."""
        seconds = self.chance.uniform(4, 10)
        self.database.tidy()
        self.disk.fill()
        try:
            time.sleep(seconds)
        finally:
            self.disk.empty()
        deaths = self.database.deaths
        self.database.revive()
        until = time.monotonic() + WELL
        while not self.daemon.is_ready():
            if time.monotonic() > until:
                self.database.revive(by_force=True)
                break
            time.sleep(0.1)
        died = self.database.deaths - deaths
        self.seen["the database's server had to be started again"] += died
        return f"the disk was full for {seconds:.0f} s{', and its server had to be started again' if died else ''}"

    def jump(self) -> str:
        """The clock is set ahead, by up to hours; or back, or ahead, for a while. It does not stay behind: nothing
        would be due until it has caught up."""
        assert self.clock is not None
        how, at_rest = self.chance.choice(["ahead", "back", "forth"]), self.clock.offset
        if how == "ahead":
            by = self.chance.choice([90.0, 600.0, 3_600.0, 7_200.0])
            self._set(at_rest + by)
            time.sleep(3)
            self.seen["clock ahead, to stay"] += 1
            return f"the clock was set ahead by {by:g} s"
        by = self.chance.choice([-5.0, -120.0, -3_600.0] if how == "back" else [5.0, AHEAD])
        self._set(at_rest + by)
        time.sleep(self.chance.uniform(3, 8))
        self._set(at_rest)
        self.seen["clock set, and set right again"] += 1
        return f"the clock was set by {by:+g} s, and right again"

    def _set(self, offset: float) -> None:
        assert self.clock is not None
        self.clock.set(offset)
        if abs(off := self.daemon.clock() - self.shown()) > NEAR:
            raise Died(f"the daemon's clock is {off:.1f} s from what it was set to")

    def files(self) -> str:
        """It may open no more descriptors than a part of those that it has."""
        has = len(os.listdir(f"/proc/{self.daemon.pid}/fd"))
        most = max(round(has * self.chance.uniform(0.4, 1)), 12)
        self._limited("nofile", most)
        return f"it had {has} descriptors, and might have {most}"

    def processes(self) -> str:
        """No more processes may be started, by it or by what it has started."""
        has = threads_of(os.stat(f"/proc/{self.daemon.pid}").st_uid)
        most = max(round(has * self.chance.uniform(0.4, 1)), 1)
        self._limited("nproc", most)
        return f"there were {has} processes and threads, and might be {most}"

    def _limited(self, name: str, most: int) -> None:
        """Change a limit of the daemon's, as its own user, and change it back."""
        soft = limited(self.daemon, "--output=SOFT", "--noheadings", f"--{name}").strip()
        limited(self.daemon, f"--{name}={most}:")
        try:
            time.sleep(self.chance.uniform(4, 9))
        finally:
            if self.daemon.process.poll() is None:
                limited(self.daemon, f"--{name}={soft}:")


FAULTS: dict[str, Callable[[Scene], str]] = {
    "kill": Scene.kill,
    "stop": Scene.stop,
    "pause": Scene.pause,
    "disk": Scene.fill,
    "clock": Scene.jump,
    "files": Scene.files,
    "processes": Scene.processes,
}
LIMITS = frozenset({"files", "processes"})
"""Faults under which an attempt may be recorded as failed that could not be started."""


def lacking() -> dict[str, str]:
    """The faults that cannot be had here, and why."""
    found = {}
    if library() is None:
        found["clock"] = "libfaketime is not installed (Debian's package faketime)"
    if os.geteuid() != 0:
        found["disk"] = "only root may mount a small file system"
    elif not succeeds([*as_user(USER), sys.executable, "-c", ""]):
        found["processes"] = "root is not bound by a limit on processes, and there is no setpriv to be another"
    return found


def has_namespaces() -> bool:
    """Whether a second daemon can be kept apart from the first."""
    return succeeds(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "true"])


def succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def limited(daemon: Daemon, *words: str) -> str:
    """What `prlimit` says of the daemon, with these arguments."""
    command = [*([] if daemon.user is None else as_user(daemon.user)), "prlimit", f"--pid={daemon.pid}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def threads_of(user: int) -> int:
    """How many threads all processes of a user have: what its limit on processes counts."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == user:
                found += len(os.listdir(folder / "task"))
        except OSError:
            continue  # it has just ended
    return found
