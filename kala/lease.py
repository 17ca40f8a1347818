"""This start of the daemon, in the database: its record, its lease, and which other instances live.

An instance that lives renews its lease, on the database's clock, from a thread of its own, so that a busy loop does not
lose it. Nothing is started unless the lease is valid by the monotonic clock. On the same host a dead process is known
at once, by its boot, pid namespace, pid and start time; elsewhere its lease must run out.
"""

import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import msgspec
import trio
from msgspec import Struct

from kala.clock import DAY, SECOND, Moment
from kala.drivers.contract import Driver, Element, Stored
from kala.drivers.unfinished import refuse_unfinished
from kala.errors import KalaError, StoreRefused, StoreUnavailable
from kala.ids import new_id

log = logging.getLogger(__name__)
KIND = "instance"
TTL = 15.0
"""Seconds that a lease lasts; renewed three times in that."""
AGAIN = 1.0
"""Seconds until one that could not be renewed is tried again."""
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class Instance(Struct, frozen=True):
    """One start of a daemon."""

    id: str
    node: str
    host: str
    boot: str  # of the kernel; empty where it cannot be known
    namespace: str  # of pids
    pid: int
    pid_start: int  # clock ticks since boot
    started: Moment
    until: Moment  # of the lease, by the database's clock
    ended: bool = False  # final

    def lives(self, now: Moment) -> bool:
        """It may be running, as far as can be known here. `now` is by the database's clock."""
        if self.ended:
            return False
        if self.host == socket.gethostname() and self.boot and self.boot != boot():
            return False  # the host has restarted since
        if self.is_beside_us():
            try:
                return self.pid_start == process_start(self.pid)
            except OSError:
                return True  # it cannot be known now
        return self.until > now

    def is_beside_us(self) -> bool:
        """Its process would be seen from here."""
        here = (socket.gethostname(), boot(), pid_namespace())
        return "" not in here and here == (self.host, self.boot, self.namespace)


class Lease:
    """Holds this instance's lease. Its methods block, but for `valid` and `wait_valid`.

    `fault` is why it could not be renewed; None when it could.
    """

    def __init__(self, driver: Driver, node: str) -> None:
        self._driver, self._node = driver, node
        self._revision = 0
        self._valid_until = 0.0
        self._shared = False
        self._heard_since: Moment | None = None  # by the database's clock: since then it has answered
        self.fault: KalaError | None = None
        self.renewals = self.failures = self.losses = 0  # since the start; losses: it was taken for dead
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.instance = self._fresh()

    def _fresh(self) -> Instance:
        pid = os.getpid()
        return Instance(
            id=new_id(),
            node=self._node,
            host=socket.gethostname(),
            boot=boot(),
            namespace=pid_namespace(),
            pid=pid,
            pid_start=_own_start(pid),
            started=0,
            until=0,
        )

    @property
    def id(self) -> str:
        return self.instance.id

    def valid(self) -> bool:
        """Runs may be started."""
        return time.monotonic() < self._valid_until

    def remaining(self) -> float:
        """Seconds for which runs may be started, unless it is renewed."""
        return max(self._valid_until - time.monotonic(), 0.0)

    async def wait_valid(self) -> None:
        """Return when runs may be started."""
        while not self.valid():  # noqa: ASYNC110  # it ends by time, and begins in another thread
            await trio.sleep(0.1)

    def take(self, *, shared: bool) -> None:
        """Enter this instance. Raises `StoreRefused` when another lives and the database is not to be shared, and when
        a move into the database is not finished."""
        self._shared = shared
        self.renew()
        try:
            refuse_unfinished(self._driver)  # now that this instance is seen: a move begins while none lives
        except StoreRefused:
            self.give_back()
            raise
        if not shared and (alive := living(self._driver, self)):
            self.give_back()
            raise StoreRefused(
                f"another daemon works on this database: {named(alive)}. Stop it, or start both with --shared"
            )

    def start(self) -> None:
        """Renew from now on, in a thread."""
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._stop.wait(TTL / 3 if self.fault is None else AGAIN):
            try:
                self.renew()
            except (StoreUnavailable, StoreRefused) as fault:
                log.debug("the lease cannot be renewed: %s", fault)

    def renew(self) -> None:
        """Extend the lease. When another has ended it, this becomes a new instance: what it ran before is lost."""
        asked = time.monotonic()
        try:
            now = self._driver.now()
            self.instance = msgspec.structs.replace(
                self.instance, started=self.instance.started or now, until=now + round(TTL * SECOND)
            )
            is_written = self._write(self.instance)
        except (StoreUnavailable, StoreRefused) as fault:
            self.fault, self._heard_since = fault, None
            self.failures += 1
            raise
        self.fault = None
        if self._heard_since is None:
            self._heard_since = now
        if is_written:
            self.renewals += 1
            self._valid_until = asked + TTL
            return
        self._valid_until = 0.0
        self.losses += 1
        log.error("instance %s was taken for dead; going on as another", self.instance.id)
        self.instance, self._revision = self._fresh(), 0
        self.renew()

    def _write(self, instance: Instance) -> bool:
        """False when another has ended it."""
        value = msgspec.json.encode(instance)
        while True:
            element = Element(KIND, instance.id, self._revision, self._revision + 1, value)
            conflict = self._driver.commit([element])[0]
            if conflict is None:
                self._revision += 1
                return True
            current = None if conflict.current is None else _decoded(conflict.current)
            if conflict.current is None or current is None or current.ended:
                return False
            self._revision = conflict.current.revision  # it was written, and the answer lost

    def give_back(self) -> None:
        """End the lease and its thread."""
        self.let_go()
        if self._thread is not None:
            self._thread.join()
        self._write(msgspec.structs.replace(self.instance, ended=True))

    def let_go(self) -> None:
        """Renew it no more, without a word to the database: it runs out, or its process is seen to be dead."""
        self._stop.set()
        self._valid_until = 0.0

    def seen(self) -> list[tuple[Instance, bool]]:
        """All instances of the last day, this one among them, and whether each lives."""
        now = self._driver.now()
        return [(one, one.id == self.id or one.lives(now)) for one, _ in _instances(self._driver)]

    def _others(self) -> list[tuple[Instance, Stored]]:
        return [(one, stored) for one, stored in _instances(self._driver) if one.id != self.id]

    def bury(self) -> tuple[frozenset[str], list[Instance]]:
        """Mark the dead as ended. Returns the ids of all that live, this one among them, and those found dead now.

        An instance that renews at the same moment wins: the mark is a conditional write. Records of instances that
        ended more than a day ago go. After an outage others have the time of a lease to show that they live: none of
        them could renew it meanwhile.
        """
        now = self._driver.now()
        alive, dead = {self.instance.id}, []
        heard = self._heard_since
        is_too_early = self._shared and (heard is None or now < heard + round(TTL * SECOND))
        for one, stored in self._others():
            if one.lives(0 if is_too_early else now):
                alive.add(one.id)
            elif not one.ended:
                mark = msgspec.json.encode(msgspec.structs.replace(one, ended=True))
                element = Element(KIND, one.id, stored.revision, stored.revision + 1, mark)
                if self._driver.commit([element])[0] is None:
                    dead.append(one)
                else:
                    alive.add(one.id)
            elif now - one.until > DAY:
                self._driver.commit([Element(KIND, one.id, stored.revision, stored.revision + 1, None)])
        return frozenset(alive), dead


