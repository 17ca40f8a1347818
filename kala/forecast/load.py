"""How many occurrences come in each minute.

Most schedules name a moment again and again after whole minutes, or a few such series: of those only the first minute
and the one after the last are noted, by the step, and all that have a step are spread at once. The others are walked
along, once for all jobs that go on alike.

What `jitter` puts off is asked for each occurrence of jobs that have few in the span (`walk.FEW`). Those of a job that
has many are put off all alike, by a part that is the job's own: in each minute a little more or less comes than is
told, and in all as much.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from math import gcd

from kala.clock import SECOND, Moment
from kala.forecast.course import Course, Key, course_of, key_of
from kala.forecast.walk import Budget, Entry, walked
from kala.job import Job, Record
from kala.ledger import chance, expected, jittered, plan_of

MINUTE = 60 * SECOND
DIRECT = 4
"""A series of no more is not worth noting."""
SERIES = 600
"""An interval that is whole minutes only after so many times is walked along."""
STEPS = 1_000
"""So many additions, and others have their turn: some 0.1 ms."""


class Load:
    """Counts what comes in each of so many minutes from `since` on, itself a whole minute. `counts` are there when
    `finish` is at its end; `truncated`: more would have had to be walked along than may be."""

    def __init__(self, now: Moment, since: Moment, minutes: int) -> None:
        self._now, self.since, self._until = now, since, since + minutes * MINUTE
        self.counts = [0] * minutes
        self.jobs = 0
        self.budget = Budget()
        self._edges: defaultdict[int, Counter[int]] = defaultdict(Counter)  # by step: begins less ends, by minute
        self._groups: dict[Key, tuple[Job, Counter[Entry]]] = {}
        self._odd: Counter[tuple[int, Moment, int]] = Counter()  # by interval, first moment and their number

    @property
    def truncated(self) -> bool:
        return self.budget.exceeded

    def add(self, record: Record) -> None:
        """Take a job into account."""
        course = course_of(record, self._now, self._until)
        if course is None:
            return
        if course.left == 1:
            at = expected(record, course.first) if course.jitter else course.first
            if self.since <= at < self._until:
                self.jobs += 1
                self.counts[(at - self.since) // MINUTE] += 1
        elif course.micros:
            self._add_steady(record, course)
        else:
            key = key_of(record.job, course)
            if (group := self._groups.get(key)) is None:
                group = self._groups[key] = (record.job, Counter())
            whose = record.id if course.jitter else ""
            group[1][Entry(course.first, course.left, course.jitter, whose)] += 1

    def finish(self) -> Iterator[None]:
        """Count what was taken in. Between its steps others may have their turn."""
        for job, entries in self._groups.values():
            self.budget.spend(self.budget.READING)
            if self.budget.exceeded:
                break
            walk = walked(plan_of(job), entries, self.since, self._until, self.counts, self.budget)
            self.jobs += yield from walk
            yield
        self._groups.clear()
        yield from self._count_odd()
        for step, edges in self._edges.items():
            yield from self._spread(step, edges)
        self._edges.clear()

    def _add_steady(self, record: Record, course: Course) -> None:
        first, left, micros = course.first, course.left, course.micros
        spread = min(course.jitter, micros)
        leaves_minute = micros % MINUTE or first % MINUTE + spread > MINUTE
        if spread and leaves_minute:
            # From the last one at or before `since`: it may be put off into the span
            begin = first + max((self.since - first) // micros, 0) * micros
            end = self._until if left is None else min(self._until, first + left * micros)
            moments = range(begin, end, micros)
            if self.budget.asks(len(moments)):
                found = [jittered(record.id, moment, spread) for moment in moments]
                found = [(at - self.since) // MINUTE for at in found if self.since <= at < self._until]
                for minute in found:
                    self.counts[minute] += 1
                self.jobs += bool(found)
                return
            first += int(chance(record.id) * spread)
        if first < self.since:
            passed = -(-(self.since - first) // micros)
            first += passed * micros
            left = None if left is None else left - passed
        count = -(-(self._until - first) // micros)
        if left is not None:
            count = min(count, left)
        if count > 0:
            self.jobs += 1
            self._add_series(micros, first, count)

    def _add_series(self, micros: int, first: Moment, count: int) -> None:
        """So many occurrences, all in the span."""
        repeats = MINUTE // gcd(micros, MINUTE)  # after so many intervals it is at the same second again
        if count <= DIRECT:
            for moment in range(first, first + count * micros, micros):
                self.counts[(moment - self.since) // MINUTE] += 1
        elif repeats == 1:
            self._note(first, micros // MINUTE, count)
        elif MINUTE % micros == 0:
            self._note_dense(first, repeats, count)
        elif repeats > SERIES or count <= 2 * repeats:
            self._odd[micros, first, count] += 1
        else:
            for number in range(repeats):
                several = -(-(count - number) // repeats)
                self._note(first + number * micros, micros * repeats // MINUTE, several)

    def _note(self, first: Moment, step: int, count: int) -> None:
        """One in a minute, so many times, `step` minutes apart."""
        begin, edges = (first - self.since) // MINUTE, self._edges[step]
        edges[begin] += 1
        if (end := begin + count * step) < len(self.counts):
            edges[end] -= 1

    def _note_dense(self, first: Moment, each: int, count: int) -> None:
        """So many in each minute, but for the first and the last."""
        begin, edges = (first - self.since) // MINUTE, self._edges[1]
        left_in_first = self.since + (begin + 1) * MINUTE - first
        in_first = min(-(-left_in_first * each // MINUTE), count)
        whole, in_last = divmod(count - in_first, each)
        edges[begin] += in_first
        edges[begin + 1] += each - in_first
        edges[begin + 1 + whole] += in_last - each
        edges[begin + 2 + whole] -= in_last

    def _count_odd(self) -> Iterator[None]:
        for (micros, first, count), times in self._odd.items():
            self.budget.spend(min(count, len(self.counts)))
            if self.budget.exceeded:
                break
            if micros >= MINUTE:
                for number, moment in enumerate(range(first, first + count * micros, micros)):
                    self.counts[(moment - self.since) // MINUTE] += times
                    if number % STEPS == 0:
                        yield
                continue
            before = 0
            for minute in range((first - self.since) // MINUTE, len(self.counts)):
                passed = self.since + (minute + 1) * MINUTE - first
                so_far = min(-(-passed // micros), count)
                self.counts[minute] += (so_far - before) * times
                before = so_far
                if minute % STEPS == 0:
                    yield
        self._odd.clear()

    def _spread(self, step: int, edges: Counter[int]) -> Iterator[None]:
        counts, size = self.counts, len(self.counts)
        if len(edges) < step:
            for done, (minute, change) in enumerate(edges.items()):
                for later in range(minute, size, step):
                    counts[later] += change
                if done % 10 == 0:
                    yield
            return
        row = [0] * size
        for minute, change in edges.items():
            if minute < size:
                row[minute] += change
        yield
        for first in range(min(step, size)):
            row[first::step] = accumulate(row[first::step])
        yield
        counts[:] = map(int.__add__, counts, row)
        yield
