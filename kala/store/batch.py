"""Decisions that are written together: who asked for them, and what they come to."""

from collections.abc import Callable, Iterable

import outcome

from kala.errors import KalaError, ValueTooLarge
from kala.job import encode
from kala.ledger import Change
from kala.store.draft import Draft
from kala.store.results import Result
from kala.store.roster import Roster

Decide = Callable[[Draft], Iterable[Change]]
Answered = Callable[[outcome.Outcome[list[Change]]], None]
REVISION_ROOM = 32
"""Bytes that the revision, given at the write, may add to a record."""


class Request:
    """A decision that waits for the writer, and who is to hear of it. `result` is what it is about, where that must not
    be lost."""

    __slots__ = ("_answered", "_decide", "changes", "fault", "patient", "result")

    def __init__(self, decide: Decide, answered: Answered, patient: bool, result: Result | None = None) -> None:
        self._decide, self._answered, self.patient, self.result = decide, answered, patient, result
        self.changes: list[Change] = []
        self.fault: Exception | None = None

    def decide(self, draft: Draft, max_value: int | None) -> None:
        """Decide on what the ones before have come to, and add to it. With `max_value` what is larger fails."""
        self.fault, self.changes = None, []
        try:
            changes = list(self._decide(draft))
            if max_value is not None:
                _measure(changes, max_value)
            self.changes = changes
        except KalaError as fault:
            self.fault = fault
        except Exception as bug:  # noqa: BLE001  # a bug in one decision fails its caller alone, with its traceback
            self.fault = bug
        for change in self.changes:
            draft.add(change)

    def answer(self) -> None:
        self._answered(outcome.Error(self.fault) if self.fault is not None else outcome.Value(self.changes))


class Batch:
    """What the decisions of `requests` come to. When a record would be too large, each is measured, and fails alone."""

    def __init__(self, requests: list[Request], roster: Roster, max_value: int) -> None:
        self.requests = requests
        for limit in (None, max_value):
            self.draft = Draft(roster)
            for request in requests:
                request.decide(self.draft, limit)
            self.elements = list(self.draft.elements())
            if all(len(element.value or b"") <= max_value for element in self.elements):
                break


def _measure(changes: list[Change], max_value: int) -> None:
    for change in changes:
        size = 0 if change.purge else len(encode(change.record)) + REVISION_ROOM
        if size > max_value:
            raise ValueTooLarge(f"job {change.record.id}", size, max_value)
