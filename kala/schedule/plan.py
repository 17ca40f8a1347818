"""What every schedule can be asked: the moments that it names. Pure: it knows no present, and not which occurrences
were run or how many are left."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice, takewhile

from kala.clock import Moment
from kala.schedule import zones
from kala.schedule.zones import WallClock


class Plan(ABC):
    """Occurrences are moments that grow strictly, up to the end of the year 9999.

    `repetitions` (n of `Rn`; None is without end) bounds none of the methods: who claims counts. `start` is the first
    occurrence; None where there is no first one (cron).
    """

    __slots__ = ()

    text: str
    repetitions: int | None
    start: Moment | None
    clock: WallClock | None  # None: UTC

    @property
    def is_single(self) -> bool:
        """Whether the schedule names one moment only (R0)."""
        return self.repetitions == 0

    @abstractmethod
    def ahead(self, after: Moment) -> Iterator[Moment]:
        """The occurrences later than `after`, in order."""

    @abstractmethod
    def back(self, until: Moment) -> Iterator[Moment]:
        """The occurrences not later than `until`, the latest first."""

    @abstractmethod
    def count_between(self, after: Moment, until: Moment) -> int:
        """How many occurrences are later than `after` and not later than `until`. Counts days at most, not moments."""

    @abstractmethod
    def note(self, moment: Moment) -> str:
        """What a change of the zone's offset did to the occurrence at `moment`, as a sentence; empty when nothing."""

    def next_after(self, moment: Moment) -> Moment | None:
        """The first occurrence later than `moment`; None when there is none."""
        return next(self.ahead(moment), None)

    def last_before(self, moment: Moment) -> Moment | None:
        """The last occurrence earlier than `moment`; None when there is none."""
        return next(self.back(moment - 1), None)

    def occurrences(self, after: Moment, until: Moment) -> Iterator[Moment]:
        """The occurrences later than `after` and not later than `until`, in order."""
        return takewhile(lambda at: at <= until, self.ahead(after))

    def latest(self, count: int, until: Moment, after: Moment | None = None) -> list[Moment]:
        """The last `count` occurrences that are not later than `until`, and later than `after`; in order."""
        found = takewhile(lambda at: after is None or at > after, islice(self.back(until), count))
        return list(found)[::-1]

    def local(self, moment: Moment) -> str:
        """A moment as RFC 3339 with the zone's offset then; `Z` without a zone."""
        return zones.local(moment, None if self.clock is None else self.clock.zone)
