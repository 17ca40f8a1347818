"""Moments in order: a heap of (moment, job id). Plain data; times that were replaced are dropped when they surface."""

import heapq
from collections.abc import Iterable

from kala.clock import Moment


class Agenda:
    """Each job at most once."""

    def __init__(self) -> None:
        self._heap: list[tuple[Moment, str]] = []
        self._at: dict[str, Moment] = {}

    def __len__(self) -> int:
        return len(self._at)

    def fill(self, entries: Iterable[tuple[Moment, str]]) -> None:
        """Enter jobs that are not there yet, each once: in less time than `put` takes. One by one, as sorting a million
        in one call would keep the interpreter's lock for a quarter of a second."""
        heap, at = self._heap, self._at
        for entry in entries:
            moment, job_id = entry
            at[job_id] = moment
            heapq.heappush(heap, entry)

    def put(self, job_id: str, moment: Moment | None) -> None:
        """Enter a job, move it, or, with None, strike it out."""
        if moment is None:
            self._at.pop(job_id, None)
            return
        if self._at.get(job_id) == moment:
            return
        self._at[job_id] = moment
        heapq.heappush(self._heap, (moment, job_id))
        if len(self._heap) > 2 * len(self._at) + 1000:
            self._heap = [(at, one) for one, at in self._at.items()]
            heapq.heapify(self._heap)

    def head(self) -> Moment | None:
        """The first moment; None when there is nothing."""
        heap = self._heap
        while heap:
            moment, job_id = heap[0]
            if self._at.get(job_id) == moment:
                return moment
            heapq.heappop(heap)
        return None

    def first(self, count: int) -> list[tuple[Moment, str]]:
        """The first so many, in order; they stay. Looks at little more than these."""
        heap, found = self._heap, list[tuple[Moment, str]]()
        ahead = [(heap[0], 0)] if heap else []
        while ahead and len(found) < count:
            entry, place = heapq.heappop(ahead)
            # what was moved away and back is there twice, one after the other
            if self._at.get(entry[1]) == entry[0] and found[-1:] != [entry]:
                found.append(entry)
            for child in (2 * place + 1, 2 * place + 2):
                if child < len(heap):
                    heapq.heappush(ahead, (heap[child], child))
        return found

    def pop_until(self, moment: Moment, most: int | None = None) -> list[tuple[Moment, str]]:
        """Take out what is due until `moment` (included), in order: all, or the first `most`."""
        due: list[tuple[Moment, str]] = []
        while len(due) != most and (head := self.head()) is not None and head <= moment:
            entry = heapq.heappop(self._heap)
            del self._at[entry[1]]
            due.append(entry)
        return due
