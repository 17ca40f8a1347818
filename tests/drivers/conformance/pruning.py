"""Retention: by count for each job, by age, and all of a job's."""

import pytest

from kala.clock import SECOND
from kala.drivers.contract import RunQuery
from kala.job import Output
from kala.states import State

from .database import START, Database, append, done, kept, printed, put, ran


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


def check_trimming_drops_the_outputs_that_were_appended_first(database: Database) -> None:
    """Whole outputs, no more than need be; their runs stay."""
    driver = database.connect()
    assert driver.trim_outputs(0) == 0
    for number in range(9, 0, -1):  # neither by their ids, nor by the jobs' moments
        append(driver, [ran(number)], [printed(f"run-{number}", attempt, b"x" * number) for attempt in (1, 2)])
    assert driver.trim_outputs(90) == 0
    assert driver.trim_outputs(89) == 9
    assert [len(driver.output(f"run-{number}")) for number in (9, 8, 1)] == [1, 2, 2]
    assert driver.trim_outputs(60) == 9 + 8 + 8
    assert driver.trim_outputs(56) == 0
    assert database.connect().trim_outputs(55) == 7
    assert driver.output("run-7") == [printed("run-7", 2, b"x" * 7)]
    assert driver.output("run-6") == [printed("run-6", attempt, b"x" * 6) for attempt in (1, 2)]
    assert len(kept(driver)) == 9
    assert driver.trim_outputs(0) == 49
    assert driver.trim_outputs(0) == 0
    append(driver, [ran(20)], [printed("run-20", data=b"new")])
    assert driver.trim_outputs(3) == 0
    assert driver.trim_outputs(2) == 3
    assert len(kept(driver)) == 10


def check_trimming_counts_what_is_kept_once(database: Database) -> None:
    """The data, however much was printed, and however often it is committed."""
    driver = database.connect()
    element = put("a", 1, runs=[ran(1)], outputs=[Output("run-1", 1, b"12345", 1_000_000), Output("run-1", 2, b"", 9)])
    for _ in range(3):
        done(driver.commit([element]))
    done(driver.commit([put("a", 2, outputs=[Output("run-1", 1, b"another, and longer", 9)])]))
    done(driver.commit([put("a", 2, outputs=[Output("run-1", 1, b"another, and longer", 9)])]))
    assert driver.trim_outputs(5) == 0
    assert driver.output("run-1") == list(element.outputs)
    assert driver.trim_outputs(4) == 5


def check_trimming_does_not_count_what_is_gone(database: Database) -> None:
    driver = database.connect()
    for number in range(10):
        append(driver, [ran(number, f"job-{number % 2}")], [printed(f"run-{number}", data=b"1234567890")])
    assert driver.trim_outputs(95) == 10
    assert driver.prune(["job-0"], keep=1, older_than=None) == 4  # one of them without its output
    assert driver.trim_outputs(60) == 0
    append(
        driver, [ran(number, "job-2") for number in (20, 21)], [printed(f"run-{n}", data=b"12345") for n in (20, 21)]
    )
    assert driver.forget(["job-1"]) == 5
    assert driver.trim_outputs(20) == 0
    assert driver.trim_outputs(19) == 10
    assert [len(driver.output(f"run-{number}")) for number in (8, 20, 21)] == [0, 1, 1]
    assert driver.forget(["job-2", "job-0"]) == 3  # all that is left, whatever row it had
    append(driver, [ran(30)], [printed("run-30", data=b"123")])
    assert driver.trim_outputs(3) == 0
    assert driver.trim_outputs(2) == 3


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
    driver, number = database.connect(), database.sizes.jobs
    jobs = [f"job-{each}" for each in range(number)]
    append(driver, [ran(each, jobs[each % number]) for each in range(12 * number)])
    step = 100  # outputs in one element
    for start in range(0, 10 * number, step):
        append(driver, [], [printed(f"run-{each}", data=b"x" * 100) for each in range(start, start + step)])
    assert driver.trim_outputs(400 * number) == 600 * number
    assert len(driver.output(f"run-{6 * number - 1}")) + 2 * len(driver.output(f"run-{6 * number}")) == 2
    assert driver.prune(jobs, keep=5, older_than=None) == 7 * number
    assert driver.forget(jobs[: number - 10]) == 5 * (number - 10)
    assert driver.prune(None, keep=0, older_than=START + 1_000_000 * SECOND) == 50
    assert kept(driver) == []
