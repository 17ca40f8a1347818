"""Pausing: nothing starts until someone resumes. Durable, and for all daemons on the database."""

import logging
from collections.abc import Callable

import msgspec
import trio

from kala import events
from kala.clock import Clock, Moment
from kala.drivers.contract import Stored
from kala.errors import StoreCorrupt, StoreUnavailable
from kala.events import Event
from kala.hub import Hub
from kala.job import replace
from kala.store import Store

log = logging.getLogger(__name__)
SETTING = "pause"


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """The present pause, or the last one. Without `since` there has been none; with `until` it is over."""

    since: Moment | None = None
    until: Moment | None = None
    reason: str = ""


class Pause:
    """Whether nothing is to start. `told` is called when that has changed."""

    def __init__(self, store: Store, clock: Clock, hub: Hub) -> None:
        self._store, self._clock, self._hub = store, clock, hub
        self.span = Span()
        self._revision = 0  # of the setting: what was read before it was written may be told of after that
        self.in_doubt = False  # the answer to a change was lost: what is recorded may differ
        self.told: Callable[[], None] = lambda: None
        self._off = trio.Event()
        self._off.set()
        store.setting_told[SETTING] = self._adopt

    @property
    def on(self) -> bool:
        return self.span.since is not None and self.span.until is None

    def covers(self, moment: Moment) -> bool:
        """It was, or is, on at this moment. Earlier pauses than the last are forgotten."""
        since, until = self.span.since, self.span.until
        return since is not None and since <= moment and (until is None or moment <= until)

    async def wait_off(self) -> None:
        """Return when things may start."""
        await self._off.wait()

    async def load(self) -> None:
        """Read what is recorded. Raises `StoreUnavailable`."""
        if (stored := await self._store.setting(SETTING)) is not None:
            self._adopt(stored)
        self.in_doubt = False

    async def set(self, on: bool, reason: str = "") -> None:
        """Pause or resume; nothing when it is so already. Raises `StoreUnavailable`."""
        if on == self.on:
            return
        now = self._clock.now()
        span = Span(since=now, reason=reason) if on else replace(self.span, until=now)
        try:
            stored = await self._store.put_setting(SETTING, msgspec.json.encode(span))
        except StoreUnavailable:
            self.in_doubt = True
            raise
        self._adopt(stored)

    def _adopt(self, stored: Stored) -> None:
        if stored.revision <= self._revision:
            return
        before, self._revision = self.on, stored.revision
        try:
            self.span = msgspec.json.decode(stored.value, type=Span)
        except msgspec.DecodeError as fault:
            log.error("%s", StoreCorrupt(stored.kind, stored.key, str(fault)))
        if self.on == before:
            return
        if self.on:
            self._off = trio.Event()
        else:
            self._off.set()
        kind = events.DAEMON_PAUSED if self.on else events.DAEMON_RESUMED
        self._hub.publish_nowait([Event(kind, self._clock.now(), reason=self.span.reason)])
        self.told()
