"""A year of 1,000 jobs, most of them daily, with month ends, a leap day, restarts and time down: every occurrence is
accounted for, exactly once, with its reason."""

import gc
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from world import START, World, simulated

from kala import schedule
from kala.clock import DAY, SECOND, TrioClock, from_datetime, to_datetime
from kala.drivers.memory import MemoryDriver
from kala.job import Attempt, Job, Record, Run
from kala.states import State
from kala.stop import Stop

BEGIN = from_datetime(datetime(2027, 7, 1, tzinfo=UTC))
END = from_datetime(datetime(2028, 7, 1, 13, tzinfo=UTC))  # 2028 is a leap year
HOUR = 3600 * SECOND
MEMBERS: list[dict[str, str]] = [{}, {"catch_up": "none"}, {"catch_up": "all"}, {"overlap": "skip"}]
SCHEDULES = {
    "daily": (900, "R/2027-07-01T{:02}:00:00Z/P1D"),
    "month end": (40, "R/2027-07-31T{:02}:00:00Z/P1M"),
    "leap day": (20, "R/2028-02-29T{:02}:00:00Z/P1Y"),
    "yearly": (10, "R/2027-08-30T{:02}:00:00Z/P6M"),
    "weekly": (15, "R/2027-07-05T{:02}:00:00Z/P1W"),
    "a day and a half": (10, "R/2027-07-01T{:02}:00:00Z/PT36H"),
    "a hundred days": (5, "R99/2027-07-01T{:02}:00:00Z/P1D"),
}
DOWN = [
    # day and hour at which it ends, hours down, and whether it was killed
    (20, 12.5, 1, False),
    (61.6, 0, 30, False),
    (150, 18.5, 4, True),  # while nothing is on: what a kill meets is lost, which test_recovery.py has
    (243, 5, 40, True),  # over the leap day
    (300, 6, 0, False),  # at the very moment of many
]


class Starts:
    """Pretended attempts that take no time, and how many there were."""

    def __init__(self) -> None:
        self.count = 0

    async def attempt(self, record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        self.count += 1
        return Attempt(1, run.created, run.created, State.SUCCEEDED), b""


@pytest.fixture
def rare_collections() -> Iterator[None]:
    """The history of the year is in memory: the garbage collector need not walk it a hundred times."""
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 50, 50)
    yield
    gc.set_threshold(*thresholds)


@pytest.fixture
def quiet() -> Iterator[None]:
    """A year of warnings is not for anybody."""
    ours = logging.getLogger("kala")
    level = ours.level
    ours.setLevel(logging.ERROR)
    yield
    ours.setLevel(level)


@pytest.mark.slow
@pytest.mark.usefixtures("rare_collections", "quiet")
@simulated
async def test_a_year_of_a_thousand_jobs_is_accounted_for() -> None:
    driver, clock = MemoryDriver(), TrioClock(BEGIN)
    ids: dict[str, str] = {}
    starts = Starts()
    paused = ""
    ends = [(BEGIN + round(day * DAY + hour * HOUR), round(down * HOUR), kill) for day, hour, down, kill in DOWN]
    for number, (end, down, kill) in enumerate([*ends, (END, 0, False)]):
        world = World(driver, clock, mortal=True, attempt=starts.attempt)
        async with world.up():
            world.lease.start()
            if not ids:
                for kind, (count, text) in SCHEDULES.items():
                    for one in range(count):
                        job = Job(f"{kind} {one}", "true", schedule=text.format(one % 4 * 6), **MEMBERS[one // 4 % 4])
                        ids[(await world.service.create(job)).id] = kind
                paused = next(iter(ids))
            await world.service.set_disabled(paused, number == 2)  # from the second restart to the third
            await clock.sleep_until(end)
            if kill:
                world.kill()
        await clock.sleep_until(end + down)
    # then every occurrence of every schedule is one run, or in one range that did not run
    totals: Counter[str] = Counter()
    for job_id, kind in ids.items():
        record = world.record(job_id)
        plan = schedule.parse(record.job.schedule)
        until = END - START
        if plan.repetitions is not None:
            runs = [run for run in world.history(job_id) if run.started is not None]
            assert len(runs) == 100
            until = max(run.scheduled_for for run in runs) - START
        found = world.accounts_for(job_id, until=until / SECOND)
        totals.update({f"{kind}: {reason}": count for reason, count in found.items()})
    world.agrees()
    assert sum(count for name, count in totals.items() if name.endswith("succeeded")) == starts.count
    assert sum(totals.values()) >= 900 * 366
    month_ends = [run for run in world.history(_first(ids, "month end")) if run.started is not None]
    days = [to_datetime(run.scheduled_for).strftime("%m-%d") for run in month_ends]
    assert days[:9] == ["07-31", "08-31", "09-30", "10-31", "11-30", "12-31", "01-31", "02-29", "03-31"]
    assert {name.partition(": ")[2] for name in totals} == {"succeeded", "missed down", "skipped disabled"}


def _first(ids: dict[str, str], kind: str) -> str:
    return next(job_id for job_id, its_kind in ids.items() if its_kind == kind)
