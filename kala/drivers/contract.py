"""What a driver is. These docstrings are the contract; `tests/drivers/conformance/` holds every driver to them.

A driver stores records and history. It knows no policy, no clock but its database's, and nothing of Trio: its methods
block, and may be called from several threads at once (the writer's, the readers', the lease's).

A record is bytes under a kind ("job", "instance", "setting") and a key, with a revision. Revisions are the
client's: they grow with every write, by any step. History is what has ended: runs (and ranges of occurrences that did
not run) and what they printed; appended, never changed, pruned.

Errors, of every method: `StoreUnavailable` (try again later: the server is away, silent, read-only, full),
`StoreRefused` (a person must act: credentials, a missing database, a newer schema, not a database). An answer must
come, or one of these be raised, within `TIMEOUT` seconds. Their messages name the place and say what to do, and hold no
password. After an error a driver that has been opened finds back by itself: the next call connects anew.

A database that was emptied or replaced since `open` is `StoreRefused` when it is to be written, before anything is:
what is in memory would be taken for deleted.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from kala.clock import Moment
from kala.errors import ValueTooLarge
from kala.job import Output, Run
from kala.states import State

TIMEOUT = 10.0
"""Seconds. Below the time for draining, so that a write is never abandoned."""


class Element(Struct, frozen=True, gc=False):
    """One record's write with the history that goes with it: atomic by itself.

    `expected` is the revision that the stored record must have, 0 that there must be none. `value` None deletes it.
    There may be any number of `runs` and `outputs`, and they may be larger than `max_batch_bytes` together.
    """

    kind: str
    key: str
    expected: int
    revision: int
    value: bytes | None
    runs: Sequence[Run] = ()
    outputs: Sequence[Output] = ()


class Stored(Struct, frozen=True, gc=False):
    """A record as it is in the database."""

    kind: str
    key: str
    revision: int
    value: bytes


class Conflict(Struct, frozen=True):
    """The stored record did not have the expected revision; nothing of the element was written.

    `current` is what is stored now, None when there is nothing.
    """

    current: Stored | None


class RunQuery(Struct, frozen=True):
    """Which rows of the history; everything given must hold.

    `ended` rows are runs that ended, the others ranges that did not run (`states.NOT_RUN`). `since` (included) and
    `until` (excluded) bound `scheduled_for`. `after` is the `next` of the page before; one that no page gave is
    `Invalid`. `limit` is at least 1.
    """

    job_id: str | None = None
    states: frozenset[State] | None = None
    since: Moment | None = None
    until: Moment | None = None
    after: str | None = None
    limit: int = 100

    def fits(self, state: str, scheduled_for: Moment) -> bool:
        """Whether a row of its job fits, wherever its page is."""
        return (
            (self.states is None or state in self.states)
            and (self.since is None or scheduled_for >= self.since)
            and (self.until is None or scheduled_for < self.until)
        )


class RunPage(Struct, frozen=True):
    """Rows, the latest appended first, and the token of the next page (None: that was all).

    Rows of one element keep their order; those of different elements of a batch may be in any.
    """

    runs: list[Run]
    next: str | None


class Changes(Struct, frozen=True):
    """What was written to records since a token.

    A deleted record is in `deleted` as (kind, key). Records may be repeated, none is omitted. `reset` says that the
    token is too old, or not this database's: load everything, and go on from `token`.
    """

    stored: list[Stored]
    deleted: list[tuple[str, str]]
    token: str
    reset: bool = False


class Driver(Protocol):
    """One database. `open` comes first and may be called again after it raised; `close` last.

    What it takes may depend on the server: it is known after `open`.
    """

    name: str  # of the engine
    place: str  # where it is, for the log and for messages; without a password
    server: str  # what answers there, and its version, such as "PostgreSQL 15.14"; empty before `open`
    max_value: int  # bytes of one value, at least 64 KiB
    max_output: int  # bytes of the data of one output, at least 64 KiB: no more of it is kept
    max_batch: int  # elements of one commit
    max_batch_bytes: int  # of all values, runs and outputs of one commit, unless it is of one element

    def open(self) -> None:
        """Connect, and create or migrate what is stored there. A database that is newer than this program is
        `StoreRefused`, as is one that is not ours. What the server's settings cost of the promises is logged."""

    def close(self) -> None:
        """Let go of every connection. Never raises."""

    def now(self) -> Moment:
        """The database's clock."""

    def load(self, kind: str) -> Iterator[Stored]:
        """Every record of a kind, in no order, as a stream: memory does not grow with their number. A record whose
        bytes the engine itself cannot give is logged as `StoreCorrupt` and passed over."""

    def get(self, kind: str, key: str) -> Stored | None:
        """One record."""

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        """Write a batch; an answer for each element, in order: None is done, durably.

        Elements are of distinct records, at most `max_batch`. Each is atomic by itself: its record and its history
        are both there, or neither; a conflict of one holds none of the others up. An element whose record is stored
        already with the same revision and the same bytes (or, for a deletion, is not there) is done: so a commit
        whose answer was lost is repeated safely; and with an `expected` below 0, which nothing has, it is asked about,
        and writes no record. A run or output whose id is in the history already is left as it is.
        When an element is done its history is there, also when its record was (a deletion of nothing appends).
        When this raises `StoreUnavailable`, any part of the batch may have been written. A value above `max_value`, or
        an output above `max_output`, is `ValueTooLarge`, raised before anything is written (`refuse_larger`).
        """

    def run(self, run_id: str) -> Run | None:
        """One row of the history."""

    def runs(self, query: RunQuery) -> RunPage:
        """A page of the history."""

    def output(self, run_id: str) -> list[Output]:
        """What the attempts of a run printed, by attempt."""

    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: Moment | None) -> int:
        """Remove from the history what is beyond the latest `keep` ended runs of a job, and beyond the latest `keep`
        ranges that did not run, of each of `jobs` (None: of no job), and whatever was appended with an `ended`, or
        else `created`, before `older_than`. Outputs go with their runs. Returns how many rows went."""

    def trim_outputs(self, limit: int) -> int:
        """Remove outputs, those first that were appended first, until the data of the rest is at most `limit` bytes.
        Their runs stay. Returns how many bytes went. Asked every minute: what has been counted is not counted again."""

    def forget(self, jobs: Sequence[str]) -> int:
        """Remove all history of these jobs. Returns how many rows went."""

    def changes(self, since: str) -> Changes:
        """What was written to records since a token; "" gives the token of now with `reset`."""


