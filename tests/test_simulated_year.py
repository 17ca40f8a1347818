"""A year of 1,000 daily jobs in many zones, with a day down: in bounded time, and each occurrence counted."""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest

from kala import register
from kala.clock import DAY, from_datetime
from kala.job import Job, Record, Run
from kala.simulation import Period, Span
from kala.simulation.pretence import Acting, Cast
from kala.simulation.shares import processors, simulate_shared
from kala.states import State

BEGIN, END = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
DOWN = datetime(2027, 5, 5, 12, 7, tzinfo=UTC), datetime(2027, 5, 6, 12, 7, tzinfo=UTC)
LIMIT = 120.0
"""Seconds of work for each processor. Where nothing else is on it is less than 60 (40 on two cores); among other work
each of them does less in a second."""

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "Africa/Cairo")
TIMES = ((2, 30), (0, 15), (1, 45), (23, 0))
GAPS, FOLDS, CATCH_UP = ("shift", "skip"), ("first", "second", "both"), ("once", "none", "all")


def shape(number: int) -> tuple[str, tuple[int, int], str, str]:
    return ZONES[number % 6], TIMES[number // 6 % 4], GAPS[number // 24 % 2], FOLDS[number // 48 % 3]


def job(number: int) -> Job:
    zone, (hour, minute), gap, fold = shape(number)
    every = f"R/2026-12-01T{hour:02}:{minute:02}:00/P1D" if number % 5 else f"{minute} {hour} * * *"
    policy = CATCH_UP[number // 144 % 3]
    return Job(f"j{number}", "true", schedule=every, time_zone=zone, dst_gap=gap, dst_fold=fold, catch_up=policy)


@lru_cache
def moments(zone: str, clock: tuple[int, int], gap: str, fold: str) -> list[datetime]:
    """The occurrences of a year, by the standard library alone."""
    found: set[datetime] = set()
    day = BEGIN.date() - timedelta(days=2)
    while day <= END.date() + timedelta(days=2):
        walls = [datetime(day.year, day.month, day.day, *clock, fold=n, tzinfo=ZoneInfo(zone)) for n in (0, 1)]
        first, second = (wall.astimezone(UTC) for wall in walls)
        exists = first.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == walls[0].replace(tzinfo=None)
        if not exists:
            found |= {first} if gap == "shift" else set()
        else:
            found |= {"first": {first}, "second": {second}, "both": {first, second}}[fold]
        day += timedelta(days=1)
    return sorted(moment for moment in found if BEGIN <= moment < END)


def expected(number: int) -> Counter[State]:
    all_of_them = moments(*shape(number))
    passed = sum(DOWN[0] <= moment < DOWN[1] for moment in all_of_them)
    missed = {"once": passed - 1, "none": passed, "all": 0}[CATCH_UP[number // 144 % 3]]
    return Counter({State.SUCCEEDED: len(all_of_them) - missed, State.MISSED: missed})


@pytest.mark.slow
def test_a_year_of_a_thousand_jobs() -> None:
    begin, end = from_datetime(BEGIN), from_datetime(END)
    records = []
    for number in range(1000):
        cursor, remaining = register.first_due(job(number), begin)
        records.append(Record(str(number), job(number), begin, cursor=cursor, remaining=remaining))
    found: dict[str, Counter[State]] = {record.id: Counter() for record in records}

    def heard(run: Run) -> None:
        found[run.job_id][run.state] += run.count

    period = Period(Span(begin, end), [Span(from_datetime(DOWN[0]), from_datetime(DOWN[1]))])
    before = os.times()
    left = simulate_shared(records, period, Cast({}, Acting()), heard)
    used = sum(after - was for was, after in zip(before[:4], os.times()[:4], strict=True)) / processors()
    assert left == []
    assert {number: found[str(number)] for number in range(1000)} == {
        number: expected(number) for number in range(1000)
    }
    total = sum(found.values(), Counter[State]())
    assert total.total() > 1000 * (end - begin) // DAY - 500  # what is left out in gaps is made up for by folds, about
    assert total[State.MISSED] == 288
    assert used < LIMIT
