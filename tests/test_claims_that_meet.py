"""Another daemon claims an occurrence while this one is about to: the next one is claimed before that is known."""

from collections.abc import Callable
from typing import Any

import trio
from decisions import new, owned
from world import START, World, every, inline, simulated

from kala import ledger
from kala.clock import SECOND, TrioClock
from kala.drivers.memory import MemoryDriver
from kala.ids import new_id


@simulated
async def test_two_claims_of_one_job_are_under_way() -> None:
    # Given a daemon whose commits can be held up, and another on its database
    clock, driver = TrioClock(START), MemoryDriver()
    gate = trio.Event()
    gate.set()

    async def held(function: Callable[..., Any], *arguments: Any) -> Any:
        if getattr(function, "__name__", "") == "_commit_parts":
            await gate.wait()
        return await inline(function, *arguments)

    one, two = World(driver, clock, in_thread=held), World(driver, clock)
    async with one.up(), two.up(scheduling=False):
        await one.store.transact(new("other"))
        job = await one.create(name="each second", schedule=every("PT1S", repetitions=1))
        await two.store.sync()
        # when the first occurrence is being claimed here, is claimed there, and the second one is due
        gate = trio.Event()
        await clock.sleep_until(START + round(1.5 * SECOND))
        record = two.record(job)
        run_id = new_id()

        def claimed(record: Any) -> Any:
            return ledger.claim(
                record,
                version=record.version,
                cursor=record.cursor,
                now=clock.now(),
                run_id=run_id,
                instance=two.lease.id,
                slot=True,
                because=ledger.DOWN,
            )

        assert record.cursor == START + SECOND
        await two.store.change(job, claimed)
        await clock.sleep_until(START + round(2.5 * SECOND))
        first, gate = gate, trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.store.change, "other", lambda record: owned(record, "somebody"))
            await trio.testing.wait_all_tasks_blocked()
            first.set()
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        # then both claims are answered, and each occurrence is one run
        await trio.testing.wait_all_tasks_blocked()
        runs = {run.scheduled_for for run in one.record(job).open} | {run.scheduled_for for run in one.history(job)}
        assert runs == {START + SECOND, START + 2 * SECOND}
