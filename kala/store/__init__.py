"""The asynchronous front of a driver: how everybody else reads and changes jobs and the history.

A decision is handed over with `change` or `transact`. The writer (`writer.py`) takes all that wait, commits what they
come to once, and only then changes memory, tells the scheduler and the hub, in that order, and wakes the callers. What
was handed over cannot be withdrawn: a caller that is cancelled changes nothing, so memory and database never part.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import outcome
import trio

from kala import threads
from kala.clock import Clock, Moment
from kala.drivers.contract import Conflict, Driver, Element, RunPage, RunQuery, Stored
from kala.drivers.unfinished import refuse_unfinished
from kala.errors import JobNotFound, KalaError, StoreCorrupt, StoreRefused, StoreUnavailable, again
from kala.hub import Hub
from kala.job import Output, Record, Run
from kala.ledger import Change
from kala.outputs import Outputs
from kala.states import ENDED
from kala.store.batch import Answered, Decide
from kala.store.draft import JOB, Draft
from kala.store.keeper import Keeper
from kala.store.reader import AT_ONCE, Reader, Threads
from kala.store.results import Result
from kala.store.roster import Roster
from kala.store.spool import Left, Spool
from kala.store.writer import MOST, RETRY_FIRST, RETRY_LAST, Writer, decoded

__all__ = ["MOST", "RETRY_FIRST", "RETRY_LAST", "Store", "Threads"]

log = logging.getLogger(__name__)
SETTING = "setting"
T = TypeVar("T")


class Store:
    """All jobs in memory (`roster`), and their durability. `outputs` are those that are not durable yet.

    `told(before, after)` is called for every record that has changed, after its commit and before the callers wake.
    `in_thread(function, *arguments)` runs a blocking call; tests without threads give another. With a `spool` results
    that the database does not take are kept there.
    """

    def __init__(
        self, driver: Driver, clock: Clock, hub: Hub, in_thread: Threads | None = None, *, spool: Spool | None = None
    ) -> None:
        write_in: Threads = in_thread or partial(threads.in_thread, limiter=trio.CapacityLimiter(1))
        read_in: Threads = in_thread or partial(threads.in_thread, limiter=trio.CapacityLimiter(AT_ONCE))
        self._aside_in: Threads = in_thread or partial(threads.in_thread, limiter=trio.CapacityLimiter(2))
        self._driver, self._clock = driver, clock
        self._keeper = Keeper(spool, self._aside_in)
        self._writer = Writer(driver, clock, hub, write_in, self._changed, self._keeper)
        self._health = self._writer.health
        self.commits, self.spooled = self._writer.commits, self._keeper.spooled  # for who counts
        self._read = Reader(self._health, read_in).read
        self.roster = self._writer.roster
        self.told: Callable[[Record | None, Record | None], None] = lambda before, after: None
        self.outputs = Outputs(clock, hub)
        self.grown: set[str] = set()  # jobs whose history has grown since housekeeping last looked
        self.setting_told: dict[str, Callable[[Stored], None]] = {}  # by key: who hears that another daemon has set it
        self._loaded = False
        self._token = ""

    def _changed(self, job_id: str, before: Record | None, after: Record | None, grown: bool) -> None:
        if grown:
            self.grown.add(job_id)
        self.outputs.look(before)
        self.told(before, after)

    @property
    def fault(self) -> KalaError | None:
        """Why nothing can be written now; None when it can."""
        return self._health.fault

    def demand_loaded(self) -> None:
        """Raise why the jobs have not been read yet."""
        if not self._loaded and self.fault is not None:
            raise again(self.fault)

    @property
    def down_since(self) -> Moment | None:
        """Since when the database is away; None while it is not."""
        return self._health.outage.since

    @property
    def database(self) -> tuple[str, str]:
        """The engine, and its place, without a password."""
        return self._driver.name, self._driver.place

    @property
    def waiting(self) -> int:
        """Requests that wait to be written."""
        return self._writer.waiting

    def suspect(self, fault: KalaError) -> None:
        """Somebody has met this: find out whether the database is away."""
        self._health.suspect(fault)

    def not_yet(self, fault: KalaError) -> None:
        """Nothing can be written until `load` has been called again."""
        self._health.not_yet(fault)

    async def wait_up(self) -> None:
        """Return when the database can be written."""
        await self._health.wait_up()

    def job(self, job_id: str) -> Record:
        """A job that is there. Raises `JobNotFound`."""
        record = self.roster.jobs.get(job_id)
        if record is None:
            raise JobNotFound(job_id)
        return record

    def new_moment(self) -> Moment:
        """Now, and later than every one given before: the order in which jobs were added."""
        return self.new_moments(1)[0]

    def new_moments(self, count: int) -> range:
        """So many of them, a microsecond apart."""
        return self._writer.new_moments(count)

    # Decisions.

    async def change(self, job_id: str, decide: Callable[[Record], Change], *, patient: bool = False) -> Change:
        """Decide about one job, deleted or not. Raises what `decide` raises, `JobNotFound`, and as `transact`."""

        def on_one(draft: Draft) -> tuple[Change]:
            record = draft.any(job_id)
            if record is None:
                raise JobNotFound(job_id)
            return (decide(record),)

        return (await self.transact(on_one, patient=patient))[0]

    async def transact(self, decide: Decide, *, patient: bool = False) -> list[Change]:
        """Decide about several jobs, each at most once; each one's change is atomic by itself.

        Returns when all is durable. Raises what `decide` raises, `StoreUnavailable`, `ValueTooLarge`. While the
        database is away others are refused at once, and `patient` ones, results that must not be lost, wait.
        `decide` may be called again when another daemon has written first. Cancelling the caller withdraws nothing.
        """
        return await self._transact(decide, patient, None)

    async def _transact(self, decide: Decide, patient: bool, result: Result | None) -> list[Change]:
        task, waits = trio.lowlevel.current_task(), True

        def answered(came: outcome.Outcome[list[Change]]) -> None:
            if waits:
                trio.lowlevel.reschedule(task, came)

        def abandon(_: object) -> trio.lowlevel.Abort:
            nonlocal waits
            waits = False
            return trio.lowlevel.Abort.SUCCEEDED

        self._writer.submit(decide, answered, patient, result)
        return await trio.lowlevel.wait_task_rescheduled(abandon)  # type: ignore[no-any-return]

    async def record(self, result: Result) -> Change:
        """Decide what came of a run, patiently. Raises what `Result.decide` raises, and `Kept` when this is the end and
        it is left to the next start."""
        return (await self._transact(lambda draft: result.decide(draft, self._clock.now()), True, result))[0]

    def submit(self, decide: Decide, answered: Answered, *, patient: bool = False) -> None:
        """`transact` for whoever does not wait: the writer calls `answered` with what came of it, which must not raise.

        Raises `StoreUnavailable` when it is refused at once; then `answered` is not called.
        """
        self._writer.submit(decide, answered, patient)

    async def left(self) -> list[Left]:
        """Results that earlier starts could not write; to be closed."""
        return await self._keeper.left()

    # The history, and what others write.

    async def ended_runs(self, job_id: str, limit: int) -> list[Run]:
        """The latest `limit` runs of a job that have ended, oldest first."""
        page = await self._read(self._driver.runs, RunQuery(job_id=job_id, states=ENDED, limit=limit))
        return page.runs[::-1]  # type: ignore[no-any-return]

    async def runs(self, query: RunQuery) -> RunPage:
        """A page of the history. Raises `StoreUnavailable`, and `Invalid` for an `after` that no page gave."""
        return await self._read(self._driver.runs, query)  # type: ignore[no-any-return]

    async def run(self, run_id: str) -> Run | None:
        """A run that has ended."""
        return await self._read(self._driver.run, run_id)  # type: ignore[no-any-return]

    async def output(self, run_id: str) -> list[Output]:
        """What the attempts of a run printed."""
        return await self._read(self._driver.output, run_id)  # type: ignore[no-any-return]

    async def read(self, function: Callable[[], T]) -> T:
        """A read of someone else's, in the readers' threads. Raises `StoreUnavailable`, `StoreRefused`: at once when
        nothing is to be hoped for."""
        return await self._read(function)  # type: ignore[no-any-return]

    async def prune(self, jobs: Sequence[str], *, keep: int, older_than: Moment | None) -> int:
        """`Driver.prune`, in the writer's thread."""
        return await self._aside(partial(self._driver.prune, jobs, keep=keep, older_than=older_than))  # type: ignore[no-any-return]

    async def trim_outputs(self, limit: int) -> int:
        """`Driver.trim_outputs`, in the writer's thread."""
        return await self._aside(self._driver.trim_outputs, limit)  # type: ignore[no-any-return]

    async def forget(self, jobs: Sequence[str]) -> int:
        """`Driver.forget`, in the writer's thread."""
        return await self._aside(self._driver.forget, jobs)  # type: ignore[no-any-return]

    async def _aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A call in the writer's thread, beside what it writes."""
        try:
            return await self._writer.in_thread(function, *arguments)
        except (StoreUnavailable, StoreRefused) as fault:
            self.suspect(fault)
            raise

    async def setting(self, key: str) -> Stored | None:
        """A setting of all daemons on the database."""
        return await self._read(self._driver.get, SETTING, key)  # type: ignore[no-any-return]

    async def put_setting(self, key: str, value: bytes) -> Stored:
        """Set it: the last one to do so counts. In the writer's thread. Raises `StoreUnavailable`."""
        if self.fault is not None:
            raise again(self.fault)
        return await self._aside(self._put_setting, key, value)  # type: ignore[no-any-return]

    def _put_setting(self, key: str, value: bytes) -> Stored:
        conflict: Conflict | None = Conflict(self._driver.get(SETTING, key))
        while conflict is not None:
            revision = conflict.current.revision if conflict.current is not None else 0
            conflict = self._driver.commit([Element(SETTING, key, revision, revision + 1, value)])[0]
        return Stored(SETTING, key, revision + 1, value)

    async def load(self) -> None:
        """Open the database and read all jobs; once they have been read, nothing. From then on it can be written.
        Raises `StoreUnavailable`, `StoreRefused`."""
        if self._loaded:
            self._writer.came_up()
            return
        self._token, loaded, last_created = await self._aside_in(self._open_and_load)
        self._loaded = True
        self._writer.start_with(loaded, last_created)

    def _open_and_load(self) -> tuple[str, Roster, Moment]:
        self._driver.open()
        refuse_unfinished(self._driver)
        token = self._driver.changes("").token
        records = sorted(_readable(self._driver.load(JOB)), key=lambda record: record.created)
        last_created = records[-1].created if records else 0
        return token, Roster.of(records), last_created  # in this thread: while the loop did it, it would not answer

    async def sync(self) -> None:
        """Adopt what other daemons have written since the last time. Raises `StoreUnavailable`."""
        known = [record.id for record in self.roster]  # before it is read: what is created meanwhile is not deleted
        changes = await self._aside_in(self._driver.changes, self._token)
        stored, deleted = changes.stored, changes.deleted
        if changes.reset:
            stored = await self._aside_in(lambda: [*self._driver.load(JOB), *self._driver.load(SETTING)])
            await self._writer.prove()  # of one that was emptied all would be taken for deleted
            there = {one.key for one in stored if one.kind == JOB}
            deleted = [(JOB, job_id) for job_id in known if job_id not in there]
        self._token = changes.token
        self._writer.adopt((one.key, one) for one in stored if one.kind == JOB)
        self._writer.adopt((key, None) for kind, key in deleted if kind == JOB)
        for one in stored:
            if one.kind == SETTING and one.key in self.setting_told:
                self.setting_told[one.key](one)

    # The writer.

    async def write(self) -> None:
        """Runs until `close`. While the database is away, it tries again with growing delays; results that wait are
        kept in the spool."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keeper.run)
            await self._writer.run()
            nursery.cancel_scope.cancel()
        await self._keeper.tidy()

    async def keep_rest(self) -> None:
        """Keep what was handed over after `write` has ended."""
        await self._keeper.flush()

    def close(self, *, hasty: bool = False) -> None:
        """Let `write` end when it has written all that was handed over. While the database is away it tries once more,
        unless it is to be `hasty`."""
        self._writer.close(hasty=hasty)


def _readable(found: Iterable[Stored]) -> Iterator[Record]:
    """The records that can be read; the others are named in the log, and left as they are."""
    for stored in found:
        try:
            yield decoded(stored)
        except StoreCorrupt as fault:
            log.error("%s", fault)
