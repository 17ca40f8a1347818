"""What runs print while they are on: kept by run from an attempt's start until its end is durable.

So whatever is printed is here or in the history, or, for a moment, in both; never in neither.
"""

import trio

from kala import events
from kala.clock import Clock
from kala.events import Event
from kala.hub import Hub
from kala.job import Record
from kala.tail import Tail

FIRST, EVERY = 0.1, 1.0
"""Seconds: from a run's first bytes to the event that tells of them, and between two such events of a run."""
ROOM = 1 << 20
"""Bytes that are held, whatever the limit, while somebody follows: a fast printer is ahead of any reader for moments.
At most twice as many are in memory, for each attempt that is followed."""


class Live(Tail):
    """The output of an attempt that is on, or whose end is not durable yet."""

    __slots__ = ("_outputs", "_wake", "ended", "followers", "job_id", "number", "run_id", "tell_at")

    def __init__(self, outputs: "Outputs", job_id: str, run_id: str, number: int, limit: int) -> None:
        super().__init__(limit)
        self._outputs = outputs
        self.job_id, self.run_id, self.number = job_id, run_id, number
        self.followers = 0
        self.ended = False  # nothing more will come
        self.tell_at = 0.0  # by Trio's clock: no event before
        self._wake: trio.Event | None = None

    def is_wanted(self) -> bool:
        return self.followers > 0 or self._outputs.are_heard

    def grown(self) -> None:
        if self.followers:
            self.told = False  # before they look: what comes after they have is told again
            self._ring()
        self._outputs.grew(self)

    def _ring(self) -> None:
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    def end_with(self, output: bytes) -> None:
        """The attempt has ended. Where nothing was printed, its output is what went wrong."""
        if output and not self.size:
            self.limit = max(self.limit, len(output))  # it is kept whatever the limit
            self.add(output)
        self.finish()
        self.close()

    def close(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self._ring()

    def join(self) -> None:
        """One reads along from now on, until `leave`: more is held, and growth is told at once."""
        self.followers += 1
        self.room = ROOM
        self.told = False

    def leave(self) -> None:
        self.followers -= 1
        if not self.followers:
            self.room = 0

    async def wait_beyond(self, offset: int) -> None:
        """Return when there is something from `offset` on, or nothing more will come. For who has joined."""
        while self.end <= offset and not self.ended:
            if self._wake is None:
                self._wake = trio.Event()
            await self._wake.wait()


class Outputs:
    """Owns what is printed now, the events that tell of it, and who waits for a further attempt of a run."""

    def __init__(self, clock: Clock, hub: Hub) -> None:
        self._clock, self._hub = clock, hub
        self._lives: dict[str, Live] = {}  # by run
        self._changed: dict[str, trio.Event] = {}  # by run
        self._untold: dict[Live, None] = {}
        self._grew = trio.Event()
        self.closed = False

    def begin(self, job_id: str, run_id: str, number: int, limit: int) -> Live:
        """An attempt begins, of whose output `limit` bytes are kept."""
        live = self._lives[run_id] = Live(self, job_id, run_id, number, limit)
        if self._changed:
            self._tell_change(run_id)
        return live

    def get(self, run_id: str) -> Live | None:
        return self._lives.get(run_id)

    def drop(self, run_id: str, number: int) -> None:
        """The end of an attempt is durable, or will never be."""
        live = self._lives.get(run_id)
        if live is not None and live.number == number:
            live.close()
            del self._lives[run_id]

    # Waiting for what comes next of a run.

    def look(self, before: Record | None) -> None:
        """A record has changed from `before`: wake who waits for something to happen to one of its runs."""
        if self._changed and before is not None:
            for run in before.open:
                self._tell_change(run.id)

    def _tell_change(self, run_id: str) -> None:
        if (event := self._changed.pop(run_id, None)) is not None:
            event.set()

    async def wait_changed(self, run_id: str) -> None:
        """Return when something has happened to an open run, or nothing will any more."""
        if not self.closed:
            await self._changed.setdefault(run_id, trio.Event()).wait()

    def close(self) -> None:
        """Nothing will happen any more: tell who waits."""
        self.closed = True
        for run_id in list(self._changed):
            self._tell_change(run_id)
        for live in self._lives.values():
            live.close()

    # Events.

    @property
    def are_heard(self) -> bool:
        """Somebody listens to events. From any thread."""
        return self._hub.listeners > 0

    def grew(self, live: Live) -> None:
        """There is something to tell of."""
        if self.are_heard and not live.ended:
            self._untold[live] = None
            self._grew.set()

    async def run(self) -> None:
        """Publish `run.output`: that a run has printed, at most once in `EVERY` seconds. Runs until cancelled."""
        while True:
            await self._grew.wait()
            while self._untold:
                await trio.sleep(FIRST)
                self._tell_due()
            self._grew = trio.Event()

    def _tell_due(self) -> None:
        told, now, at = [], trio.current_time(), self._clock.now()
        for live in list(self._untold):
            if live.ended or not self.are_heard:
                del self._untold[live]
                live.told = False
            elif live.tell_at <= now:
                del self._untold[live]
                live.tell_at = now + EVERY
                live.told = False  # before its size is read: what comes after that is told again
                told.append(Event(events.RUN_OUTPUT, at, live.job_id, live.run_id, attempt=live.number, size=live.size))
        if told:
            self._hub.publish_nowait(told)
