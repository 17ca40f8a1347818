"""Columns beside a table of jobs: what is known of the job at each place. What stands where one has gone means nothing.

`fill` adds the jobs at the next places, by their ids: one that is not among `jobs` has gone. `put` enters what is now
at a place, which may be the next one: None where the job has gone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kala.finding.conditions import KINDS, Condition
from kala.job import Record


class Column(Protocol):
    """Any of them."""

    def fill(self, ids: Sequence[str], jobs: Mapping[str, Record]) -> None: ...

    def put(self, place: int, record: Record | None) -> None: ...


class Values:
    """What conditions of one kind look at: 8 bytes a job, and of texts some 60 and the text."""

    def __init__(self, kind: str) -> None:
        self._of, self._nothing, _ = KINDS[kind]
        self.all: list[Any] = []

    def fill(self, ids: Sequence[str], jobs: Mapping[str, Record]) -> None:
        of, nothing = self._of, self._nothing
        self.all += [nothing if record is None else of(record) for record in map(jobs.get, ids)]

    def put(self, place: int, record: Record | None) -> None:
        self.all[place : place + 1] = [self._nothing if record is None else self._of(record)]


class Mask:
    """Which jobs meet a condition: 1 or 0, a byte a job. The values are its kind's, and know of each place before."""

    def __init__(self, condition: Condition, values: Values) -> None:
        self._meets, self._wanted = KINDS[condition.kind].meets, condition.value
        self._values = values
        self.marks = bytearray()

    def fill(self, ids: Sequence[str], jobs: Mapping[str, Record]) -> None:
        first = len(self.marks)
        self.marks += bytes(self._meets(self._values.all[first : first + len(ids)], self._wanted))

    def put(self, place: int, record: Record | None) -> None:
        self.marks[place : place + 1] = bytes(self._meets(self._values.all[place : place + 1], self._wanted))
