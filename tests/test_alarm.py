"""Sleeping to a fraction of a millisecond."""

import sys
import time
from pathlib import Path

import pytest
import trio

from kala import alarm
from kala.clock import SECOND, Clock

TIMES = 30
ODD = 0.0023
"""Seconds: rounded up to whole milliseconds it is 0.7 ms too long, each time."""


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="has no such timers")
def test_a_sleep_ends_at_a_fraction_of_a_millisecond() -> None:
    async def main() -> list[float]:
        late = []
        for _ in range(TIMES):
            begun = time.monotonic()
            await alarm.sleep_exactly(ODD)
            late.append(time.monotonic() - begun - ODD)
        return late

    late = trio.run(main)
    assert min(late) >= 0
    assert min(late) < 0.0005


def test_where_there_are_no_such_timers_it_sleeps_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm, "_libc", None)
    begun = time.monotonic()
    trio.run(alarm.sleep_exactly, ODD)
    assert time.monotonic() - begun >= ODD


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="has no such timers")
def test_when_no_descriptor_is_left_it_sleeps_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    class Exhausted:
        @staticmethod
        def timerfd_create(clock: int, flags: int) -> int:
            return -1

    monkeypatch.setattr(alarm, "_libc", Exhausted)
    begun = time.monotonic()
    trio.run(alarm.sleep_exactly, ODD)
    assert time.monotonic() - begun >= ODD


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_nothing_is_left_of_a_sleep_that_ended_or_was_cancelled() -> None:
    async def main() -> None:
        before = descriptors()
        await alarm.sleep_exactly(ODD)
        with trio.move_on_after(ODD) as scope:
            await alarm.sleep_exactly(60)
        assert scope.cancelled_caught
        assert descriptors() == before

    trio.run(main)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="has no such timers")
def test_a_moment_is_met_exactly_and_never_early() -> None:
    async def main() -> list[int]:
        clock, late = Clock(), []
        for _ in range(TIMES):
            moment = clock.now() + round(ODD * SECOND)
            await clock.sleep_until(moment, exactly=True)
            late.append(clock.now() - moment)
        return late

    late = trio.run(main)
    assert min(late) >= 0
    assert min(late) < 500