def _instances(driver: Driver) -> Iterator[tuple[Instance, Stored]]:
    for stored in driver.load(KIND):
        if (instance := _decoded(stored)) is not None:
            yield instance, stored


def living(driver: Driver, lease: Lease | None = None) -> list[Instance]:
    """The instances that live, but for that of `lease`, which is renewed meanwhile.

    One that cannot be seen from here (another host, another container) is given the time of a lease to show that it
    lives.
    """
    seen: dict[str, Moment] = {}
    while others := [
        one for one, _ in _instances(driver) if (lease is None or one.id != lease.id) and one.lives(driver.now())
    ]:
        if alive := [one for one in others if one.is_beside_us() or seen.get(one.id, one.until) != one.until]:
            return alive
        seen.update((one.id, one.until) for one in others)
        if lease is not None:
            lease.renew()
        time.sleep(TTL / 15)
    return []


def named(instances: Iterable[Instance]) -> str:
    """For people."""
    return ", ".join(f"{one.node} (pid {one.pid} on {one.host})" for one in instances)


def _decoded(stored: Stored) -> Instance | None:
    """None, and a line in the log, when it cannot be read."""
    try:
        return msgspec.json.decode(stored.value, type=Instance)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        log.error("instance %s cannot be read: %s", stored.key, fault)
        return None


@cache  # it stays so: later, with no descriptor left, it could not be known, and others would be taken for dead
def boot() -> str:
    """Names this start of the kernel; empty where it cannot be known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@cache
def pid_namespace() -> str:
    """Names the namespace in which pids mean something; empty where it cannot be known."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@cache
def _own_start(pid: int) -> int:
    return process_start(pid) or 0


def process_start(pid: int) -> int | None:
    """When a living process started, in clock ticks since boot: with the pid it names one process. Raises `OSError`
    when there is no descriptor to look."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        if error.errno in NO_DESCRIPTOR:
            raise
        return None
    return None if fields[0] in "ZX" else int(fields[19])
