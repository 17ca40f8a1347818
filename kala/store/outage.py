"""What is told of a database that is away: once each time, whoever notices it and however often."""

import logging
import math

import trio

from kala import events
from kala.clock import Clock, Moment
from kala.errors import KalaError
from kala.events import Event
from kala.hub import Hub
from kala.logs import fields

log = logging.getLogger(__name__)
QUIET = 5.0
"""Seconds without a fault after which a database counts as back that was told to be so before, and was not."""


class Outage:
    """`since` is the moment at which the database was told to be away; None while it is not.

    It is told to be back when all that waited has been written. One that takes a trial and nothing else would come and
    go without end: after the first time, only something that was written, or `QUIET`, is believed.
    """

    def __init__(self, clock: Clock, hub: Hub) -> None:
        self._clock, self._hub = clock, hub
        self.since: Moment | None = None
        self.quiet_until = math.inf  # by Trio's clock
        self._begun = 0.0
        self._kinds: set[type[KalaError]] = set()  # of faults that were told
        self._believed = True  # something has been written since it was last told to be back
        self._owed = self._results = 0

    def begin(self, fault: KalaError) -> None:
        """It cannot be written now. Another kind of reason than before is told, too."""
        self.quiet_until = math.inf
        if self.since is None:
            self.since, self._begun = self._clock.now(), trio.current_time()
            self._kinds, self._results = {type(fault)}, 0
            log.error("the database is away: %s", fault)
            self._hub.publish_nowait([Event(events.STORE_DOWN, self.since, reason=str(fault))])
        elif type(fault) not in self._kinds:
            self._kinds.add(type(fault))
            log.error("the database is still away: %s", fault)
        else:
            log.debug("the database is still away: %s", fault)

    def relent(self, written: int, waiting: int) -> None:
        """It takes a trial again. So many results have been found to be written, and so many wait."""
        self._results += written
        self._owed = waiting
        if waiting:
            return
        if self._believed:
            self._end()
        else:
            self.quiet_until = trio.current_time() + QUIET

    def answered(self, results: int, *, written: bool) -> None:
        """So many results wait no longer. `written`: the database has taken something."""
        self._believed |= written
        if self.since is not None:
            self._results += results
            self._owed -= results
            if self._owed <= 0:
                self._end()

    def look(self) -> None:
        """End it when it has been quiet for long enough."""
        if self.since is not None and trio.current_time() >= self.quiet_until:
            self._end()

    def _end(self) -> None:
        lasted = round(trio.current_time() - self._begun, 1)
        log.info("the database is back", extra=fields(seconds=lasted, results=self._results))
        self.since, self._believed, self.quiet_until = None, False, math.inf
        self._hub.publish_nowait([Event(events.STORE_UP, self._clock.now())])
