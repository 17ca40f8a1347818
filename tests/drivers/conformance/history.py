"""The history: rows, pages, filters, outputs."""

import itertools

import pytest

from kala.clock import SECOND
from kala.drivers.contract import RunQuery
from kala.errors import Invalid
from kala.job import Attempt, Output, Run
from kala.states import State, Trigger

from .database import START, Database, append, done, kept, pages, printed, put, ran

STATES = (State.SUCCEEDED, State.FAILED, State.SKIPPED, State.SUCCEEDED, State.MISSED, State.TIMED_OUT, State.LOST)


def check_a_row_comes_back_whole(database: Database) -> None:
    driver = database.connect()
    attempt = Attempt(1, START, START + 5, State.FAILED, exit_code=3, cpu=7, memory=8, output_size=9, error="é \0 ✗")
    run = Run(
        id="11111111-2222-4333-8444-555555555555",
        job_id="job \0 ü",
        scheduled_for=-5,
        trigger=Trigger.CATCH_UP,
        state=State.FAILED,
        created=START,
        instance="host:1",
        attempts=(attempt, Attempt(2, START + 6, START + 7, State.TIMED_OUT, signal=9)),
        ended=START + 7,
        reason="“because”",
        parent_job="p",
        parent_run="r",
        until=START + 9,
        count=31_000_000,
    )
    append(driver, [run])
    assert driver.run(run.id) == run
    assert driver.runs(RunQuery(job_id=run.job_id)).runs == [run]
    assert driver.run("another") is None


def check_pages_and_filters(database: Database) -> None:
    """Every combination of filters, page by page, answers as a list comprehension does."""
    driver = database.connect()
    # Moments do not rise with the order of appending: the latest appended is first, whatever it was scheduled for.
    rows = [
        ran((number * 37) % 101, f"job-{'abc'[number % 3]}", STATES[number % len(STATES)]) for number in range(1, 101)
    ]
    append(driver, rows)
    middle = START + 50 * SECOND
    spans = [(None, None), (middle, None), (None, middle), (START + 20 * SECOND, middle), (middle, middle)]
    states = [
        None,
        frozenset({State.FAILED}),
        frozenset({State.SKIPPED, State.MISSED}),
        frozenset({State.SUCCEEDED, State.SKIPPED, State.LOST}),
        frozenset({State.CANCELLED}),
        frozenset[State](),
    ]
    for job, some, (since, until), limit in itertools.product(
        [None, "job-a", "job-c", "no such job"], states, spans, [1_000, 7]
    ):
        query = RunQuery(job_id=job, states=some, since=since, until=until, limit=limit)
        expected = [
            run.id
            for run in reversed(rows)
            if (job is None or run.job_id == job)
            and (some is None or run.state in some)
            and (since is None or run.scheduled_for >= since)
            and (until is None or run.scheduled_for < until)
        ]
        found = pages(driver, query)
        assert [run.id for page in found for run in page.runs] == expected, query
        assert all(len(page.runs) == limit for page in found[:-1]), query
        assert len(found) == max(1, -(-len(expected) // limit)), query


def check_a_page_goes_on_where_the_one_before_ended_whatever_came_since(database: Database) -> None:
    driver = database.connect()
    append(driver, [ran(number) for number in range(20)])
    first = driver.runs(RunQuery(limit=5))
    append(driver, [ran(number) for number in range(20, 40)])
    second = driver.runs(RunQuery(limit=5, after=first.next))
    assert [run.id for run in first.runs + second.runs] == [f"run-{number}" for number in range(19, 9, -1)]


def check_rows_of_one_element_keep_their_order(database: Database) -> None:
    driver = database.connect()
    done(driver.commit([put("a", 1, runs=[ran(3), ran(1)]), put("b", 1, runs=[ran(2)])]))
    done(driver.commit([put("c", 1, runs=[ran(0)])]))
    assert kept(driver, "job-a")[0] == "run-0"
    assert [each for each in kept(driver) if each in ("run-3", "run-1")] == ["run-1", "run-3"]


def check_a_token_that_no_page_gave_is_invalid(database: Database) -> None:
    driver = database.connect()
    append(driver, [ran(1)])
    for token in "", "no token", "-1", "1; drop table", "٣":
        with pytest.raises(Invalid, match="after"):
            driver.runs(RunQuery(after=token))


def check_outputs_are_kept_by_attempt(database: Database) -> None:
    """Also before their run has ended, and so is in the history."""
    driver = database.connect()
    later, first = Output("run-1", 2, b"the tail", 5_000_000_000), printed("run-1", 1)
    done(driver.commit([put("a", 1, outputs=[later])]))
    assert driver.output("run-1") == [later]
    done(driver.commit([put("a", 2, runs=[ran(1)], outputs=[first, printed("run-2")])]))
    assert driver.output("run-1") == [first, later]
    assert driver.output("run-3") == []


def check_outputs_in_large_batches(database: Database) -> None:
    driver = database.connect()
    size = min(driver.max_batch, 200)
    outputs = [Output(f"run-{number}", 1, b"%d\0" % number * 100, number) for number in range(size)]
    done(driver.commit([put(each.run_id, 1, runs=[ran(each.size)], outputs=[each]) for each in outputs]))
    for each in outputs:
        assert driver.output(each.run_id) == [each]
