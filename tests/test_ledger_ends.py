"""An attempt has ended: it is retried, or the run ends and sets off what follows from it."""

import pytest
from records import at, attempt, decided, job, line, lines, record, run, standing

from kala import events, ledger
from kala.errors import Stale
from kala.job import Delivery, Job, Output, Record, Run, replace, unpacked
from kala.ledger import Change
from kala.states import State, Trigger

CANCELLED, FAILED, SUCCEEDED, TIMED_OUT, WAITING = (
    State.CANCELLED,
    State.FAILED,
    State.SUCCEEDED,
    State.TIMED_OUT,
    State.WAITING,
)


def end(
    before: Record,
    state: State,
    *,
    run_id: str = "r",
    now: int = at(0, 2),
    children: tuple[str, ...] = (),
    output: bytes = b"",
    instance: str = "i",
) -> Change:
    on = ledger.find(before, run_id)
    number = len(on.attempts) + 1 if on is not None else 1
    ended = attempt(state, number=number, ended=now)
    return decided(
        ledger.end_attempt,
        before,
        run_id=run_id,
        attempt=ended,
        output=output,
        now=now,
        children=children,
        instance=instance,
    )


def on(definition: Job | None = None, *, attempts: tuple[State, ...] = (), **more: object) -> Record:
    """A job with a run that is on and has had `attempts`."""
    more.setdefault("open", (run(attempts=tuple(attempt(s, number=n + 1) for n, s in enumerate(attempts))),))
    more.setdefault("errors", sum(state is not SUCCEEDED for state in attempts))
    return record(definition or job(), cursor=at(1), **more)


@pytest.mark.parametrize(
    ("state", "definition", "successes", "errors", "owed"),
    [
        pytest.param(SUCCEEDED, job(), 1, 0, ("parent", "K", "L"), id="success: its children, in order"),
        pytest.param(SUCCEEDED, job(on_failure_job="F"), 1, 0, ("parent", "K", "L"), id="success: no failure job"),
        pytest.param(FAILED, job(), 0, 1, None, id="failure: no children"),
        pytest.param(FAILED, job(on_failure_job="F"), 0, 1, ("failure", "F"), id="failure: the failure job"),
        pytest.param(TIMED_OUT, job(on_failure_job="F"), 0, 1, ("failure", "F"), id="timed out: the failure job"),
        pytest.param(CANCELLED, job(on_failure_job="F"), 0, 1, None, id="cancelled: neither"),
    ],
)
def test_a_run_ends(state: State, definition: Job, successes: int, errors: int, owed: tuple[str, ...] | None) -> None:
    before = on(definition)
    change = end(before, state, children=("K", "L"))
    after = change.record
    reason = "shutdown" if state is CANCELLED else ""
    assert lines(change.rows) == [f"schedule 0 {state} {reason}".rstrip()]
    assert change.answer is change.rows[0]
    assert (change.rows[0].ended, change.rows[0].duration, change.rows[0].retries) == (at(0, 2), 1_000_000, 0)
    assert after.open == ()
    assert (after.successes, after.errors, after.finished) == (successes, errors, 1)
    assert (after.last_success, after.last_error) == (at(0, 2) if successes else None, at(0, 2) if errors else None)
    assert after.last_attempted == at(0, 1)
    assert [(one.started, one.state) for one in unpacked(after.results)] == [(at(0, 1), state)]
    assert [(one.trigger.value, *one.to) for one in after.outbox] == ([owed] if owed else [])
    assert all((one.run, one.instance, one.recovered) == ("r", "i", False) for one in after.outbox)
    assert [(event.type, event.run, event.state) for event in change.events] == [(events.RUN_FINISHED, "r", state)]
    assert standing(after) == standing(before)
    with pytest.raises(Stale):
        end(after, state)


def test_without_children_a_success_has_settled() -> None:
    assert not ledger.is_on(end(on(), SUCCEEDED).record)


