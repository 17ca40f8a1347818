"""Retention: by count for each job, by age, and all of a job's."""

import pytest

from kala.clock import SECOND
from kala.drivers.contract import RunQuery
from kala.states import State

from .database import START, Database, append, kept, printed, ran


def check_pruning_keeps_the_latest_of_each_job(database: Database) -> None:
    """Runs and ranges are counted apart, and the latest are those appended last, not those due last."""
    driver = database.connect()
    rows = [
        ran(100 - number, "job-a" if number % 2 else "job-b", State.SKIPPED if number % 3 == 0 else State.SUCCEEDED)
        for number in range(60)
    ]
    append(driver, rows, [printed(run.id) for run in rows])
    beyond = [
        run.id
        for state in (State.SKIPPED, State.SUCCEEDED)
        for run in [run for run in rows if run.job_id == "job-a" and run.state == state][:-4]
    ]

    assert driver.prune(None, keep=4, older_than=None) == 0
    assert driver.prune([], keep=4, older_than=None) == 0
    assert driver.prune(["no such job"], keep=0, older_than=None) == 0
    assert driver.prune(["job-a", "no such job", "job-a"], keep=4, older_than=None) == len(beyond)
    assert kept(driver) == [run.id for run in reversed(rows) if run.id not in beyond]
    for run in rows:
        assert driver.output(run.id) == ([] if run.id in beyond else [printed(run.id)])
        assert (driver.run(run.id) is None) == (run.id in beyond)
    assert driver.prune(["job-a"], keep=4, older_than=None) == 0

    assert driver.prune(["job-a"], keep=0, older_than=None) == 8
    assert kept(driver, "job-a") == []
    assert len(kept(driver, "job-b")) == 30


def check_pruning_by_age_goes_by_the_end_or_else_the_creation(database: Database) -> None:
    driver = database.connect()
    old, new = START + 10 * SECOND, START + 20 * SECOND
    append(
        driver,
        [
            ran(1, "job-a", ended=new),  # due early and ended late: it stays
            ran(2, "job-a", ended=old),
            ran(3, "job-b", State.SKIPPED),  # created at its moment, early
            ran(30, "job-b", State.MISSED),
            ran(31, "job-b", ended=old - 1),
            ran(32, "job-c", ended=old + 1),
        ],
        [printed(f"run-{number}") for number in (1, 2, 3)],
    )
    assert driver.prune(None, keep=0, older_than=old) == 2
    assert kept(driver) == ["run-32", "run-30", "run-2", "run-1"]
    assert driver.prune(None, keep=0, older_than=old + 1) == 1
    assert kept(driver) == ["run-32", "run-30", "run-1"]
    assert [len(driver.output(f"run-{number}")) for number in (1, 2, 3)] == [1, 0, 0]


def check_pruning_by_count_and_age_together(database: Database) -> None:
    driver = database.connect()
    append(driver, [ran(number, "job-a", ended=START + number) for number in range(10)])
    append(driver, [ran(number, "job-b", ended=START + number) for number in range(10, 20)])
    # Of job-a what is beyond 3, and of every job what ended before the twelfth: counted once each.
    assert driver.prune(["job-a"], keep=3, older_than=START + 12) == 12
    assert kept(driver) == [f"run-{number}" for number in range(19, 11, -1)]


def check_forgetting_removes_all_of_a_job(database: Database) -> None:
    driver = database.connect()
    rows = [ran(number, f"job-{number % 3}", STATE[number % 2]) for number in range(30)]
    append(driver, rows, [printed(run.id) for run in rows])
    assert driver.forget([]) == 0
    assert driver.forget(["job-0", "job-0", "job-2", "no such job"]) == 20
    assert kept(driver) == [run.id for run in reversed(rows) if run.job_id == "job-1"]
    assert all((driver.output(run.id) == []) == (run.job_id != "job-1") for run in rows)
    assert driver.forget(["job-0", "job-2"]) == 0
    append(driver, [ran(100, "job-0")])
    assert kept(driver, "job-0") == ["run-100"]


STATE = (State.SUCCEEDED, State.SKIPPED)


def check_pages_survive_pruning(database: Database) -> None:
    driver = database.connect()
    append(driver, [ran(number) for number in range(30)])
    first = driver.runs(RunQuery(limit=10))
    driver.prune(["job-a"], keep=15, older_than=None)
    second = driver.runs(RunQuery(limit=10, after=first.next))
    assert [run.id for run in second.runs] == [f"run-{number}" for number in range(19, 14, -1)]
    assert second.next is None


@pytest.mark.slow
def check_pruning_much(database: Database) -> None:
    """More than one transaction holds, over more jobs than one statement takes."""
    driver = database.connect()
    jobs = [f"job-{number}" for number in range(1_100)]
    append(driver, [ran(number, jobs[number % len(jobs)]) for number in range(13_200)])
    assert driver.prune(jobs, keep=5, older_than=None) == 13_200 - 5 * len(jobs)
    assert driver.forget(jobs[:1_000]) == 5_000
    assert driver.prune(None, keep=0, older_than=START + 1_000_000 * SECOND) == 500
    assert kept(driver) == []
