"""What the store's commits have come to since the start, counted for `/metrics`."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kala.drivers.contract import Conflict
from kala.histogram import Histogram

SIZES = 1, 2, 5, 10, 25, 50, 100, 250, 500
"""Bounds of classes: decisions in a commit, at most `writer.MOST`."""
SECONDS = 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10


class Commits:
    """Written in the writer's thread. `failures` are commits that had no answer, or were refused; `conflicts` records
    that another daemon had written first."""

    def __init__(self) -> None:
        self.sizes, self.seconds = Histogram(SIZES), Histogram(SECONDS)
        self.failures = self.conflicts = 0

    @contextmanager
    def counted(self, decisions: int, answers: Sequence[Conflict | None]) -> Iterator[None]:
        """Within, so many are committed, and `answers` filled."""
        begun = time.perf_counter()
        try:
            yield
        except BaseException:
            self.failures += 1
            raise
        self.seconds.add(time.perf_counter() - begun)
        self.sizes.add(decisions)
        self.conflicts += sum(one is not None for one in answers)
