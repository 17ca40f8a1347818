"""Taking rows and outputs out of the history again, for `consul_pruning.py` and for what was staged and not finished.

A row is in one page, and goes in the transaction that takes it out of that page: of several who prune at once one
removes it, and counts it. Likewise an output, whose bytes leave the lane's sum in the same transaction.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from kala.drivers.consul_http import OPERATIONS, Agent, Entry, Op
from kala.drivers.consul_keys import Keys, Page, encode
from kala.drivers.consul_lane import ROOM, Lane, Lanes
from kala.drivers.consul_time import Deadline
from kala.errors import StoreUnavailable

TRIES = 50  # of a portion that others prune at the same time

Outputs = set[tuple[str, int]]  # runs and attempts
Runs = set[str]
replace = msgspec.structs.replace
_page_decoder = msgspec.json.Decoder(Page)


class Staged(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a key under `staged/` says: the pages that belong to it, and whether it is given up."""

    stamps: list[str]
    void: bool = False


class _Sort(NamedTuple):
    """Of what pages hold: rows, or outputs."""

    key: Callable[[str], str]  # of a page, by its stamp
    member: str  # of `Page`
    name: Callable[[Any], Hashable]
    ops: Callable[[str, Any], list[Op]]  # that remove one of them, out of the page of that stamp
    size: Callable[[Any], int]  # bytes that the lanes' heads count

    def items(self, page: Page) -> list[Any]:
        found: list[Any] = getattr(page, self.member)
        return found


