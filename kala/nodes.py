"""The daemons on the database, as they were when it was last asked."""

from heapq import nlargest

import trio
from msgspec import Struct

from kala.clock import Moment
from kala.errors import StoreRefused, StoreUnavailable
from kala.lease import Instance, Lease
from kala.pools import PoolRow
from kala.scheduler import Scheduler
from kala.store import Store

KNOWN = 5.0
"""Seconds for which an answer is good: a lease is renewed as often."""
ENDED = 20
"""So many are told of that have ended, the latest."""
POOLS = 100
"""So many limits of labels are told of: a limit of each value may be as many as there are jobs."""


class Node(Struct, frozen=True):
    """One start of a daemon. `started` is by the database's clock; 0 while it has not been heard of."""

    id: str
    node: str
    host: str
    pid: int
    started: Moment
    alive: bool
    self: bool


class Here(Struct, frozen=True):
    """What this daemon does, and on what. `fault`: why nothing can be written now; empty when it can."""

    running: int  # attempts that are on here
    max_runs: int  # so many may be
    waiting: int  # runs that wait, for whichever daemon
    engine: str  # of the database
    place: str  # without a password
    fault: str


class Nodes:
    """Asks the database, seldom, however many want to know."""

    def __init__(self, store: Store, scheduler: Scheduler, lease: Lease) -> None:
        self._store, self._scheduler, self._lease = store, scheduler, lease
        self._one_by_one = trio.Lock()
        self._known: list[tuple[Instance, bool]] = []
        self._known_until = 0.0

    async def all(self) -> list[Node] | None:
        """Those that live, and the latest of those that have ended; the one that started last comes first. None while
        the database is away."""
        if self._store.fault is not None:
            return None
        async with self._one_by_one:
            if trio.current_time() >= self._known_until:
                try:
                    self._known = await self._store.read(self._lease.seen)
                except (StoreUnavailable, StoreRefused):
                    return None
                self._known_until = trio.current_time() + KNOWN
        here = self._lease.id
        nodes = [_node(one, alive, here) for one, alive in self._known if one.id != here]
        nodes.append(self.this())
        nodes.sort(key=lambda node: (not node.alive, -node.started, node.id))
        living = sum(node.alive for node in nodes)
        return nodes[: living + ENDED]

    def here(self) -> Here:
        """In constant time."""
        engine, place = self._store.database
        fault = self._store.fault
        return Here(
            self._scheduler.running,
            self._scheduler.max_runs,
            self._store.roster.waiting,
            engine,
            place,
            "" if fault is None else str(fault),
        )

    def pools(self) -> list[PoolRow]:
        """The limits of labels, those first for which most runs wait, or else are on."""
        return nlargest(POOLS, self._scheduler.pools(), key=lambda row: (row.waiting, row.running))

    def this(self) -> Node:
        """This one, of which nobody has to be asked."""
        return _node(self._lease.instance, True, self._lease.id)


def _node(one: Instance, alive: bool, here: str) -> Node:
    return Node(one.id, one.node, one.host, one.pid, one.started, alive, one.id == here)
