"""What has happened in the last hour, by minute."""

import math
from random import Random

import pytest
from trio.testing import trio_test
from world import FAIL, START, Act, World, every, simulated

from kala import events
from kala.clock import SECOND, Clock, Moment, TrioClock
from kala.drivers.memory import MemoryDriver
from kala.events import Event
from kala.recent import KINDS, MINUTE, Lateness, Recent
from kala.states import State


class SetClock(Clock):
    """Shows what it was set to."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment

    def now(self) -> Moment:
        return self.moment


def totals(recent: Recent) -> dict[str, int]:
    minutes = recent.minutes()
    return {kind: count for kind in KINDS if (count := sum(minute.counts[kind] for minute in minutes))}


@pytest.mark.parametrize("most", [1, 10, 1_000, 10**6, 10**10, 10**15])
def test_quantiles_of_lateness_are_within_a_tenth(most: int) -> None:
    for seed in range(20):
        random, lateness = Random(seed), Lateness()
        values = sorted(round(most ** random.random()) for _ in range(random.randint(1, 2_000)))
        for value in values:
            lateness.add(value)
        for part in (0.5, 0.99, 1.0):
            exact = values[math.ceil(len(values) * part) - 1]
            told = lateness.quantile(part)
            assert told is not None
            assert abs(told - exact) <= exact / 10
        assert lateness.most == values[-1]


def test_of_nothing_there_is_no_quantile() -> None:
    assert Lateness().quantile(0.5) is None


def test_each_event_is_counted_in_its_minute_until_an_hour_has_passed() -> None:
    clock = SetClock(START)
    recent = Recent(clock)
    assert recent.since == START
    recent.count([Event(events.RUN_STARTED, START, scheduled_for=START - SECOND, attempt=1)])
    clock.moment += 61 * SECOND
    finished = [Event(events.RUN_FINISHED, clock.moment, state=state) for state in ("succeeded", "failed", "lost")]
    recent.count([*finished, Event(events.RUN_FINISHED, START + SECOND, state="timed_out")])
    minutes = recent.minutes()
    assert [minute.at for minute in minutes] == [START + (number - 58) * MINUTE for number in range(60)]
    assert {kind for kind, count in minutes[-1].counts.items() if count} == {"succeeded", "failed", "lost"}
    assert {kind for kind, count in minutes[-2].counts.items() if count} == {"started", "timed_out"}
    assert (minutes[-2].lateness.most, minutes[-1].lateness.quantile(0.5)) == (SECOND, None)
    # when an hour has passed, the first minute is gone, and what is told of it later does not come into another
    clock.moment = START + 60 * MINUTE
    assert totals(recent) == {"succeeded": 1, "failed": 1, "lost": 1}
    recent.count([Event(events.RUN_FINISHED, START, state="cancelled")])
    assert totals(recent) == {"succeeded": 1, "failed": 1, "lost": 1}
    # and after a day there is nothing left
    clock.moment = START + 1_440 * MINUTE
    assert totals(recent) == {}


def test_a_clock_that_is_set_back_shows_the_minutes_that_it_comes_to() -> None:
    clock = SetClock(START)
    recent = Recent(clock)
    recent.count([Event(events.RUN_FINISHED, START, state="failed")])
    clock.moment -= 30 * MINUTE
    assert totals(recent) == {}
    # what is dated later than now counts now
    recent.count([Event(events.RUN_FINISHED, START, state="succeeded")])
    assert recent.minutes()[-1].counts["succeeded"] == 1


def test_a_retry_is_no_start_and_jitter_is_not_late() -> None:
    recent = Recent(SetClock(START))
    recent.count(
        [
            Event(events.RUN_STARTED, START, scheduled_for=START - 60 * SECOND, due=START - 20, attempt=1),
            Event(events.RUN_STARTED, START, scheduled_for=START - 60 * SECOND, attempt=2),
            Event(events.RUN_STARTED, START, scheduled_for=START + 5, attempt=1),
            Event(events.RUN_OUTPUT, START),
        ]
    )
    last = recent.minutes()[-1]
    assert (last.counts["started"], last.lateness.most) == (2, 20)


def test_definitions_that_change_are_noticed() -> None:
    recent = Recent(SetClock(START))
    for kind, edits in ((events.JOB_SAVED, 1), (events.RUN_CLAIMED, 1), (events.JOB_DELETED, 2)):
        recent.count([Event(kind, START)])
        assert recent.edits == edits


@simulated
async def test_what_a_daemon_does_is_counted_once_each_whether_anybody_listens_or_not() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        await world.create("good", schedule=every("PT10S", repetitions=5))
        await world.create("bad", FAIL, schedule=every("PT1M", repetitions=1), retries=2)
        await world.create("slow", Act(35), schedule=every("PT10S", repetitions=6), overlap="skip")
        await world.create("jittered", schedule=every("PT1H", repetitions=0), jitter="PT10M")
        await world.until(1_000)
        runs = world.history()
        expected = {
            "started": sum(run.started is not None for run in runs),
            "succeeded": sum(run.state is State.SUCCEEDED for run in runs),
            "failed": sum(run.state is State.FAILED for run in runs),
            "skipped": sum(run.count for run in runs if run.state is State.SKIPPED),
        }
        expected["skipped"] += sum(record.gap.count for record in world.store.roster if record.gap is not None)
        assert totals(world.service.recent) == expected
        assert expected["skipped"] > 3
        assert expected["failed"] == 2
        latest = max(minute.lateness.most for minute in world.service.recent.minutes())
        assert latest == max((run.started or 0) - run.expected for run in runs if run.started is not None)


@trio_test
async def test_the_hub_tells_of_all_that_is_published_until_it_is_closed() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    before = world.service.recent.edits
    world.hub.publish_nowait([Event(events.JOB_SAVED, START)] * 3)
    world.hub.close()
    world.hub.publish_nowait([Event(events.JOB_SAVED, START)])
    assert world.service.recent.edits == before + 3
