"""Asking for the end of one attempt, whatever it is doing. Costs nothing while nobody asks."""

from collections.abc import Callable


class Stop:
    """Given to one attempt at a time. The first request is kind (TERM, then KILL); one more is KILL at once."""

    def __init__(self) -> None:
        self.requests = 0
        self._wake: Callable[[], object] | None = None

    def request(self) -> None:
        """Ask, from Trio's thread. One that comes before the attempt's start prevents it."""
        self.requests += 1
        if self._wake is not None:
            self._wake()

    def attach(self, wake: Callable[[], object]) -> None:
        """For the attempt: `wake` is called at each further request; look at `requests` for earlier ones."""
        self._wake = wake

    def detach(self) -> None:
        self._wake = None
