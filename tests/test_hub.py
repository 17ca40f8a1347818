"""Events to listeners: in order, exactly once, bounded, never waited for."""

from random import Random

import pytest
import trio
from trio.testing import MockClock, trio_test, wait_all_tasks_blocked

from kala.events import JOB_DELETED, JOB_SAVED, RUN_FINISHED, Event
from kala.frames import Frame
from kala.hub import AT_ONCE, GATHER, RING, SLACK, Hub, Lagged, Listener


def some(count: int, kind: str = JOB_SAVED) -> list[Event]:
    return [Event(kind, number) for number in range(count)]


async def taken(listener: Listener) -> list[int]:
    """The numbers of all that is to be had until the end."""
    return [number for frame in [frame async for frame in listener] for number in frame.numbers]


@trio_test
async def test_every_listener_gets_all_since_it_began_and_numbers_go_on() -> None:
    hub = Hub("0a1b2c3d")
    hub.publish_nowait(some(3))
    with hub.listen() as early, hub.listen() as other:
        assert (early.id, early.reload) == ("0a1b2c3d-3", False)
        hub.publish_nowait(some(2))
        hub.publish_nowait([])
        with hub.listen() as late:
            assert late.id == "0a1b2c3d-5"
            hub.publish_nowait(some(1))
            assert hub.listeners == 3
            hub.close()
            assert await taken(early) == await taken(other) == [4, 5, 6]
            assert await taken(late) == [6]
    assert hub.listeners == 0


def test_each_start_has_a_word_of_its_own() -> None:
    assert Hub().start != Hub().start


@trio_test
async def test_a_listener_is_woken_and_takes_what_has_gathered_in_frames() -> None:
    hub = Hub()
    sizes = []

    async def take() -> None:
        with hub.listen() as listener:
            async for frame in listener:
                sizes.append(len(frame.events))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        hub.publish_nowait(some(AT_ONCE + 1))
        await wait_all_tasks_blocked()
        assert sizes == [AT_ONCE, 1]
        hub.publish_nowait(some(1))
        await wait_all_tasks_blocked()
        assert sizes == [AT_ONCE, 1, 1]
        hub.close()


