"""Coroutines that are begun in place."""

import pytest
import trio
import trio.testing

from kala.web.begun import Waiting, begin


async def adds(number: int, event: trio.Event | None) -> int:
    if event is not None:
        await event.wait()
    await trio.lowlevel.checkpoint() if event is not None else None
    return number + 1


async def fails(event: trio.Event | None) -> None:
    if event is not None:
        await event.wait()
    raise ValueError("a fault")


def test_what_does_not_wait_has_ended() -> None:
    async def story() -> None:
        assert begin(adds(1, None)) == 2
        with pytest.raises(ValueError, match="a fault"):
            begin(fails(None))

    trio.run(story)


def test_what_waits_goes_on() -> None:
    async def story() -> None:
        event = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(setting, event)
            came = begin(adds(1, event))
            assert isinstance(came, Waiting)
            assert await came == 2

    trio.run(story)


def test_what_waits_fails() -> None:
    async def story() -> None:
        event = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(setting, event)
            came = begin(fails(event))
            assert isinstance(came, Waiting)
            with pytest.raises(ValueError, match="a fault"):
                await came

    trio.run(story)


def test_what_waits_is_cancelled() -> None:
    async def story() -> None:
        ended = []

        async def sleeps() -> None:
            try:
                await trio.sleep_forever()
            finally:
                ended.append(True)

        with trio.move_on_after(0.01) as scope:
            came = begin(sleeps())
            assert isinstance(came, Waiting)
            await came
        assert scope.cancelled_caught
        assert ended == [True]

    trio.run(story)


async def setting(event: trio.Event) -> None:
    await trio.testing.wait_all_tasks_blocked()
    event.set()
