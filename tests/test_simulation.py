"""The simulation: it comes to what the scheduler comes to on the test clock, and keeps none of it."""

import re
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from world import START, Act, World, every, simulated

from kala import register
from kala.clock import SECOND, Moment, TrioClock, rfc3339
from kala.drivers.contract import Element, RunQuery
from kala.drivers.memory import MemoryDriver
from kala.job import Job, Notify, Record, Run, replace
from kala.simulation import PassingDriver, Period, Span, simulate
from kala.simulation.pretence import Acting, Cast
from kala.simulation.virtual import VirtualClock
from kala.states import State, Trigger
from kala.stop import Stop

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def record(job: Job, begin: Moment = START) -> Record:
    cursor, remaining = register.first_due(job, begin)
    return Record(f"id of {job.name}", job, begin, cursor=cursor, remaining=remaining)


def job(name: str, schedule: str = "", **more: Any) -> Job:
    return Job(name, "true", schedule=schedule, **more)


def minutes(first: float, last: float) -> Span:
    return Span(START + round(first * MINUTE), START + round(last * MINUTE))


def line(run: Run) -> str:
    """A row of the history, without what differs from one time to the next: ids, and moments of writing."""
    reason = re.sub("instance .* ended", "its instance ended", run.reason)
    until = "" if run.until is None else f"..{rfc3339(run.until)}"
    attempts = ", ".join(f"{one.state} {rfc3339(one.started)}" for one in run.attempts)
    return f"{run.trigger} {rfc3339(run.scheduled_for)}{until} ×{run.count} {run.state} {reason}: {attempts}"


# The same as on the test clock.

JOBS = [
    job("daily", every("PT1H", first=600)),
    job("none", every("PT1H", first=601), catch_up="none"),
    job("all", every("PT1H", first=602), catch_up="all", catch_up_limit=2),
    job("windowed", every("PT1H", first=603), catch_up="all", catch_up_window="PT90M"),
    job("slow queue", every("PT10M", first=604)),
    job("slow skip", every("PT10M", first=605), overlap="skip"),
    job("slow allow", every("PT10M", first=606), overlap="allow"),
    job("slow replace", every("PT10M", first=607), overlap="replace"),
    job("long", every("PT2H", first=60)),
    job("long rerun", every("PT2H", first=61), on_lost="rerun"),
    job("failing", every("PT1H", first=700), on_failure_job="id of mend"),
    job("failing and retried", every("PT1H", first=710), retries=1),
    job("mend"),
    job("spread", every("PT1H", first=800), jitter="PT20M"),
    job("counted", every("PT1H", first=900, repetitions=5)),
    job("cron", "15 */3 * * *", time_zone="Europe/Berlin"),
    job("child", parent_jobs=["id of daily"]),
    job("grandchild", parent_jobs=["id of child", "id of failing"], parents_mode="all"),
]
SECONDS = {"slow": 1493, "long": 5411, "failing": 3}  # none ends at the moment of another occurrence
PERIOD = Period(minutes(0, 24 * 60), [minutes(61.5, 250.5), minutes(700.3, 705.3)], [minutes(900.5, 1000.5)])


def seconds(name: str) -> int:
    return next((seconds for word, seconds in SECONDS.items() if name.startswith(word)), 1)


def acting(name: str) -> Acting:
    return Acting(seconds(name) * SECOND, 2 if name.startswith("failing") else 0)


