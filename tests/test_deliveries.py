"""What a run sets off is delivered once, also when another daemon has taken over, and has done it, in between."""

import msgspec
import pytest
from weather import Weather
from world import START, World, every, simulated

from kala import ledger
from kala.clock import TrioClock
from kala.drivers.contract import Conflict, Element
from kala.job import Run, decode_record, replace
from kala.lease import KIND
from kala.states import State, Trigger


class Overtaken(Weather):
    """Just before the delivery to `child` is committed another daemon delivers it, and its run ends. `then` follows."""

    child = ""
    then = staticmethod(lambda: None)
    caused: list[str]

    def commit(self, batch: list[Element]) -> list[Conflict | None]:
        for element in batch:
            if element.key != self.child or element.value is None or self.caused:
                continue
            if delivered := [run for run in decode_record(element.value).open if run.trigger is Trigger.PARENT]:
                self.caused = [run.id for run in delivered]
                stored = self.inner.get("job", self.child)
                assert stored is not None
                rows = [ended(run) for run in delivered]
                theirs = Element("job", self.child, stored.revision, stored.revision + 1, stored.value, rows)
                assert self.inner.commit([theirs]) == [None]
                self.then()
        return super().commit(batch)


def ended(run: Run) -> Run:
    return replace(run, state=State.SUCCEEDED, instance="theirs", ended=run.created + 1)


@pytest.mark.parametrize("taken_for_dead", [False, True])
@simulated
async def test_a_delivery_that_another_has_made_is_not_made_again(taken_for_dead: bool) -> None:
    driver = Overtaken()
    driver.caused = []
    world = World(driver, TrioClock(START))

    def bury() -> None:
        stored = driver.get(KIND, world.lease.id)
        mark = msgspec.json.encode(replace(world.lease.instance, ended=True))
        driver.inner.commit([Element(KIND, world.lease.id, stored.revision, stored.revision + 1, mark)])
        world.lease.renew()

    async with world.up():
        parent = await world.create("parent", schedule=every("PT1H"))
        driver.child = await world.create("child", parent_jobs=[parent])
        before = world.lease.id
        if taken_for_dead:
            driver.then = bury  # type: ignore[method-assign,assignment]
        await world.until(60)
        (run,) = world.history(parent)
        assert driver.caused == [ledger.child_run_id(run.id, driver.child)]
        assert (world.lease.id != before) is taken_for_dead
        # it has run once: there
        assert world.starts("child") == []
        assert [(one.id, one.instance) for one in world.history(driver.child)] == [(driver.caused[0], "theirs")]
        # and whoever owes it knows that it has settled
        assert bool(world.record(parent).outbox) is taken_for_dead
