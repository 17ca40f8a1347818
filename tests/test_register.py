"""Definitions: made, changed, disabled, enabled, deleted, forgotten."""

import pytest
from records import MINUTELY, ONCE, T0, Jobs, at, attempt, decided, job, line, lines, record, run, standing

from kala import events, ledger, register
from kala.clock import DAY
from kala.errors import JobExists, JobNotFound, Stale
from kala.job import Delivery, Job, Record, Run
from kala.ledger import Change
from kala.states import State, Trigger
from kala.wire.jobjson import next_run_at

PARENTS = Jobs(record(id="P"), record(id="Q"), record(id="F"))
WAITING = State.WAITING


def create(definition: Job, *, now: int = T0, disabled: bool = False) -> Change:
    return register.create(definition, PARENTS, job_id="J", now=now, disabled=disabled)


@pytest.mark.parametrize(
    ("definition", "now", "after"),
    [
        pytest.param(job(ONCE), at(-1), "next 0, 1 left", id="R0"),
        pytest.param(job("R3/2030-01-01T00:00:00Z/PT1M"), at(-1), "next 0, 4 left", id="R3"),
        pytest.param(job(MINUTELY), at(-1), "next 0, ∞ left", id="R"),
        pytest.param(job(MINUTELY), at(0), "next 0, ∞ left", id="it starts now"),
        pytest.param(job(MINUTELY), at(0, 1), "next 0, ∞ left", id="it has started since: late"),
        pytest.param(job(MINUTELY), at(1), "next 0, ∞ left", id="it has started a minute ago: just late"),
        pytest.param(job(MINUTELY), at(1, 1), "next 2, ∞ left", id="it has started long since"),
        pytest.param(job("R3/2030-01-01T00:00:00Z/PT1M"), at(9), "next 9, 4 left", id="R3 that has started"),
        pytest.param(job(ONCE), at(0, 1), "next 0, 1 left", id="R0 that has passed since: late"),
        pytest.param(job(ONCE), at(1, 1), "next -, 1 left", id="R0 that has passed long since"),
        pytest.param(job(""), at(5), "next 5, 1 left", id="no schedule: at once"),
        pytest.param(job("", parent_jobs=["P"]), at(5), "next -, 0 left", id="a child"),
        pytest.param(job(MINUTELY, parent_jobs=["P"]), at(-1), "next -, 0 left", id="a child ignores its schedule"),
        pytest.param(job(MINUTELY, on_failure_job="F"), at(-1), "next 0, ∞ left", id="a failure job"),
    ],
)
def test_a_job_is_made(definition: Job, now: int, after: str) -> None:
    for disabled in (False, True):
        change = create(definition, now=now, disabled=disabled)
        made = change.record
        assert standing(made) == after
        assert (made.id, made.job, made.created, made.disabled) == ("J", definition, now, disabled)
        assert (made.version, made.revision, made.open, made.outbox, made.gap) == (1, 0, (), (), None)
        assert [(event.type, event.job) for event in change.events] == [(events.JOB_SAVED, "J")]
        assert ledger.due(made) == (None if disabled else made.cursor)


def test_an_id_is_given_once() -> None:
    with pytest.raises(JobExists):
        register.create(job(), Jobs(record()), job_id="J", now=T0, disabled=False)
    register.create(job(), Jobs(record(deleted=T0)), job_id="J", now=T0, disabled=False)


# When a job is done, and what is shown as its next run.


def ended(before: Record, state: State = State.SUCCEEDED) -> Record:
    """`before` after the run that it has on."""
    return decided(
        ledger.end_attempt,
        before,
        run_id=before.open[0].id,
        attempt=attempt(state),
        output=b"",
        now=at(0, 2),
        children=(),
        instance="i",
    ).record


def claimed(before: Record) -> Record:
    assert before.cursor is not None
    more = {"version": 1, "cursor": before.cursor, "now": before.cursor, "run_id": f"r{before.cursor}"}
    return decided(ledger.claim, before, **more, instance="i", slot=True).record


def test_done_and_the_next_run_of_a_schedule() -> None:
    """R1: two runs. The next run stays at the last value."""
    now, seen = create(job("R1/2030-01-01T00:00:00Z/PT1M"), now=at(-1)).record, []
    for step in (claimed, ended, claimed, ended):
        now = step(now)
        seen.append((now.is_done, next_run_at(now)))
    assert seen == [(False, at(1)), (False, at(1)), (False, at(1)), (True, at(1))]


def test_a_failure_is_done_too() -> None:
    assert ended(claimed(create(job(ONCE)).record), State.FAILED).is_done


def test_without_a_schedule_a_job_is_done_after_its_run_and_has_no_next_run() -> None:
    now = create(job("")).record
    assert (now.is_done, next_run_at(now)) == (False, None)
    now = claimed(now)
    assert (now.is_done, next_run_at(now)) == (False, None)
    now = ended(now)
    assert (now.is_done, next_run_at(now)) == (True, None)


def test_a_child_is_done_after_its_first_run_and_runs_again() -> None:
    now, shown = create(job("", parent_jobs=["P"])).record, []
    for number in range(2):
        delivery = Delivery(f"p{number}", Trigger.PARENT, ("J",), "i")
        now = decided(ledger.deliver, now, delivery=delivery, parent="P", now=T0).record
        now = decided(ledger.begin, now, run_id=now.open[0].id, instance="i", now=T0).record
        shown.append(now.is_done)
        now = ended(now)
        shown.append(now.is_done)
        assert next_run_at(now) is None
    assert shown == [False, True, True, True]
    assert now.finished == 2


def test_a_start_by_hand_does_not_make_a_job_done() -> None:
    now = decided(ledger.start, create(job(ONCE)).record, now=T0, run_id="m", instance="i", slot=True).record
    assert not ended(now).is_done


# Disable, enable.


def set_disabled(before: Record, disabled: bool, now: int = at(9, 30)) -> Change:
    more = {"now": now, "instance": "i", "run_id": "new"}
    change = decided(register.set_disabled, before, disabled, **more)
    again = decided(register.set_disabled, change.record, disabled, **more)
    assert again.record is change.record
    assert (again.rows, again.events) == ((), ())
    return change


def test_disabled_while_a_run_is_on() -> None:
    """The run goes on, the schedule is kept, and nothing else starts: what waits is dropped."""
    before = record(cursor=at(10), open=(run(), run("m", at(9), WAITING, Trigger.MANUAL)))
    change = set_disabled(before, True)
    after = change.record
    assert (after.disabled, after.version, after.cursor, ledger.due(after)) == (True, 2, at(10), None)
    assert lines(after.open) == ["schedule 0 claimed"]
    assert lines(change.rows) == ["manual 9 skipped disabled"]
    assert [event.type for event in change.events] == [events.JOB_SAVED, events.OCCURRENCE_SKIPPED]
    assert ended(after).finished == 1


@pytest.mark.parametrize(
    ("definition", "given", "then", "skipped", "after"),
    [
        pytest.param(job(), {"cursor": at(10)}, [], None, "next 10, ∞ left", id="nothing has passed"),
        pytest.param(
            job(), {}, ["catch-up 9 waiting limit"], "skipped disabled 0..8 ×9", "next 10, ∞ left", id="once, at once"
        ),
        pytest.param(
            job(),
            {"cursor": at(9)},
            ["catch-up 9 waiting limit"],
            None,
            "next 10, ∞ left",
            id="once, also what has passed just now",
        ),
        pytest.param(
            job(resume_at_next_scheduled_time=True),
            {},
            [],
            "skipped disabled 0..9 ×10",
            "next 10, ∞ left",
            id="resuming at the next time",
        ),
        pytest.param(
            job(), {"open": (run("r", at(-1)),)}, ["schedule -1 claimed", "catch-up 9 waiting overlap"],
            "skipped disabled 0..8 ×9", "next 10, ∞ left", id="while a run is still on",
        ),
        pytest.param(job(ONCE), {}, ["catch-up 0 waiting limit"], None, "next -, 0 left", id="R0"),
        pytest.param(job(""), {}, ["now 0 waiting limit"], None, "next -, 0 left", id="no schedule, made disabled"),
        pytest.param(job(ONCE), {"cursor": None, "remaining": 0}, [], None, "next -, 0 left", id="done: stays done"),
        pytest.param(
            job("", parent_jobs=["P"]), {"cursor": None, "remaining": 0}, [], None, "next -, 0 left", id="a child"
        ),
    ],
)  # fmt: skip
def test_enabled_after_occurrences_have_passed(
    definition: Job, given: dict[str, object], then: list[str], skipped: str | None, after: str
) -> None:
    change = set_disabled(record(definition, disabled=True, **given), False)
    assert (change.record.disabled, change.record.version) == (False, 2)
    assert lines(change.record.open) == then
    assert (line(change.record.gap) if change.record.gap else None) == skipped
    assert standing(change.record) == after


@pytest.mark.parametrize("definition", [job(ONCE), job("")])
def test_disabled_before_it_could_begin_a_job_without_successor_still_runs_when_enabled(definition: Job) -> None:
    """Given a run above the limit, which waits, when its job is disabled and enabled, then it runs once."""
    above = decided(
        ledger.claim, record(definition), version=1, cursor=at(0), now=at(0), run_id="r", instance="i", slot=False
    ).record
    disabled = set_disabled(above, True).record
    assert not disabled.is_done
    enabled = set_disabled(disabled, False)
    assert [one.scheduled_for for one in enabled.record.open] == [at(0)]
    assert standing(enabled.record) == "next -, 0 left"


# Delete, and forget.

RETRYING = run("w", state=WAITING, reason="retry", attempts=(attempt(State.FAILED),))


@pytest.mark.parametrize(
    ("given", "then", "rows"),
    [
        pytest.param({}, [], [], id="nothing is on"),
        pytest.param(
            {"open": (run(), run("w", at(1), WAITING))},
            ["schedule 0 claimed"],
            ["schedule 1 skipped deleted"],
            id="a run is on, another waits",
        ),
        pytest.param({"open": (RETRYING,)}, [], ["schedule 0 failed deleted"], id="a retry waits"),
        pytest.param({"outbox": (Delivery("r", Trigger.PARENT, ("K",), "i"),)}, [], [], id="its children are owed"),
        pytest.param(
            {"gap": run("g", at(0), State.MISSED, reason="down", until=at(2), count=3)},
            [],
            ["missed down 0..2 ×3"],
            id="a range grows",
        ),
    ],
)
def test_a_job_is_deleted(given: dict[str, tuple[Run, ...]], then: list[str], rows: list[str]) -> None:
    jobs = Jobs(record(job(on_failure_job="F"), cursor=at(10), **given))
    (change,) = register.delete("J", jobs, at(9, 30))
    after = change.record
    assert (after.deleted, ledger.due(after), after.outbox, after.version) == (at(9, 30), None, (), 2)
    assert standing(after) == "next -, 0 left"
    assert lines(after.open) == then
    assert lines(change.rows) == rows
    assert change.events[-1].type == events.JOB_DELETED
    jobs.records["J"] = after
    with pytest.raises(JobNotFound):
        list(register.delete("J", jobs, at(9, 31)))
    if then:
        late = ended(after)
        assert (late.open, late.finished, late.outbox, late.gap) == ((), 1, (), None)


def test_what_is_not_there_cannot_be_deleted() -> None:
    with pytest.raises(JobNotFound):
        list(register.delete("J", Jobs(), T0))


def test_all_are_deleted() -> None:
    jobs = Jobs(record(id="A"), record(job("", parent_jobs=["A", "B"]), id="C"), record(id="B", deleted=T0))
    changes = list(register.delete_all(["A", "B", "C", "X"], jobs, at(1)))
    assert [(change.record.id, change.record.deleted) for change in changes] == [("A", at(1)), ("C", at(1))]


@pytest.mark.parametrize(
    ("given", "age", "forgotten"),
    [
        pytest.param({"deleted": T0}, DAY, True, id="after a day"),
        pytest.param({"deleted": T0}, DAY - 1, False, id="within the day"),
        pytest.param({"deleted": T0, "open": (run(),)}, 9 * DAY, False, id="a run is still on"),
        pytest.param({}, 9 * DAY, False, id="it is not deleted"),
    ],
)
def test_a_tombstone_is_forgotten(given: dict[str, object], age: int, forgotten: bool) -> None:
    before = record(**given)
    if forgotten:
        change = decided(register.purge, before, T0 + age)
        assert change.purge
    else:
        with pytest.raises(Stale):
            decided(register.purge, before, T0 + age)


def test_a_job_from_elsewhere_is_as_it_was_there() -> None:
    before = record(successes=7, finished=9, cursor=at(3), disabled=True)
    change = decided(register.adopted, before, at(1))
    assert change.record is before
    assert [event.type for event in change.events] == [events.JOB_SAVED]
