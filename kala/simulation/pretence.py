"""Pretended attempts, for simulations: how long they take, and which of them fail."""

from collections.abc import Mapping

from msgspec import Struct

from kala import schedule
from kala.calls.remote import TIMEOUT
from kala.clock import SECOND
from kala.job import LOCAL, Attempt, Job, Record, Remote, Run
from kala.simulation.virtual import VirtualClock
from kala.states import State
from kala.stop import Stop


class Acting(Struct, frozen=True):
    """What the attempts of a job do: they take so long (microseconds), and each `fails`th fails (0: none)."""

    duration: int = SECOND
    fails: int = 0


class Cast:
    """Makes pretended attempts: `acting` by the job's id, `otherwise` for all others. Time limits hold."""

    def __init__(self, acting: Mapping[str, Acting], otherwise: Acting) -> None:
        self.acting, self.otherwise = acting, otherwise
        self.clock: VirtualClock
        self._counts: dict[str, int] = {}

    async def attempt(self, record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        acting = self.acting.get(record.id, self.otherwise)
        number, begun, lasts = len(run.attempts) + 1, self.clock.now(), acting.duration
        state, error = State.SUCCEEDED, ""
        if acting.fails:
            count = self._counts[record.id] = self._counts.get(record.id, 0) + 1
            if count % acting.fails == 0:
                state, error = State.FAILED, "pretended"
        limit = time_limit(record.job)
        if limit is not None and limit < lasts:
            lasts, state, error = limit, State.TIMED_OUT, f"timed out after {limit / SECOND:g} s"
        if not stop.requests:
            await self.clock.sleep_until(begun + lasts, stop)
        if stop.requests:
            state, error = State.CANCELLED, ""
        return Attempt(number, begun, self.clock.now(), state, error=error), b""


def time_limit(job: Job) -> int | None:
    """Microseconds that an attempt may take."""
    if job.timeout:
        return schedule.duration(job.timeout)
    return None if job.type == LOCAL else round(((job.remote or Remote()).timeout or TIMEOUT) * SECOND)
