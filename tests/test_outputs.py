"""That runs print is told to those who listen, and to nobody else."""

from collections.abc import Awaitable, Callable
from functools import wraps
from itertools import pairwise

import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from world import START

from kala.clock import TrioClock
from kala.events import RUN_OUTPUT, Event
from kala.hub import Hub
from kala.outputs import ROOM, Live, Outputs


class Stage:
    """Outputs and who listens to them. `heard`: seconds, run and size of what was told."""

    def __init__(self) -> None:
        self.clock, self.hub = TrioClock(START), Hub()
        self.outputs = Outputs(self.clock, self.hub)
        self.heard: list[tuple[float, str, int]] = []
        self.events: list[Event] = []

    async def listen(self) -> None:
        with self.hub.listen() as listener:
            async for frame in listener:
                for event in frame.events:
                    self.events.append(event)
                    self.heard.append(((event.at - START) / 1e6, event.run, event.size))

    def begin(self, run: str, number: int = 1, limit: int = 10) -> Live:
        return self.outputs.begin("job", run, number, limit)


def staged(test: Callable[[Stage], Awaitable[None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        async def main() -> None:
            stage = Stage()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stage.outputs.run)
                nursery.start_soon(stage.hub.run)
                await test(stage)
                nursery.cancel_scope.cancel()

        trio.run(main, clock=MockClock(autojump_threshold=0))

    del run.__dict__["__wrapped__"]  # or pytest would look for its arguments
    return run


def say(live: Live, data: bytes) -> bool:
    """As the thread that reads: whether it told."""
    if told := live.add(data):
        live.grown()
    return told


@staged
async def test_the_first_bytes_are_told_soon_and_then_at_most_once_a_second(stage: Stage) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.listen)
        await wait_all_tasks_blocked()
        live = stage.begin("run", number=2)
        told = 0
        for _ in range(350):
            told += say(live, b"0123456789")
            await trio.sleep(0.01)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert stage.events[0] == Event(RUN_OUTPUT, stage.events[0].at, "job", "run", attempt=2, size=stage.heard[0][2])
    moments = [at for at, _, _ in stage.heard]
    assert 0 < moments[0] <= 0.11
    assert all(1 <= round(after - before, 6) <= 1.21 for before, after in pairwise(moments))
    assert stage.heard[-1][2] == 3500  # the last growth is told, too
    assert len(stage.heard) in (4, 5)
    assert told == len(stage.heard)  # nor does the thread say more


@staged
async def test_a_run_that_has_ended_since_is_not_told_of(stage: Stage) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.listen)
        await wait_all_tasks_blocked()
        for number in range(100):
            live = stage.begin(f"run-{number}")
            say(live, b"x")
            live.end_with(b"x")
            stage.outputs.drop(live.run_id, 1)
        longer = stage.begin("longer")
        say(longer, b"x")
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert [run for _, run, _ in stage.heard] == ["longer"]


@staged
async def test_while_nobody_listens_the_thread_does_not_say_anything(stage: Stage) -> None:
    live = stage.begin("run")
    assert not any(say(live, b"x") for _ in range(10))
    async with trio.open_nursery() as nursery:  # and says it when somebody comes
        nursery.start_soon(stage.listen)
        await wait_all_tasks_blocked()
        assert say(live, b"x")
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    assert stage.heard == [(0.1, "run", 11)]
    # one who goes between the growth and the telling holds nothing up for those who come later
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.listen)
        await wait_all_tasks_blocked()
        assert say(live, b"x")
        nursery.cancel_scope.cancel()
    await trio.sleep(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.listen)
        await wait_all_tasks_blocked()
        assert say(live, b"x")
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    assert [size for _, _, size in stage.heard] == [11, 13]


@staged
async def test_who_follows_is_woken_at_each_growth_and_more_is_held_for_him(stage: Stage) -> None:
    live = stage.begin("run", limit=10)
    read = b""

    async def follow() -> None:
        nonlocal read
        live.join()
        while not live.ended:
            await live.wait_beyond(len(read))
            begin, data = live.read(len(read))
            assert begin == len(read)
            read += data
        live.leave()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        nursery.start_soon(follow)
        await wait_all_tasks_blocked()
        for size in 1, 2, ROOM - 3:
            assert say(live, b"x" * size)
            await trio.sleep(1)
        assert len(read) == ROOM
        live.end_with(b"")
    assert stage.heard == []
    assert not say(live, b"x")
    for _ in range(3):
        live.add(b"x" * ROOM)
    assert live.last() == (4 * ROOM - 9, b"x" * 10)
    assert len(live.kept[1]) == 10


@staged
async def test_only_the_attempt_that_is_meant_goes(stage: Stage) -> None:
    first = stage.begin("run")
    second = stage.begin("run", 2)
    stage.outputs.drop("run", 1)
    assert stage.outputs.get("run") is second
    stage.outputs.drop("run", 2)
    stage.outputs.drop("run", 2)
    assert stage.outputs.get("run") is None
    assert (first.ended, second.ended) == (False, True)


@staged
async def test_what_went_wrong_is_the_output_where_there_is_none(stage: Stage) -> None:
    for printed, kept in (b"", b"what went wrong"), (b"printed", b"printed"):
        live = stage.begin("run", limit=7)
        live.add(printed)
        live.end_with(b"what went wrong")
        assert live.last() == (0, kept)


@staged
async def test_while_one_of_two_goes_on_following_much_is_held(stage: Stage) -> None:
    live = stage.begin("one", limit=10)
    live.join()
    live.join()
    live.leave()
    say(live, b"x" * (ROOM // 2))
    say(live, b"y" * (ROOM // 2))
    assert live.read(0, 1) == (0, b"x")
    live.leave()
    say(live, b"z" * ROOM)
    assert live.read(0, 1)[0] > 0


@staged
async def test_what_went_wrong_is_kept_whatever_the_limit(stage: Stage) -> None:
    live = stage.begin("one", limit=0)
    live.end_with(b"no such program")
    assert live.last() == (0, b"no such program")
