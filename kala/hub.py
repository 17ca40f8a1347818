"""Bounded fan-out of events to listeners. Publishing never waits: a listener that lags is cut off."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from kala.errors import KalaError
from kala.events import Event

QUEUE = 256
"""Batches that a listener may be behind: at 500 events a second some seconds, at a few hundred bytes an event."""


class Lagged(KalaError):
    """The listener was too slow and has been cut off; it may come back and read afresh."""

    def __init__(self) -> None:
        super().__init__("too far behind: events were lost")


class Listener:
    """One subscription: `async for` gives batches of (id, event), ends when the hub closes, raises `Lagged`."""

    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[list[tuple[int, Event]]](QUEUE)
        self.lagged = False

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> list[tuple[int, Event]]:
        try:
            return await self.receive.receive()
        except trio.EndOfChannel:
            if self.lagged:
                raise Lagged from None
            raise StopAsyncIteration from None


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
        for listener in list(self._listeners):
            try:
                listener.send.send_nowait(batch)
            except trio.WouldBlock:
                listener.lagged = True
                listener.send.close()
                self._listeners.discard(listener)

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """A subscription from now on."""
        listener = Listener()
        if self._closed:
            listener.send.close()
        else:
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            listener.send.close()
            listener.receive.close()

    def close(self) -> None:
        """End every subscription: nothing more will come."""
        self._closed = True
        for listener in self._listeners:
            listener.send.close()
        self._listeners.clear()