def test_after_a_silence_the_first_goes_at_once_and_what_follows_is_gathered() -> None:
    told: list[tuple[float, list[int]]] = []

    async def main() -> None:
        hub, began = Hub(), trio.current_time()

        async def listen() -> None:
            with hub.listen() as listener:
                async for frame in listener:
                    told.append((round(trio.current_time() - began, 3), list(frame.numbers)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            nursery.start_soon(listen)
            # given a hub that was silent; when it is told every 20 ms, and once more later
            for moment in (1.0, 1.02, 1.04, 1.06, 1.08, 1.1, 2.0):
                await trio.sleep_until(began + moment)
                hub.publish_nowait(some(1))
            await trio.sleep(1)
            hub.close()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    # then the first goes out at once, and the others every 50 ms
    assert told == [(1.0, [1]), (1.05, [2, 3]), (1.1, [4, 5, 6]), (2.0, [7])]


@trio_test
async def test_who_is_overtaken_is_cut_off_and_nobody_else() -> None:
    hub = Hub()
    with hub.listen() as slow, hub.listen() as quick:
        for _ in range((RING + SLACK) // AT_ONCE + 1):
            hub.publish_nowait(some(AT_ONCE))
            assert len((await anext(quick)).events) == AT_ONCE
        # what others were sent lately is there still, but not what comes before
        with pytest.raises(Lagged, match="too far behind"):
            await anext(slow)
        hub.publish_nowait(some(1))
        assert len((await anext(quick)).events) == 1


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
        assert list((await anext(listener)).numbers) == [1]


@trio_test
async def test_after_the_close_a_listener_ends_at_once() -> None:
    hub = Hub()
    hub.close()
    with hub.listen() as listener:
        hub.publish_nowait(some(1))
        assert await taken(listener) == []
    assert hub.listeners == 0


@pytest.mark.parametrize(
    ("after", "reload", "heard"),
    [
        ("0a1b2c3d-60000", False, []),
        ("0a1b2c3d-59999", False, [60_000]),
        (f"0a1b2c3d-{60_000 - AT_ONCE - 1}", False, list(range(60_000 - AT_ONCE, 60_001))),
        (f"0a1b2c3d-{60_000 - RING}", False, list(range(60_001 - RING, 60_001))),
        ("0a1b2c3d-1", True, []),  # too long ago
        ("0a1b2c3d-60001", True, []),  # not yet
        ("0a1b2c3e-59999", True, []),  # of another start
        ("59999", True, []),
        ("0a1b2c3d-", True, []),
        ("0a1b2c3d-059999", True, []),
        ("0a1b2c3d-" + "9" * 400, True, []),
        ("\x00", True, []),
    ],
)
@pytest.mark.parametrize("attended", [True, False])
def test_who_was_away_goes_on_where_it_was(after: str, reload: bool, heard: list[int], attended: bool) -> None:
    async def main() -> None:
        # given a hub that has told much, to somebody or to nobody
        hub = Hub("0a1b2c3d")
        with hub.listen() as other:
            for _ in range(60_000 // AT_ONCE):
                if attended:
                    hub.publish_nowait(some(AT_ONCE))
                    await anext(other)
            if attended:
                await check(hub)
        if not attended:
            for _ in range(60_000 // AT_ONCE):
                hub.publish_nowait(some(AT_ONCE))
            await check(hub)

    async def check(hub: Hub) -> None:
        # when somebody comes back
        with hub.listen(after=after) as listener:
            # then it is told whether it missed something, and gets what followed, and what is new
            assert (listener.reload, listener.id) == (reload, "0a1b2c3d-60000" if reload else after)
            hub.publish_nowait(some(2))
            hub.close()
            assert await taken(listener) == [*heard, 60_001, 60_002]

    trio.run(main)


@trio_test
async def test_what_is_made_of_a_frame_is_made_once() -> None:
    hub, made = Hub(), []

    def form(frame: Frame) -> bytes:
        made.append(frame)
        return b"".join(frame.lines)

    hub.publish_nowait(some(4))
    with hub.listen() as one, hub.listen() as two, hub.listen(after=f"{hub.start}-2") as three:
        hub.publish_nowait(some(3))
        frames = [await anext(one), await anext(two)]
        assert list((await anext(three)).numbers) == [3, 4]  # up to where the others began
        frames.append(await anext(three))
        assert len({frame.form(form) for frame in frames}) == 1
        assert made == frames[:1]


@trio_test
async def test_who_wants_some_gets_these_and_goes_on_after_all() -> None:
    hub = Hub()
    with hub.listen(wanted=lambda event: event.type == JOB_DELETED) as listener:
        for _ in range(3):
            hub.publish_nowait([*some(AT_ONCE), *some(1, JOB_DELETED), *some(1, RUN_FINISHED)])
        hub.close()
        last = AT_ONCE + 2
        assert await taken(listener) == [last - 1, 2 * last - 1, 3 * last - 1]
        assert listener.id == f"{hub.start}-{3 * last}"


@trio_test
async def test_while_a_listener_waits_frames_are_pushed_without_waking_it() -> None:
    hub = Hub()
    pushed: list[int] = []
    woken: list[int] = []
    takes = True

    def push(frame: Frame) -> bool:
        if takes:
            pushed.extend(frame.numbers)
        return takes

    async def listen() -> None:
        with hub.listen(wanted=lambda event: event.type == JOB_SAVED) as listener:
            listener.push = push
            async for frame in listener:
                woken.extend(frame.numbers)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
        hub.publish_nowait(some(2))
        hub.publish_nowait(some(1, JOB_DELETED))
        await wait_all_tasks_blocked()
        assert (pushed, woken) == ([1, 2], [])
        takes = False
        hub.publish_nowait(some(1))
        await wait_all_tasks_blocked()
        assert (pushed, woken) == ([1, 2], [4])
        takes = True
        hub.publish_nowait(some(1))
        hub.close()
        await wait_all_tasks_blocked()
        assert (pushed, woken) == ([1, 2, 5], [4])


@pytest.mark.parametrize("seed", range(20))
def test_under_load_everyone_hears_everything_once_and_in_order(seed: int) -> None:
    """Listeners that are slow, go and come back, are pushed to or woken, while a gathering hub is told at random."""
    random = Random(seed)

    async def main() -> None:
        hub, ended = Hub(), trio.Event()
        heard: list[list[int]] = [[] for _ in range(6)]

        async def publish() -> None:
            for _ in range(300):
                hub.publish_nowait(some(random.choice([1, 1, 2, 700])))
                await trio.sleep(random.choice([0, 0, 0.001, GATHER, 3 * GATHER]))
            hub.close()
            ended.set()

        async def listen(into: list[int]) -> None:
            after = f"{hub.start}-0"
            while not ended.is_set() or after != f"{hub.start}-{hub.last}":
                with hub.listen(after=after) as listener:
                    assert not listener.reload
                    if random.random() < 0.5:
                        listener.push = lambda frame: random.random() < 0.7 and not into.extend(frame.numbers)
                    with trio.move_on_after(random.random()):
                        async for frame in listener:
                            into.extend(frame.numbers)
                            await trio.sleep(random.choice([0, 0, GATHER]))
                    after = listener.id
                await trio.sleep(random.choice([0, GATHER]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            for into in heard:
                nursery.start_soon(listen, into)
            nursery.start_soon(publish)
        assert all(into == list(range(1, hub.last + 1)) for into in heard)

    trio.run(main, clock=MockClock(autojump_threshold=0))


@trio_test
async def test_more_at_once_than_the_ring_keeps_cuts_off_whoever_listens() -> None:
    hub = Hub()
    with hub.listen() as listener:
        hub.publish_nowait(some(RING + SLACK + 1))
        with pytest.raises(Lagged):
            await anext(listener)
        # who comes after that hears what follows
        with hub.listen() as other:
            hub.publish_nowait(some(1))
            assert (await anext(other)).numbers == range(RING + SLACK + 2, RING + SLACK + 3)