def by_simulation(records: Sequence[Record]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    cast = Cast({one.id: acting(one.job.name) for one in records}, Acting())
    left = simulate(records, PERIOD, cast, lambda run: found.append((run.job_id, line(run))))
    return sorted([*found, *((run.job_id, line(run)) for run in left)])


@simulated
async def by_world(records: Sequence[Record], found: list[tuple[str, str]]) -> None:
    driver, clock = MemoryDriver(), TrioClock(START)
    acts = {
        one.job.name: deque(
            Act(
                seconds(one.job.name), State.FAILED if one.job.name.startswith("failing") and n % 2 else State.SUCCEEDED
            )
            for n in range(1000)
        )
        for one in records
    }
    begins = [PERIOD.whole.begin, *(span.end for span in PERIOD.down)]
    ends = [*(span.begin for span in PERIOD.down), PERIOD.whole.end - SECOND]
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        await clock.sleep_until(begin)
        world = World(driver, clock, mortal=True)
        world.acts.update(acts)
        async with world.up():
            world.lease.start()
            if not number:
                adopted = [register.adopted(replace(one, created=START + n), START) for n, one in enumerate(records)]
                await world.store.transact(lambda draft, adopted=adopted: adopted)  # type: ignore[misc]
            for pause in PERIOD.paused:
                if begin < pause.begin < end:
                    await clock.sleep_until(pause.begin)
                    await world.service.set_paused(True)
                    await clock.sleep_until(pause.end)
                    await world.service.set_paused(False)
            await clock.sleep_until(end)
            if number < len(PERIOD.down):
                world.kill()
    rows = [
        *world.history(),
        *(run for one in world.store.roster for run in (*one.open, *([one.gap] if one.gap else []))),
    ]
    found += sorted((run.job_id, line(run)) for run in rows if run.scheduled_for < PERIOD.whole.end)


def test_it_is_what_the_scheduler_does() -> None:
    records = [record(one) for one in JOBS]
    told: list[tuple[str, str]] = []
    by_world(records, told)
    assert by_simulation(records) == told
    assert {one.split(" ")[3] for _, one in told} >= {"succeeded", "failed", "lost", "missed", "skipped", "cancelled"}


# What comes of times down, paused and full, moment by moment.

CASES: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["catch-up 03 succeeded", "schedule 04 succeeded", "schedule 01..02 missed down"]),
    (
        {"catch_up": "all"},
        ["catch-up 01 succeeded", "catch-up 02 succeeded", "catch-up 03 succeeded", "schedule 04 succeeded"],
    ),
    ({"catch_up": "none"}, ["schedule 01..03 missed down", "schedule 04 succeeded"]),
]
NAMES = ["once", "all", "none"]


def hourly(run: Run) -> str:
    until = "" if run.until in (None, run.scheduled_for) else f"..{(run.until - START) // HOUR:02}"  # type: ignore[operator]
    return f"{run.trigger} {(run.scheduled_for - START) // HOUR:02}{until} {run.state} {run.reason}".strip()


@pytest.mark.parametrize(("members", "expected"), CASES, ids=NAMES)
def test_a_daemon_is_down_from_a_moment_on_and_up_from_another(members: dict[str, str], expected: list[str]) -> None:
    period = Period(minutes(0, 5 * 60), [minutes(60, 239.5)])
    assert sorted(said(job("j", every("PT1H", first=0), **members), period)) == sorted(
        ["schedule 00 succeeded", *expected]
    )


def said(one: Job, period: Period) -> list[str]:
    found: list[str] = []
    simulate([record(one)], period, Cast({}, Acting()), lambda run: found.append(hourly(run)))
    return found


def test_the_last_moment_is_not_in_the_period() -> None:
    hours = ["schedule 00 succeeded", "schedule 01 succeeded"]
    assert said(job("j", every("PT1H", first=0)), Period(minutes(0, 120))) == hours


def test_what_still_waits_at_the_end_is_told_apart() -> None:
    slow = record(job("j", every("PT10M", first=0)))
    found: list[Run] = []
    left = simulate([slow], Period(minutes(0, 30)), Cast({}, Acting(35 * MINUTE)), found.append)
    assert [run.scheduled_for - START for run in found if run.attempts] == [0]
    assert [(run.scheduled_for - START, run.state) for run in left] == [(20 * MINUTE, State.WAITING)]


def test_a_limit_on_runs_makes_others_late() -> None:
    records = [record(job(f"j{n}", every("P1D", first=60))) for n in range(3)]
    found: list[Run] = []
    simulate(records, Period(minutes(0, 60)), Cast({}, Acting(10 * SECOND)), found.append, max_runs=1)
    assert sorted(run.attempts[0].started - run.scheduled_for for run in found) == [0, 10 * SECOND, 20 * SECOND]


def test_time_limits_end_attempts() -> None:
    limited = record(job("j", every("P1D", first=60), timeout="PT5S", retries=1))
    found: list[Run] = []
    simulate([limited], Period(minutes(0, 60)), Cast({}, Acting(MINUTE)), found.append)
    assert [(one.state, one.ended - one.started) for one in found[0].attempts] == [(State.TIMED_OUT, 5 * SECOND)] * 2


