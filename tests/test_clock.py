"""Moments, and sleeping until one whatever happens to the wall clock."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
import trio
from world import START, SlicedClock, simulated

from kala.clock import DAY, SECOND, SLICE, Clock, TrioClock, from_datetime, to_datetime

MOMENTS = {
    "1970-01-01T00:00:00+00:00": 0,
    "1970-01-01T00:00:00.000001+00:00": 1,
    "1969-12-31T23:59:59.999999+00:00": -1,
    "1970-01-02T01:00:00+01:00": DAY,
    "0001-01-01T00:00:00+00:00": -719_162 * DAY,
    "9999-12-31T23:59:59.999999+00:00": 2_932_897 * DAY - 1,
}


@pytest.mark.parametrize("text", MOMENTS)
def test_moments_and_datetimes_are_exact_to_the_microsecond(text: str) -> None:
    value = datetime.fromisoformat(text)
    assert from_datetime(value) == MOMENTS[text]
    assert to_datetime(MOMENTS[text]) == value
    assert to_datetime(MOMENTS[text]).tzinfo is UTC
    try:
        elsewhere = value.astimezone(timezone(timedelta(hours=-7, minutes=-30)))
    except OverflowError:  # before the year 1 there
        return
    assert from_datetime(elsewhere) == MOMENTS[text]


def test_the_clock_is_the_system_s() -> None:
    before = time.time()
    now = Clock().now() / SECOND
    assert before - 1e-3 <= now <= time.time() + 1e-3


def test_a_moment_that_has_passed_is_not_waited_for_and_another_is_reached() -> None:
    async def main() -> None:
        clock = Clock()
        with trio.CancelScope() as scope:
            scope.cancel()  # it would end any wait
            await clock.sleep_until(clock.now())
        assert not scope.cancelled_caught
        wanted = clock.now() + SECOND // 50
        await clock.sleep_until(wanted)
        assert clock.now() >= wanted

    trio.run(main)


@pytest.mark.parametrize("make", [TrioClock, SlicedClock])
@simulated
async def test_a_long_sleep_ends_at_its_very_moment(make: Callable[[int], TrioClock]) -> None:
    clock = make(START)
    days = 36_500 if make is TrioClock else 0.05
    wanted = START + round(days * DAY) + 1
    await clock.sleep_until(wanted)
    assert clock.now() == wanted


@pytest.mark.parametrize(
    ("step", "after", "slept"),
    [
        (3600, 0.5, SLICE),  # forward, past the moment: noticed within a slice
        (60, 0.5, 40),  # forward, not past it
        (-60, 99.5, 160),  # back, shortly before the moment
        (-3600, 0.5, 3700),
    ],
)
@simulated
async def test_a_clock_that_is_set_is_noticed(step: float, after: float, slept: float) -> None:
    clock = SlicedClock(START)

    async def administrator() -> None:
        await trio.sleep(after)
        clock.step(step)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(administrator)
        began = trio.current_time()
        await clock.sleep_until(START + 100 * SECOND)
        assert trio.current_time() - began == pytest.approx(slept, abs=1e-5)
        assert clock.now() >= START + 100 * SECOND
