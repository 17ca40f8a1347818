"""Schedules by the calendar, by a zone's clock and by cron, walked along: once for all jobs that go on alike."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Generator
from itertools import accumulate, islice
from typing import NamedTuple

from kala.clock import SECOND, Moment
from kala.ledger import chance, jittered
from kala.schedule.plan import Plan

MINUTE = 60 * SECOND
FEW = 200
"""Occurrences of a job in the span, up to which it is asked of each how far it is put off: each hour for a week."""
PARTS = 16
"""Jobs of one schedule, each of whose occurrences are many, are put off by so many different parts."""
STEPS = 1_000


class Budget:
    """What may be done for one answer. `exceeded`: it was not enough.

    Walking along takes 0.5 µs a moment, and to ask how far one is put off 1 µs.
    """

    READING, WALKED, ASKED = 50, 2_000_000, 200_000

    def __init__(self) -> None:
        self._walked, self._asked = self.WALKED, self.ASKED
        self.exceeded = False

    def spend(self, moments: int) -> None:
        """So many moments are walked along."""
        self._walked -= moments
        self.exceeded |= self._walked < 0

    def asks(self, moments: int) -> bool:
        """It may be asked of so many moments of a job how far they are put off."""
        if moments > min(FEW, self._asked):
            return False
        self._asked -= moments
        return True


class Entry(NamedTuple):
    """Jobs that go on from `first`, with so many claims left (None: without end); with `jitter`, one job."""

    first: Moment
    left: int | None
    jitter: int
    job: str


Walk = Generator[None, None, int]


def walked(
    plan: Plan, entries: Counter[Entry], since: Moment, until: Moment, counts: list[int], budget: Budget
) -> Walk:
    """Add the occurrences from `since` until before `until` to the counts of their minutes. Returns how many of the
    jobs have any."""
    first = min(entry.first for entry in entries)
    put_off = any(entry.jitter for entry in entries)
    begin = max(first, since)
    if put_off and first <= since and (last := plan.last_before(since + 1)) is not None:
        begin = max(first, last)  # it may be put off into the span
    if len(entries) == 1 and not put_off:
        return (yield from _alike(plan, next(iter(entries)), entries.total(), begin, until, since, counts, budget))
    moments = array("q")
    for moment in plan.occurrences(begin - 1, until - 1):
        budget.spend(1)
        if budget.exceeded:
            return 0
        moments.append(moment)
        if len(moments) % STEPS == 0:
            yield
    if not moments:
        return 0
    following = plan.next_after(moments[-1]) if put_off else None
    moments.append(until if following is None else following)  # it bounds how far the one before is put off
    found = _Found(moments, since, until, counts, budget)
    jobs = 0
    for number, (entry, times) in enumerate(entries.items()):
        passed = plan.count_between(entry.first - 1, moments[0] - 1) if entry.left is not None else 0
        jobs += times * found.add(entry, times, passed)
        if number % 100 == 0:
            yield
    yield from found.count()
    return jobs


def _alike(
    plan: Plan, entry: Entry, times: int, begin: Moment, until: Moment, since: Moment, counts: list[int], budget: Budget
) -> Walk:
    """As `walked`, of jobs that go on alike in all."""
    most = None
    if entry.left is not None:
        most = max(entry.left - plan.count_between(entry.first - 1, begin - 1), 0)
    number = 0
    for number, moment in enumerate(islice(plan.occurrences(begin - 1, until - 1), most), 1):
        counts[(moment - since) // MINUTE] += times
        if number % STEPS == 0:
            budget.spend(STEPS)
            if budget.exceeded:
                break
            yield
    budget.spend(number % STEPS)
    return times if number else 0


class _Found:
    """The moments of a plan in the span, and one more; and maybe one before it, which may be put off into it."""

    def __init__(self, moments: "array[int]", since: Moment, until: Moment, counts: list[int], budget: Budget) -> None:
        self._moments, self._since, self._until, self._counts = moments, since, until, counts
        self._budget = budget
        self._alike: dict[tuple[int, float], list[int]] = {}  # begins less ends, by jitter and its part

    def add(self, entry: Entry, times: int, passed: int) -> bool:
        """Take in jobs, of whose claims so many are used up before the first moment. Whether they have any here."""
        low, high = bisect_left(self._moments, entry.first), len(self._moments) - 1
        if entry.left is not None:
            high = min(high, low + entry.left - passed)
        if low >= high:
            return False
        if entry.jitter and self._budget.asks(high - low):
            return self._exact(entry, low, high)
        part = (int(chance(entry.job) * PARTS) + 0.5) / PARTS if entry.jitter else 0.0
        if self._at(low, entry.jitter, part) < self._since:
            low += 1
        if low >= high or self._at(low, entry.jitter, part) >= self._until:
            return False
        changes = self._alike.setdefault((entry.jitter, part), [0] * len(self._moments))
        changes[low] += times
        changes[high] -= times
        return True

    def _exact(self, entry: Entry, low: int, high: int) -> bool:
        found = False
        for index in range(low, high):
            moment = self._moments[index]
            at = jittered(entry.job, moment, min(entry.jitter, self._moments[index + 1] - moment))
            if self._since <= at < self._until:
                self._counts[(at - self._since) // MINUTE] += 1
                found = True
        return found

    def _at(self, index: int, jitter: int, part: float) -> Moment:
        moment = self._moments[index]
        return moment + int(min(jitter, self._moments[index + 1] - moment) * part)

    def count(self) -> Generator[None, None, None]:
        """Count what goes on alike."""
        for (jitter, part), changes in self._alike.items():
            self._budget.spend(len(changes) if jitter else 0)
            if self._budget.exceeded:
                return
            for index, many in enumerate(accumulate(changes[:-1])):
                if many and (at := self._at(index, jitter, part) if jitter else self._moments[index]) < self._until:
                    self._counts[(at - self._since) // MINUTE] += many
                if index % STEPS == 0:
                    yield
