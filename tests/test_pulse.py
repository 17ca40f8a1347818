"""What a beat a second shows: that the wall clock was set, and that the loop was held up."""

import logging

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from world import START, simulated

from kala.clock import TrioClock
from kala.pulse import BACK, FORWARD, HELD_UP, JUMP, Pulse


@simulated
async def test_a_clock_that_is_set_is_noticed_once_each_way_and_told() -> None:
    clock = TrioClock(START)
    pulse = Pulse(clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.run)
        await trio.sleep(100)
        assert pulse.jumps == {FORWARD: 0, BACK: 0}
        for seconds, expected in (
            (3_600, {FORWARD: 1, BACK: 0}),
            (-7_200, {FORWARD: 1, BACK: 1}),
            (JUMP, {FORWARD: 2, BACK: 1}),
            (-JUMP, {FORWARD: 2, BACK: 2}),
            (JUMP * 0.9, {FORWARD: 2, BACK: 2}),
        ):
            clock.step(seconds)
            await trio.sleep(2)
            assert pulse.jumps == expected
        nursery.cancel_scope.cancel()


@simulated
async def test_slewing_is_no_jump() -> None:
    clock = TrioClock(START)
    pulse = Pulse(clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.run)
        for _ in range(10_000):
            clock.step(0.0005)  # as fast as Linux slews
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert pulse.jumps == {FORWARD: 0, BACK: 0}


@simulated
async def test_a_jump_is_logged_with_its_seconds(caplog: pytest.LogCaptureFixture) -> None:
    clock = TrioClock(START)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Pulse(clock).run)
        await wait_all_tasks_blocked()
        clock.step(-90)
        with caplog.at_level(logging.WARNING, "kala.pulse"):
            await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert [(one.getMessage(), one.__dict__["fields"]) for one in caplog.records] == [
        ("the clock was set back", {"seconds": 90.0})
    ]


def test_a_loop_that_is_held_up_shows_by_how_much() -> None:
    clock = MockClock()

    async def held_up() -> Pulse:
        pulse = Pulse(TrioClock(START))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pulse.run)
            await wait_all_tasks_blocked()
            for seconds in (1, 1.04, 1, 4):
                clock.jump(seconds)
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        return pulse

    pulse = trio.run(held_up, clock=clock)
    assert dict(zip(HELD_UP, pulse.lag.counts, strict=False)) == dict.fromkeys(HELD_UP, 0) | {0.001: 2, 0.05: 1, 5: 1}
    assert pulse.lag.sum == pytest.approx(3.04)
    assert pulse.jumps == {FORWARD: 0, BACK: 0}  # the wall clock went with it
