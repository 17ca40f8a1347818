"""A beat a second, which shows two things that nobody tells of: the loop was held up; the wall clock was set."""

import logging

import trio

from kala.clock import SECOND, Clock
from kala.histogram import Histogram
from kala.logs import fields

log = logging.getLogger(__name__)
EVERY = 1.0
"""Seconds between beats."""
JUMP = 0.5
"""Seconds between two beats that the wall clock must have gained, or lost, to count as set: slewing, which keeps it
right, takes a quarter of an hour for so much."""
AT_ONCE = 0.01
"""Seconds within which both clocks are read, or else read again: a process that was stopped in between saw no jump."""
HELD_UP = 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5
FORWARD, BACK = "forward", "back"


class Pulse:
    """`lag`: seconds by which beats came late. `jumps`: how often the wall clock was set, either way; a machine that
    slept looks the same."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.lag = Histogram(HELD_UP)
        self.jumps = {FORWARD: 0, BACK: 0}

    async def run(self) -> None:
        """Runs until cancelled."""
        ahead = self._ahead()
        while True:
            due = trio.current_time() + EVERY
            await trio.sleep_until(due)
            self.lag.add(max(trio.current_time() - due, 0.0))
            before, ahead = ahead, self._ahead()
            if abs(ahead - before) >= JUMP:
                way = FORWARD if ahead > before else BACK
                self.jumps[way] += 1
                log.warning("the clock was set %s", way, extra=fields(seconds=round(abs(ahead - before), 3)))

    def _ahead(self) -> float:
        """Seconds by which the wall clock is ahead of Trio's, which nobody sets."""
        while True:
            begun, wall = trio.current_time(), self._clock.now()
            if trio.current_time() - begun < AT_ONCE:
                return wall / SECOND - begun
