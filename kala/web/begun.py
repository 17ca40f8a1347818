"""Coroutines that are begun in place: most of those that may wait need not, and who knows that they did not can spare
what is to be done before somebody waits."""

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """A coroutine that waits. It must be awaited, and where it was begun: in the same task and cancel scope, before
    anything else is."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], trap: Any) -> None:
        self._coroutine, self._trap = coroutine, trap

    def __await__(self) -> Generator[Any, Any, T]:
        trap = self._trap
        while True:  # `yield from` (PEP 380), from the first yield on
            go_on: Callable[[], Any]
            try:
                go_on = partial(self._coroutine.send, (yield trap))
            except BaseException as error:  # noqa: BLE001  # it is the coroutine's
                go_on = partial(self._coroutine.throw, error)
            try:
                trap = go_on()
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]


def begin(coroutine: Coroutine[Any, Any, T]) -> T | Waiting[T]:
    """Run it until it ends, of which this is the result, or waits. Raises what it raises."""
    try:
        trap = coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    return Waiting(coroutine, trap)
