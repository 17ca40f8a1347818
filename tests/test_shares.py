"""A simulation in several processes comes to what it comes to in one."""

import os
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from world import START, every

from kala import register
from kala.clock import SECOND
from kala.job import Job, Record, Run
from kala.simulation import Period, Span
from kala.simulation.pretence import Acting, Cast
from kala.simulation.shares import ShareFailed, divided, simulate_shared

HOUR = 3600 * SECOND
PERIOD = Period(Span(START, START + 9 * HOUR), [Span(START + 3 * HOUR, START + 6 * HOUR)])


def record(name: str, schedule: str = "", **more: Any) -> Record:
    job = Job(name, "true", schedule=schedule, **more)
    cursor, remaining = register.first_due(job, START)
    return Record(name, job, START, cursor=cursor, remaining=remaining)


def many() -> list[Record]:
    """Jobs by themselves, and a chain that is further apart than a share is long."""
    alone = [record(f"alone {n}", every("PT1H", first=60 + n)) for n in range(200)]
    first, last = record("first", every("PT1H", first=30)), record("last", parent_jobs=["middle"])
    mend = record("middle", parent_jobs=["first"], on_failure_job="alone 7")
    return [first, *alone, mend, last]


def told(records: Sequence[Record], processes: int, cast: Cast) -> list[tuple[str, int, str, str, int]]:
    found: list[Run] = []
    left = simulate_shared(records, PERIOD, cast, found.append, processes=processes)
    return sorted((run.job_id, run.scheduled_for, run.state, run.trigger, run.count) for run in [*found, *left])


def test_several_processes_come_to_the_same() -> None:
    slow = {"alone 3": Acting(50 * 3600 * SECOND), "middle": Acting(SECOND, 2)}
    assert told(many(), 3, Cast(slow, Acting())) == told(many(), 1, Cast(slow, Acting()))


def test_jobs_that_set_each_other_off_are_in_one_share() -> None:
    shares = [[one.id for one in share] for share in divided(many(), 3)]
    assert sorted(map(len, shares)) == [67, 68, 68]
    together = next(share for share in shares if "first" in share)
    assert {"first", "middle", "last", "alone 7"} <= set(together)
    assert together.index("first") < together.index("middle") < together.index("last")


class Breaking(Cast):
    def __init__(self, here: int) -> None:
        super().__init__({}, Acting())
        self._here = here

    async def attempt(self, *given: Any) -> Any:
        if os.getpid() != self._here:
            os._exit(1)
        raise AssertionError


def test_a_process_that_ends_is_told_of() -> None:
    with pytest.raises(ShareFailed, match="was ended"):
        simulate_shared(many(), PERIOD, Breaking(os.getpid()), lambda run: None, processes=2)


class Endless(Cast):
    """What its attempts wait for never comes."""

    async def attempt(self, *given: Any) -> Any:
        await trio.sleep_forever()


def test_a_bug_in_a_process_is_told_of_with_its_traceback() -> None:
    with pytest.raises(ShareFailed, match="TooSlowError"):
        simulate_shared(many(), Period(Span(START, START + HOUR)), Endless({}, Acting()), lambda run: None, processes=2)


def test_what_a_listener_raises_ends_all_processes() -> None:
    def broken(run: Run) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        simulate_shared(many(), PERIOD, Cast({}, Acting()), broken, processes=2)