def test_nobody_is_told_of_failures() -> None:
    """Nothing is posted; and what would be owed does not pile up in the record."""
    noisy = record(job("j", every("PT1M"), notify=[Notify("http://127.0.0.1:1/")]))
    found: Counter[State] = Counter()
    failing = Cast({noisy.id: Acting(SECOND, 1)}, Acting())
    simulate([noisy], Period(minutes(0, 60)), failing, lambda run: found.update([run.state]))
    assert found == {State.FAILED: 60}


# Errors.


def test_what_a_listener_raises_ends_it() -> None:
    def broken(run: Run) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        simulate([record(job("j", every("PT1M")))], Period(minutes(0, 60)), Cast({}, Acting()), broken)


# Its parts.


def test_the_driver_hands_rows_on_and_keeps_none() -> None:
    found: list[Run] = []
    driver = PassingDriver(lambda: START, found.append)
    rows = [
        Run("plain", "J", START, Trigger.SCHEDULE, State.SUCCEEDED, START),
        Run("caused", "J", START, Trigger.PARENT, State.SUCCEEDED, START, parent_run="plain"),
    ]
    first = Element("job", "J", 0, 1, b"{}", rows)
    stale = Element("job", "J", 7, 8, b"{}", rows)
    assert driver.commit([first]) == [None]
    assert driver.commit([stale])[0] is not None
    assert found == rows
    assert driver.runs(RunQuery()).runs == []
    assert driver.get("job", "J") is not None
    # what another run set off is known for a while: a new instance asks for it
    assert (driver.run("caused"), driver.run("plain")) == (rows[1], None)


def on_virtual_clock(main: Any) -> list[str]:
    clock, told = VirtualClock(START), []

    async def begun() -> None:
        with trio.fail_after(1e9):
            await main(clock, told)

    trio.run(begun, clock=clock)
    return told


def test_virtual_time_goes_from_sleeper_to_sleeper() -> None:
    async def main(clock: VirtualClock, told: list[str]) -> None:
        async def sleep(name: str, moment: Moment) -> None:
            await clock.sleep_until(moment)
            told.append(f"{name} {clock.now() - START} {trio.current_time():g}")

        async def nap(name: str, seconds: float) -> None:
            await trio.sleep(seconds)
            told.append(f"{name} {clock.now() - START} {trio.current_time():g}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleep, "long", START + 365 * 24 * HOUR + 1)
            nursery.start_soon(nap, "Trio's", 2.5)
            nursery.start_soon(sleep, "short", START + 2 * SECOND)
            nursery.start_soon(sleep, "past", START - SECOND)

    assert on_virtual_clock(main) == [
        "past 0 0",
        "short 2000000 2",
        "Trio's 2500000 2.5",
        "long 31536000000001 3.1536e+07",
    ]


def test_a_stop_wakes_a_sleeper_and_a_cancelled_one_does_not_hold_time_up() -> None:
    async def main(clock: VirtualClock, told: list[str]) -> None:
        stop = Stop()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.sleep_until, START + HOUR, stop)
            await clock.sleep_until(START + SECOND)
            stop.request()
            stop.request()
        told.append(f"stopped {clock.now() - START}")
        with trio.move_on_after(5):
            await clock.sleep_until(START + HOUR)
        told.append(f"cancelled {clock.now() - START}")
        await clock.sleep_until(START + 2 * HOUR)
        told.append(f"on {clock.now() - START}")

    assert on_virtual_clock(main) == ["stopped 1000000", "cancelled 6000000", "on 7200000000"]


def test_deadlines_that_are_no_whole_microseconds_come() -> None:
    async def main(clock: VirtualClock, told: list[str]) -> None:
        for count in range(1, 200):
            await trio.sleep(count / 7)
        told.append("done")

    assert on_virtual_clock(main) == ["done"]


def test_waiting_for_what_never_comes_is_told_at_once() -> None:
    async def main(clock: VirtualClock, told: list[str]) -> None:
        await trio.sleep_forever()

    with pytest.raises(trio.TooSlowError):
        on_virtual_clock(main)
