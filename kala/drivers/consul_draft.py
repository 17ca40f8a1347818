"""Elements as operations of a transaction, for `consul_commit.py`. Nothing here asks anybody."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kala.clock import Moment
from kala.drivers.consul_http import Op
from kala.drivers.consul_keys import (
    BUCKET,
    SMALL,
    Keys,
    Page,
    Printed,
    Row,
    encode,
    encoded,
    header_of,
    record_value,
    run_value,
    usual_start,
)
from kala.drivers.consul_lane import ROOM, Name
from kala.drivers.contract import Element
from kala.drivers.rows import RunRow
from kala.job import Output

PAGES = 2  # operations: a page of rows, and one of outputs
SPARE = 24 * 1024
"""Bytes of a transaction for what its lane and its pages add."""


@dataclass(eq=False)
class Work:
    """What is left to do of an element."""

    element: Element
    place: int  # in the batch
    runs: list[RunRow]
    outputs: list[Output]
    index: int = 0  # that the record's key has, 0: it is not there
    is_done: bool = False  # the record is as it is asked for
    touches: bool = True  # it writes or checks the record, and not only what goes with it
    also: Sequence[Op] = ()  # what is to be done with the record

    @property
    def name(self) -> Name:
        return self.element.kind, self.element.key

    def costs(self) -> Iterator[tuple[int, int]]:
        """Operations and bytes: of the record, then of each run and output. The bytes are rather too many."""
        element = self.element
        yield 1 + len(self.also), _in_base64(len(element.value or b"")) + 8 * len(encoded(element.key)) + 400
        for row in self.runs:
            yield 2, _in_base64(len(row.run.encode())) + 8 * (len(encoded(row.id)) + len(encoded(row.job_id))) + 900
        for output in self.outputs:
            size = _in_base64(len(output.data))
            small = len(output.data) <= SMALL
            yield 2 - small, (2 * size if small else size) + 8 * len(encoded(output.run_id)) + 900

    def cost(self) -> tuple[int, int]:
        costs = list(self.costs())
        return sum(ops for ops, _ in costs), sum(size for _, size in costs)


class Draft:
    """A transaction of some works. With a `stage` it is of portions, which are not there before that is over."""

    def __init__(self, works: Iterable[Work], keys: Keys, stamp: str, stage: str = "", also: Sequence[Op] = ()) -> None:
        self.ops = list(also)
        self.owners: dict[int, tuple[Work, RunRow | Output | None]] = {}  # by the place of an operation
        self.names: list[Name] = []
        self.growth = 0
        self.earliest: Moment | None = None
        self.stamp = stamp
        self._keys, self._stage = keys, stage
        self._rows: list[Row] = []
        self._printed: list[Printed] = []
        self._used: set[str] = set()  # of two with one id the first is kept
        for work in works:
            if work.touches:
                self._add_record(work)
            for row in work.runs:
                self._add_run(work, row)
            for output in work.outputs:
                self._add_output(work, output)
        if self._rows:
            self.ops.append(Op("set", keys.page(stamp), encode(Page(rows=self._rows, stage=stage))))
        if self._printed:
            self.ops.append(Op("set", keys.printed(stamp), encode(Page(printed=self._printed, stage=stage))))

    def _own(self, work: Work, what: RunRow | Output | None, op: Op) -> None:
        self.owners[len(self.ops)] = (work, what)
        self.ops.append(op)

    def _add_record(self, work: Work) -> None:
        element = work.element
        key = self._keys.record(element.kind, element.key)
        if not work.is_done:
            self.names.append(work.name)
            if element.value is None:
                self._own(work, None, Op("delete-cas", key, index=work.index))
            else:
                self._own(work, None, Op("cas", key, record_value(element, self.stamp), work.index))
        elif work.runs or work.outputs or work.also:
            op = Op("check-index", key, index=work.index) if work.index else Op("check-not-exists", key)
            self._own(work, None, op)
        self.ops += work.also

    def _add_run(self, work: Work, run: RunRow) -> None:
        key = self._keys.run(run.id)
        if key in self._used:
            return
        self._used.add(key)
        row = Row(len(self._rows), run.id, run.job_id, run.ran, run.state, run.scheduled_for, run.at)
        self._own(work, run, Op("cas", key, run_value(self.stamp, row, run, self._stage)))
        self.ops.append(Op("set", self._keys.job_row(self.stamp, row)))
        self._rows.append(row)
        self._reach(run.at)

    def _add_output(self, work: Work, output: Output) -> None:
        key = self._keys.output(output.run_id, output.attempt)
        if key in self._used:
            return
        self._used.add(key)
        header = header_of(output, self.stamp, self._stage)
        self._own(work, output, Op("cas", key, encode(header)))
        if header.data is None and header.length:
            self.ops.append(Op("set", self._keys.data(output.run_id, output.attempt), output.data))
        self._printed.append(Printed(output.run_id, output.attempt, header.length))
        self.growth += header.length
        self._reach(usual_start(self.stamp[:BUCKET]))

    def _reach(self, at: Moment) -> None:
        self.earliest = at if self.earliest is None else min(self.earliest, at)


@dataclass
class _Room:
    """What a transaction can still take."""

    size: int
    ops: int = ROOM - PAGES
    works: list[Work] = field(default_factory=list)

    def takes(self, cost: tuple[int, int]) -> bool:
        if cost[0] > self.ops or cost[1] > self.size:
            return False
        self.ops -= cost[0]
        self.size -= cost[1]
        return True


def grouped(works: Iterable[Work], largest: int) -> tuple[list[list[Work]], list[Work]]:
    """Works that go together in a transaction of at most `largest` bytes, and those that need several by themselves."""
    groups: list[list[Work]] = []
    big: list[Work] = []
    room = _Room(0)
    for work in works:
        cost = work.cost()
        if not room.takes(cost):
            fresh = _Room(largest - SPARE)
            if not fresh.takes(cost):
                big.append(work)
                continue
            room = fresh
            groups.append(room.works)
        room.works.append(work)
    return groups, big


def portions(work: Work, largest: int) -> list[Work]:
    """The history of a work, in their order, in portions that a transaction holds."""
    found: list[Work] = []
    room = _Room(0)
    _, *costs = work.costs()
    things: list[RunRow | Output] = [*work.runs, *work.outputs]
    for thing, cost in zip(things, costs, strict=True):
        if not room.takes(cost):
            room = _Room(largest - SPARE)
            room.takes(cost)
            found.append(Work(work.element, work.place, [], [], touches=False))
        if isinstance(thing, Output):
            found[-1].outputs.append(thing)
        else:
            found[-1].runs.append(thing)
    return found


def _in_base64(size: int) -> int:
    return -(-size // 3) * 4
