"""The limits of labels (`--limit-runs`): a pool of places for each, and lines of runs that need places in the same
ones. Plain data; `admission.py` says who gets which place when."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kala.values import LabelLimit

Labels = Mapping[str, str] | None
Key = tuple[tuple[str, str], ...]
"""The labels of a job that are limited, with their values, in the order of the limits."""


class PoolRow(NamedTuple):
    """How it is in a pool: of runs of jobs whose `label` has this `value`, `running` have one of `limit` places, and
    `waiting` wait until they have all the places that they need."""

    label: str
    value: str
    limit: int
    running: int
    waiting: int


class Pool:
    """The places under one limit. `is_lasting`: it is there even when nobody uses it; `lines`: so many use it."""

    __slots__ = ("blocked", "is_lasting", "label", "lines", "most", "ready", "running", "value", "waiting")

    def __init__(self, label: str, value: str, most: int, *, is_lasting: bool) -> None:
        self.label, self.value, self.most, self.is_lasting = label, value, most, is_lasting
        self.running = self.waiting = self.lines = 0
        self.blocked: list[tuple[int, Line]] = []  # a heap: who waits until this has room
        self.ready: list[tuple[int, Line]] = []  # a heap: those of whom this is the first pool, and who had room

    @property
    def has_room(self) -> bool:
        return self.running < self.most


class Line:
    """The runs that need places in the same pools: how many are on, and which of them wait, in order."""

    __slots__ = ("first", "has_entry", "key", "pools", "running", "waiting")

    def __init__(self, key: Key, pools: tuple[Pool, ...], first: Pool) -> None:
        self.key, self.pools, self.first = key, pools, first
        self.running = 0
        self.waiting: OrderedDict[str, tuple[int, str]] = OrderedDict()  # by run: its number, its job
        self.has_entry = False  # in a heap; its number there may be that of a run that has left

    @property
    def head(self) -> int:
        """The number of the first that waits."""
        return next(iter(self.waiting.values()))[0]

    def full(self) -> Pool | None:
        """The first of its pools that has no room."""
        for pool in self.pools:
            if pool.running >= pool.most:
                return pool
        return None


class Pools:
    """All of them, and the line in which a job's runs wait. Those of a `*` are there while somebody uses them."""

    def __init__(self, limits: Iterable[LabelLimit]) -> None:
        self._limits: dict[str, dict[str | None, int]] = {}  # by label and value; None is each other value
        for limit in limits:
            of_label = self._limits.setdefault(limit.name, {})
            of_label[limit.value] = min(limit.most, of_label.get(limit.value, limit.most))  # both are to hold
        self._pools: dict[tuple[str, str], Pool] = {
            (label, value): Pool(label, value, most, is_lasting=True)
            for label, values in self._limits.items()
            for value, most in values.items()
            if value is not None
        }
        # Stands for all that are in no pool, when pools take turns.
        self._unlimited = Line((), (), Pool("", "", 0, is_lasting=True))
        self._lines: dict[Key, Line] = {(): self._unlimited}

    def lines(self) -> list[Line]:
        return list(self._lines.values())

    def rows(self) -> list[PoolRow]:
        """The limits of single values, in their order; then, of limits of each value, those that are in use."""
        return [
            PoolRow(pool.label, pool.value, pool.most, pool.running, pool.waiting)
            for pool in self._pools.values()
            if pool.is_lasting or pool.running or pool.waiting
        ]

    def key(self, labels: Labels) -> Key:
        if not labels or not self._limits:
            return ()
        return tuple(
            (label, labels[label])
            for label, values in self._limits.items()
            if label in labels and (labels[label] in values or None in values)
        )

    def line(self, labels: Labels) -> Line:
        """That of runs of a job with these labels. One that is not used is given back by `drop_idle`."""
        if not labels or not self._limits:
            return self._unlimited
        key = self.key(labels)
        if (line := self._lines.get(key)) is None:
            pools = tuple(self._pool(*one) for one in key)
            for pool in pools:
                pool.lines += 1
            line = self._lines[key] = Line(key, pools, pools[0])
        return line

    def full(self, key: Key) -> Pool | None:
        """The first pool without room that a line of this key needs."""
        for one in key:
            pool = self._pools.get(one)
            if pool is not None and not pool.has_room:
                return pool
        return None

    def drop_idle(self, line: Line) -> None:
        """A line of which nothing is left goes, and so do pools of a `*` without lines: values come and go."""
        if line.running or line.waiting or line.has_entry or line is self._unlimited:
            return
        if self._lines.pop(line.key, None) is None:
            return
        for pool in line.pools:
            pool.lines -= 1
            if not pool.lines and not pool.is_lasting:
                del self._pools[pool.label, pool.value]

    def _pool(self, label: str, value: str) -> Pool:
        if (pool := self._pools.get((label, value))) is None:
            pool = self._pools[label, value] = Pool(label, value, self._limits[label][None], is_lasting=False)
        return pool
