"""How many sockets the calls that are on may have, and whose turn it is when there is none."""

from collections import Counter, OrderedDict, deque

import trio

from kala.calls.target import Origin
from kala.openfiles import open_files

MOST = 10_000


class Slots:
    """At most `most` in all, and three quarters of them for one origin: one that hangs leaves room for the others. Who
    waits for a slot gets it in the order of coming, one origin after another.

    Without `most` it is half of the open files that this process may have when the first one is taken.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._on: Counter[Origin] = Counter()
        self._taken = 0
        self._waiting: OrderedDict[Origin, deque[trio.Event]] = OrderedDict()

    @property
    def most(self) -> int:
        if self._most is None:
            self._most = max(1, int(min(MOST, open_files() / 2)))
        return self._most

    def _has_room(self, origin: Origin) -> bool:
        return self._taken < self.most and self._on[origin] < max(1, self.most * 3 // 4)

    def take_nowait(self, origin: Origin) -> bool:
        """Take a slot, to be given back; False when there is none, or others wait for one."""
        if origin in self._waiting or not self._has_room(origin):
            return False
        self._taken += 1
        self._on[origin] += 1
        return True

    async def take(self, origin: Origin) -> None:
        """Wait for a slot, to be given back."""
        if self.take_nowait(origin):
            return
        given = trio.Event()
        self._waiting.setdefault(origin, deque()).append(given)
        try:
            await given.wait()
        except BaseException:
            if given.is_set():
                self.give_back(origin)
            else:
                self._leave(origin, given)
            raise

    def _leave(self, origin: Origin, given: trio.Event) -> None:
        queue = self._waiting[origin]
        queue.remove(given)
        if not queue:
            del self._waiting[origin]

    def give_back(self, origin: Origin) -> None:
        self._taken -= 1
        self._on[origin] -= 1
        if not self._on[origin]:
            del self._on[origin]
        self._fill()

    def _fill(self) -> None:
        """Give what is free to those who wait. At most one origin has all that it may have, and is passed over."""
        while (origin := next((one for one in self._waiting if self._has_room(one)), None)) is not None:
            queue = self._waiting.pop(origin)
            queue.popleft().set()
            self._taken += 1
            self._on[origin] += 1
            if queue:
                self._waiting[origin] = queue  # behind the others
