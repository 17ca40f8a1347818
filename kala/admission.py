"""Who may be on: places under `--max-runs` and under the limits of labels, and the runs that wait for them. Plain data.

A run needs a place under `--max-runs`, and one in the pool of each limit that its job's labels meet; it takes all of
them at once, or waits and has none. Those that need places in the same pools wait in one line, in the order in which
they came.

* Pools bind, and `--max-runs` does not: whoever came first of those that have room in all their pools starts. So a full
  pool holds up nobody else, and nobody is held up by a run for which there is no room elsewhere.
* `--max-runs` binds: pools take turns, and so do, as one, the runs that are in none. A run in several pools comes when
  it is the first one's turn. In a turn, whoever came first of those that have room starts.

A line is in the heap of one full pool of its own (`blocked`) until that has room, or it is `ready`. What that rests on
may change meanwhile: it is looked at when it comes first. So a start takes as many steps as the logarithm of the lines
that wait for a pool; where both `--max-runs` and a limit bind, and it is one that runs in several pools share, as many
as these lines at worst.
"""

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush, heapreplace
from typing import NamedTuple

from kala import ledger
from kala.pools import Key, Labels, Line, Pool, PoolRow, Pools
from kala.values import LabelLimit


class Begin(NamedTuple):
    """A run that waited, and has its places now: those of a run in `line`."""

    job_id: str
    run_id: str
    line: Line


class Admission:
    """`most` runs may be on, and of those that `limits` concern as many as these say. Whoever has given places back
    asks for the `next`, until there is none."""

    def __init__(self, most: int, limits: Iterable[LabelLimit] = ()) -> None:
        self._free = self.most = most
        self._pools = Pools(limits)
        self._where: dict[str, Line] = {}  # by run that waits
        self._turns: deque[Pool] = deque()  # those with lines that are ready
        self._opened: list[Pool] = []  # full until now, and lines wait for that
        self._number = 0

    @property
    def waiting(self) -> int:
        """Runs that wait for places."""
        return len(self._where)

    @property
    def running(self) -> int:
        """Places under `most` that are taken."""
        return self.most - self._free

    def rows(self) -> list[PoolRow]:
        """How it is in the pools."""
        return self._pools.rows()

    def take(self, labels: Labels) -> Line | None:
        """Take all places that a run of a job with these labels needs; None when one of them is not free."""
        line = self._pools.line(labels)
        if self._free > 0 and line.full() is None:
            self._occupy(line)
            return line
        self._pools.drop_idle(line)
        return None

    def wait(self, job_id: str, run_id: str, labels: Labels) -> None:
        """A run for which there are no places waits for them."""
        line = self._pools.line(labels)
        self._number += 1
        line.waiting[run_id] = self._number, job_id
        self._where[run_id] = line
        for pool in line.pools:
            pool.waiting += 1
        if not line.has_entry:
            line.has_entry = True
            if (full := line.full()) is not None:
                heappush(full.blocked, (self._number, line))
            else:
                self._make_ready((self._number, line))

    def why(self, labels: Labels) -> str:
        """The reason for which a run of a job with these labels has to wait, when it has to."""
        return self._why(self._pools.key(labels))

    def why_waits(self, run_id: str) -> str | None:
        """The reason for which a run waits now; None when it does not wait for places."""
        line = self._where.get(run_id)
        return None if line is None else self._why(line.key)

    def is_of(self, line: Line, labels: Labels) -> bool:
        """A run of a job with these labels needs the places of `line`."""
        return line.key == self._pools.key(labels)

    def is_misplaced(self, run_id: str, labels: Labels) -> bool:
        """A run waits for other places than one of a job with these labels needs."""
        line = self._where.get(run_id)
        return line is not None and not self.is_of(line, labels)

    def leave(self, run_id: str) -> bool:
        """A run waits no more. Whether it did."""
        if (line := self._where.pop(run_id, None)) is None:
            return False
        del line.waiting[run_id]
        for pool in line.pools:
            pool.waiting -= 1
        self._pools.drop_idle(line)
        return True

    def clear(self) -> list[str]:
        """Nobody waits any more: the runs that did."""
        left = list(self._where)
        self._where.clear()
        self._turns.clear()
        self._opened.clear()
        for line in self._pools.lines():
            line.waiting.clear()
            line.has_entry = False
            for pool in (*line.pools, line.first):
                pool.waiting = 0
                pool.blocked.clear()
                pool.ready.clear()
            self._pools.drop_idle(line)
        return left

    def give_back(self, line: Line) -> None:
        """The places of a run are free."""
        self._free += 1
        line.running -= 1
        for pool in line.pools:
            if pool.blocked and not pool.has_room:
                self._opened.append(pool)
            pool.running -= 1
        self._pools.drop_idle(line)

    def next(self) -> Begin | None:
        """The run that is to start now, with its places; None when none of those that wait can."""
        if self._opened and (self._turns or self._free <= 0):
            self._bring_in()
        if self._free <= 0:
            return None
        if not self._turns:
            return None if (heap := self._earliest()) is None else self._begin(heap)
        while self._turns:
            pool = self._turns.popleft()
            if self._look_at(pool.ready):
                begin = self._begin(pool.ready)
                if pool.ready:
                    self._turns.append(pool)
                return begin
        return None

    def _why(self, key: Key) -> str:
        full = self._pools.full(key)
        return ledger.LIMIT if full is None else ledger.label_limit(full.label, full.value)

    def _occupy(self, line: Line) -> None:
        self._free -= 1
        line.running += 1
        for pool in line.pools:
            pool.running += 1

    def _make_ready(self, entry: tuple[int, Line]) -> None:
        pool = entry[1].first
        if not pool.ready:
            self._turns.append(pool)
        heappush(pool.ready, entry)

    def _bring_in(self) -> None:
        """`--max-runs` binds, and pools have room: those that waited for that take part in the turns from now on."""
        entries: list[tuple[int, Line]] = []
        for pool in self._opened:
            if pool.has_room:
                entries += pool.blocked
                pool.blocked.clear()
        self._opened.clear()
        for entry in sorted(entries):
            self._make_ready(entry)

    def _earliest(self) -> list[tuple[int, Line]] | None:
        """The heap whose first came before all others that can start. They wait for pools that have just been opened:
        had they waited for nothing there, they would have started."""
        found: list[tuple[int, Line]] | None = None
        for pool in self._opened:
            heap = pool.blocked
            if pool.has_room and self._look_at(heap) and (found is None or heap[0][0] < found[0][0]):
                found = heap
        if found is None:
            self._opened.clear()
        return found

    def _look_at(self, heap: list[tuple[int, Line]]) -> bool:
        """Whether the first of a heap can start, once those are out that cannot, or are not there any more."""
        while heap:
            number, line = heap[0]
            if not line.waiting:
                heappop(heap)
                line.has_entry = False
                self._pools.drop_idle(line)
            elif number != line.head:
                heapreplace(heap, (line.head, line))
            elif (full := line.full()) is not None:
                heappush(full.blocked, heappop(heap))
            else:
                return True
        return False

    def _begin(self, heap: list[tuple[int, Line]]) -> Begin:
        """The first of a heap takes its places."""
        line = heap[0][1]
        run_id, (_, job_id) = line.waiting.popitem(last=False)
        del self._where[run_id]
        for pool in line.pools:
            pool.waiting -= 1
        self._occupy(line)
        if line.waiting:
            heapreplace(heap, (line.head, line))
        else:
            heappop(heap)
            line.has_entry = False
        return Begin(job_id, run_id, line)
