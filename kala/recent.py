"""What has been told in the last hour, counted by minute. It takes the same memory however much happens, and less
than a microsecond an event."""

from collections.abc import Sequence

from kala import events
from kala.clock import SECOND, Clock, Moment
from kala.events import Event
from kala.states import ENDED

MINUTE = 60 * SECOND
MINUTES = 60
STARTED, SKIPPED, MISSED = "started", "skipped", "missed"
KINDS = (STARTED, *sorted(state.value for state in ENDED), SKIPPED, MISSED)
"""Runs that started (their first attempts), that ended in each state; occurrences that did not run."""
_FINE = 3
"""2 ** 3 classes to a doubling: what is told of a class is within 7 % of all that is in it."""
_CLASSES = 400  # up to centuries


class Lateness:
    """Durations in microseconds, from 0 up, in classes that grow with them."""

    __slots__ = ("_classes", "_count", "most")

    def __init__(self) -> None:
        self._classes, self._count, self.most = [0] * _CLASSES, 0, 0

    def add(self, late: int) -> None:
        shift = max(late.bit_length() - _FINE - 1, 0)
        self._classes[min((shift << _FINE) + (late >> shift), _CLASSES - 1)] += 1
        self._count += 1
        self.most = max(self.most, late)

    def quantile(self, part: float) -> int | None:
        """What so large a part of them does not exceed, within 7 %; None of nothing."""
        left = self._count * part
        for index, count in enumerate(self._classes):
            left -= count
            if count and left <= 0:
                shift = max((index >> _FINE) - 1, 0)
                low = index - (shift << _FINE) << shift
                return min(low + (1 << shift >> 1), self.most)
        return None


class Minute:
    """What happened in the minute that begins at `at`: how often each of `KINDS`, and how late what started was."""

    __slots__ = ("at", "counts", "lateness")

    def __init__(self, at: Moment) -> None:
        self.at = at
        self.counts = dict.fromkeys(KINDS, 0)
        self.lateness = Lateness()


class Recent:
    """Counts events in the minutes of their moments. `since`: from when on it has counted. `edits`: how often a job was
    saved or deleted since then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.since = clock.now()
        self.edits = 0
        self._ring: list[Minute | None] = [None] * MINUTES

    def count(self, told: Sequence[Event]) -> None:
        """Take note of these. What is older than an hour is not."""
        last = self._clock.now() // MINUTE
        for event in told:
            kind = event.type
            if kind == events.RUN_STARTED:
                if event.attempt == 1 and (minute := self._minute(event.at, last)) is not None:
                    minute.counts[STARTED] += 1
                    due = event.scheduled_for if event.due is None else event.due
                    if due is not None:
                        minute.lateness.add(max(event.at - due, 0))
            elif kind == events.RUN_FINISHED:
                if (minute := self._minute(event.at, last)) is not None:
                    minute.counts[event.state] += 1
            elif kind in (events.OCCURRENCE_SKIPPED, events.OCCURRENCE_MISSED):
                if (minute := self._minute(event.at, last)) is not None:
                    minute.counts[event.state] += event.added
            elif kind in (events.JOB_SAVED, events.JOB_DELETED):
                self.edits += 1

    def _minute(self, at: Moment, last: int) -> Minute | None:
        """The minute of a moment, not later than the present one; None when it is not to be told any more."""
        number = min(at // MINUTE, last)
        if number <= last - MINUTES:
            return None
        minute = self._ring[number % MINUTES]
        if minute is None or minute.at != number * MINUTE:
            minute = self._ring[number % MINUTES] = Minute(number * MINUTE)
        return minute

    def minutes(self) -> list[Minute]:
        """The last 60, oldest first; the last one is the present one."""
        last = self._clock.now() // MINUTE
        found = []
        for number in range(last - MINUTES + 1, last + 1):
            minute = self._ring[number % MINUTES]
            at = number * MINUTE
            found.append(minute if minute is not None and minute.at == at else Minute(at))
        return found
