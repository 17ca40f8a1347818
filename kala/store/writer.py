"""The store's writer: it alone changes jobs, in memory and in the database.

It takes all requests that wait (up to `MOST`), lets each decide on what the ones before have come to, commits the
outcome once, and only then changes memory, tells of it, and wakes the callers. While the database is away it tries
again and again; `outage.py` is what is told of that, `keeper.py` who keeps the results that wait.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable

import msgspec
import trio

from kala import events
from kala.clock import Clock, Moment
from kala.drivers.contract import Conflict, Driver, Stored, in_parts
from kala.errors import KalaError, Kept, StoreCorrupt, StoreRefused, StoreUnavailable, again
from kala.events import Event
from kala.hub import Hub
from kala.job import Record, decode_record
from kala.store.batch import Answered, Batch, Decide, Request
from kala.store.commits import Commits
from kala.store.health import Health
from kala.store.keeper import Keeper
from kala.store.proof import Covered, is_another, refuse_older
from kala.store.reader import Threads
from kala.store.results import Result
from kala.store.roster import Roster

log = logging.getLogger(__name__)
Changed = Callable[[str, Record | None, Record | None, bool], None]
MOST = 1000
"""Decisions in one commit: enough to share an fsync, few enough that the first does not wait long for the last."""
GATHER, MANY = 0.01, 8
"""Seconds between a commit of many and the next, while nobody is in a hurry: ends of runs then share commits."""
RETRY_FIRST, RETRY_LAST = 0.1, 5.0
"""Seconds until a database that is away is tried again: doubled each time, from the first to the last."""


class Writer:
    """Owns the records in memory (`roster`), the requests that wait, and what is known of the database (`health`).

    `in_thread(function, *arguments)` runs a blocking call, one at a time. `changed(job_id, before, after, grown)` is
    called for each record that has changed, after its commit and before the callers wake; `grown`: so has its history.
    """

    def __init__(
        self, driver: Driver, clock: Clock, hub: Hub, in_thread: Threads, changed: Changed, keeper: Keeper
    ) -> None:
        self._driver, self._clock, self._hub, self._changed = driver, clock, hub, changed
        self._keeper, self.commits = keeper, Commits()
        self.in_thread = in_thread
        self.roster = Roster()
        self.health = Health(driver, clock, hub, lambda: self._wake.set())
        self._queue: deque[Request] = deque()
        self._foreign: list[tuple[str, Stored | None]] = []  # written by others, to be adopted
        self._doubt: Batch | None = None  # its commit had no answer: any part of it may have been written
        self._wake = trio.Event()
        self._hasty, self._hurry, self._gather_until = False, trio.Event(), 0.0
        self._closing, self._hasty_end = trio.Event(), False
        self._last_created: Moment = 0

    def start_with(self, loaded: Roster, last_created: Moment) -> None:
        """What the database holds has been read: from now on it can be written."""
        self.roster.become(loaded)
        self._last_created = max(self._last_created, last_created)
        self.came_up()

    def new_moments(self, count: int) -> range:
        """So many, from now on, and later than every one given before: the order in which jobs were added."""
        first = max(self._clock.now(), self._last_created + 1)
        self._last_created = max(self._last_created, first + count - 1)
        return range(first, first + count)

    def submit(self, decide: Decide, answered: Answered, patient: bool, result: Result | None = None) -> None:
        """As `Store.submit`."""
        if result is not None:
            self._keeper.add(result)
        if self._closing.is_set() or (self.health.fault is not None and not patient):
            fault = self.health.fault or StoreUnavailable("the database is closed")
            raise Kept(*fault.args) if result is not None and self._keeper.spool is not None else again(fault)
        self._queue.append(Request(decide, answered, patient, result))
        self._wake.set()
        if not patient:
            self._hasty = True
            self._hurry.set()

    @property
    def waiting(self) -> int:
        """Requests that wait to be written."""
        return len(self._queue)

    def adopt(self, found: Iterable[tuple[str, Stored | None]]) -> None:
        """Hand over what others have written: jobs by id, None for one that is gone."""
        self._foreign += found
        self._wake.set()

    def close(self, *, hasty: bool = False) -> None:
        """As `Store.close`."""
        self._hasty_end |= hasty
        self._closing.set()
        self._wake.set()
        self._hurry.set()

    async def run(self) -> None:
        """Write until `close`. While the database is away, try again with growing delays."""
        delay = RETRY_FIRST
        while not (self._closing.is_set() and not self._queue and not self._foreign):
            try:
                if self.health.fault is not None:
                    if self._closing.is_set() and self._hasty_end:
                        raise self.health.fault
                    await self._recover()
                elif self.health.suspicion is not None:
                    await self.prove()
                    self.health.is_sound()
                for key, stored in self._foreign:
                    self._adopt_readable(key, stored)
                self._foreign.clear()
                if self._queue:
                    await self._gather()
                    await self._commit([self._queue.popleft() for _ in range(min(MOST, len(self._queue)))])
                    delay = RETRY_FIRST
                elif not self._closing.is_set():
                    self._wake = trio.Event()
                    with trio.move_on_at(self.health.outage.quiet_until):
                        await self._wake.wait()
                    self.health.outage.look()
                    if self.health.outage.since is None:
                        delay = RETRY_FIRST
            except (StoreUnavailable, StoreRefused) as fault:
                self._went_down(fault)
                if self._closing.is_set():
                    await self._give_up(fault)
                    return
                with trio.move_on_after(delay):
                    await self._closing.wait()
                delay = min(delay * 2, RETRY_LAST)

    async def _gather(self) -> None:
        """When the last commit served several, and only patient requests wait, let more of them come."""
        left = self._gather_until - trio.current_time()
        if left > 0 and not self._hasty:
            self._hurry = trio.Event()
            with trio.move_on_after(left):
                await self._hurry.wait()

    async def _commit(self, requests: list[Request]) -> None:
        self._gather_until = trio.current_time() + GATHER if len(requests) >= MANY else 0.0
        self._hasty = any(not request.patient for request in self._queue)
        batch = Batch(requests, self.roster, self._driver.max_value)
        try:
            answers = await self.in_thread(self._commit_parts, batch) if batch.elements else []
            refuse_older(batch.elements, answers, self.roster)
        except (StoreUnavailable, StoreRefused) as fault:
            self._doubt = batch
            batch.requests = [request for request in requests if request.patient]
            self._put_back(requests, fault)
            raise
        self._queue.extendleft(reversed(self._conclude(batch, answers)))
        results = sum(request.patient for request in requests)
        self.health.outage.answered(results, written=bool(batch.elements))

    def _commit_parts(self, batch: Batch) -> list[Conflict | None]:
        answers: list[Conflict | None] = []
        with self.commits.counted(len(batch.requests), answers):
            for part in in_parts(batch.elements, self._driver.max_batch, self._driver.max_batch_bytes):
                answers += self._driver.commit(part)
        return answers

    def _conclude(self, batch: Batch, answers: list[Conflict | None]) -> list[Request]:
        """Change memory, tell, and wake the callers; return the requests that have to be decided again."""
        lost, corrupt = self._apply(batch, answers)
        decided_again = []
        for request in batch.requests:
            touched = [change.record.id for change in request.changes]
            if any(job_id in lost for job_id in touched):
                decided_again.append(request)
                continue
            request.fault = next((corrupt[one] for one in touched if one in corrupt), request.fault)
            if request.result is not None:
                self._keeper.settle(request.result)
            request.answer()
        return decided_again

    def _apply(self, batch: Batch, answers: list[Conflict | None]) -> tuple[set[str], dict[str, StoreCorrupt]]:
        """Change memory in the order of the commit; return the jobs that another daemon wrote first, and of these
        apart what cannot be read."""
        lost: set[str] = set()
        corrupt: dict[str, StoreCorrupt] = {}
        told: list[Event] = []
        for element, answer in zip(batch.elements, answers, strict=True):
            job_id = element.key
            if answer is not None:
                ours = isinstance(answer, Covered)
                try:
                    self._adopt(job_id, answer.current, grown=ours)
                except StoreCorrupt as fault:
                    corrupt[job_id] = fault
                    continue
                if ours:
                    for change in batch.draft.changes[job_id]:
                        told += change.events
                else:
                    lost.add(job_id)
                continue
            self._replace(job_id, self.roster.get(job_id), batch.draft.after.get(job_id), grown=bool(element.runs))
            for change in batch.draft.changes[job_id]:
                told += change.events
        self._hub.publish_nowait(told)
        return lost, corrupt

    def _replace(self, job_id: str, before: Record | None, after: Record | None, *, grown: bool = False) -> None:
        if after is None:
            self.roster.drop(job_id)
        else:
            self.roster.put(after)
        self._changed(job_id, before, after, grown)

    def _adopt(self, job_id: str, stored: Stored | None, *, grown: bool = False) -> None:
        """Take over what is in the database, unless memory has later news. Raises `StoreCorrupt`."""
        before = self.roster.get(job_id)
        if stored is None:
            if before is not None:
                self._replace(job_id, before, None)
        elif before is None or stored.revision > before.revision or is_another(before, stored):
            record = decoded(stored)
            self._last_created = max(self._last_created, record.created)
            self._replace(job_id, before, record, grown=grown)
            self._hub.publish_nowait([Event(events.JOB_SAVED, self._clock.now(), job_id)])

    def _adopt_readable(self, job_id: str, stored: Stored | None) -> None:
        try:
            self._adopt(job_id, stored)
        except StoreCorrupt as fault:
            log.error("%s", fault)

    def _put_back(self, requests: list[Request], fault: KalaError) -> None:
        """Refuse what cannot wait, and let the rest wait in front."""
        self._queue.extendleft(request for request in reversed(requests) if request.patient)
        for request in requests:
            if not request.patient:
                request.fault = again(fault)
                request.answer()

    # Away and back.

    def came_up(self) -> None:
        """The database can be written."""
        self.health.came_up()
        self._keeper.set_urgent(False)

    def _went_down(self, fault: KalaError) -> None:
        waiting = list(self._queue)
        self._queue.clear()
        self._put_back(waiting, fault)
        self.health.went_down(fault)
        self.health.outage.begin(fault)
        self._keeper.set_urgent(True)

    async def prove(self) -> None:
        """Raise `StoreUnavailable`, `StoreRefused` when it cannot be written, or is another one."""
        await self.in_thread(self.health.prove)

    async def _recover(self) -> None:
        """Prove that the database can be written, and find out what came of the batch that had no answer."""
        answers = await self.in_thread(self.health.prove, self._doubt)
        written = 0
        if self._doubt is not None:
            refuse_older(self._doubt.elements, answers, self.roster)
            batch, self._doubt = self._doubt, None
            undecided = set(self._conclude(batch, answers))
            answered = {request for request in batch.requests if request not in undecided}
            self._queue = deque(request for request in self._queue if request not in answered)
            written = len(answered)
        self.came_up()
        self.health.outage.relent(written, len(self._queue))

    async def _give_up(self, fault: KalaError) -> None:
        kept = await self._keeper.flush()
        results = sum(request.result is not None for request in self._queue)
        if results and kept:
            log.warning("%d results are kept in %s for the next start: %s", results, self._keeper.path, fault)
        elif self._queue:
            log.error("%d results could not be written before the end: %s", len(self._queue), fault)
        for request in self._queue:
            request.fault = Kept(*fault.args) if kept and request.result is not None else again(fault)
            request.answer()
        self._queue.clear()


def decoded(stored: Stored) -> Record:
    """Raises `StoreCorrupt`."""
    try:
        return decode_record(stored.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise StoreCorrupt(stored.kind, stored.key, str(fault)) from None
