"""The mark in the target: from which source, and how far the move is. `drivers/unfinished.py` says who heeds it."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from kala.drivers.contract import Driver, Element
from kala.drivers.unfinished import MARK
from kala.errors import StoreRefused
from kala.job import Output, Run, replace
from kala.moving.sums import Sum


class Facts(Struct, frozen=True):
    """What the mark says."""

    source: str  # where it is, for people
    content: dict[str, Sum]  # what of it is to be here: a source that has changed since is another
    rows: int = 0  # of its history that are here already, the oldest first


class Mark:
    """The mark in one target."""

    def __init__(self, target: Driver) -> None:
        self._target = target
        self._facts, self._revision = Facts("", {}), 0
        self.is_there = False  # it may be

    @property
    def rows(self) -> int:
        """Of the history that are in the target."""
        return self._facts.rows

    def begin(self, source: str, content: dict[str, Sum]) -> bool:
        """Put it there, or go on from the one that is there; whether it is a new one. Raises `StoreRefused` for that of
        another move."""
        wanted = Facts(source, content)
        stored = self._target.get(*MARK)
        if stored is None:
            self.is_there = True
            self._write(wanted)
            return True
        try:
            found = msgspec.json.decode(stored.value, type=Facts)
        except msgspec.DecodeError:
            found = Facts("what this version of the program does not know", {})
        if found.content != content:
            raise StoreRefused(
                f"{self._target.place} holds the beginning of another move, of {found.source} as it was then: name an "
                "empty database"
            )
        self._facts, self._revision, self.is_there = found, stored.revision, True
        return False

    def append(self, runs: Sequence[Run], outputs: Sequence[Output]) -> None:
        """Append to the target's history, and note that it is there, in one write."""
        self._write(replace(self._facts, rows=self._facts.rows + len(runs)), runs, outputs)

    def remove(self) -> None:
        self._commit(Element(*MARK, self._revision, self._revision + 1, None))
        self.is_there = False

    def _write(self, facts: Facts, runs: Sequence[Run] = (), outputs: Sequence[Output] = ()) -> None:
        value = msgspec.json.encode(facts)
        self._commit(Element(*MARK, self._revision, self._revision + 1, value, runs, outputs))
        self._facts, self._revision = facts, self._revision + 1

    def _commit(self, element: Element) -> None:
        if self._target.commit([element])[0] is not None:
            raise StoreRefused(f"{self._target.place}: another `kala move` into this database is under way")
