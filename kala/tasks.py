"""The tasks of the scheduler, and what cuts their waiting short when nothing is to start any more."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Tasks:
    """`nursery` is there while the scheduler runs. `stopping`: from now on nothing starts. `paused`: nothing starts
    until someone resumes."""

    nursery: trio.Nursery

    def __init__(self) -> None:
        self.stopping = self.paused = False
        self._sleeps: set[trio.CancelScope] = set()  # what may yet start a run

    def stop_starting(self) -> None:
        self.stopping = True
        for scope in self._sleeps:
            scope.cancel()

    @property
    def held(self) -> bool:
        """Nothing is to start now."""
        return self.stopping or self.paused

    @contextmanager
    def until_stopping(self) -> Iterator[trio.CancelScope]:
        """Whatever is slept or waited for within is cut short when nothing is to start any more."""
        scope = trio.CancelScope()
        self._sleeps.add(scope)
        try:
            with scope:
                if self.stopping:
                    scope.cancel()
                yield scope
        finally:
            self._sleeps.discard(scope)
