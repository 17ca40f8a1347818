"""Whether the database is there, and what came of a batch whose answer was lost: blocking calls, for the writer."""

from collections.abc import Sequence

import msgspec

from kala.drivers.contract import Conflict, Driver, Element, Stored, in_parts
from kala.errors import KalaError, StoreRefused
from kala.job import Record, decode_record, replace
from kala.store.batch import Batch
from kala.store.roster import Roster

NEVER = -1
"""A revision that no record has: an element that expects it asks whether it is done, and never writes its record."""


def is_another(record: Record, stored: Stored) -> bool:
    """What is stored is not an earlier state of `record`, but a later job of the same id: its revisions began anew."""
    try:
        return decode_record(stored.value).created > record.created
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def refuse_older(elements: Sequence[Element], answers: Sequence[Conflict | None], roster: Roster) -> None:
    """Raise `StoreRefused` when a record is stored as it was before something that had been written to it."""
    for element, answer in zip(elements, answers, strict=True):
        if answer is None or (current := answer.current) is None or (record := roster.get(element.key)) is None:
            continue
        if current.revision >= record.revision or is_another(record, current):
            continue
        raise StoreRefused(
            f"job {element.key} is stored at revision {current.revision}, and had been written at {record.revision}:"
            " the database was set back while in use. Start again, to go on from what it has"
        )


class Covered(Conflict, frozen=True):
    """The answer to an element that was written, and on top of which another daemon has written `current` since."""


class Proof:
    """`readable` says whether the database could be read when it was last tried."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.readable = True

    def __call__(self, doubtful: Batch | None = None) -> list[Conflict | None]:
        """Read and write something; an answer for each element of a batch that had none. Raises `StoreUnavailable`,
        `StoreRefused`.

        Its elements are asked about, not written again: it was refused to those who do not wait, and claims in it may
        have become late.
        """
        try:
            probe = self._driver.get("setting", "probe")
        except KalaError:
            self.readable = False
            raise
        self.readable = True
        revision = probe.revision if probe is not None else 0
        self._driver.commit([Element("setting", "probe", revision, revision + 1, b"{}")])
        answers: list[Conflict | None] = []
        if doubtful is None:
            return answers
        for part in in_parts(doubtful.elements, self._driver.max_batch, self._driver.max_batch_bytes):
            asking = [replace(element, expected=NEVER) for element in part]
            for element, answer in zip(part, self._driver.commit(asking), strict=True):
                covered = answer is not None and self._is_covered(element, answer.current)
                answers.append(Covered(answer.current) if answer is not None and covered else answer)
        return answers

    def _is_covered(self, element: Element, current: Stored | None) -> bool:
        """Its history is there: so it was written. (Without history it is decided again, which comes to nothing.)"""
        if not element.runs or current is None or current.revision <= element.revision:
            return False
        return self._driver.run(element.runs[-1].id) == element.runs[-1]
