"""Reads the plain words of schedules back: what someone takes them to mean, to be held against what is named."""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import count
from typing import NamedTuple

MONTHS = [f"{date(2001, month, 1):%B}" for month in range(1, 13)]
WEEKDAYS = [f"{date(2001, 1, day):%A}" for day in range(1, 8)]
PLACES = ["first", "second", "third", "fourth", "fifth"]
SECONDS = {"second": 1, "minute": 60, "hour": 3_600}


class Daily(NamedTuple):
    """What the words of a cron expression mean: seconds of the day, and which days."""

    times: list[int]
    is_day: Callable[[date], bool]


def read_cron(words: str) -> Daily:
    """`words` without their zone."""
    words = words.replace(" (where there is one)", "").replace(" (Monday to Friday)", "")
    if match := re.fullmatch("every day(?: in (.*?))? at (.*)", words):
        return Daily(listed_times(match[2]), in_months(match[1]))
    if match := re.fullmatch("(.*?) on (.*)", words):
        return Daily(times_of(match[1]), days_of(match[2]))
    match = re.fullmatch("(.*?)(?: every day)?(?: in (.*))?", words)
    assert match
    return Daily(times_of(match[1]), in_months(match[2]))


def times_of(text: str) -> list[int]:
    if match := re.fullmatch("every (.*) from (.*) to (.*) of (.*)", text):
        pass  # fields: below
    elif match := re.fullmatch(r"every hour at (:\d\d.*)", text):
        return [hour * 3_600 + clock(f"00{match[1]}") for hour in range(24)]
    elif match := re.fullmatch("every (.*) from (.*) to (.*)", text):
        if ":" in match[2]:
            return list(range(clock(match[2]), clock(match[3]) + 1, step(match[1])))
    elif (match := re.fullmatch("every (.*)", text)) and " of " not in text:
        return list(range(0, 86_400, step(match[1])))
    elif re.fullmatch(r"at \d\d:.*", text):
        return listed_times(text.removeprefix("at "))
    fields = {"second": [0]} | dict(map(field, text.removeprefix("at ").split(" of ")))
    return [h * 3_600 + m * 60 + s for h in fields["hour"] for m in fields["minute"] for s in fields["second"]]


def listed_times(text: str) -> list[int]:
    return [clock(one) for one in items(text.removeprefix("at "))]


def clock(text: str) -> int:
    hour, minute, second = (*map(int, text.split(":")), 0)[:3]
    return hour * 3_600 + minute * 60 + second


def step(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+ )?(\w+?)s?", text).groups()  # type: ignore[union-attr]
    return int(number or 1) * SECONDS[unit]


def field(text: str) -> tuple[str, list[int]]:
    if match := re.fullmatch(r"every (\d+)\w\w (\w+) from (\d+) to (\d+)", text):
        return match[2], list(range(int(match[3]), int(match[4]) + 1, int(match[1])))
    if match := re.fullmatch("every (.*)", text):
        return match[1], list(range(24 if match[1] == "hour" else 60))
    unit, numbers = text.split(" ", 1)
    return unit.removesuffix("s"), spans(numbers, int)


def items(text: str) -> list[str]:
    return re.split(", | and | or ", text)


def spans(text: str, number: Callable[[str], int]) -> list[int]:
    found = []
    for one in items(text):
        first, _, last = one.partition(" to ")
        found += range(number(first), number(last or first) + 1)
    return found


def in_months(text: str | None) -> Callable[[date], bool]:
    months = range(1, 13) if text in (None, "every month", "the month") else spans(text, lambda name: at(MONTHS, name))
    return lambda day: day.month in months


def at(names: list[str], name: str) -> int:
    return names.index(name) + 1


def days_of(text: str) -> Callable[[date], bool]:
    """What follows the first "on"."""
    if " if it is " in text:
        week, month = map(days_of, text.split(" if it is "))
        return lambda day: week(day) and month(day)
    if " and on " in text:
        one, other = map(days_of, text.split(" and on "))
        return lambda day: one(day) or other(day)
    match = re.fullmatch("(.*?)(?: (?:of|in) (.*))?", text)
    assert match
    is_in = in_months(match[2])
    if every := re.fullmatch(r"every (\d+)\w\w day from the (\d+)\w\w to the (\d+)\w\w", match[1]):
        days = range(int(every[2]), int(every[3]) + 1, int(every[1]))
        return lambda day: is_in(day) and day.day in days
    ways = [way for one in items(match[1]) for way in alone(one.removeprefix("the "))]
    return lambda day: is_in(day) and any(way(day) for way in ways)


def alone(text: str) -> Iterator[Callable[[date], bool]]:
    place, _, weekday = text.partition(" ")
    if text == "last day":
        yield lambda day: day.day == monthrange(day.year, day.month)[1]
    elif text == "last weekday":
        yield (
            lambda day: (
                day.weekday() < 5
                and all(
                    (day + timedelta(more)).month != day.month or (day + timedelta(more)).weekday() > 4
                    for more in range(1, 4)
                )
            )
        )
    elif place == "last":
        yield lambda day: WEEKDAYS[day.weekday()] == weekday and day.day + 7 > monthrange(day.year, day.month)[1]
    elif place in PLACES:
        yield lambda day: WEEKDAYS[day.weekday()] == weekday and (day.day - 1) // 7 == PLACES.index(place)
    elif text[0].isdigit():
        days = spans(text, lambda one: int(one[:-2]))
        yield lambda day: day.day in days
    else:
        weekdays = spans(text, lambda one: at(WEEKDAYS, one))
        yield lambda day: day.isoweekday() in weekdays


def read_repeating(words: str) -> Iterator[datetime]:
    """The readings of the clock that a repeating interval's words name. Without zone and count; days from a start."""
    if match := re.fullmatch("once at (.*)", words):
        yield datetime.fromisoformat(match[1])
        return
    if match := re.fullmatch("every (.*?)(?: on (.*?))? at (.*), from (.*)", words):
        lengths, start = match[1], datetime.fromisoformat(f"{match[4]} {whole(match[3])}")
        assert match[2] is None or told(match[2], start) == start.day
    else:
        match = re.fullmatch("every (.*) from (.*)", words)
        assert match, words
        lengths, start = match[1], datetime.fromisoformat(whole(match[2]))
    amounts = [re.findall(r"^(?:([\d,.]+) )?(\w+?)s?$", one)[0] for one in items(lengths)]
    by = {unit: float((number or "1").replace(",", "")) for number, unit in amounts}
    months = int(by.get("year", 0) * 12 + by.get("month", 0))
    rest = timedelta(weeks=by.get("week", 0), days=by.get("day", 0), hours=by.get("hour", 0))
    rest += timedelta(minutes=by.get("minute", 0), seconds=by.get("second", 0))
    for k in count():
        yield months_later(start, k * months) + k * rest


def told(days: str, start: datetime) -> int:
    """The day of the month that is told beside the start, which must be the start's own."""
    if days in WEEKDAYS:
        assert WEEKDAYS[start.weekday()] == days
        return start.day
    plain = re.sub(r" \(or .*\)", "", days)
    assert ("(or " in days) == (start.day > 28 if plain.startswith("the") else f"{start:%d %B}" == "29 February")
    if plain.startswith("the"):
        return int(plain[4:-2])
    assert plain.split()[1] == MONTHS[start.month - 1]
    return int(plain.split()[0])


def whole(text: str) -> str:
    """A time whose fraction has all of its digits."""
    before, dot, fraction = text.partition(".")
    return f"{before}.{fraction:0<6}" if dot else text


def months_later(start: datetime, months: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))
