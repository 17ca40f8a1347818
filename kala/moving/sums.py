"""What a database holds, as counts and checksums: equal for two that hold the same, whatever they are."""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence

from msgspec import Struct

from kala.drivers.contract import Driver, Stored
from kala.job import Run, encode
from kala.moving.reading import INSTANCE, JOB, SETTING, cut, history, open_runs, records, with_outputs

STEP = 1_000  # records between two looks at how far it is


class Sum(Struct, frozen=True):
    """How many there are, and a checksum of them."""

    count: int
    checksum: str


class Heap:
    """Sums up what is in no order: the SHA-256 of each, added."""

    def __init__(self) -> None:
        self._count = self._total = 0

    def add(self, *parts: bytes) -> None:
        self._count += 1
        self._total += int.from_bytes(hashlib.sha256(_joined(parts)).digest())

    def add_record(self, stored: Stored) -> None:
        self.add(_bytes(stored.key), b"%d" % stored.revision, stored.value)

    def sum(self) -> Sum:
        return Sum(self._count, f"{self._total % 2**256:064x}")


class Row:
    """Sums things up in their order."""

    def __init__(self) -> None:
        self._count, self._hash = 0, hashlib.sha256()

    def add(self, run: Run) -> None:
        self._count += 1
        self._hash.update(_joined([encode(run)]))

    def sum(self) -> Sum:
        return Sum(self._count, self._hash.hexdigest())


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


class Content:
    """The sums of one database, which grow while it is read. Of an output `most` bytes count, as `cut` leaves them."""

    def __init__(self, driver: Driver, most: int) -> None:
        self._driver, self._most = driver, most
        self._records = {kind: Heap() for kind in (JOB, SETTING, INSTANCE)}
        self._history, self._outputs = Row(), Heap()
        self.cut = 0  # outputs that are larger

    @property
    def records(self) -> dict[str, Sum]:
        """By kind."""
        return {kind: heap.sum() for kind, heap in self._records.items()}

    @property
    def history(self) -> Sum:
        return self._history.sum()

    @property
    def outputs(self) -> Sum:
        return self._outputs.sum()

    def read(self) -> Generator[int, None, None]:
        """Read it all. Yields how many records and rows it has dealt with since the last time.

        Instances come last: who has changed anything before is among them.
        """
        yield from self._read_records(JOB)
        yield from self._read_records(SETTING)
        for _, runs in history(self._driver):
            for run in runs:
                self._history.add(run)
            self._add_outputs(runs)
            yield len(runs)
        yield from self._read_records(INSTANCE)

    def _read_records(self, kind: str) -> Iterator[int]:
        number = 0
        for number, stored in enumerate(records(self._driver, kind), 1):
            self._records[kind].add_record(stored)
            self._add_outputs(open_runs(stored))
            if number % STEP == 0:
                yield STEP
        yield number % STEP

    def _add_outputs(self, runs: Sequence[Run]) -> None:
        for run, outputs in with_outputs(self._driver, runs):
            for output in outputs:
                one = cut(output, run, self._most)
                self.cut += one is not output
                self._outputs.add(_bytes(one.run_id), b"%d %d" % (one.attempt, one.size), one.data)
