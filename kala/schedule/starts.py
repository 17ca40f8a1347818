"""The start of a repeating interval: `2030-01-31T08:00:00`, with an offset or `Z`, and with a zone in brackets
(RFC 9557)."""

import re
from calendar import monthrange
from datetime import MINYEAR, date
from typing import NamedTuple

from kala.clock import DAY, SECOND, Moment
from kala.errors import ScheduleError
from kala.schedule import zones
from kala.schedule.durations import EARLIEST, EPOCH_DAY, LATEST
from kala.schedule.zones import Wall, WallClock, Zone

_START = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r"(Z|([+-])([0-9]{2}):([0-9]{2}))?(?:\[!?([^\[\]]*)\])?"
)


class Start(NamedTuple):
    """A start as it is written."""

    text: str
    wall: Wall
    suffix: str  # "Z", an offset such as "+02:00", or ""
    offset: int  # microseconds east of UTC
    zone: Zone | None  # of the brackets


def read_start(text: str) -> Start:
    """Read a start. Raises `ScheduleError`."""
    match = _START.fullmatch(text)
    if not match:
        raise ScheduleError(
            text, "not a date and time such as 2030-01-31T08:00:00Z, 2030-01-31T08:00:00.5+02:00 or 2030-01-31T08:00:00"
        )
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    decimals, suffix, sign, offset_hours, offset_minutes, zone = match.group(7, 8, 9, 10, 11, 12)
    if year < MINYEAR or not 1 <= month <= 12 or not 1 <= day <= monthrange(year, month)[1]:
        raise ScheduleError(text, f"there is no date {text[:10]}")
    if hour > 23:
        raise ScheduleError(text, f"there is no hour {hour}: midnight is 00:00:00 of the day that begins")
    if minute > 59 or second > 59:
        raise ScheduleError(text, f"there is no time {text[11:19]} (leap seconds are not counted)")
    offset = int(offset_hours or 0) * 60 + int(offset_minutes or 0)
    if offset > 23 * 60 + 59 or int(offset_minutes or 0) > 59:
        raise ScheduleError(text, f"there is no offset {suffix}: they go to ±23:59")
    micros = int((decimals or "0")[:6].ljust(6, "0"))
    wall = (date(year, month, day).toordinal() - EPOCH_DAY) * DAY
    wall += ((hour * 60 + minute) * 60 + second) * SECOND + micros
    offset *= (-60 if sign == "-" else 60) * SECOND
    return Start(text, wall, suffix or "", offset, None if zone is None else zones.find(zone))


def moment_of(start: Start) -> Moment:
    """The moment of a start without a zone: in UTC, where it has no offset. Raises `ScheduleError`."""
    return _within(start, start.wall - start.offset, "UTC")


def reading_of(start: Start, clock: WallClock) -> tuple[Wall, Moment | None]:
    """What a zone's clock shows at a start, and the moment where the text says it. Raises `ScheduleError`.

    An offset beside brackets must be the zone's own then; `Z` says the moment and nothing of the zone's offset
    (RFC 9557, 2.2). So does any offset beside a zone that is given apart from the text.
    """
    if not start.suffix:
        _within(start, clock.anchor(start.wall), "UTC")
        return start.wall, None
    moment = moment_of(start)
    offset = clock.zone.offset(moment)
    if start.zone is not None and start.suffix != "Z" and offset != start.offset:
        there = zones.local(moment, clock.zone)
        fault = f"its offset {start.suffix} is not that of {clock.zone.name}, where it is {there} then"
        raise ScheduleError(start.text, fault)
    return _within(start, moment + offset, clock.zone.name), moment


def _within(start: Start, at: int, where: str) -> int:
    if not EARLIEST <= at <= LATEST:
        raise ScheduleError(start.text, f"not in the years 1 to 9999 in {where}")
    return at
