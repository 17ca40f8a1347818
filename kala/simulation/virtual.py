"""Virtual time: a wall clock that is Trio's clock, too, and jumps ahead when all tasks wait."""

from heapq import heappop, heappush
from math import ceil, inf

import trio

from kala.clock import SECOND, Clock, Moment
from kala.stop import Stop


class VirtualClock(Clock, trio.abc.Clock):
    """A wall clock, and Trio's, that is at the next moment for which a task waits whenever all tasks wait.

    Those that sleep until a moment by it have no deadlines of Trio's: it wakes them itself, at the moment to the
    microsecond. Trio asks for the time to sleep when all tasks wait, and only then. (A `MockClock` takes two rounds of
    Trio's loop for a jump, and each of its sleeps costs a cancel scope.)
    """

    def __init__(self, start: Moment) -> None:
        self._start = self._now = start
        self._time = 0.0  # Trio's: apart, as what it takes for reached must not be a rounding before it
        self._sleepers: list[Sleeper] = []
        self._count = 0

    def now(self) -> Moment:
        return self._now

    async def sleep_until(self, moment: Moment, stop: Stop | None = None, *, exactly: bool = False) -> None:
        """Return at `moment`, or when `stop` is asked to stop."""
        if moment <= self._now:
            return
        self._count += 1
        sleeper = Sleeper(moment, self._count, trio.lowlevel.current_task())
        heappush(self._sleepers, sleeper)
        if stop is not None:
            stop.attach(sleeper.wake)
        await trio.lowlevel.wait_task_rescheduled(sleeper.abort)

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._time

    def deadline_to_sleep_time(self, deadline: float) -> float:
        sleepers = self._sleepers
        while sleepers and sleepers[0].task is None:
            heappop(sleepers)
        if not sleepers:
            if deadline == inf:
                return inf  # while Trio starts
        elif (moment := sleepers[0].moment) <= self._start + deadline * SECOND:
            self._now, self._time = moment, max(self._time, (moment - self._start) / SECOND)
            while sleepers and sleepers[0].moment == moment:
                heappop(sleepers).wake()
            return 0.0
        self._now, self._time = max(self._now, self._start + ceil(deadline * SECOND)), max(self._time, deadline)
        return 0.0


class Sleeper:
    """A task that sleeps."""

    __slots__ = ("moment", "number", "task")

    def __init__(self, moment: Moment, number: int, task: trio.lowlevel.Task) -> None:
        self.moment, self.number = moment, number
        self.task: trio.lowlevel.Task | None = task

    def __lt__(self, other: "Sleeper") -> bool:
        return (self.moment, self.number) < (other.moment, other.number)

    def wake(self) -> None:
        if self.task is not None:
            trio.lowlevel.reschedule(self.task)
            self.task = None

    def abort(self, _: object) -> trio.lowlevel.Abort:
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED
