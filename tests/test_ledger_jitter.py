"""Occurrences that are put off by a jitter: how far, in which order, and what follows from it."""

import pytest
from records import MINUTE, MINUTELY, ONCE, T0, Jobs, at, decided, job, line, lines, record, standing

from kala import ledger, register
from kala.clock import SECOND
from kala.errors import Stale
from kala.job import Job, Record
from kala.ledger import Change
from kala.states import State

HOURLY = "R/2030-01-01T00:00:00Z/PT1H"
PLANS = {
    "each minute": (job(MINUTELY, jitter="PT30S"), 30),
    "each minute, spread over it": (job(MINUTELY, jitter="P1D"), 60),
    "cron": (job("* * * * *", jitter="PT30S"), 30),
    "cron by a clock, spread over it": (job("* * * * *", jitter="P9D", time_zone="Asia/Tokyo"), 60),
}


@pytest.mark.parametrize("plan", PLANS)
def test_the_same_for_the_same_job_and_occurrence_spread_and_in_order(plan: str) -> None:
    definition, most = PLANS[plan]
    one, other = record(definition, id="J"), record(definition, id="K")
    occurrences = [at(minute) for minute in range(1000)]
    put_off = [ledger.expected(one, occurrence) - occurrence for occurrence in occurrences]
    assert put_off == [ledger.expected(one, occurrence) - occurrence for occurrence in occurrences]
    assert put_off != [ledger.expected(other, occurrence) - occurrence for occurrence in occurrences]
    assert min(put_off) >= 0
    assert max(put_off) < most * SECOND
    for tenth in range(10):  # a tenth of them in each
        low = tenth * most * SECOND // 10
        assert 60 < sum(low <= one < low + most * SECOND // 10 for one in put_off) < 140
    moments = [occurrence + off for occurrence, off in zip(occurrences, put_off, strict=True)]
    assert moments == sorted(moments)


def test_many_jobs_of_one_moment_are_spread() -> None:
    jobs = [record(job(HOURLY, jitter="PT10M"), id=f"job {number}") for number in range(1000)]
    minutes = [(ledger.expected(one, T0) - T0) // MINUTE for one in jobs]
    assert set(minutes) == set(range(10))
    assert max(minutes.count(minute) for minute in range(10)) < 150


@pytest.mark.parametrize("definition", [job(ONCE, jitter="PT10M"), job("", jitter="PT10M")])
def test_what_has_no_successor_is_put_off_by_all_of_it(definition: Job) -> None:
    put_off = [ledger.expected(record(definition, id=f"{number}"), T0) - T0 for number in range(200)]
    assert 0 <= min(put_off) < MINUTE
    assert 9 * MINUTE < max(put_off) < 10 * MINUTE


def claim(before: Record, now: int, *, run_id: str = "new") -> Change:
    assert before.cursor is not None
    more = {"version": before.version, "cursor": before.cursor, "now": now, "run_id": run_id}
    return decided(ledger.claim, before, instance="i", slot=True, **more)


def test_it_is_claimed_a_little_before_it_is_to_start() -> None:
    before = record(job(HOURLY, jitter="PT30M"))
    due = ledger.expected(before, T0)
    assert due > T0 + ledger.LATE  # else the choice of the id is unlucky
    assert (ledger.due(before), ledger.claimable(before)) == (due, due - ledger.LEAD)
    with pytest.raises(Stale):
        claim(before, due - ledger.LEAD - 1)
    (run,) = claim(before, due - ledger.LEAD).record.open
    assert (run.scheduled_for, run.due, run.expected, run.not_before) == (T0, due, due, due)
    (run,) = claim(before, due).record.open
    assert (run.scheduled_for, run.due, run.not_before) == (T0, due, None)
    # it is late, or too late, from that moment on
    assert lines(claim(before, due + ledger.LATE).record.open) == ["schedule 0 claimed"]
    change = claim(before, due + ledger.LATE + 1)
    assert lines(change.record.open) == ["catch-up 0 claimed"]
    assert standing(change.record) == "next 60, ∞ left"


def test_without_jitter_a_run_is_due_when_it_is_scheduled_for() -> None:
    (run,) = claim(record(), T0).record.open
    assert (run.due, run.expected) == (None, T0)


@pytest.mark.parametrize("catch_up", ["once", "none", "all"])
def test_catch_up_does_not_run_what_its_jitter_has_not_reached(catch_up: str) -> None:
    """Given ten hours down, and the last of the hourly occurrences still to come by its jitter."""
    before = record(job(HOURLY, jitter="PT30M", catch_up=catch_up))
    last = ledger.expected(before, at(600))
    assert last > at(600)
    for now, passed in ((last - 1, 9), (last, 10)):
        change = claim(before, now)
        assert change.record.cursor == at(60 * (passed + 1))
        assert change.record.last_due == at(60 * passed)
        taken = [run.scheduled_for for run in change.record.open]
        none = passed + 1 if passed == 9 else passed  # the tenth comes now
        assert taken == [at(60 * hour) for hour in range(passed + 1)][{"once": -1, "none": none, "all": 0}[catch_up] :]
        assert len(taken) + (change.record.gap.count if change.record.gap else 0) == passed + 1


def test_enabled_before_its_jitter_has_passed_it_is_still_to_come() -> None:
    before = record(job(HOURLY, jitter="PT30M"), disabled=True)
    due = ledger.expected(before, T0)
    for now, cursor in ((due - 1, T0), (due, at(60))):
        change = decided(register.set_disabled, before, False, now=now, instance="i", run_id="new")
        assert change.record.cursor == cursor


def test_with_another_schedule_what_its_jitter_has_not_reached_is_accounted_for() -> None:
    """Given one occurrence that has passed with its jitter, and one without: the next schedule has neither."""
    before = record(job(HOURLY, jitter="PT30M"))
    now = ledger.expected(before, at(60)) - 1
    assert now > at(60)
    change = decided(
        register.edit,
        before,
        job(MINUTELY),
        Jobs(before),
        disabled=False,
        expected=None,
        now=now,
        instance="i",
        run_id="new",
    )
    assert lines(change.rows) == ["skipped edited 0..60 ×2"]


def test_a_run_that_waits_for_another_is_not_early() -> None:
    """While a run is on that it may meet, an occurrence is claimed at its moment and not before."""
    on = claim(record(job(MINUTELY, jitter="PT30S")), ledger.expected(record(job(MINUTELY, jitter="PT30S")), T0)).record
    due = ledger.expected(on, at(1))
    assert ledger.claimable(on) == due
    with pytest.raises(Stale):
        claim(on, due - 1, run_id="next")
    waits = claim(on, due, run_id="next").record.open[1]
    assert (waits.state, waits.due, waits.not_before) == (State.WAITING, due, None)
    assert line(waits) == "schedule 1 waiting overlap"