@pytest.mark.parametrize(
    ("definition", "attempts", "state", "seconds", "again"),
    [
        pytest.param(job(), (), FAILED, 2, False, id="no retries"),
        pytest.param(job(retries=2), (), FAILED, 2, True, id="the first of two"),
        pytest.param(job(retries=2), (FAILED,), FAILED, 2, True, id="the second of two"),
        pytest.param(job(retries=2), (FAILED, FAILED), FAILED, 2, False, id="none is left"),
        pytest.param(job(retries=1), (), TIMED_OUT, 2, True, id="timed out"),
        pytest.param(job(retries=1), (), SUCCEEDED, 2, False, id="succeeded"),
        pytest.param(job(retries=2), (FAILED,), SUCCEEDED, 2, False, id="succeeded at last"),
        pytest.param(job(retries=1), (), CANCELLED, 2, False, id="cancelled"),
        pytest.param(job(retries=1, epsilon="PT30S"), (), FAILED, 30, True, id="within epsilon"),
        pytest.param(job(retries=1, epsilon="PT30S"), (), FAILED, 31, False, id="after epsilon"),
        pytest.param(job(retries=9, epsilon="PT30S"), (FAILED,) * 3, FAILED, 31, False, id="after epsilon, some left"),
        pytest.param(job(retries=1), (CANCELLED,), FAILED, 2, True, id="an attempt cut off by a stop is no retry"),
        pytest.param(job(retries=1), (State.LOST,), FAILED, 2, True, id="an attempt cut off by a crash is no retry"),
    ],
)
def test_an_attempt_is_followed_by_another(
    definition: Job, attempts: tuple[State, ...], state: State, seconds: int, again: bool
) -> None:
    now = at(0, seconds)
    before = on(replace(definition, on_failure_job="F"), attempts=attempts)
    change = end(before, state, now=now, output=b"out")
    kept = change.record.open or change.rows
    assert [one.state for one in kept[0].attempts] == [*attempts, state]
    assert change.outputs == (Output("r", len(attempts) + 1, b"out", 0),)
    assert change.record.errors == before.errors + (state is not SUCCEEDED)
    if again:
        assert lines(change.record.open) == ["schedule 0 waiting retry"]
        assert change.record.open[0].not_before == now
        assert (change.rows, change.record.outbox, change.record.finished) == ((), (), 0)
        assert list(ledger.next_up(change.record)) == [change.record.open[0]]
    else:
        assert change.record.open == ()
        assert change.rows[0].retries == len(attempts)
        owed = state in (FAILED, TIMED_OUT)
        assert [one.to for one in change.record.outbox] == ([("F",)] if owed else [])


@pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.PARENT, Trigger.NOW])
@pytest.mark.parametrize(("minutes", "again"), [(5, True), (6, False)])
def test_without_a_schedule_epsilon_counts_from_the_trigger(trigger: Trigger, minutes: int, again: bool) -> None:
    """A run by hand at minute 4, with an epsilon of a minute."""
    asked = run(scheduled_for=at(4), trigger=trigger)
    before = on(job("", retries=1, epsilon="PT1M"), open=(asked,))
    assert bool(end(before, FAILED, now=at(minutes)).record.open) is again


def test_epsilon_counts_from_the_scheduled_moment_however_late_the_run_is() -> None:
    late = run(scheduled_for=at(-5), trigger=Trigger.CATCH_UP, created=at(0))
    before = on(job(retries=1, epsilon="PT5M"), open=(late,))
    assert end(before, FAILED, now=at(0)).record.open
    assert not end(before, FAILED, now=at(0, 1)).record.open


def test_the_failure_job_is_owed_once_for_all_attempts() -> None:
    now = on(job(retries=2, on_failure_job="F"))
    for number in range(3):
        change = end(now, FAILED)
        owed = [one.to for one in change.record.outbox]
        assert owed == ([("F",)] if number == 2 else [])
        if change.record.open:
            now = decided(ledger.begin, change.record, run_id="r", instance="i", now=at(0, 3)).record
    assert change.record.errors == 3
    assert change.rows[0].retries == 2


