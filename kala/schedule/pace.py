"""How a schedule goes on from one of its occurrences, told by its interval alone: a tenth of what reading it costs."""

from functools import lru_cache
from typing import NamedTuple

from kala.clock import DAY, Moment, to_datetime
from kala.schedule import zones
from kala.schedule.durations import read_interval


class Pace(NamedTuple):
    """From each occurrence to the next it is `micros`, or `days` by the clock of a zone. Where both are 0, more has to
    be known."""

    micros: int
    days: int


UNEVEN = Pace(0, 0)


def pace_of(text: str, zone: str = "") -> Pace:
    """That of a schedule which can be read (`schedule.parse`)."""
    written, _, interval = text.rpartition("/")
    if not interval or not written.startswith("R"):
        return UNEVEN  # a cron expression
    repetitions = written.partition("/")[0]
    if repetitions != "R" and repetitions.rstrip("0") == "R":
        return UNEVEN
    return _pace(interval, bool(zone) or "[" in written)


@lru_cache(maxsize=1_024)
def _pace(text: str, by_clock: bool) -> Pace:
    months, days, time = read_interval(text)
    if months or (days and time and by_clock):
        return UNEVEN
    return Pace(0, days) if days and by_clock else Pace(days * DAY + time, 0)


def zone_of(text: str, zone: str) -> str:
    """The name of the zone whose clock a schedule goes by; empty for UTC."""
    return zone or text.partition("[")[2].partition("]")[0].removeprefix("!")


def is_calm(zone: str, begin: Moment, end: Moment) -> bool:
    """No change of the zone's offset is within two days of this span: what its clock shows then, it shows once, and
    nothing was put off to it."""
    return _is_calm(zone, begin // DAY - 2, end // DAY + 3)


@lru_cache(maxsize=4_096)
def _is_calm(zone: str, first_day: int, end_day: int) -> bool:
    begin, end = first_day * DAY, end_day * DAY
    transitions = zones.find(zone).transitions
    years = range(to_datetime(begin).year, to_datetime(end).year + 1)
    return not any(begin <= one.moment < end for year in years for one in transitions(year))
