"""Writing: every transaction goes along a lane, which adds to it what makes it one of ours.

Each transaction checks that the database is still the one that was opened, and moves its lane's head on: a number, by
which listeners find what it wrote (`changed/`), and the bytes of outputs that it added or removed. So both are exact
without a scan, and no two writers ever wait for one key. A lane has one transaction under way; after one whose answer
was lost its head is in doubt, and it goes on as another lane, as it does when its head was taken for an old one's.
"""

import secrets
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice

import msgspec

from kala.clock import Moment
from kala.drivers.consul_http import OPERATIONS, Agent, Entry, Op
from kala.drivers.consul_keys import BUCKET, Head, Keys, Meta, Stamps, encode, usual_start
from kala.drivers.consul_time import Deadline
from kala.errors import StoreRefused, StoreUnavailable

LANES = 4
"""Transactions under way at once: more were not faster against one agent of two processors."""
KEPT_DELETIONS = 10_000
"""Records, deleted ones among them, that each lane's part of `changed/` names; a listener that is further behind loads
everything."""
OVERHEAD = 6
"""Operations that a lane adds at most."""
ROOM = OPERATIONS - OVERHEAD
SCHEMA = 1
"""Version of what is stored; `consul_opening.py` leads from one to the next."""

Name = tuple[str, str]


class Identity:
    """Which database was opened: checked by every transaction."""

    def __init__(self, agent: Agent, keys: Keys) -> None:
        self._agent, self._keys = agent, keys
        self.database, self._index = "", 0

    def took(self, meta: Meta, index: int) -> None:
        self.database, self._index = meta.database, index

    def forget(self) -> None:
        """It was closed."""
        self.database, self._index = "", 0

    def check(self) -> Op:
        """Raises `StoreUnavailable` when nothing is open."""
        if not self.database:
            raise StoreUnavailable(f"{self._agent.place}: it is not open")
        return Op("check-index", self._keys.meta, index=self._index)

    def verify(self, deadline: Deadline) -> None:
        """Raises `StoreRefused` when it is no longer there."""
        self.confirm(self._agent.found([self._keys.meta], deadline).get(self._keys.meta))

    def confirm(self, entry: Entry | None) -> None:
        """Likewise, when this is what is under its key now."""
        if not self.database:
            raise StoreUnavailable(f"{self._agent.place}: it is not open")
        try:
            meta = None if entry is None else msgspec.json.decode(entry.data, type=Meta)
        except msgspec.DecodeError:
            meta = None
        if entry is None or meta is None or (meta.schema, meta.database) != (SCHEMA, self.database):
            raise StoreRefused(
                f"{self._agent.place}: the database was emptied or replaced while in use (by what is under"
                f" {self._keys.meta}): start again"
            )
        self.took(meta, entry.modify_index)


class Lane:
    """One writer of transactions."""

    def __init__(self, agent: Agent, keys: Keys, identity: Identity, stamps: Stamps) -> None:
        self._agent, self._keys, self._identity, self._stamps = agent, keys, identity, stamps
        self._begin()

    def _begin(self) -> None:
        """Go on as another."""
        self.id = secrets.token_hex(4)
        self._head, self._index = Head(0, "", 0), 0
        self._slots: deque[tuple[int, int]] = deque()  # number, and how many names
        self._names = 0  # in all of them
        self._earliest: dict[str, Moment] = {}  # by bucket, as it stands under `times/`

    def stamp(self) -> str:
        return self._stamps.next(self.id)

    def transact(
        self,
        ops: Sequence[Op],
        deadline: Deadline,
        *,
        stamp: str,
        names: Sequence[Name] = (),
        growth: int = 0,
        earliest: Moment | None = None,
    ) -> tuple[int, dict[int, str]]:
        """Do at most `ROOM` operations or none of them. Returns the transaction's index, or else what is wrong with
        which of them. `names` are the records that it writes, `growth` the bytes of outputs that it adds, `earliest`
        the earliest end of what is in its pages: None when it adds none."""
        bucket = stamp[:BUCKET]
        while True:
            head = Head(self._head.number + bool(names), stamp, self._head.bytes + growth)
            own = [self._identity.check(), Op("cas", self._keys.lane(self.id), encode(head), self._index)]
            expired = self._expired(len(names))
            if names:
                own.append(Op("set", self._keys.slot(self.id, head.number), encode(names)))
                own += [Op("delete", self._keys.slot(self.id, number)) for number, _ in expired]
            bound = earliest
            if bound is not None:
                bound = min(bound, usual_start(bucket), self._earliest.get(bucket, bound))
            if bound is not None and self._earliest.get(bucket) != bound:
                own.append(Op("set", self._keys.time(bucket, self.id), b"%d" % bound))
            try:
                entries, faults = self._agent.transact([*own, *ops], deadline)
            except StoreUnavailable:
                self._begin()
                raise
            if not faults:
                break
            if 0 in faults:
                self._identity.verify(deadline)
            if 1 in faults:
                self._begin()
            if others := {place - len(own): what for place, what in faults.items() if place >= len(own)}:
                return 0, others
        self._index = next(entry.modify_index for entry in entries if entry.key == self._keys.lane(self.id))
        self._head = head
        if names:
            self._slots.append((head.number, len(names)))
            self._names += len(names)
            for _ in expired:
                self._names -= self._slots.popleft()[1]
        if bound is not None:
            self._earliest[bucket] = bound
            if len(self._earliest) > 4:
                del self._earliest[min(self._earliest)]
        return self._index, {}

    def _expired(self, more: int) -> list[tuple[int, int]]:
        """The slots, at most two, without which enough deletions are told of."""
        found, names = [], self._names + more
        for slot in islice(self._slots, 2) if names > KEPT_DELETIONS else ():
            names -= slot[1]
            if names >= KEPT_DELETIONS:
                found.append(slot)
        return found


class Lanes:
    """The lanes of one driver; a call takes one that is free."""

    def __init__(self, agent: Agent, keys: Keys, identity: Identity, stamps: Stamps) -> None:
        self._make = partial(Lane, agent, keys, identity, stamps)
        self._free: list[Lane] = []
        self._made = 0
        self._change = threading.Condition()

    @contextmanager
    def one(self, deadline: Deadline) -> Iterator[Lane]:
        with self._change:
            while not self._free and self._made == LANES:
                self._change.wait(deadline.left())
            if self._free:
                lane = self._free.pop()
            else:
                lane = self._make()
                self._made += 1
        try:
            yield lane
        finally:
            with self._change:
                self._free.append(lane)
                self._change.notify()
