"""How people write numbers, names and lengths of time: "1, 5 to 9 and 12"."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from kala.clock import SECOND
from kala.schedule.durations import Interval

WEEKDAYS = "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
MOST = 12
"""More than these nobody reads."""


def joined(texts: Sequence[str], word: str = "and") -> str:
    """`a`; `a and b`; `a, b and c`."""
    return f" {word} ".join([*filter(None, [", ".join(texts[:-1])]), texts[-1]])


def nth(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def spans(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Numbers in order, three or more that follow each other taken together: the first and the last of each."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return [one for first, last in found for one in ([(first, last)] if last - first > 1 else _each(first, last))]


def _each(first: int, last: int) -> list[tuple[int, int]]:
    return [(number, number) for number in range(first, last + 1)]


def named(numbers: Sequence[int], name: Callable[[int], str]) -> list[str]:
    """The texts of these numbers, with "a to b" for spans."""
    return [name(first) if first == last else f"{name(first)} to {name(last)}" for first, last in spans(numbers)]


def step_of(numbers: Sequence[int]) -> int | None:
    """By how much each is more than the one before; None when that differs, or there are fewer than two."""
    if len(numbers) < 2:
        return None
    step = numbers[1] - numbers[0]
    return step if all(after - before == step for before, after in pairwise(numbers)) else None


def several(number: int, unit: str) -> str:
    """1 hour, 2 hours."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def without_one(length: str) -> str:
    """As after "every": "hour" for "1 hour"; but "1 hour and 30 minutes" as it is."""
    return length if " and " in length else length.removeprefix("1 ")


def length(interval: Interval) -> str:
    """A length of time: "1 hour", "15 minutes", "1 day and 12 hours"."""
    years, months = divmod(interval.months, 12)
    minutes, micros = divmod(interval.time, 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    given = [(years, "year"), (months, "month"), (interval.days, "day"), (hours, "hour"), (minutes, "minute")]
    texts = [several(number, unit) for number, unit in given if number]
    if micros or not texts:
        seconds = f"{micros // SECOND}.{micros % SECOND:06d}".rstrip("0").rstrip(".")
        texts.append(f"{seconds} second{'' if seconds == '1' else 's'}")
    return joined(texts)
