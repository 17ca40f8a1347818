"""Creating many jobs in one go: handed over at once, so that whoever asked can go on until it wants to know."""

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from typing import Any

import outcome
import trio

from kala import register
from kala.clock import Clock
from kala.errors import KalaError, ValueTooLarge
from kala.ids import new_ids
from kala.job import Record
from kala.ledger import Change
from kala.store import Store
from kala.store.draft import Draft
from kala.wire.jobread import NewJob

Made = Record | KalaError


class Creation:
    """New jobs, each by itself. Awaiting it gives what came of each, in order: all that were made are durable then.

    They share one decision. When one of them is too large for the database, `alone` makes each, so that it holds up no
    other. Raises `StoreUnavailable` when it is awaited.
    """

    def __init__(
        self, store: Store, clock: Clock, jobs: Sequence[NewJob], alone: Callable[[NewJob], Awaitable[Made]]
    ) -> None:
        self._jobs, self._alone, self._now = jobs, alone, clock.now()
        self._ids, self._moments = new_ids(len(jobs)), store.new_moments(len(jobs))
        self._came: list[Made] = []
        self._answer: outcome.Outcome[list[Change]] | None = None
        self._answered = trio.Event()
        try:
            store.submit(self._decide, self._hear)
        except KalaError as refusal:  # raised where all else is
            self._hear(outcome.Error(refusal))

    def _decide(self, draft: Draft) -> Iterator[Change]:
        self._came.clear()
        for new, job_id, created in zip(self._jobs, self._ids, self._moments, strict=True):
            try:
                change = register.create(
                    new.job, draft, job_id=job_id, now=self._now, disabled=new.disabled, created=created
                )
            except KalaError as fault:
                self._came.append(fault)
            else:
                self._came.append(change.record)
                yield change

    def _hear(self, answer: outcome.Outcome[list[Change]]) -> None:
        self._answer = answer
        self._answered.set()

    def __await__(self) -> Generator[Any, Any, list[Made]]:
        return self._wait().__await__()

    async def _wait(self) -> list[Made]:
        await self._answered.wait()
        assert self._answer is not None  # noqa: S101  # what `_hear` has set
        try:
            self._answer.unwrap()
        except ValueTooLarge:
            return [await self._alone(new) for new in self._jobs]
        return self._came
