"""Whether a series is flat: the rule, and nothing else."""

import statistics
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

Points = Sequence[tuple[float, float]]


class Bound(NamedTuple):
    """How much a series may grow over the second half of a soak: `part` of its median there, or `floor`, whichever is
    more."""

    part: float
    floor: float


def slope(points: Points) -> float:
    """By Theil and Sen: the median of the slopes of all pairs. A third of the points may be anything."""
    slopes = [(later[1] - early[1]) / (later[0] - early[0]) for early, later in combinations(points, 2)]
    return statistics.median(slopes) if slopes else 0.0


def growth(points: Points) -> tuple[float, float]:
    """Over the second half: how much it has grown, by its slope, and its median there. `points` are in order."""
    middle = (points[0][0] + points[-1][0]) / 2
    second = [point for point in points if point[0] >= middle]
    return slope(second) * (second[-1][0] - second[0][0]), statistics.median(value for _, value in second)


def is_flat(points: Points, bound: Bound) -> bool:
    grown, median = growth(points)
    return grown <= max(bound.part * median, bound.floor)
