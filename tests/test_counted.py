"""What is told is counted once, and agrees with what the history says."""

from collections import Counter, deque
from functools import partial
from random import Random

import pytest
import trio
from scraped import Scrape
from weather import Weather
from world import FAIL, REFUSE, START, Act, Reply, World, every, simulated

from kala.clock import SECOND, TrioClock
from kala.counted import LATE, Counted
from kala.drivers.memory import MemoryDriver
from kala.errors import StoreUnavailable
from kala.events import OCCURRENCE_SKIPPED, Event
from kala.histogram import Histogram
from kala.job import REMOTE, Notify, Remote
from kala.lease import Lease
from kala.states import NOT_RUN, State
from kala.values import LabelLimit


def scrape(world: World) -> Scrape:
    return Scrape(world.service.metrics.text())


def test_a_value_counts_in_the_class_of_the_first_bound_that_it_does_not_exceed() -> None:
    random, bounds = Random(1), (0.001, 0.5, 1, 60)
    for _ in range(50):
        histogram = Histogram(bounds)
        values = [random.choice([0, *bounds, random.expovariate(1), 1e9]) for _ in range(random.randint(0, 40))]
        for value in values:
            histogram.add(value)
        expected = [
            sum(low < value <= high for value in values) for low, high in zip((-1, *bounds), bounds, strict=False)
        ]
        assert histogram.counts == [*expected, sum(value > 60 for value in values)]
        assert abs(histogram.sum - sum(values)) < 1e-3


def test_a_reason_that_is_not_known_is_no_new_label() -> None:
    counted = Counted(lambda _: False)
    before = len(counted.not_run)
    counted.count([Event(OCCURRENCE_SKIPPED, START, state="skipped", reason=f"made up {n}", added=2) for n in range(9)])
    assert counted.not_run["skipped", "other"] == 18
    assert len(counted.not_run) == before + 1


@simulated
async def test_what_is_counted_is_what_the_history_says() -> None:
    world = World(MemoryDriver(), TrioClock(START), max_runs=3)
    async with world.up():
        await world.create("good", Act(2), schedule=every("PT10S", repetitions=5))
        await world.create(
            "bad", FAIL, Act(state=State.TIMED_OUT), FAIL, schedule=every("PT1M", repetitions=1), retries=2
        )
        await world.create(
            "far", Act(7), type=REMOTE, remote=Remote("http://there/"), schedule=every("PT30S", repetitions=3)
        )
        parent = await world.create("slow", Act(35), schedule=every("PT10S", repetitions=6), overlap="skip")
        await world.create("child", parent_jobs=[parent])
        await world.create("queue", Act(25), schedule=every("PT10S", repetitions=6))
        await world.create("jittered", schedule=every("PT1H", repetitions=0), jitter="PT10M")
        await world.until(50)
        by_hand = await world.create("by hand", Act(600), schedule=every("P1Y", first=1e7))
        run_id = await world.service.start(by_hand)
        await world.until(1_000)
        await world.service.start(by_hand)
        await world.until(1_010)
        cancelled = await world.service.start(by_hand)
        await world.service.cancel(cancelled)
        await world.until(3_000)

        runs = [run for run in world.history() if run.state not in NOT_RUN]
        gaps = [run for run in world.history() if run.state in NOT_RUN]
        gaps += [record.gap for record in world.store.roster if record.gap is not None]
        found = scrape(world)
        assert found.all("kala_runs_total") == Counter((run.state, run.trigger) for run in runs)
        assert ("cancelled", "manual") in found.all("kala_runs_total")
        not_run: Counter[tuple[str, str]] = Counter()
        for gap in gaps:
            not_run[gap.reason, gap.state] += gap.count
        assert found.all("kala_occurrences_not_run_total") == not_run
        assert not_run["overlap", "skipped"] > 6

        def is_far(job_id: str) -> bool:
            return world.record(job_id).job.type == REMOTE

        attempts: Counter[tuple[str]] = Counter()
        retries: Counter[tuple[str]] = Counter()
        for run in runs:
            kind = ("remote" if is_far(run.job_id) else "local",)
            attempts[kind] += len(run.attempts)
            retries[kind] += max(len(run.attempts) - 1, 0)
        assert found.all("kala_attempts_total") == attempts
        assert found.all("kala_retries_total") == +retries == {("local",): 4}

        # what was claimed ended as a run, or was skipped while it waited
        claimed = Counter((run.trigger.value,) for run in runs)
        claimed["schedule",] += sum(
            gap.count for gap in gaps if gap.job_id == next(r.id for r in world.store.roster if r.job.name == "queue")
        )
        assert found.all("kala_claims_total") == claimed
        for kind, far in (("local", False), ("remote", True)):
            lasted = [run.duration / SECOND for run in runs if is_far(run.job_id) is far and run.attempts]
            assert found.value("kala_run_duration_seconds_count", type=kind) == len(lasted)
            assert abs(found.value("kala_run_duration_seconds_sum", type=kind) - sum(lasted)) < 1e-3
        for trigger in ("schedule", "manual", "parent"):
            late = [
                ((run.started or 0) - run.expected) / SECOND for run in runs if run.trigger == trigger and run.attempts
            ]
            assert found.value("kala_run_lateness_seconds_count", trigger=trigger) == len(late)
            assert abs(found.value("kala_run_lateness_seconds_sum", trigger=trigger) - sum(late)) < 1e-3
            classes = found.classes("kala_run_lateness_seconds", trigger=trigger)
            assert list(classes.values())[:-1] == [sum(one <= bound for one in late) for bound in LATE]
        assert found.value("kala_run_lateness_seconds_sum", trigger="schedule") > 60  # above the limit, and in a queue
        assert run_id not in found.text
        assert by_hand not in found.text
        assert "by hand" not in found.text


