"""The one clock. A moment is an `int`: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.

Schedules are wall time and Trio's clock is monotonic, so a sleep is taken in slices, after each of which the wall
clock is looked at again: a clock that was set is noticed within `SLICE` seconds.
"""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import trio

from kala.alarm import sleep_exactly

Moment = int
SECOND = 1_000_000
DAY = 86_400 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SLICE = 1.0


class Clock:
    """The system's wall clock."""

    def now(self) -> Moment:
        """The present moment, in microseconds."""
        return time.time_ns() // 1_000

    async def sleep_until(self, moment: Moment, *, exactly: bool = False) -> None:
        """Return at `moment` by the wall clock (at once when it has passed), whatever happens to that clock. `exactly`:
        not up to a millisecond later."""
        while (left := (moment - self.now()) / SECOND) > 0:  # no event tells of the wall clock
            if exactly and left <= SLICE:
                await sleep_exactly(left)
            else:
                await trio.sleep(min(left, SLICE))


class TrioClock(Clock):
    """A wall clock that rides on Trio's: under `trio.testing.MockClock` a year passes in a second.

    `start` is the moment at which it begins; `step(seconds)` sets it forward or back, as an administrator would.
    """

    def __init__(self, start: Moment) -> None:
        self._offset = start - round(trio.current_time() * SECOND)

    def now(self) -> Moment:
        return round(trio.current_time() * SECOND) + self._offset

    def step(self, seconds: float) -> None:
        self._offset += round(seconds * SECOND)

    async def sleep_until(self, moment: Moment, *, exactly: bool = False) -> None:
        while (left := (moment - self.now()) / SECOND) > 0:  # noqa: ASYNC110  # it may have been stepped meanwhile
            await trio.sleep(left)


def to_datetime(moment: Moment) -> datetime:
    """A moment as an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=moment)


def from_datetime(value: datetime) -> Moment:
    """An aware datetime as a moment; exact to the microsecond."""
    difference = value - EPOCH
    return (difference.days * 86_400 + difference.seconds) * SECOND + difference.microseconds


_MINUTES = [f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60)]
_TWO_DIGITS = [f"{number:02d}" for number in range(60)]
_THREE_DIGITS = [f"{number:03d}" for number in range(1_000)]


@lru_cache(maxsize=4_096)
def _date(day: int) -> str:
    return to_datetime(day * DAY).isoformat()[:10]


def rfc3339(moment: Moment) -> str:
    """A moment in UTC, of the years 1 to 9999, as RFC 3339; the fraction without its last zeros, as Go writes it."""
    second, micro = divmod(moment, SECOND)
    day, second = divmod(second, 86_400)
    whole = f"{_date(day)}{_MINUTES[second // 60]}{_TWO_DIGITS[second % 60]}"
    if not micro:
        return whole + "Z"
    return f"{whole}.{_THREE_DIGITS[micro // 1_000]}{_THREE_DIGITS[micro % 1_000]}".rstrip("0") + "Z"


def rfc3339_or_none(moment: Moment | None) -> str | None:
    """Likewise, where there may be none."""
    return None if moment is None else rfc3339(moment)
