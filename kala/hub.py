"""Bounded fan-out of events to listeners. Publishing never waits: a listener that lags is cut off."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from kala.errors import KalaError
from kala.events import Event

BEHIND = 20_000
"""Events that a listener may be behind: those of some thousand runs that come due at once, at 200 bytes an event."""
AT_ONCE = 500
"""Events in a batch: a client gets no message above some 100 KB."""


class Lagged(KalaError):
    """The listener was too slow and has been cut off; it may come back and read afresh."""

    def __init__(self) -> None:
        super().__init__("too far behind: events were lost")


class Listener:
    """One subscription: `async for` gives batches of (id, event), ends when the hub closes, raises `Lagged`.

    A batch is what was published since the last one was taken, up to `AT_ONCE` events. For one task.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[int, Event]] = []
        self._wake = trio.Event()
        self._closed = self._lagged = False

    def offer_nowait(self, batch: Sequence[tuple[int, Event]]) -> bool:
        """Add to what is to be taken. False, and the end, when too much would be."""
        if self._pending and len(self._pending) + len(batch) > BEHIND:
            self._lagged = True
            self.close()
            return False
        self._pending += batch
        self._wake.set()
        return True

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> list[tuple[int, Event]]:
        await trio.lowlevel.checkpoint()
        if not self._pending and not self._closed:
            self._wake = trio.Event()
            await self._wake.wait()
        if self._pending:
            batch, self._pending = self._pending[:AT_ONCE], self._pending[AT_ONCE:]
            return batch
        if self._lagged:
            raise Lagged
        raise StopAsyncIteration


class Hub:
    """Gives events their ids, from 1 in each start of the daemon, and hands them to all listeners."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._last_id = 0
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def publish_nowait(self, events: Sequence[Event]) -> None:
        first = self._last_id + 1
        self._last_id += len(events)
        if not self._listeners or not events:
            return
        batch = list(enumerate(events, first))
        self._listeners = {listener for listener in self._listeners if listener.offer_nowait(batch)}

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """A subscription from now on."""
        listener = Listener()
        if self._closed:
            listener.close()
        else:
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            listener.close()

    def close(self) -> None:
        """End every subscription: nothing more will come."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
