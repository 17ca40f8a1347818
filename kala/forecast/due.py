"""Which jobs have occurrences in a span of time."""

from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import NamedTuple

from kala.clock import Moment
from kala.forecast.course import Course, Key, course_of, key_of
from kala.job import Record
from kala.ledger import expected, jittered, plan_of

CHUNK = 1_000
"""So many are sorted at once: in less than a millisecond."""


class Found(NamedTuple):
    """A job, its first start in the span, and how `many` there are."""

    at: Moment
    job: str
    many: int


class Due:
    """The jobs that have occurrences from `since` until before `until`, by arithmetic: none is walked along."""

    def __init__(self, now: Moment, since: Moment, until: Moment) -> None:
        self._now, self._since, self._until = now, since, until
        self._found: list[list[Found]] = [[]]  # sorted, but for the last
        self._counted: dict[tuple[Key, Moment], int] = {}
        self.total = 0

    def add(self, record: Record) -> None:
        """Look at a job."""
        course = course_of(record, self._now, self._until)
        if course is None:
            return
        if course.left == 1:
            found = self._once(record, course)
        elif course.micros:
            found = self._steady(record, course)
        else:
            found = self._by_plan(record, course)
        if found is not None:
            self.total += 1
            self._found[-1].append(found)
            if len(self._found[-1]) == CHUNK:
                self.close()

    def close(self) -> None:
        """All have been looked at."""
        self._found[-1].sort()
        self._found.append([])

    def after(self, at: Moment, job: str, limit: int) -> list[Found]:
        """The first `limit` of those that come after this place, by moment and job."""
        place = (at, job, 1 << 63)

        def rest(chunk: list[Found]) -> Iterator[Found]:
            for index in range(bisect_right(chunk, place), len(chunk)):
                yield chunk[index]

        return list(islice(merge(*map(rest, self._found)), limit))

    def _once(self, record: Record, course: Course) -> Found | None:
        at = expected(record, course.first) if course.jitter else course.first
        return Found(at, record.id, 1) if self._since <= at < self._until else None

    def _steady(self, record: Record, course: Course) -> Found | None:
        first, left, micros, spread = course.first, course.left, course.micros, min(course.jitter, course.micros)
        end = self._until if left is None else min(self._until, first + left * micros)
        if not spread:
            begin = first + max(-(-(self._since - first) // micros), 0) * micros
            return Found(begin, record.id, -(-(end - begin) // micros)) if begin < end else None
        # From the last one at or before `since`: it may be put off into the span
        moments = range(first + max((self._since - first) // micros, 0) * micros, end, micros)
        if moments and jittered(record.id, moments[-1], spread) >= self._until:
            moments = moments[:-1]
        if moments and jittered(record.id, moments[0], spread) < self._since:
            moments = moments[1:]
        if not moments:
            return None
        return Found(jittered(record.id, moments[0], spread), record.id, len(moments))

    def _by_plan(self, record: Record, course: Course) -> Found | None:
        plan, key = plan_of(record.job), key_of(record.job, course)
        since, until, begin, left = self._since, self._until, course.first, course.left
        if begin < since:
            following = plan.last_before(since + 1) if course.jitter else plan.next_after(since - 1)
            if following is None or following >= until:
                return None
            if following > begin:
                left = None if left is None else left - plan.count_between(begin - 1, following - 1)
                begin = following
        if (count := self._counted.get((key, begin))) is None:
            count = self._counted[key, begin] = plan.count_between(begin - 1, until - 1)
        if left is not None:
            count = min(count, left)
        if count <= 0:
            return None
        at = begin
        if course.jitter:
            # Nothing is put off as far as the one after it, so only the last before `until` may come after that
            last = plan.last_before(until)
            if last is not None and plan.count_between(begin - 1, last) == count and expected(record, last) >= until:
                count -= 1
            if (at := expected(record, begin)) < since:
                count -= 1
                if count > 0 and (second := plan.next_after(begin)) is not None:
                    at = expected(record, second)
        return Found(at, record.id, count) if count > 0 else None
