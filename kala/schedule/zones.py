"""Time zones: what a wall clock shows at a moment, and which moments a reading of it means.

A reading (`Wall`) is an `int` too: the microseconds by that clock from its 1970-01-01T00:00. Where an offset changes,
readings are left out (a gap) or come twice (a fold); `WallClock` knows what to do with those. The names and rules are
those of the IANA database: the system's, and where it has none the one that is installed with the program. They are
read once for each zone: a newer database counts from the next start on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from kala.clock import DAY, SECOND, Moment, rfc3339
from kala.errors import ZoneError, shortened
from kala.schedule.durations import EARLIEST, EPOCH_DAY, LATEST

Wall = int
_EPOCH = datetime(1970, 1, 1)  # readings have no zone
_LOW, _HIGH = EARLIEST + 2 * DAY, LATEST - 2 * DAY  # datetime ends with the years 1 and 9999, in every zone


class Transition(NamedTuple):
    """A change of a zone's offset: at `moment`, from `before` to `after` (microseconds east of UTC)."""

    moment: Moment
    before: int
    after: int


class Stretch(NamedTuple):
    """The moments from `begin` until before `end`, and the offsets whose readings count then.

    There are two where readings that a gap left out are made good beside those of the clock itself.
    """

    begin: Moment
    end: Moment
    offsets: tuple[int, ...]


ALL_UTC = Stretch(EARLIEST, LATEST + 1, (0,))