class Removal:
    """Removes, in transactions that are bounded; with each of them a call has its whole time again."""

    def __init__(self, agent: Agent, keys: Keys, lanes: Lanes) -> None:
        self._agent, self._lanes, self._keys = agent, lanes, keys
        self._rows = _Sort(
            keys.page,
            "rows",
            lambda row: row.id,
            lambda stamp, row: [Op("delete", keys.run(row.id)), Op("delete", keys.job_row(stamp, row))],
            lambda _: 0,
        )
        self._printed = _Sort(
            keys.printed,
            "printed",
            lambda one: (one.run_id, one.attempt),
            lambda _, one: [Op("delete", key(one.run_id, one.attempt)) for key in (keys.output, keys.data)],
            lambda one: one.length,
        )

    def rows(self, doomed: Mapping[str, Runs], deadline: Deadline, lane: Lane | None = None) -> int:
        """Remove rows, by the stamps of their pages. Returns how many there were."""
        return sum(1 for _ in self._take(self._rows, doomed, deadline, lane))

    def outputs(self, doomed: Mapping[str, Outputs], deadline: Deadline, lane: Lane | None = None) -> int:
        """Remove outputs, by the stamps of their pages. Returns how many bytes they had."""
        return sum(one.length for one in self._take(self._printed, doomed, deadline, lane))

    def _take(
        self, sort: _Sort, doomed: Mapping[str, set[Any]], deadline: Deadline, lane: Lane | None
    ) -> Iterator[Any]:
        """Take things out of pages, and give those that were taken."""
        stamps = sorted(doomed)
        for start in range(0, len(stamps), OPERATIONS):
            some, tries = stamps[start : start + OPERATIONS], 0
            while some:
                pages = pages_of(self._agent.found(map(sort.key, some), deadline))
                left: list[str] = []  # pages that others changed meanwhile, or of which not all fitted
                for portion in _portions(sort, pages, doomed):
                    ops, taken = self._out_of_pages(sort, pages, portion)
                    with self._lane(lane, deadline) as own:
                        growth = -sum(map(sort.size, taken))
                        _, faults = own.transact(ops, deadline, stamp=own.stamp(), growth=growth)
                    deadline.renew()
                    if not faults:
                        yield from taken
                    left += [stamp for stamp, chosen in portion.items() if faults or chosen != doomed[stamp]]
                some, tries = left, tries + 1
                if tries > TRIES:
                    raise StoreUnavailable(f"{self._agent.place}: others remove the same from the history")

    def _out_of_pages(
        self, sort: _Sort, pages: Mapping[str, tuple[Page, int]], portion: Mapping[str, set[Any]]
    ) -> tuple[list[Op], list[Any]]:
        """What takes these out of their pages, and what they are."""
        ops: list[Op] = []
        taken: list[Any] = []
        for stamp, chosen in portion.items():
            page, index = pages[stamp]
            kept = [one for one in sort.items(page) if sort.name(one) not in chosen]
            if kept:
                ops.append(Op("cas", sort.key(stamp), encode(replace(page, **{sort.member: kept})), index))
            else:
                ops += [Op("check-index", sort.key(stamp), index=index), Op("delete", sort.key(stamp))]
            these = [one for one in sort.items(page) if sort.name(one) in chosen]
            taken += these
            ops += [op for one in these for op in sort.ops(stamp, one)]
        return ops, taken

    def _lane(self, lane: Lane | None, deadline: Deadline) -> AbstractContextManager[Lane]:
        return self._lanes.one(deadline) if lane is None else nullcontext(lane)

    def staged(self, found: Mapping[str, str], deadline: Deadline) -> set[str]:
        """Which of these keys are not there (yet), because what they were staged under is: it stands behind each,
        empty for most."""
        if not any(found.values()):
            return set()
        stages = self._agent.found({self._keys.stage(stage) for stage in found.values() if stage}, deadline)
        waiting = {key for key, stage in found.items() if stage and self._keys.stage(stage) in stages}
        # A stage ends as well when others remove it, with its keys: those that are there still were committed.
        ended = [key for key, stage in found.items() if stage and key not in waiting]
        return waiting | set(ended).difference(self._agent.found(ended, deadline))

    def clean(self, stage: str, deadline: Deadline, lane: Lane) -> None:
        """Remove what was staged and not finished, in a way that nobody can finish it any more."""
        key = self._keys.stage(stage)
        while entry := self._agent.found([key], deadline).get(key):
            staged = msgspec.json.decode(entry.data, type=Staged)
            if not staged.void:
                void = encode(replace(staged, void=True))
                lane.transact([Op("cas", key, void, entry.modify_index)], deadline, stamp=lane.stamp())
                continue
            for start in range(0, len(staged.stamps), OPERATIONS):
                some = staged.stamps[start : start + OPERATIONS]
                pages = pages_of(self._agent.found(map(self._keys.page, some), deadline))
                self.rows({stamp: {row.id for row in page.rows} for stamp, (page, _) in pages.items()}, deadline, lane)
                pages = pages_of(self._agent.found(map(self._keys.printed, some), deadline))
                self.outputs(
                    {s: {(one.run_id, one.attempt) for one in page.printed} for s, (page, _) in pages.items()},
                    deadline,
                    lane,
                )
            ops = [Op("check-index", key, index=entry.modify_index), Op("delete", key)]
            lane.transact(ops, deadline, stamp=lane.stamp())


def pages_of(entries: Mapping[str, Entry]) -> dict[str, tuple[Page, int]]:
    """Pages and their indexes, by their stamps."""
    return {
        key.rpartition("/")[2]: (_page_decoder.decode(entry.data), entry.modify_index) for key, entry in entries.items()
    }


def _portions(
    sort: _Sort, pages: Mapping[str, tuple[Page, int]], doomed: Mapping[str, set[Any]]
) -> Iterator[dict[str, set[Any]]]:
    """What goes out of which pages in one transaction; of each page once."""
    portion: dict[str, set[Any]] = {}
    room = ROOM
    for stamp, (page, _) in pages.items():
        chosen = [name for one in sort.items(page) if (name := sort.name(one)) in doomed[stamp]]
        if not chosen:
            continue
        if room < 2 + 2 * len(chosen) and portion:
            yield portion
            portion, room = {}, ROOM
        chosen = chosen[: (room - 2) // 2]
        portion[stamp] = set(chosen)
        room -= 2 + 2 * len(chosen)
    if portion:
        yield portion