def is_done(element: Element, current: Stored | None) -> bool:
    """Whether what an element asks for is so already: a repeated commit of it is done, not a conflict."""
    if element.value is None:
        return current is None
    return current is not None and current.revision == element.revision and current.value == element.value


def in_parts(elements: Iterable[Element], most: int, most_bytes: int) -> Iterator[list[Element]]:
    """The elements in their order, in lists of at most so many, and of about so many bytes unless it is of one."""
    part: list[Element] = []
    size = 0
    for element in elements:
        weight = len(element.value or b"") + 500 * len(element.runs)
        if element.outputs:
            weight += sum(len(output.data) for output in element.outputs)
        if part and (len(part) == most or size + weight > most_bytes):
            yield part
            part, size = [], 0
        part.append(element)
        size += weight
    if part:
        yield part


def refuse_larger(batch: Sequence[Element], driver: Driver) -> None:
    """Raise `ValueTooLarge` for the first value, or output, that is larger than the driver takes."""
    for element in batch:
        if element.value is not None and len(element.value) > driver.max_value:
            raise ValueTooLarge(f"{element.kind} {element.key}", len(element.value), driver.max_value)
        for output in element.outputs:
            if len(output.data) > driver.max_output:
                raise ValueTooLarge(f"output of run {output.run_id}", len(output.data), driver.max_output)