class Zone:
    """A zone of the IANA database. `find` makes them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._info = ZoneInfo(name)
        self._epoch = _EPOCH.replace(tzinfo=self._info)

    def offset(self, moment: Moment) -> int:
        """Microseconds east of UTC at a moment."""
        at = datetime.fromtimestamp(min(max(moment, _LOW), _HIGH) // SECOND, self._info)
        return _micros(at.utcoffset())

    @lru_cache(maxsize=4_096)  # noqa: B019  # as below; of one reading it is asked several times, days in a row
    def offsets(self, wall: Wall) -> tuple[int, int]:
        """The offsets with which a reading may be taken; they are equal almost always.

        The first is the larger where the reading comes twice, for the first time and for the second; the smaller where
        it is left out: the offset before the gap, and the one after (PEP 495).
        """
        at = self._epoch + timedelta(microseconds=min(max(wall, _LOW), _HIGH))  # by the clock, not by what passes
        return _micros(at.utcoffset()), _micros(at.replace(fold=1).utcoffset())

    @lru_cache(maxsize=1_024)  # noqa: B019  # zones live as long as the program
    def transitions(self, year: int) -> tuple[Transition, ...]:
        """The changes of its offset in a year (of UTC), in order. Looks at each day; half a millisecond, once."""
        found = []
        at, end = _new_year(year), _new_year(year + 1)
        before = self.offset(at - 1)
        while at < end:
            following = min(at - at % DAY + DAY, end)
            if self.offset(following - 1) != before:
                low, high = at // SECOND - 1, following // SECOND - 1  # it has changed at `high`, and not at `low`
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if self.offset(middle * SECOND) == before else (low, middle)
                at, following = high * SECOND, self.offset(high * SECOND)
                found.append(Transition(at, before, following))
                before = following
                at += SECOND
            else:
                at = following
        return tuple(found)


def _micros(offset: timedelta | None) -> int:
    return 0 if offset is None else (offset.days * 86_400 + offset.seconds) * SECOND


def _new_year(year: int) -> Moment:
    return LATEST + 1 if year > MAXYEAR else (date(max(year, MINYEAR), 1, 1).toordinal() - EPOCH_DAY) * DAY


@lru_cache(maxsize=1_024)  # there are some 600
def find(name: str) -> Zone:
    """The zone of that name. Raises `ZoneError`, with names that are like it."""
    if name not in _names():
        raise ZoneError(name, f"there is no time zone {shortened(name)!r}{_meant(name)}")
    return Zone(name)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


def _meant(name: str) -> str:
    """The name that someone may have had in mind: spelt like it, in another case, or without the continent."""
    known = {one.rpartition("/")[2].casefold(): one for one in sorted(_names(), reverse=True)}
    known |= {one.casefold(): one for one in _names()}
    near = get_close_matches(name[:40].casefold().replace(" ", "_"), known, n=1, cutoff=0.8)
    return f": did you mean {known[near[0]]}?" if near else ""


@dataclass(frozen=True, slots=True)
class WallClock:
    """The clock of a zone, and what becomes of readings that a change of its offset leaves out or repeats.

    `gap`: `shift` moves what is left out later by the gap's length; `skip` drops it. `fold`: `first`, `second` or
    `both` of what comes twice.
    """

    zone: Zone
    gap: str
    fold: str

    def moments(self, wall: Wall) -> tuple[Moment, ...]:
        """The moments that a reading means, in order: one, or none, or two."""
        early, late = self.zone.offsets(wall)
        if early < late:
            return () if self.gap == "skip" else (wall - early,)
        if early == late or self.fold == "first":
            return (wall - early,)
        return (wall - late,) if self.fold == "second" else (wall - early, wall - late)

    def anchor(self, wall: Wall) -> Moment:
        """The first moment that a reading can mean, whatever the policies: it has one, and only one.

        Of readings a day or more apart it is never the later for the earlier reading: no offset changes by more than a
        day.
        """
        return wall - self.zone.offsets(wall)[0]

    def note(self, wall: Wall, moment: Moment) -> str:
        """What a change of the offset did to a reading that was taken for `moment`; empty when nothing."""
        early, late = self.zone.offsets(wall)
        if early == late:
            return ""
        if early < late:
            return f"{self.left_out(wall)}: {_length(late - early)} later"
        which = "second" if moment == wall - late else "first"
        return f"{time_of(wall)} comes twice on {day_of(wall)} in {self.zone.name}: the {which}"

    def left_out(self, wall: Wall) -> str:
        """That there is no such reading."""
        return f"{time_of(wall)} does not exist on {day_of(wall)} in {self.zone.name}"

    def ahead(self, moment: Moment) -> Iterator[Stretch]:
        """The stretches from the one at or after `moment` on, in order, until the calendar ends."""
        for year in range(_year(moment), MAXYEAR + 1):
            yield from (one for one in _stretches(self, year) if one.end > moment)

    def back(self, moment: Moment) -> Iterator[Stretch]:
        """The stretches from the one at or before `moment` back, the latest first."""
        for year in range(_year(moment), MINYEAR - 1, -1):
            yield from (one for one in reversed(_stretches(self, year)) if one.begin <= moment)


@lru_cache(maxsize=4_096)
def _stretches(clock: WallClock, year: int) -> tuple[Stretch, ...]:
    """A year (of UTC), in stretches. Moments at which no reading counts are in none of them."""
    begin, end = _new_year(year), _new_year(year + 1)
    changes = [one for near in (year - 1, year, year + 1) for one in clock.zone.transitions(near)]
    pieces = []
    at, offset = _new_year(year - 1), clock.zone.offset(_new_year(year - 1) - 1)
    for moment, before, after in changes:
        until = moment - max(before - after, 0) if clock.fold == "second" else moment
        pieces.append((at, until, offset))
        at = moment + max(before - after, 0) if clock.fold == "first" else moment
        offset = after
        if clock.gap == "shift" and after > before:
            pieces.append((moment, moment + after - before, before))
    pieces.append((at, end + DAY, offset))
    edges = sorted({begin, end, *(edge for piece in pieces for edge in piece[:2] if begin < edge < end)})
    found = []
    for low, high in pairwise(edges):
        counting = tuple(offset for at, until, offset in pieces if at <= low and high <= until)
        if counting:
            found.append(Stretch(low, high, counting))
    return tuple(found)


def _year(moment: Moment) -> int:
    return date.fromordinal(min(max(moment, EARLIEST), LATEST) // DAY + EPOCH_DAY).year


def day_of(wall: Wall) -> str:
    return (_EPOCH + timedelta(microseconds=wall)).date().isoformat()


def time_of(wall: Wall) -> str:
    text = (_EPOCH + timedelta(microseconds=wall)).time().isoformat()
    return text.rstrip("0") if "." in text else text.removesuffix(":00")


def _length(micros: int) -> str:
    if micros == 1_800 * SECOND:
        return "half an hour"
    for unit, name, one in (
        (DAY, "days", "a day"),
        (3_600 * SECOND, "hours", "an hour"),
        (60 * SECOND, "minutes", "a minute"),
    ):
        if micros % unit == 0:
            return one if micros == unit else f"{micros // unit} {name}"
    return f"{micros // SECOND} seconds"


def local(moment: Moment, zone: Zone | None) -> str:
    """A moment as RFC 3339 with the zone's offset, or `Z` without one; the fraction without its last zeros.

    The format has no seconds in offsets, which local mean times before 1972 have: those are rounded to the minute.
    """
    minute = 60 * SECOND
    offset = 0 if zone is None else (zone.offset(moment) + minute // 2) // minute * minute
    if zone is None or not EARLIEST <= moment + offset <= LATEST:
        return rfc3339(moment)
    hours, minutes = divmod(abs(offset) // minute, 60)
    return f"{rfc3339(moment + offset)[:-1]}{'-' if offset < 0 else '+'}{hours:02d}:{minutes:02d}"