@simulated
async def test_what_waits_is_told_by_its_reason() -> None:
    world = World(MemoryDriver(), TrioClock(START), max_runs=2)
    async with world.up():
        await world.create("first", Act(100), schedule=every("P1D"))
        await world.create("second", Act(100), schedule=every("P1D"))
        for number in range(3):
            await world.create(f"above {number}", Act(100), schedule=every("P1D", first=2))
        again = await world.create("again", FAIL, schedule=every("P1D", first=200), retries=5, retry_delay="PT1H")
        queued = await world.create("queued", Act(300), schedule=every("PT1M", first=500), overlap="queue")
        off = await world.create("off", schedule=every("P1D"), disabled=True)
        await world.until(10)
        found = scrape(world)
        assert found.all("kala_runs_waiting") == {("limit",): 3}
        assert found.value("kala_runs_running") == 2
        assert found.value("kala_runs_running_limit") == 2
        assert found.all("kala_jobs") == {("enabled",): 7, ("disabled",): 1}
        await world.until(490)
        assert scrape(world).all("kala_runs_waiting") == {("retry",): 1}
        await world.until(620)
        assert scrape(world).all("kala_runs_waiting") == {("retry",): 1, ("overlap",): 1}
        await world.service.set_disabled(queued, True)
        await world.service.delete(again)
        await world.service.delete(off)
        await world.until(2_000)
        found = scrape(world)
        assert found.all("kala_runs_waiting") == {}
        assert world.store.roster.waits == {}
        assert found.all("kala_jobs") == {("enabled",): 5, ("disabled",): 1}
        assert found.value("kala_paused") == 0


@simulated
async def test_what_passed_while_nothing_was_up_is_counted_by_the_next_start() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    world = World(driver, clock, mortal=True)
    async with world.up():
        job_id = await world.create("lost", Act(100), schedule=every("PT10S"), catch_up="none")
        await world.until(5)
        world.kill()
    await clock.sleep_until(START + 300 * SECOND)
    world = World(driver, clock)
    async with world.up():
        await world.until(301)
        found = scrape(world)
        assert found.value("kala_runs_total", state="lost", trigger="schedule") == 1
        gaps = [run for run in (*world.history(), world.record(job_id).gap) if run and run.state is State.MISSED]
        assert found.all("kala_occurrences_not_run_total") == {("down", "missed"): sum(run.count for run in gaps)}
        assert found.value("kala_occurrences_not_run_total", state="missed", reason="down") > 25
        # how long the lost one ran is not known
        succeeded = found.value("kala_runs_total", state="succeeded", trigger="schedule")
        assert found.value("kala_run_duration_seconds_count", type="local") == succeeded == len(world.started)


@simulated
async def test_what_another_daemon_wrote_first_is_a_conflict() -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    one, two = World(driver, clock), World(driver, clock)
    async with one.up(), two.up():
        job_id = await one.create("of both", schedule=every("P1Y", first=1e7))
        await two.store.sync()
        await two.until(5)
        await one.service.set_disabled(job_id, True)
        await two.service.delete(job_id)
        assert scrape(one).value("kala_commit_conflicts_total") == 0
        assert scrape(two).value("kala_commit_conflicts_total") == 1
        # all the same it was decided once, and a commit of many is one
        found = scrape(one)
        assert found.value("kala_commit_decisions_count") == found.value("kala_commit_duration_seconds_count") == 2
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(partial(one.create, f"job {number}", schedule=every("P1Y", first=1e7)))
        found = scrape(one)
        assert found.value("kala_commit_decisions_sum") == 22
        assert found.classes("kala_commit_decisions")[1] in (2, 3)
        assert found.value("kala_commit_decisions_count") <= 4
        assert found.value("kala_writer_queue") == 0