@pytest.mark.parametrize("stopped", [{"disabled": True}, {"deleted": at(0, 1)}])
def test_disabled_or_deleted_meanwhile_it_ends_and_nothing_more_starts(stopped: dict[str, object]) -> None:
    before = on(job(retries=5, on_lost="rerun"), **stopped)
    for state in (FAILED, CANCELLED):
        change = end(before, state)
        assert change.record.open == ()
        assert [row.state for row in change.rows] == [state]


def test_a_deleted_job_sets_off_nothing() -> None:
    before = on(job(on_failure_job="F"), deleted=at(0, 1))
    assert end(before, FAILED).record.outbox == ()
    assert end(before, SUCCEEDED, children=("K",)).record.outbox == ()


@pytest.mark.parametrize(
    ("on_lost", "then", "rows"),
    [
        ("record", [], ["schedule 0 cancelled shutdown"]),
        ("rerun", ["schedule 0 waiting shutdown"], []),
    ],
)
def test_cut_off_by_a_shutdown(on_lost: str, then: list[str], rows: list[str]) -> None:
    change = end(on(job(on_lost=on_lost)), CANCELLED, output=b"half")
    assert lines(change.record.open) == then
    assert lines(change.rows) == rows
    assert [output.data for output in change.outputs] == [b"half"]
    assert list(ledger.next_up(change.record)) == list(change.record.open)


@pytest.mark.parametrize(
    ("given", "instance"),
    [
        pytest.param((), "i", id="it has ended"),
        pytest.param((run(state=WAITING),), "i", id="it waits again"),
        pytest.param((run(instance="other"),), "i", id="another has taken it over"),
        pytest.param((run("other"),), "i", id="it is another run"),
    ],
)
def test_an_end_that_comes_too_late_counts_nothing(given: tuple[Run, ...], instance: str) -> None:
    with pytest.raises(Stale):
        end(on(open=given), SUCCEEDED, instance=instance)


def test_the_range_before_a_run_is_in_the_history_before_it() -> None:
    gap = run("gap", at(-3), State.SKIPPED, reason="overlap", until=at(-1), count=3)
    change = end(on(gap=gap), SUCCEEDED)
    assert lines(change.rows) == [line(gap), "schedule 0 succeeded"]
    assert change.record.gap is None


def test_runs_beside_each_other_end_in_any_order() -> None:
    before = on(job(overlap="allow"), open=(run("a", at(0)), run("b", at(1))))
    first = end(before, SUCCEEDED, run_id="b", now=at(2), children=("K",))
    assert lines(first.record.open) == ["schedule 0 claimed"]
    assert first.record.last_attempted == at(1, 59)
    second = end(first.record, SUCCEEDED, run_id="a", now=at(1), children=("K",))
    assert second.record.open == ()
    assert second.record.last_attempted == at(1, 59)
    assert [one.run for one in second.record.outbox] == ["b", "a"]


# The outbox: one delivery at a time, in order.


def test_deliveries_advance_in_order() -> None:
    before = end(on(), SUCCEEDED, children=("K", "L", "M")).record
    for job_id in ("K", "L", "M"):
        assert ledger.is_on(before)
        assert before.outbox[0].to[0] == job_id
        for other in {"K", "L", "M"} - {job_id}:
            with pytest.raises(Stale):
                decided(ledger.advance, before, run_id="r", job_id=other)
        after = decided(ledger.advance, before, run_id="r", job_id=job_id).record
        with pytest.raises(Stale):
            decided(ledger.advance, after, run_id="r", job_id=job_id)
        before = after
    assert not ledger.is_on(before)


def test_each_run_has_its_own_deliveries() -> None:
    two = (Delivery("a", Trigger.PARENT, ("K", "L"), "i"), Delivery("b", Trigger.FAILURE, ("F",), "i"))
    after = decided(ledger.advance, record(outbox=two), run_id="b", job_id="F").record
    assert after.outbox == two[:1]
    after = decided(ledger.advance, record(outbox=two), run_id="a", job_id="K").record
    assert after.outbox == (replace(two[0], to=("L",)), two[1])
    with pytest.raises(Stale):
        decided(ledger.advance, record(outbox=two), run_id="c", job_id="K")
