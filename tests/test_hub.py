"""Events to listeners: in order, bounded, never waited for."""

import pytest
import trio
from trio.testing import trio_test, wait_all_tasks_blocked

from kala.events import JOB_SAVED, Event
from kala.hub import AT_ONCE, BEHIND, Hub, Lagged, Listener


def some(count: int) -> list[Event]:
    return [Event(JOB_SAVED, number) for number in range(count)]


async def taken(listener: Listener) -> list[int]:
    """The ids of all that is to be had until the end."""
    return [number for batch in [batch async for batch in listener] for number, _ in batch]


@trio_test
async def test_every_listener_gets_all_since_it_began_and_ids_go_on() -> None:
    hub = Hub()
    hub.publish_nowait(some(3))
    with hub.listen() as early, hub.listen() as other:
        hub.publish_nowait(some(2))
        hub.publish_nowait([])
        with hub.listen() as late:
            hub.publish_nowait(some(1))
            assert hub.listeners == 3
            hub.close()
            assert await taken(early) == await taken(other) == [4, 5, 6]
            assert await taken(late) == [6]
    assert hub.listeners == 0


@trio_test
async def test_a_listener_is_woken_and_takes_what_has_gathered_in_batches() -> None:
    hub = Hub()
    sizes = []

    async def take() -> None:
        with hub.listen() as listener:
            async for batch in listener:
                sizes.append(len(batch))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        for _ in range(AT_ONCE + 1):
            hub.publish_nowait(some(1))
        await wait_all_tasks_blocked()
        assert sizes == [AT_ONCE, 1]
        hub.publish_nowait(some(1))
        await wait_all_tasks_blocked()
        assert sizes == [AT_ONCE, 1, 1]
        hub.close()


@trio_test
async def test_who_lags_is_cut_off_and_nobody_else() -> None:
    hub = Hub()
    with hub.listen() as slow, hub.listen() as quick:
        hub.publish_nowait(some(BEHIND + 1))  # however much it is, who has taken everything so far gets it
        while (await anext(quick))[-1][0] <= BEHIND:
            pass
        hub.publish_nowait(some(1))
        assert hub.listeners == 1
        hub.publish_nowait(some(1))
        got = 0
        while got <= BEHIND:
            got += len(await anext(slow))
        with pytest.raises(Lagged, match="too far behind"):
            await anext(slow)
        assert [number for number, _ in await anext(quick)] == [BEHIND + 2, BEHIND + 3]


@trio_test
async def test_waiting_may_be_cut_short_and_loses_nothing() -> None:
    hub = Hub()
    with hub.listen() as listener:
        with trio.move_on_after(0.01) as scope:
            await anext(listener)
        assert scope.cancelled_caught
        hub.publish_nowait(some(1))
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(listener)
        assert [number for number, _ in await anext(listener)] == [1]


@trio_test
async def test_after_the_close_a_listener_ends_at_once() -> None:
    hub = Hub()
    hub.close()
    with hub.listen() as listener:
        hub.publish_nowait(some(1))
        assert await taken(listener) == []
    assert hub.listeners == 0