@simulated
async def test_what_became_of_the_lease_is_counted() -> None:
    driver = Weather(MemoryDriver())
    world, other = World(driver, TrioClock(START), mortal=True), Lease(driver, "other")
    async with world.up():
        other.renew()

        def told() -> tuple[float, ...]:
            found = scrape(world)
            return tuple(found.value(f"kala_lease_{name}_total") for name in ("renewals", "failures", "losses"))

        assert told() == (1, 0, 0)
        world.lease.renew()
        assert told() == (2, 0, 0)
        assert 0 < scrape(world).value("kala_lease_remaining_seconds") <= 15
        driver.away = "before"
        with pytest.raises(StoreUnavailable):
            world.lease.renew()
        driver.away = ""
        assert told() == (2, 1, 0)
        other.bury()
        world.lease.renew()
        assert told() == (3, 1, 1)
        world.lease.let_go()
        assert scrape(world).value("kala_lease_remaining_seconds") == 0


@simulated
async def test_pools_are_told_by_the_limits_and_not_by_what_labels_there_are() -> None:
    limits = (
        LabelLimit("team", "a", 2),
        LabelLimit("team", None, 1),
        LabelLimit("site", "x", 5),
        LabelLimit("site", "x", 9),
    )
    world = World(MemoryDriver(), TrioClock(START), limits=limits)
    async with world.up():
        for team in ("a", "a", "a", "*", *(f"t{number // 2}" for number in range(20))):
            await world.create("job", Act(100), schedule=every("P1D"), labels={"team": team})
        await world.until(10)
        found = scrape(world)
        assert found.all("kala_pool_limit") == {("team", "a"): 2, ("team", "*"): 1, ("site", "x"): 5}
        assert found.all("kala_pool_runs") == {
            ("team", "running", "a"): 2,
            ("team", "waiting", "a"): 1,
            ("team", "running", "*"): 11,
            ("team", "waiting", "*"): 10,
        }
        assert found.value("kala_pool_runs", label="site", value="x", state="running") == 0
        assert found.all("kala_runs_waiting") == {("label limit",): 11}
        await world.until(1_000)
        found = scrape(world)
        assert found.all("kala_pool_runs") == found.all("kala_runs_waiting") == {}
        assert "t1" not in found.text


@simulated
async def test_an_occurrence_that_nobody_claims_is_overdue() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    async with world.up():
        await world.create("due", schedule=every("PT1H", first=100))
        await world.until(50)
        assert scrape(world).value("kala_schedule_overdue_seconds") == 0
        await world.service.set_paused(True)
        await world.until(400)
        found = scrape(world)
        assert found.value("kala_schedule_overdue_seconds") == 300
        assert found.value("kala_paused") == 1
        assert found.value("kala_run_lateness_seconds_count", trigger="schedule") == 0  # nothing else would show it
        await world.service.set_paused(False)
        await world.until(500)
        found = scrape(world)
        assert found.value("kala_schedule_overdue_seconds") == 0
        assert found.value("kala_paused") == 0
        assert found.value("kala_runs_total", state="succeeded", trigger="catch-up") == 1


@simulated
async def test_notifications_are_counted_and_what_is_owed_is_told() -> None:
    world = World(MemoryDriver(), TrioClock(START))
    url = "http://there/"
    replies = world.replies[url] = deque([REFUSE, REFUSE, Reply()])
    async with world.up():
        job_id = await world.create("bad", FAIL, schedule=every("P1Y"), notify=[Notify(url, every="PT0S")])
        await world.until(1.5)
        found = scrape(world)
        assert found.value("kala_notifications_owed") == 1
        assert found.all("kala_notification_posts_total") == {("failed",): 1}
        await world.until(3_000)
        found = scrape(world)
        assert found.value("kala_notifications_owed") == 0
        assert found.all("kala_notification_posts_total") == {("failed",): 2, ("sent",): 1}
        assert found.value("kala_notifications_dropped_total") == 0
        replies[0] = REFUSE  # from now on
        await world.service.start(job_id)
        await world.until(10_000)
        assert scrape(world).value("kala_notifications_owed") == 1
        await world.until(200_000)
        found = scrape(world)
        assert found.value("kala_notifications_owed") == 0
        assert found.value("kala_notifications_dropped_total") == 1
        assert found.value("kala_notification_posts_total", result="failed") == len(world.posted) - 1
