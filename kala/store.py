"""The asynchronous front of a driver: the only writer of jobs, and the only place that calls the database on threads.

A decision is handed over with `change` or `transact`. The writer takes all that wait (up to `MOST`), lets each decide
on what the ones before have come to, commits the outcome once, and only then changes memory, tells the scheduler and
the hub, in that order, and wakes the callers. What was handed over cannot be withdrawn: a caller that is cancelled
changes nothing, so memory and database never part.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import outcome
import trio

from kala import events
from kala.clock import Clock, Moment
from kala.draft import JOB, Draft
from kala.drivers.contract import Conflict, Driver, Element, RunQuery, Stored, is_done
from kala.errors import JobNotFound, KalaError, StoreCorrupt, StoreRefused, StoreUnavailable, ValueTooLarge
from kala.events import Event
from kala.hub import Hub
from kala.job import Output, Record, Run, decode_record, encode, replace
from kala.ledger import Change
from kala.roster import Roster
from kala.states import ENDED

log = logging.getLogger(__name__)
Threads = Callable[..., Awaitable[Any]]
Decide = Callable[[Draft], Iterable[Change]]
Answered = Callable[[outcome.Outcome[list[Change]]], None]
MOST = 1000
"""Decisions in one commit: enough to share an fsync, few enough that the first does not wait long for the last."""
GATHER = 0.01
"""Seconds between two commits while there is much to do and nobody is in a hurry: ends of runs share them."""
RETRY_FIRST, RETRY_LAST = 0.1, 5.0
"""Seconds until a database that is away is tried again: doubled each time, from the first to the last."""
REVISION_ROOM = 32
"""Bytes that the revision, given at the write, may add to a record."""


class _Request:
    """A decision that waits for the writer, and who is to hear of it."""

    __slots__ = ("answered", "changes", "decide", "fault", "patient")

    def __init__(self, decide: Decide, answered: Answered, patient: bool) -> None:
        self.decide, self.answered, self.patient = decide, answered, patient
        self.changes: list[Change] = []
        self.fault: Exception | None = None

    def answer(self) -> None:
        self.answered(outcome.Error(self.fault) if self.fault is not None else outcome.Value(self.changes))


class _Doubt(NamedTuple):
    """A batch whose commit had no answer: any part of it may have been written."""

    draft: Draft
    elements: list[Element]
    patient: list[_Request]


class Store:
    """All jobs in memory (`roster`), and their durability.

    `told(before, after)` is called for every record that has changed, after its commit and before the callers wake.
    `in_thread(function, *arguments)` runs a blocking call; tests without threads give another.
    """

    def __init__(self, driver: Driver, clock: Clock, hub: Hub, in_thread: Threads | None = None) -> None:
        self._driver, self._clock, self._hub = driver, clock, hub
        self._write_in: Threads = in_thread or partial(trio.to_thread.run_sync, limiter=trio.CapacityLimiter(1))
        self._read_in: Threads = in_thread or partial(trio.to_thread.run_sync, limiter=trio.CapacityLimiter(4))
        self.roster = Roster()
        self.told: Callable[[Record | None, Record | None], None] = lambda before, after: None
        self.grown: set[str] = set()  # jobs whose history has grown since housekeeping last looked
        self._queue: deque[_Request] = deque()
        self._foreign: list[tuple[str, Stored | None]] = []  # written by others, to be adopted
        self._doubt: _Doubt | None = None
        self._wake = trio.Event()
        self._hasty, self._hurry, self._gather_until = False, trio.Event(), 0.0
        self._closing = trio.Event()
        self._up = trio.Event()
        self._fault: KalaError | None = StoreUnavailable("the jobs are not loaded yet")
        self._loaded = False
        self._last_created: Moment = 0
        self._token = ""

    @property
    def fault(self) -> KalaError | None:
        """Why nothing can be written now; None when it can."""
        return self._fault

    @property
    def loaded(self) -> bool:
        """The jobs have been read."""
        return self._loaded

    async def wait_up(self) -> None:
        """Return when the database can be written."""
        await self._up.wait()

    def job(self, job_id: str) -> Record:
        """A job that is there. Raises `JobNotFound`."""
        record = self.roster.jobs.get(job_id)
        if record is None:
            raise JobNotFound(job_id)
        return record

    def new_moment(self) -> Moment:
        """Now, and later than every one given before: the order in which jobs were added."""
        self._last_created = max(self._clock.now(), self._last_created + 1)
        return self._last_created

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
        task, waits = trio.lowlevel.current_task(), True

        def answered(came: outcome.Outcome[list[Change]]) -> None:
            if waits:
                trio.lowlevel.reschedule(task, came)

        def abandon(_: object) -> trio.lowlevel.Abort:
            nonlocal waits
            waits = False
            return trio.lowlevel.Abort.SUCCEEDED

        self.submit(decide, answered, patient=patient)
        return await trio.lowlevel.wait_task_rescheduled(abandon)  # type: ignore[no-any-return]

    def submit(self, decide: Decide, answered: Answered, *, patient: bool = False) -> None:
        """`transact` for whoever does not wait: the writer calls `answered` with what came of it, which must not raise.

        Raises `StoreUnavailable` when it is refused at once; then `answered` is not called.
        """
        if self._closing.is_set() or (self._fault is not None and not patient):
            raise self._fault or StoreUnavailable("the database is closed")
        self._queue.append(_Request(decide, answered, patient))
        self._wake.set()
        if not patient:
            self._hasty = True
            self._hurry.set()

    # The history, and what others write.

    async def ended_runs(self, job_id: str, limit: int) -> list[Run]:
        """The latest `limit` runs of a job that have ended, oldest first."""
        page = await self._read_in(self._driver.runs, RunQuery(job_id=job_id, states=ENDED, limit=limit))
        return page.runs[::-1]  # type: ignore[no-any-return]

    async def run(self, run_id: str) -> Run | None:
        """A run that has ended."""
        return await self._read_in(self._driver.run, run_id)  # type: ignore[no-any-return]

    async def output(self, run_id: str) -> list[Output]:
        """What the attempts of a run printed."""
        return await self._read_in(self._driver.output, run_id)  # type: ignore[no-any-return]

    async def prune(self, jobs: Sequence[str], *, keep: int, older_than: Moment | None) -> int:
        """`Driver.prune`, in the writer's thread."""
        return await self._write_in(partial(self._driver.prune, jobs, keep=keep, older_than=older_than))  # type: ignore[no-any-return]

    async def forget(self, jobs: Sequence[str]) -> int:
        """`Driver.forget`, in the writer's thread."""
        return await self._write_in(self._driver.forget, jobs)  # type: ignore[no-any-return]

    async def load(self) -> None:
        """Open the database and read all jobs. Raises `StoreUnavailable`, `StoreRefused`."""
        self._token, records = await self._read_in(self._open_and_load)
        for record in sorted(records, key=lambda record: record.created):
            self.roster.put(record)
            self._last_created = max(self._last_created, record.created)
        self._loaded = True
        self._came_up()

    def _open_and_load(self) -> tuple[str, list[Record]]:
        self._driver.open()
        token = self._driver.changes("").token
        return token, list(_readable(self._driver.load(JOB)))

    async def sync(self) -> None:
        """Adopt what other daemons have written since the last time. Raises `StoreUnavailable`."""
        known = [record.id for record in self.roster]  # before it is read: what is created meanwhile is not deleted
        changes = await self._read_in(self._driver.changes, self._token)
        stored, deleted = changes.stored, changes.deleted
        if changes.reset:
            stored = await self._read_in(lambda: list(self._driver.load(JOB)))
            there = {one.key for one in stored}
            deleted = [(JOB, job_id) for job_id in known if job_id not in there]
        self._token = changes.token
        self._foreign += [(one.key, one) for one in stored if one.kind == JOB]
        self._foreign += [(key, None) for kind, key in deleted if kind == JOB]
        self._wake.set()

    # The writer.

    def close(self) -> None:
        """Let the writer end when it has written all that was handed over."""
        self._closing.set()
        self._wake.set()
        self._hurry.set()

    async def write(self) -> None:
        """The writer: runs until `close`. While the database is away, it tries again with growing delays."""
        delay = RETRY_FIRST
        while not (self._closing.is_set() and not self._queue and not self._foreign):
            try:
                if self._fault is not None:
                    await self._recover()
                for key, stored in self._foreign:
                    self._adopt_readable(key, stored)
                self._foreign.clear()
                if self._queue:
                    await self._gather()
                    await self._commit([self._queue.popleft() for _ in range(min(MOST, len(self._queue)))])
                    delay = RETRY_FIRST
                elif not self._closing.is_set():
                    delay = RETRY_FIRST
                    self._wake = trio.Event()
                    await self._wake.wait()
            except (StoreUnavailable, StoreRefused) as fault:
                self._went_down(fault)
                if self._closing.is_set():
                    self._give_up(fault)
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

    async def _commit(self, batch: list[_Request]) -> None:
        self._gather_until = trio.current_time() + GATHER if len(batch) > 1 else 0.0
        self._hasty = any(not request.patient for request in self._queue)
        draft, elements = self._drafted(batch)
        try:
            answers = await self._write_in(self._commit_parts, elements) if elements else []
        except (StoreUnavailable, StoreRefused) as fault:
            self._doubt = _Doubt(draft, elements, [request for request in batch if request.patient])
            self._put_back(batch, fault)
            raise
        self._queue.extendleft(reversed(self._conclude(batch, draft, elements, answers)))

    def _drafted(self, batch: list[_Request]) -> tuple[Draft, list[Element]]:
        """What the decisions come to. When a record would be too large, each is measured, and fails alone."""
        for measured in (False, True):
            draft = Draft(self.roster)
            for request in batch:
                self._decide(request, draft, measured)
            elements = list(draft.elements())
            if all(len(element.value or b"") <= self._driver.max_value for element in elements):
                break
        return draft, elements

    def _decide(self, request: _Request, draft: Draft, measured: bool) -> None:
        request.fault, request.changes = None, []
        try:
            changes = list(request.decide(draft))
            if measured:
                self._measure(changes)
            request.changes = changes
        except KalaError as fault:
            request.fault = fault
        except Exception as bug:  # noqa: BLE001  # a bug in one decision fails its caller alone, with its traceback
            request.fault = bug
        for change in request.changes:
            draft.add(change)

    def _measure(self, changes: list[Change]) -> None:
        for change in changes:
            size = 0 if change.purge else len(encode(change.record)) + REVISION_ROOM
            if size > self._driver.max_value:
                raise ValueTooLarge(f"job {change.record.id}", size, self._driver.max_value)

    def _conclude(
        self, batch: list[_Request], draft: Draft, elements: list[Element], answers: list[Conflict | None]
    ) -> list[_Request]:
        """Change memory, tell, and wake the callers; return the requests that have to be decided again."""
        lost, corrupt = self._apply(draft, elements, answers)
        again = []
        for request in batch:
            touched = [change.record.id for change in request.changes]
            if any(job_id in lost for job_id in touched):
                again.append(request)
                continue
            request.fault = next((corrupt[one] for one in touched if one in corrupt), request.fault)
            request.answer()
        return again

    def _commit_parts(self, elements: list[Element]) -> list[Conflict | None]:
        answers: list[Conflict | None] = []
        part: list[Element] = []
        size = 0
        for element in elements:
            weight = len(element.value or b"") + 500 * len(element.runs) + sum(len(o.data) for o in element.outputs)
            if part and (len(part) == self._driver.max_batch or size + weight > self._driver.max_batch_bytes):
                answers += self._driver.commit(part)
                part, size = [], 0
            part.append(element)
            size += weight
        return answers + self._driver.commit(part)

    def _apply(
        self, draft: Draft, elements: list[Element], answers: list[Conflict | None]
    ) -> tuple[set[str], dict[str, StoreCorrupt]]:
        """Change memory in the order of the commit; return the jobs that another daemon wrote first, and of these
        apart what cannot be read."""
        lost: set[str] = set()
        corrupt: dict[str, StoreCorrupt] = {}
        told: list[Event] = []
        for element, answer in zip(elements, answers, strict=True):
            job_id = element.key
            if answer is not None:
                try:
                    self._adopt(job_id, answer.current)
                    lost.add(job_id)
                except StoreCorrupt as fault:
                    corrupt[job_id] = fault
                continue
            before, changes = self.roster.get(job_id), draft.changes[job_id]
            after = None if element.value is None else replace(changes[-1].record, revision=element.revision)
            self._replace(job_id, before, after)
            if element.runs:
                self.grown.add(job_id)
            for change in changes:
                told += change.events
        self._hub.publish_nowait(told)
        return lost, corrupt

    def _replace(self, job_id: str, before: Record | None, after: Record | None) -> None:
        if after is None:
            self.roster.drop(job_id)
        else:
            self.roster.put(after)
        self.told(before, after)

    def _adopt(self, job_id: str, stored: Stored | None) -> None:
        """Take over what is in the database, unless memory has later news. Raises `StoreCorrupt`."""
        before = self.roster.get(job_id)
        if stored is None:
            if before is not None:
                self._replace(job_id, before, None)
        elif before is None or stored.revision > before.revision:
            record = _decoded(stored)
            self._last_created = max(self._last_created, record.created)
            self._replace(job_id, before, record)
            self._hub.publish_nowait([Event(events.JOB_SAVED, self._clock.now(), job_id)])

    def _adopt_readable(self, job_id: str, stored: Stored | None) -> None:
        try:
            self._adopt(job_id, stored)
        except StoreCorrupt as fault:
            log.error("%s", fault)

    def _put_back(self, batch: list[_Request], fault: KalaError) -> None:
        """Refuse what cannot wait, and let the rest wait in front."""
        self._queue.extendleft(request for request in reversed(batch) if request.patient)
        for request in batch:
            if not request.patient:
                request.fault = fault
                request.answer()

    # Away and back.

    def _went_down(self, fault: KalaError) -> None:
        waiting = list(self._queue)
        self._queue.clear()
        self._put_back(waiting, fault)
        if self._fault is None:
            log.error("the database is away: %s", fault)
            self._hub.publish_nowait([Event(events.STORE_DOWN, self._clock.now(), reason=str(fault))])
            self._up = trio.Event()
        self._fault = fault

    async def _recover(self) -> None:
        """Prove that the database can be written, and find out what came of the batch that had no answer."""
        elements = self._doubt.elements if self._doubt is not None else []
        found = await self._write_in(self._probe, [element.key for element in elements])
        if self._doubt is not None:
            (draft, _, patient), self._doubt = self._doubt, None
            answers = [
                None if is_done(element, stored) else Conflict(stored)
                for element, stored in zip(elements, found, strict=True)
            ]
            again = set(self._conclude(patient, draft, elements, answers))
            answered = {request for request in patient if request not in again}
            self._queue = deque(request for request in self._queue if request not in answered)
        self._came_up()
        log.info("the database is back")
        self._hub.publish_nowait([Event(events.STORE_UP, self._clock.now())])

    def _probe(self, doubtful: list[str]) -> list[Stored | None]:
        probe = self._driver.get("setting", "probe")
        revision = probe.revision if probe is not None else 0
        self._driver.commit([Element("setting", "probe", revision, revision + 1, b"{}")])
        return [self._driver.get(JOB, job_id) for job_id in doubtful]

    def _came_up(self) -> None:
        self._fault = None
        self._up.set()

    def _give_up(self, fault: KalaError) -> None:
        if self._queue:
            log.error("%d results could not be written before the end: %s", len(self._queue), fault)
        for request in self._queue:
            request.fault = fault
            request.answer()
        self._queue.clear()


def _decoded(stored: Stored) -> Record:
    try:
        return decode_record(stored.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise StoreCorrupt(stored.kind, stored.key, str(fault)) from None


def _readable(found: Iterable[Stored]) -> Iterator[Record]:
    """The records that can be read; the others are named in the log, and left as they are."""
    for stored in found:
        try:
            yield _decoded(stored)
        except StoreCorrupt as fault:
            log.error("%s", fault)
