"""A world whose attempts print, and who follows them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from msgspec import Struct
from trio.testing import wait_all_tasks_blocked
from weather import Weather
from world import START, World, every

from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.job import Attempt, Record, Run
from kala.printed import Piece
from kala.states import State
from kala.stop import Stop

FUTURE = every("PT1H", first=1000)


class Says(Struct, frozen=True):
    """What an attempt prints, each after so many seconds, and how it ends. With a `status` it is an HTTP call."""

    said: tuple[tuple[float, bytes], ...] = ()
    state: State = State.SUCCEEDED
    limit: int = 100
    status: int | None = None


def says(*said: tuple[float, bytes], fails: bool = False, limit: int = 100, status: int | None = None) -> Says:
    return Says(said, State.FAILED if fails else State.SUCCEEDED, limit, status)


class Stage(World):
    """A world of one job, whose attempts print."""

    def __init__(self, *acts: Says, driver: MemoryDriver | Weather | None = None) -> None:
        super().__init__(driver or MemoryDriver(), TrioClock(START), attempt=self.printing)
        self.plays = list(acts)

    async def printing(self, record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        begun, number = self.clock.now(), len(run.attempts) + 1
        act = self.plays[number - 1]
        live = self.store.outputs.begin(record.id, run.id, number, act.limit)
        for seconds, data in act.said:
            await trio.sleep(seconds)
            if (live.add if act.status is None else live.add_first)(data):
                live.grown()
        live.end_with(b"")
        ended, size = self.clock.now(), live.size
        return Attempt(number, begun, ended, act.state, status=act.status, output_size=size), live.last()[1]

    async def run(self, **members: object) -> str:
        """A run of a new job, by hand; its id."""
        job = await self.create("job", **{"schedule": FUTURE, **members})
        return await self.service.start(job)

    async def read(self, run: str, attempt: int | None = None) -> tuple[int, int, int, bytes]:
        """Attempt, offset, size and bytes."""
        piece = await self.service.output(run, attempt)
        return piece.number, piece.offset, piece.size, piece.data


class Follower:
    """What one heard, and when, in seconds after `START`."""

    def __init__(self, world: Stage) -> None:
        self.world = world
        self.heard: list[tuple[float, bytes]] = []
        self.over: float | None = None

    def now(self) -> float:
        return (self.world.clock.now() - START) / 1e6

    async def follow(self, piece: Piece) -> None:
        async for data in self.world.service.follow_output(piece):
            self.heard.append((self.now(), data))
        self.over = self.now()


@asynccontextmanager
async def following(world: Stage, run: str, attempt: int | None = None) -> AsyncIterator[Follower]:
    follower = Follower(world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.follow, await world.service.output(run, attempt))
        await wait_all_tasks_blocked()
        yield follower
