"""`kala move`: what is in one database into another, and the proof that it is there.

The source is read three times: to know what there is, to copy it, and to prove that it has not changed meanwhile; it is
not written to. The target has a mark (`drivers/unfinished.py`) from the first write to the last, with which no daemon
starts on it. The history goes first, its oldest row first, each portion in one write with the mark, which says how far
it is: a move that was cut off goes on from there. Memory does not grow with what there is.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import zip_longest
from typing import NamedTuple, Protocol

from msgspec import Struct

from kala.drivers.contract import Driver, Element, RunQuery, in_parts
from kala.errors import KalaError, StoreRefused, StoreUnavailable
from kala.job import Output, Run, encode
from kala.lease import living
from kala.moving.mark import Mark
from kala.moving.reading import (
    INSTANCE,
    JOB,
    PAGE,
    SETTING,
    ahead,
    cut,
    history,
    open_runs,
    records,
    with_outputs,
)
from kala.moving.sides import check_source, check_target, refuse
from kala.moving.sums import Content, Heap, Row, Sum

PORTION = 4 << 20
"""Bytes of one write, where the target does not want less."""
NAMED = 10  # things that a message names; it counts the others
HISTORY = "history"


class MoveFailed(KalaError):
    """The move came to its end, and the target is not what the source is."""


class Watcher(Protocol):
    """Who is told how far it is."""

    def stage(self, title: str, total: int | None = None) -> None:
        """Something begins, with so many steps where that is known."""

    def advance(self, number: int) -> None:
        """So many steps are done."""


class Survey(Struct, frozen=True):
    """What there is to be moved."""

    sums: dict[str, Sum]  # of records by kind, and of the history
    tokens: list[str | None]  # of the history's pages, the latest first
    sizes: list[int]  # how many rows each has

    @property
    def moving(self) -> dict[str, Sum]:
        """Of what is to be in the target."""
        return {name: one for name, one in self.sums.items() if name != INSTANCE}

    @property
    def steps(self) -> int:
        return sum(one.count for one in self.moving.values())


class Line(NamedTuple):
    """What there is of something on both sides."""

    what: str
    source: Sum
    target: Sum


class Report(NamedTuple):
    """What came of a move: all lines are equal."""

    lines: list[Line]
    cut: int  # outputs that were larger than the target takes


class Move:
    """One move between drivers that are not open yet. Whoever made them closes them."""

    def __init__(self, source: Driver, target: Driver, watcher: Watcher) -> None:
        self._source, self._target, self._watcher = source, target, watcher
        self._mark = Mark(target)

    @property
    def is_begun(self) -> bool:
        """The target is neither what it was nor what it is to be."""
        return self._mark.is_there

    def run(self) -> Report:
        """Move everything, and prove it. Raises `StoreRefused`, `StoreUnavailable`, `MoveFailed`."""
        self._source.open()
        check_source(self._source)
        self._target.open()
        check_target(self._target, self._source)
        survey = self._survey()
        if self._mark.begin(f"{self._source.name} {self._source.place}", survey.moving) and (
            alive := living(self._target)  # one that has started just now: it sees the mark, or is seen here
        ):
            self._mark.remove()
            refuse(self._target, alive)
        self._watcher.stage("copying", survey.steps)
        self._watcher.advance(self._mark.rows)
        with closing(ahead(self._portions(survey))) as portions:
            for runs, outputs in portions:
                self._mark.append(runs, outputs)
                self._watcher.advance(len(runs))
        with closing(ahead(self._batches())) as batches:
            for batch in batches:
                self._write(batch)
                self._watcher.advance(len(batch))
        report = self._prove(survey)
        try:
            self._mark.remove()
        except StoreUnavailable as error:
            raise MoveFailed(
                f"all was copied and compared, but perhaps not noted in {self._target.place}: start a daemon on it, "
                f"or, when that refuses, run the same command again ({error})"
            ) from error
        return report

    def _survey(self) -> Survey:
        """Read all but the outputs, and refuse what the target cannot take."""
        self._watcher.stage("reading")
        heaps: dict[str, Heap | Row] = {}
        large = []
        for kind in (INSTANCE, JOB, SETTING):
            heaps[kind] = heap = Heap()
            for stored in records(self._source, kind):
                heap.add_record(stored)
                if kind != INSTANCE and len(stored.value) > self._target.max_value:
                    large.append(f"{kind} {stored.key} ({len(stored.value):,} bytes)")
                self._watcher.advance(1)
        if large:
            more = f" and {len(large) - NAMED:,} more" if len(large) > NAMED else ""
            raise StoreRefused(
                f"{self._target.place} takes records of at most {self._target.max_value:,} bytes, and some are larger: "
                f"{', '.join(large[:NAMED])}{more}"
            )
        heaps[HISTORY] = row = Row()
        tokens, sizes = [], []
        for token, runs in history(self._source):
            tokens.append(token)
            sizes.append(len(runs))
            for run in runs:
                row.add(run)
            self._watcher.advance(len(runs))
        return Survey({name: one.sum() for name, one in heaps.items()}, tokens, sizes)

    def _portions(self, survey: Survey) -> Generator[tuple[list[Run], list[Output]], None, None]:
        """The history, the oldest row first, from where the target has it on."""
        most = min(PORTION, self._target.max_batch_bytes)
        there = self._mark.rows
        for token, size in zip(reversed(survey.tokens), reversed(survey.sizes), strict=True):
            if there >= size:
                there -= size
                continue
            page = self._source.runs(RunQuery(after=token, limit=PAGE)).runs[::-1]
            if len(page) != size:
                raise self._changed()
            runs: list[Run] = []
            outputs: list[Output] = []
            room = most
            for run, printed in with_outputs(self._source, page[there:]):
                kept = [cut(one, run, self._target.max_output) for one in printed]
                wanted = len(encode(run)) + sum(len(one.data) for one in kept)
                if runs and wanted > room:
                    yield runs, outputs
                    runs, outputs, room = [], [], most
                runs.append(run)
                outputs += kept
                room -= wanted
            yield runs, outputs
            there = 0

    def _batches(self) -> Generator[list[Element], None, None]:
        most = min(PORTION, self._target.max_batch_bytes)
        yield from in_parts(self._elements(), self._target.max_batch, most)

    def _elements(self) -> Iterator[Element]:
        """The records. What open runs have printed goes with them."""
        for kind in (JOB, SETTING):
            for one in records(self._source, kind):
                printed = [
                    cut(output, run, self._target.max_output)
                    for run, outputs in with_outputs(self._source, open_runs(one))
                    for output in outputs
                ]
                yield Element(one.kind, one.key, 0, one.revision, one.value, outputs=printed)

    def _write(self, batch: list[Element]) -> None:
        for element, conflict in zip(batch, self._target.commit(batch), strict=True):
            if conflict is not None:
                raise StoreRefused(f"{self._target.place}: {element.kind} {element.key} was written by something else")

    def _prove(self, survey: Survey) -> Report:
        """Read both sides again. Raises `MoveFailed`."""
        self._watcher.stage("comparing", 2 * survey.steps)
        here, there = (Content(driver, self._target.max_output) for driver in (self._source, self._target))
        with closing(ahead(here.read())) as one, closing(ahead(there.read())) as other:
            for steps in zip_longest(one, other, fillvalue=0):
                self._watcher.advance(sum(steps))
        if {**here.records, HISTORY: here.history} != survey.sums or living(self._source):
            raise self._changed()
        ours, theirs = here.records, there.records
        lines = [
            Line("jobs, with deleted ones", ours[JOB], theirs[JOB]),
            Line("settings", ours[SETTING], theirs[SETTING]),
            Line("history", here.history, there.history),
            Line("outputs", here.outputs, there.outputs),
        ]
        if wrong := ", ".join(
            f"{what} ({one.count:,} and {other.count:,})" for what, one, other in lines if one != other
        ):
            raise MoveFailed(
                f"{self._source.place} and {self._target.place} differ in their {wrong}: do not use the "
                "latter; move again into an empty database"
            )
        return Report(lines, here.cut)

    def _changed(self) -> MoveFailed:
        return MoveFailed(
            f"{self._source.place} was changed while it was moved: stop whatever works on it, and move again into an "
            "empty database"
        )
