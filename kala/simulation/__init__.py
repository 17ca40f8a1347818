"""What would run: the store, the scheduler and the ledger as they are, on a clock that jumps ahead when all wait.

Nothing is kept but the jobs' records: what has ended is handed on. There are no threads, which such a clock would not
wait for, and no processes: attempts are pretended.
"""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import trio
from msgspec import Struct

from kala import recovery, register
from kala.clock import Moment
from kala.drivers.contract import Conflict, Element
from kala.drivers.memory import MemoryDriver
from kala.hub import Hub
from kala.job import COLLECTION, Record, Run, replace
from kala.lease import Lease
from kala.ledger import LEAD, Change
from kala.scheduler import Scheduler
from kala.simulation.pretence import Cast
from kala.simulation.virtual import VirtualClock
from kala.store import Store
from kala.store.draft import Draft

NO_PROCESS = 2**22 + 1
"""Above the highest pid that there can be: an instance with it is seen to be dead once it has been left."""
BEFORE = 2 * LEAD
"""A daemon that is down from a moment on has not claimed yet what comes then."""
RECENT = 10_000
"""Runs set off by others that are remembered when they have ended: a new instance asks for what was under way."""
FOR_EVER = 10_000 * 366 * 86_400.0
"""Seconds. Whoever waits for what never comes is told so then, which is at once."""
NO_LIMIT = 1 << 30

Heard = Callable[[Run], None]


class Span(Struct, frozen=True):
    """From `begin` until before `end`."""

    begin: Moment
    end: Moment


class Period(Struct, frozen=True):
    """The time that is simulated. `down` and `paused` lie within it, in order, and do not touch each other."""

    whole: Span
    down: Sequence[Span] = ()  # killed at its begin, started again at its end
    paused: Sequence[Span] = ()


class PassingDriver(MemoryDriver):
    """Keeps records alone: what goes into the history is handed to `heard`."""

    def __init__(self, clock: Callable[[], Moment], heard: Heard) -> None:
        super().__init__(clock)
        self._heard = heard
        self._recent: dict[str, Run] = {}

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        answers = super().commit([Element(one.kind, one.key, one.expected, one.revision, one.value) for one in batch])
        for element, answer in zip(batch, answers, strict=True):
            if answer is None:
                for run in element.runs:
                    self._pass_on(run)
        return answers

    def _pass_on(self, run: Run) -> None:
        if run.parent_run:
            self._recent[run.id] = run
            if len(self._recent) > RECENT:
                del self._recent[next(iter(self._recent))]
        self._heard(run)

    def run(self, run_id: str) -> Run | None:
        return self._recent.get(run_id)


class LastingLease(Lease):
    """Is valid as long as its instance is: the real clock, by which leases run out, does not count here."""

    def __init__(self, driver: PassingDriver) -> None:
        super().__init__(driver, "simulated")
        self.instance = replace(self.instance, pid=NO_PROCESS)

    def valid(self) -> bool:
        return True


async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
    """In place of a thread. (It is no checkpoint: each is a round of Trio's loop.)"""
    return function(*arguments)


class Instance:
    """One start of the daemon."""

    def __init__(self, driver: PassingDriver, clock: VirtualClock, cast: Cast, max_runs: int) -> None:
        self._clock = clock
        hub = Hub()
        self.store = Store(driver, clock, hub, inline)
        self._lease = LastingLease(driver)
        self._scheduler = Scheduler(self.store, clock, hub, self._lease, cast.attempt, max_runs=max_runs)
        self._drained = trio.Event()

    async def live(self, records: Sequence[Record], pauses: Sequence[Span], until: Moment, *, killed: bool) -> None:
        """From the start to the end. `records` are new jobs."""
        await self.store.load()
        self._lease.take(shared=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.store.write)
            await self._take_in(records)
            await recovery.take_over(self.store, self._lease, self._clock, inline)
            await self._scheduler.pause.load()
            await self._pause(pauses)
            await nursery.start(self._schedule)
            for moment in sorted(at for span in pauses for at in (span.begin - BEFORE, span.end)):
                if self._clock.now() < moment < until:
                    await self._clock.sleep_until(moment)
                    await self._pause(pauses)
            await self._clock.sleep_until(until)
            if killed:
                nursery.cancel_scope.cancel()
            else:
                self._scheduler.stop_starting()
                await self._drained.wait()
                self.store.close()

    async def _take_in(self, records: Sequence[Record]) -> None:
        def decide(draft: Draft) -> Iterator[Change]:
            for record in records:
                job = replace(record.job, notify=None)  # nobody is to be told
                yield register.adopted(replace(record, job=job, created=self.store.new_moment()), self._clock.now())

        await self.store.transact(decide)

    async def _pause(self, pauses: Sequence[Span]) -> None:
        now = self._clock.now()
        await self._scheduler.pause.set(any(span.begin - BEFORE <= now < span.end for span in pauses))

    async def _schedule(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._scheduler.run(task_status=task_status)
        self._drained.set()


def simulate(
    records: Sequence[Record], period: Period, cast: Cast, heard: Heard, *, max_runs: int = NO_LIMIT
) -> list[Run]:
    """Live through a period with these jobs. `heard` is given each row of the history, in its order; what it raises
    ends the simulation. Returns the runs that are still to start or to be retried when the period is over.

    What is on then goes on to its end. Must not be called within Trio.
    """
    clock = cast.clock = VirtualClock(period.whole.begin)
    with quietly():
        try:
            return trio.run(partial(_simulate, records, period, cast, heard, max_runs, clock), clock=clock)
        except BaseExceptionGroup as group:
            raise only_one(group) from None


async def _simulate(
    records: Sequence[Record], period: Period, cast: Cast, heard: Heard, max_runs: int, clock: VirtualClock
) -> list[Run]:
    whole = period.whole
    driver = PassingDriver(clock.now, heard)
    begins = [whole.begin, *(span.end for span in period.down)]
    ends = [*(span.begin - BEFORE for span in period.down), whole.end - 1]
    with trio.fail_after(FOR_EVER):
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            await clock.sleep_until(begin)
            instance = Instance(driver, clock, cast, max_runs)
            await instance.live(() if number else records, period.paused, end, killed=number < len(period.down))
    left = []
    for record in instance.store.roster:
        if record.gap is not None:
            heard(record.gap)
        left += [run for run in record.open if run.scheduled_for < whole.end]
    return left


def only_one(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception in a group, or the group when there are several."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        if len(found.exceptions) > 1:
            return group
        found = found.exceptions[0]
    return found


@contextmanager
def quietly() -> Iterator[None]:
    """Runs that fail, or are lost, are what is looked for here: their warnings are no news. And the garbage collector
    looks seldom, as in a daemon."""
    log = logging.getLogger("kala")
    level, thresholds = log.level, gc.get_threshold()
    log.setLevel(logging.ERROR)
    gc.set_threshold(*COLLECTION)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        log.setLevel(level)
