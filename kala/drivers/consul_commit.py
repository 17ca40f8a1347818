"""Committing elements, for `consul.py`.

A batch is as few transactions as hold it, several of them under way at once. A transaction that is refused names every
operation that does not hold: what these are about is read, the elements that conflict are answered, what is in the
history already is left out, and the rest is sent again.

An element that is larger than a transaction has its history staged: portions, of which each is a transaction, say that
they are not there as long as the key `staged/<stamp>` is. One transaction writes the record and removes that key.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import msgspec

from kala.drivers.consul_draft import Draft, Work, grouped, portions
from kala.drivers.consul_http import Agent, Entry, Op
from kala.drivers.consul_keys import Header, Keys, Stamps, encode, read_record, read_run
from kala.drivers.consul_lane import LANES, Identity, Lane, Lanes
from kala.drivers.consul_removal import Removal, Staged
from kala.drivers.consul_time import Deadline
from kala.drivers.contract import Conflict, Element, Stored, is_done
from kala.drivers.rows import RunRow, run_row
from kala.errors import StoreCorrupt
from kala.job import Output

KNOWN = 100_000
"""Records whose index is remembered, so that writing them again needs no look first: some 15 MB."""

T = TypeVar("T")

_log = logging.getLogger(__name__)
_header_decoder = msgspec.json.Decoder(Header)


class Committer:
    """Commits, for one driver."""

    def __init__(
        self,
        agent: Agent,
        keys: Keys,
        identity: Identity,
        lanes: Lanes,
        stamps: Stamps,
        removal: Removal,
    ) -> None:
        self._identity = identity
        self._agent, self._keys, self._lanes, self._stamps = agent, keys, lanes, stamps
        self._removal = removal
        self._known: dict[int, int] = {}  # revision and index in one number, by the hash of kind and key

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        deadline = Deadline()
        answers: list[Conflict | None] = [None] * len(batch)
        works = [
            Work(element, place, first_of(map(run_row, element.runs), run_id), first_of(element.outputs, output_id))
            for place, element in enumerate(batch)
        ]
        works = self._decided(works, [work for work in works if not self._guess(work)], answers, deadline)
        groups, big = grouped(works, self._agent.largest)
        tasks = [partial(self._settle, group, answers, deadline) for group in groups]
        if big:  # one after another: they may be about the same runs
            tasks.append(partial(self._settle_big, big, answers, deadline))
        if len(tasks) == 1:
            tasks[0]()
        else:
            with ThreadPoolExecutor(LANES, "consul") as threads:
                futures = [threads.submit(task) for task in tasks]
            for future in futures:
                future.result()
        return answers

    def _guess(self, work: Work) -> bool:
        """Whether the record needs no look: it is at the index that is remembered, or it is new."""
        element = work.element
        known = self._known.get(hash(work.name))
        if known is not None and known >> 64 == element.expected:
            work.index = known & 0xFFFF_FFFF_FFFF_FFFF
            return True
        return known is None and element.expected == 0 and element.value is not None

    def _remember(self, works: Iterable[Work], index: int) -> None:
        for work in works:
            if work.touches and not work.is_done:
                self._known.pop(hash(work.name), None)
                if work.element.value is not None:
                    self._known[hash(work.name)] = work.element.revision << 64 | index
        while len(self._known) > KNOWN:
            try:
                self._known.pop(next(iter(self._known)), None)
            except (RuntimeError, StopIteration):  # another thread changes it, and will look after its size
                return

    def _decided(
        self, works: Sequence[Work], doubtful: Sequence[Work], answers: list[Conflict | None], deadline: Deadline
    ) -> list[Work]:
        """`works` without those that conflict, which are answered. The records of the doubtful ones are read."""
        if not doubtful:
            return list(works)
        keys = [self._keys.meta, *(self._keys.record(*work.name) for work in doubtful)]
        found = self._agent.found(keys, deadline)
        self._identity.confirm(found.get(self._keys.meta))
        refused = set()
        for work in doubtful:
            element, entry = work.element, found.get(self._keys.record(*work.name))
            current = None if entry is None else self.stored(*work.name, entry)
            work.index = 0 if entry is None else entry.modify_index
            work.is_done = is_done(element, current) and (entry is None) == (current is None)
            if not work.is_done and (
                element.expected != (0 if current is None else current.revision)
                or (entry is None) != (current is None)  # a key that somebody's hand has spoilt is left alone
            ):
                answers[work.place] = Conflict(current)
                refused.add(work)
        return [work for work in works if work not in refused]

    def stored(self, kind: str, key: str, entry: Entry) -> Stored | None:
        """The record under a key. One that cannot be read is logged, and None."""
        try:
            return read_record(kind, key, entry, self._stamps)
        except ValueError as error:
            _log.error("%s", StoreCorrupt(kind, key, str(error)))
            return None

    def _settle(self, group: list[Work], answers: list[Conflict | None], deadline: Deadline) -> None:
        with self._lanes.one(deadline) as lane:
            self._settle_on(lane, group, answers, deadline)

    def _settle_on(self, lane: Lane, group: list[Work], answers: list[Conflict | None], deadline: Deadline) -> None:
        while group:
            draft = Draft(group, self._keys, lane.stamp())
            if not draft.ops:
                return
            index, faults = self._send(lane, draft, deadline)
            if not faults:
                self._remember(group, index)
                return
            group = self._mended(lane, group, draft, faults, answers, deadline)

    def _send(self, lane: Lane, draft: Draft, deadline: Deadline) -> tuple[int, dict[int, str]]:
        return lane.transact(
            draft.ops,
            deadline,
            stamp=draft.stamp,
            names=draft.names,
            growth=draft.growth,
            earliest=draft.earliest,
        )

    def _mended(
        self,
        lane: Lane,
        group: list[Work],
        draft: Draft,
        faults: Mapping[int, str],
        answers: list[Conflict | None],
        deadline: Deadline,
    ) -> list[Work]:
        """What is to be sent again of a transaction that was refused."""
        owners = [draft.owners[place] for place in faults if place in draft.owners]
        self._leave_out(lane, [(work, what) for work, what in owners if what is not None], deadline)
        return self._decided(group, [work for work, what in owners if what is None], answers, deadline)

    def _leave_out(self, lane: Lane, doubtful: list[tuple[Work, RunRow | Output]], deadline: Deadline) -> None:
        """Leave out what is in the history already. What a stage has left there that was not finished goes."""
        keys = [
            self._keys.run(what.id) if isinstance(what, RunRow) else self._keys.output(what.run_id, what.attempt)
            for _, what in doubtful
        ]
        stages = {
            key: read_run(entry)[1] if key.startswith(self._keys.runs) else _header_decoder.decode(entry.data).stage
            for key, entry in self._agent.found(keys, deadline).items()
        }
        staged = self._removal.staged(stages, deadline)
        for stage in {stages[key] for key in staged}:
            self._removal.clean(stage, deadline, lane)
        for (work, what), key in zip(doubtful, keys, strict=True):
            if key not in stages or key in staged:
                continue  # it was removed meanwhile, or just now
            if isinstance(what, RunRow):
                work.runs.remove(what)
            else:
                work.outputs.remove(what)

    def _settle_big(self, works: list[Work], answers: list[Conflict | None], deadline: Deadline) -> None:
        with self._lanes.one(deadline) as lane:
            for work in works:
                self._settle_staged(lane, work, answers, deadline)

    def _settle_staged(self, lane: Lane, work: Work, answers: list[Conflict | None], deadline: Deadline) -> None:
        everything: list[tuple[Work, RunRow | Output]] = [
            *((work, run) for run in work.runs),
            *((work, each) for each in work.outputs),
        ]
        self._leave_out(lane, everything, deadline)
        while True:
            _, big = grouped([work], self._agent.largest)
            if not big:
                self._settle_on(lane, [work], answers, deadline)
                return
            some = portions(work, self._agent.largest)
            staged = Staged([lane.stamp() for _ in some])
            stage = lane.stamp()
            key = self._keys.stage(stage)
            index, _ = lane.transact([Op("set", key, encode(staged))], deadline, stamp=stage)
            check = Op("check-index", key, index=index)
            for portion, stamp in zip(some, staged.stamps, strict=True):
                self._put_aside(lane, portion, stamp, stage, check, deadline)
            last = [check, Op("delete", key)]
            record = Work(work.element, work.place, [], [], work.index, work.is_done, also=last)
            draft = Draft([record], self._keys, lane.stamp())
            index, faults = self._send(lane, draft, deadline)
            if not faults:
                self._remember([record], index)
                return
            self._removal.clean(stage, deadline, lane)
            if not self._decided([work], [work], answers, deadline):
                return

    def _put_aside(self, lane: Lane, portion: Work, stamp: str, stage: str, check: Op, deadline: Deadline) -> None:
        """Stage a portion, unless the stage was cleaned: then it must not come there late, and nor may the record."""
        while portion.runs or portion.outputs:
            draft = Draft([portion], self._keys, stamp, stage, [check])
            _, faults = self._send(lane, draft, deadline)
            if not faults or 0 in faults:
                return
            self._leave_out(
                lane,
                [(work, what) for work, what in map(draft.owners.__getitem__, faults) if what is not None],
                deadline,
            )


def run_id(row: RunRow) -> object:
    return row.id


def output_id(output: Output) -> object:
    return output.run_id, output.attempt


def first_of(items: Iterable[T], identity: Callable[[T], object]) -> list[T]:
    """The first of those that are the same."""
    found: dict[object, T] = {}
    for item in items:
        found.setdefault(identity(item), item)
    return list(found.values())
