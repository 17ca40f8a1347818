"""What came over HTTP and how it was answered, counted for `/metrics`. The web writes it."""

from collections import Counter
from collections.abc import Sized
from typing import Protocol

from kala.histogram import Histogram

ANSWERED = 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10
"""Bounds of classes, in seconds."""
CLASSES = 1, 2, 3, 4, 5
"""Of statuses: their hundreds."""


class Connections(Protocol):
    """What all connections of a server share (`web/limits.py`). `refused`: those above the limit; `slow`: those that
    were cut off because their peers sent, or took, too slowly; `unreadable`: requests that were no HTTP."""

    @property
    def connections(self) -> Sized: ...

    refused: int
    slow: int
    unreadable: int


class Door(Protocol):
    """The check of tokens. `refused`: requests whose token was not known, or was for less than they asked."""

    refused: int


class Asked:
    """One request, while it is under way. `route`: its method and path, as the table of routes has them; None where
    there is none."""

    __slots__ = ("answered", "route")

    def __init__(self) -> None:
        self.route: tuple[str, str] | None = None
        self.answered = False


class Traffic:
    """`seconds` are by route, from a request's arrival to the beginning of its answer."""

    def __init__(self) -> None:
        self.connections: Connections | None = None  # nothing is served yet
        self.door: Door | None = None  # nobody is asked
        self.answers = Counter(dict.fromkeys(CLASSES, 0))
        self.seconds: dict[tuple[str, str] | None, Histogram] = {}

    def note(self, asked: Asked, status: int, seconds: float) -> None:
        """A request is being answered."""
        asked.answered = True
        self.answers[status // 100] += 1
        if (histogram := self.seconds.get(asked.route)) is None:
            histogram = self.seconds[asked.route] = Histogram(ANSWERED)
        histogram.add(seconds)
