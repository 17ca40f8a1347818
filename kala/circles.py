"""Circles among things that lead to each other, found in one walk over all of them. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

Following = Callable[[str], Sequence[str]]


def circles(starts: Iterable[str], following: Following) -> dict[str, frozenset[str]]:
    """Whatever leads back to itself, of all that `starts` lead to: each with all that it is in circles with.

    Takes time by the number of ways, and no deep stack: by Tarjan's algorithm for strongly connected components.
    """
    found: dict[str, frozenset[str]] = {}
    number: dict[str, int] = {}  # in the order in which they were met
    lowest: dict[str, int] = {}  # the first that each was seen to lead back to
    open_: list[str] = []  # met, and not known yet to be done
    is_open: set[str] = set()
    for start in starts:
        if start in number:
            continue
        stack = [(start, iter(following(start)))]
        number[start] = lowest[start] = len(number)
        open_.append(start)
        is_open.add(start)
        while stack:
            one, ways = stack[-1]
            for other in ways:
                if other not in number:
                    number[other] = lowest[other] = len(number)
                    open_.append(other)
                    is_open.add(other)
                    stack.append((other, iter(following(other))))
                    break
                if other in is_open:
                    lowest[one] = min(lowest[one], number[other])
            else:
                stack.pop()
                if stack:
                    before = stack[-1][0]
                    lowest[before] = min(lowest[before], lowest[one])
                if lowest[one] == number[one]:
                    at = len(open_) - 1
                    while open_[at] != one:
                        at -= 1
                    together = frozenset(open_[at:])
                    del open_[at:]
                    is_open -= together
                    if len(together) > 1 or one in following(one):
                        found |= dict.fromkeys(together, together)
    return found


def way_round(one: str, within: frozenset[str], following: Following) -> list[str]:
    """A shortest way from `one` back to it, over what is `within`; there must be one."""
    came_from: dict[str, str] = {}
    todo = deque([one])
    while one not in came_from:
        here = todo.popleft()
        for other in following(here):
            if other in within and other not in came_from:
                came_from[other] = here
                todo.append(other)
    way = [one, came_from[one]]
    while way[-1] != one:
        way.append(came_from[way[-1]])
    return way[::-1]
