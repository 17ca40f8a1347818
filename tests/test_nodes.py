"""The daemons on a database."""

from world import START, World, simulated

from kala.clock import TrioClock
from kala.drivers.memory import MemoryDriver
from kala.errors import StoreUnavailable
from kala.nodes import ENDED, KNOWN


class CountingDriver(MemoryDriver):
    """Counts how often instances are read; it may be away for that."""

    reads = 0
    away = False

    def load(self, kind):  # type: ignore[no-untyped-def]  # as MemoryDriver
        if kind == "instance":
            self.reads += 1
            if self.away:
                raise StoreUnavailable("away")
        return super().load(kind)


@simulated
async def test_the_living_come_first_and_the_database_is_seldom_asked() -> None:
    driver, clock = CountingDriver(), TrioClock(START)
    ended = World(driver, clock)
    async with ended.up():
        pass
    first, second = World(driver, clock), World(driver, clock)
    async with first.up(), second.up():
        driver.reads = 0
        for _ in range(10):
            nodes = await first.service.nodes.all()
        assert nodes is not None
        assert driver.reads == 1
        assert {node.id: (node.alive, node.self) for node in nodes} == {
            first.lease.id: (True, True),
            second.lease.id: (True, False),
            ended.lease.id: (False, False),
        }
        assert nodes[-1].id == ended.lease.id
        assert {node.node for node in nodes} == {"here"}
        assert all(node.started for node in nodes)
        await world_passes(first, KNOWN + 1)
        await first.service.nodes.all()
        assert driver.reads == 2


async def world_passes(world: World, seconds: float) -> None:
    await world.clock.sleep_until(world.clock.now() + round(seconds * 1e6))


@simulated
async def test_of_many_that_have_ended_the_latest_are_told() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    ids = []
    for _ in range(ENDED + 5):
        world = World(driver, clock)
        async with world.up():
            await world_passes(world, 1)
        ids.append(world.lease.id)
    async with (world := World(driver, clock)).up():
        nodes = await world.service.nodes.all()
        assert nodes is not None
        assert [node.id for node in nodes] == [world.lease.id, *ids[::-1][:ENDED]]


@simulated
async def test_while_the_database_is_away_nobody_else_is_known() -> None:
    driver = CountingDriver()
    world = World(driver, TrioClock(START))
    assert await world.service.nodes.all() is None  # it has not been opened
    async with world.up():
        driver.away = True
        assert await world.service.nodes.all() is None
        driver.away = False
        assert [node.self for node in await world.service.nodes.all() or []] == [True]
        this = world.service.nodes.this()
        assert (this.id, this.alive, this.self) == (world.lease.id, True, True)
