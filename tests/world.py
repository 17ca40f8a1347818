"""The core on the test clock: store, scheduler, lease and service over a driver; only the attempts are pretended."""

from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any

import msgspec
import trio
from msgspec import Struct
from trio.testing import MockClock

from kala.clock import SECOND, Clock, Moment, TrioClock, from_datetime, rfc3339
from kala.drivers.contract import Driver, RunQuery
from kala.events import Event
from kala.hub import Hub
from kala.job import Attempt, Job, Record, Run, encode, replace
from kala.lease import Lease
from kala.ledger import plan_of
from kala.recovery import take_kept, take_over
from kala.schedule.plan import Plan
from kala.scheduler import RunAttempt, Scheduler
from kala.service import Service
from kala.states import COUNTED, NOT_RUN, State
from kala.stop import Stop
from kala.store import Store
from kala.store.spool import Spool
from kala.values import LabelLimit

START = from_datetime(datetime(2030, 1, 1, tzinfo=UTC))
NO_PROCESS = 2**22 + 1  # above the highest pid there can be: an instance with it is seen to be dead
FOR_EVER = 1000 * 365 * 86_400.0  # seconds


def simulated(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs an async test on a clock that jumps ahead when all wait. Waiting for what never comes fails."""

    async def guarded(*args: Any, **named: Any) -> None:
        with trio.fail_after(FOR_EVER):
            await test(*args, **named)

    @wraps(test)
    def run(*args: Any, **named: Any) -> None:
        trio.run(partial(guarded, *args, **named), clock=MockClock(autojump_threshold=0))

    return run


async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
    """In place of a thread, which the jumping clock would not wait for."""
    await trio.lowlevel.checkpoint()
    return function(*arguments)


def at(seconds: float) -> str:
    return rfc3339(START + round(seconds * SECOND))


def every(interval: str, *, first: float = 1, repetitions: int | None = None) -> str:
    """A schedule whose first occurrence is `first` seconds after `START`."""
    return f"R{'' if repetitions is None else repetitions}/{at(first)}/{interval}"


class SlicedClock(TrioClock):
    """Sleeps in slices as the real clock does, so that a step is noticed."""

    async def sleep_until(self, moment: Moment, *, exactly: bool = False) -> None:
        await Clock.sleep_until(self, moment)  # the kernel's timers do not jump ahead


class Act(Struct, frozen=True):
    """What a pretended attempt does: it takes `seconds`, or until `gate` opens, and ends so, or raises `bug`."""

    seconds: float = 0
    state: State = State.SUCCEEDED
    bug: Exception | None = None
    gate: trio.Event | None = None


FAIL = Act(state=State.FAILED)


class Reply(Struct, frozen=True):
    """How a notification is answered: after `seconds`, as not taken when there is an `error`, or it raises `bug`."""

    error: str = ""
    seconds: float = 0
    bug: Exception | None = None


REFUSE = Reply("answered 500, expected 2xx")


class Posted(Struct, frozen=True):
    """That a notification was posted, in seconds after `START`; its body as it came."""

    at: float
    url: str
    headers: Mapping[str, list[str]]
    body: dict[str, Any]


class Started(Struct, frozen=True):
    """That an attempt started, in seconds after `START`."""

    at: float
    job: str
    run: Run


class World:
    """One instance of the core. Several may be on one driver: `mortal` ones are seen to be dead by the others.

    `acts` are, by the name of a job, what its attempts do, one after another; the last for all further ones. `replies`
    are, by URL, how notifications are answered, likewise.
    """

    def __init__(
        self,
        driver: Driver,
        clock: Clock,
        *,
        max_runs: int = 1000,
        limits: Iterable[LabelLimit] = (),
        mortal: bool = False,
        in_thread: Any = inline,
        attempt: RunAttempt | None = None,
        spool: Spool | None = None,
    ) -> None:
        self.driver, self.clock, self.hub, self.in_thread = driver, clock, Hub(), in_thread
        self.spool = spool
        self.store = Store(driver, clock, self.hub, in_thread, spool=spool)
        self.lease = Lease(driver, "here")
        if mortal:
            self.lease.instance = replace(self.lease.instance, pid=NO_PROCESS)
        self.scheduler = Scheduler(
            self.store,
            clock,
            self.hub,
            self.lease,
            attempt or self.attempt,
            max_runs=max_runs,
            limits=limits,
            post=self.post,
        )
        self.service = Service(self.store, self.scheduler, self.lease, clock, self.hub)
        self.acts: defaultdict[str, deque[Act]] = defaultdict(lambda: deque([Act()]))
        self.replies: defaultdict[str, deque[Reply]] = defaultdict(lambda: deque([Reply()]))
        self.posted: list[Posted] = []
        self.posting: Counter[str] = Counter()  # by URL, what is on
        self.started: list[Started] = []
        self.events: list[Event] = []
        self.most = 0  # attempts that were on at once
        self.drained, self.written = trio.Event(), trio.Event()
        self._on = 0
        self._killed = False
        self._nursery: trio.Nursery

    @asynccontextmanager
    async def up(self, *, scheduling: bool = True) -> AsyncIterator["World"]:
        """From start to stop, in the daemon's order."""
        await self.store.load()
        await self.scheduler.pause.load()
        self.lease.take(shared=True)
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._write)
            await self._nursery.start(self._hear)
            if scheduling:
                await take_kept(self.store, self.clock)
                await take_over(self.store, self.lease, self.clock, inline)
                await self._nursery.start(self._schedule)
            yield self
            if not self._killed:
                await self.stop(scheduling)
                self._nursery.cancel_scope.cancel()

    async def stop(self, scheduling: bool = True) -> None:
        """Nothing starts any more; what is on ends and is recorded."""
        self.scheduler.stop_starting()
        if scheduling:
            await self.drained.wait()
        self.store.close()
        await self.written.wait()
        self.lease.give_back()

    def kill(self) -> None:
        """As kill -9: nothing more is written."""
        self.lease.let_go()
        self._killed = True
        self._nursery.cancel_scope.cancel()
        if self.spool is not None:
            self.spool.close()

    async def _schedule(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self.scheduler.run(task_status=task_status)
        self.drained.set()

    async def _write(self) -> None:
        await self.store.write()
        self.written.set()

    async def _hear(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self.hub.listen() as listener:
            task_status.started()
            async for batch in listener:
                self.events += [event for _, event in batch]

    async def attempt(self, record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        begun, number = self.clock.now(), len(run.attempts) + 1
        self.started.append(Started((begun - START) / SECOND, record.job.name, run))
        acts = self.acts[record.job.name]
        act = acts.popleft() if len(acts) > 1 else acts[0]
        self._on += 1
        self.most = max(self.most, self._on)
        with trio.CancelScope() as scope:
            stop.attach(scope.cancel)
            if act.gate is not None:
                await act.gate.wait()
            await trio.sleep(act.seconds)
        self._on -= 1
        if act.bug is not None:
            raise act.bug
        state = State.CANCELLED if stop.requests else act.state
        return Attempt(number, begun, self.clock.now(), state), b"printed"

    async def post(self, url: str, headers: Mapping[str, list[str]], body: bytes) -> str:
        at = (self.clock.now() - START) / SECOND
        self.posted.append(Posted(at, url, headers, msgspec.json.decode(body)))
        replies = self.replies[url]
        reply = replies.popleft() if len(replies) > 1 else replies[0]
        self.posting[url] += 1
        try:
            await trio.sleep(reply.seconds)
        finally:
            self.posting[url] -= 1
        if reply.bug is not None:
            raise reply.bug
        return reply.error

    async def create(self, name: str, *acts: Act, disabled: bool = False, **members: Any) -> str:
        """A job; its id."""
        if acts:
            self.acts[name] = deque(acts)
        job = Job(name=name, command="true", **members)
        return (await self.service.create(job, disabled=disabled)).id

    async def until(self, seconds: float) -> None:
        """Let time pass until so many seconds after `START`, and everything that happens then."""
        await self.clock.sleep_until(START + round(seconds * SECOND))
        await trio.testing.wait_all_tasks_blocked()

    def record(self, job_id: str) -> Record:
        found = self.store.roster.get(job_id)
        assert found is not None
        return found

    def history(self, job_id: str | None = None) -> list[Run]:
        """What is in the history, in the order in which it was appended."""
        return self.driver.runs(RunQuery(job_id=job_id, limit=1_000_000)).runs[::-1]

    def starts(self, name: str | None = None) -> list[float]:
        return [one.at for one in self.started if name in (None, one.job)]

    def agrees(self) -> None:
        """What is in memory is what another start would find."""
        stored = {one.key: one.value for one in self.driver.load("job")}
        assert {record.id: encode(record) for record in self.store.roster} == stored

    def accounts_for(self, job_id: str, *, until: float, plan: Plan | None = None) -> dict[str, int]:
        """Every occurrence up to so many seconds after `START` is exactly one run, or in exactly one range that did
        not run, and every range has its reason. Returns how many there are of each state and reason."""
        record = self.record(job_id)
        plan = plan or plan_of(record.job)
        rows = [*self.history(job_id), *record.open, *([record.gap] if record.gap is not None else [])]
        found: Counter[Moment] = Counter()
        kinds: Counter[str] = Counter()
        for row in rows:
            if row.trigger not in COUNTED:
                continue
            covered = [row.scheduled_for]
            if row.state in NOT_RUN:
                assert row.reason
                if row.until is not None:
                    covered = list(plan.occurrences(row.scheduled_for - 1, row.until))
            assert len(covered) == row.count
            found.update(covered)
            kinds[f"{row.state} {row.reason}".strip()] += row.count
        limit = START + round(until * SECOND)
        first = START if plan.start is None else plan.start  # of a cron expression: while there was a world
        expected = Counter(plan.occurrences(first - 1, limit))
        assert moments(found - expected) == []  # twice, or not of the schedule
        assert moments(expected - found) == []  # of which nothing is known
        return dict(kinds)


def moments(runs: Iterable[Run | Moment]) -> list[float]:
    """Moments, or when runs were scheduled for, in seconds after `START`."""
    return [((run.scheduled_for if isinstance(run, Run) else run) - START) / SECOND for run in runs]
