"""Fan-out of events. Publishing never waits, and while nobody listens it costs no more than keeping them.

All listeners read one ring of the latest events, each from its own place in it: a slow one holds nothing up and keeps
nothing alive, and one that the ring has overtaken is cut off. So one that was away can go on where it was.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from secrets import token_hex

import trio

from kala.errors import KalaError
from kala.events import Event
from kala.frames import Frame, Wanted
from kala.wire.eventjson import event_id, number_in

RING = 20_000
"""Events that are kept: half a minute of 200 runs a second. They take 11 MB (measured); the
names in them are the records' own."""
SLACK = RING // 10
"""So many more may be there before the oldest go: it is cheaper than letting go of them one by one."""
AT_ONCE = 500
"""Events in a frame: no client gets a message above some 200 KB, where jobs have names of the usual length."""
GATHER = 0.05
"""Seconds between frames. A frame costs some 30 µs a listener, whatever is in it: 100 listeners take a 15th of the
loop's time at this pace."""
SHARED = (RING + SLACK) // AT_ONCE
"""Frames that are kept, with what was made of them, while somebody listens: all that one batch can have.
Were all of them full, they would take 20 MB."""

Push = Callable[[Frame], bool]


class Lagged(KalaError):
    """The listener was too slow and has been cut off; it may come back and read afresh."""

    def __init__(self) -> None:
        super().__init__("too far behind: events were lost")


class Listener:
    """One subscription: `async for` gives frames, ends when the hub closes, raises `Lagged`. For one task.

    With `reload`, events after the id that it asked for cannot be told any more.

    `push`, if given, is offered each frame while the task waits, so that it need not be woken; it says whether it took
    it. It must not block.
    """

    def __init__(self, hub: "Hub", position: int, wanted: Wanted | None, *, reload: bool) -> None:
        self._hub, self._position, self._wanted, self.reload = hub, position, wanted, reload
        self._wake = trio.Event()
        self.waits = False
        self.push: Push | None = None

    @property
    def id(self) -> str:
        """Of the last event that was looked at, wanted or not: what follows comes after it."""
        return event_id(self._hub.start, self._position)

    def own(self, event: Event) -> Frame:
        """An event of this listener's own, with its present id."""
        return Frame(self._hub.start, [self._position], [event])

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> Frame:
        while True:
            # Nothing has been taken here, so that nothing is lost when the task is cancelled
            await trio.lowlevel.checkpoint()
            while (frame := self._next()) is None:
                if self._hub.closed:
                    raise StopAsyncIteration
                await self._more()
            self._position = frame.last
            picked = self._picked(frame)
            if picked is not None:
                return picked

    def _next(self) -> Frame | None:
        try:
            return self._hub.after(self._position)
        except Lagged:
            self._hub.cut_off += 1
            raise

    async def _more(self) -> None:
        self._wake, self.waits = trio.Event(), True
        try:
            await self._wake.wait()
        finally:
            self.waits = False

    def tell(self) -> None:
        """There is more, or the end."""
        if not (self.waits and self.push is not None and self._pushed(self.push)):
            self._wake.set()

    def _pushed(self, push: Push) -> bool:
        """All that there is has been pushed."""
        try:
            while (frame := self._hub.after(self._position)) is not None:
                picked = self._picked(frame)
                if picked is not None and not push(picked):
                    return False
                self._position = frame.last
        except Lagged:
            return False  # the task will meet it too
        return not self._hub.closed

    def _picked(self, frame: Frame) -> Frame | None:
        return frame if self._wanted is None else frame.only(self._wanted)


class Hub:
    """Gives events their ids and hands them to all listeners. `start`: 8 hexadecimal digits, other ones in each start
    of the daemon.

    While `run` runs, what is published within `GATHER` seconds goes out together; without it, at once.
    """

    def __init__(self, start: str = "") -> None:
        self.start = start or token_hex(4)
        self.closed = False
        self.told: Callable[[Sequence[Event]], None] = lambda events: None
        """Called with all that is published, at once, whether anybody listens or not. It must not block."""
        self._ring: list[Event] = []
        self.last = 0  # the number of the last event
        self._told = 0  # the number of the last one that went out
        self._frames: dict[int, Frame] = {}  # by the number before their first
        self._listeners: set[Listener] = set()
        self.cut_off = 0  # listeners, since they lagged
        self._published = trio.Event()
        self._gathers = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def publish_nowait(self, events: Sequence[Event]) -> None:
        """After `close` nobody is told."""
        if self.closed:
            return
        self.told(events)
        self._ring += events
        self.last += len(events)
        if len(self._ring) > RING + SLACK:
            del self._ring[:-RING]
        if not self._listeners:
            self._told = self.last
        elif self._gathers:
            self._published.set()
        else:
            self._send_out()

    async def run(self) -> None:
        """Gather what is published, until `close`: after a silence it goes out at once, then every `GATHER` seconds at
        most."""
        self._gathers = True
        try:
            while not self.closed:
                await self._published.wait()
                self._published = trio.Event()
                self._send_out()
                await trio.sleep(GATHER)
        finally:
            self._gathers = False
            self._send_out()

    def _send_out(self) -> None:
        self._told = max(self._told, self._oldest())
        while self._told < self.last:
            self._frames[self._told] = frame = self._cut(self._told, self.last)
            self._told = frame.last
        while len(self._frames) > SHARED:
            del self._frames[next(iter(self._frames))]
        for listener in self._listeners:
            listener.tell()

    def _oldest(self) -> int:
        """The number before the first event that is kept."""
        return self.last - len(self._ring)

    def _cut(self, position: int, end: int) -> Frame:
        end, oldest = min(end, position + AT_ONCE), self._oldest()
        return Frame(self.start, range(position + 1, end + 1), self._ring[position - oldest : end - oldest])

    def after(self, position: int) -> Frame | None:
        """What went out after the event with this number, or the beginning of it; None when nothing did.

        Raises `Lagged` when it is not kept any more.
        """
        if position >= self._told:
            return None
        if (frame := self._frames.get(position)) is not None:
            return frame
        if position < self._oldest():
            raise Lagged
        # Up to where a frame begins that others have, too
        return self._cut(position, min((begin for begin in self._frames if begin > position), default=self._told))

    @contextmanager
    def listen(self, *, after: str = "", wanted: Wanted | None = None) -> Iterator[Listener]:
        """A subscription from now on, or to what came after the event with the id `after`; `wanted` picks from it."""
        number = number_in(after, self.start) if after else self._told
        if number is None or not self._oldest() <= number <= self._told:
            listener = Listener(self, self._told, wanted, reload=True)
        else:
            listener = Listener(self, number, wanted, reload=False)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._told = self.last
                self._frames.clear()

    def close(self) -> None:
        """End every subscription: nothing more will come."""
        if not self.closed:
            self.closed = True
            self._send_out()
            self._published.set()
