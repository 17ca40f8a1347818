"""When a failed attempt is followed by another: the delay, how it grows, and what cuts it short."""

from collections.abc import Sequence

import pytest
from records import MINUTE, T0, Jobs, at, attempt, decided, job, lines, record, run

from kala import ledger, register
from kala.clock import SECOND
from kala.errors import Stale
from kala.job import Delivery, Job, Record
from kala.ledger import Change
from kala.states import State, Trigger


def end(before: Record, state: State, now: int, *, run_id: str = "r") -> Change:
    on = ledger.find(before, run_id)
    number = len(on.attempts) + 1 if on is not None else 1
    return decided(
        ledger.end_attempt,
        before,
        run_id=run_id,
        attempt=attempt(state, number=number, ended=now),
        output=b"",
        now=now,
        children=(),
        instance="i",
    )


def begin(before: Record, now: int, run_id: str = "r") -> Change:
    return decided(ledger.begin, before, run_id=run_id, instance="i", now=now)


def delays(definition: Job, run_id: str, states: Sequence[State] = (State.FAILED,) * 6) -> list[float]:
    """Seconds from each end of a run's attempts, after a second each, to the next."""
    now, found = T0 + SECOND, []
    change = end(record(definition, cursor=None, open=(run(run_id),)), states[0], now, run_id=run_id)
    for state in states[1:]:
        (waits,) = change.record.open
        assert (waits.state, waits.reason) == (State.WAITING, ledger.RETRY)
        assert waits.not_before is not None
        found.append((waits.not_before - now) / SECOND)
        if found[-1]:
            with pytest.raises(Stale):
                begin(change.record, waits.not_before - 1, run_id)
        now = waits.not_before + SECOND
        change = end(begin(change.record, waits.not_before, run_id).record, state, now, run_id=run_id)
    return found


@pytest.mark.parametrize(
    ("members", "seconds"),
    [
        pytest.param({}, [0, 0, 0, 0, 0], id="none: at once"),
        pytest.param({"retry_backoff": 9.0}, [0, 0, 0, 0, 0], id="nothing does not grow"),
        pytest.param({"retry_delay": "PT10S"}, [10, 10, 10, 10, 10], id="always the same"),
        pytest.param({"retry_delay": "PT10S", "retry_backoff": 2.0}, [10, 20, 40, 80, 160], id="doubled"),
        pytest.param({"retry_delay": "PT10S", "retry_backoff": 1.5}, [10, 15, 22.5, 33.75, 50.625], id="by a half"),
        pytest.param(
            {"retry_delay": "PT10S", "retry_backoff": 100.0, "retry_max_delay": "P10000D"},
            [10, 1_000, 100_000, 10_000_000, 864_000_000],
            id="as fast as may be",
        ),
    ],
)
def test_delays_grow_and_are_a_tenth_more_or_less(members: dict[str, object], seconds: list[float]) -> None:
    definition = job(retries=5, **members)
    ids = [f"run {number}" for number in range(40)]
    of_all = [delays(definition, one) for one in ids]
    for found in of_all:
        assert found == pytest.approx(seconds, rel=0.1)
    assert of_all == [delays(definition, one) for one in ids]  # decided again they are the same
    if seconds[0]:
        firsts = [found[0] / seconds[0] for found in of_all]
        assert len(set(firsts)) == len(ids)
        assert min(firsts) < 0.93
        assert max(firsts) > 1.07


@pytest.mark.parametrize(
    ("most", "seconds"),
    [
        ("PT1H", [1800, 3600, 3600, 3600, 3600]),
        ("PT20M", [1200, 1200, 1200, 1200, 1200]),
        ("PT0S", [0, 0, 0, 0, 0]),
    ],
)
def test_delays_have_a_limit_that_is_never_passed(most: str, seconds: list[float]) -> None:
    definition = job(retries=5, retry_delay="PT30M", retry_backoff=2.0, retry_max_delay=most)
    for number in range(40):
        found = delays(definition, f"run {number}")
        assert found == pytest.approx(seconds, rel=0.1)
        assert max(found) <= seconds[-1]


def test_a_thousand_retries_overflow_nothing() -> None:
    definition = job(retries=1_000, retry_delay="PT1S", retry_backoff=100.0)
    found = delays(definition, "r", [State.FAILED] * 1_001)
    assert len(found) == 1_000
    assert found[-1] == pytest.approx(3600, rel=0.1)


def test_an_attempt_that_was_cut_off_lets_no_delay_grow() -> None:
    """Given a failure, a restart in the middle of the second attempt, and then another failure."""
    definition = job(retries=3, retry_delay="PT10S", retry_backoff=5.0, on_lost="rerun")
    failed = end(record(definition, cursor=None, open=(run(),)), State.FAILED, at(1)).record
    on = begin(failed, at(2)).record
    waits = decided(ledger.take_over, on, alive=frozenset({"j"}), instance="j", now=at(3)).record
    again = end(begin(waits, at(3)).record, State.FAILED, at(4)).record.open[0]
    assert again.not_before == pytest.approx(at(4) + 50 * SECOND, abs=5 * SECOND)
    assert [one.state for one in again.attempts] == [State.FAILED, State.LOST, State.FAILED]


@pytest.mark.parametrize(
    ("epsilon", "due", "retried"),
    [
        pytest.param("", None, True, id="there is none"),
        pytest.param("PT3M7S", None, True, id="a retry a tenth later is within it"),
        pytest.param("PT2M52S", None, False, id="a retry a tenth earlier is not"),
        pytest.param("PT2M", None, False, id="it passes while the retry waits"),
        pytest.param("PT1M59S", None, False, id="it has passed"),
        pytest.param("PT1M8S", at(2), True, id="it counts from the moment that jitter gave"),
    ],
)
def test_a_retry_that_would_start_after_epsilon_is_none(epsilon: str, due: int | None, retried: bool) -> None:
    """Given a run of minute 0 that fails two minutes later, and a delay of a minute."""
    definition = job(retries=9, retry_delay="PT1M", epsilon=epsilon, on_failure_job="F")
    change = end(record(definition, cursor=None, open=(run(due=due),)), State.FAILED, at(2))
    assert lines(change.record.open) == ["schedule 0 waiting retry"] * retried
    assert lines(change.rows) == ["schedule 0 failed"] * (not retried)
    assert bool(change.record.outbox) is not retried


def test_a_delay_edited_meanwhile_counts_from_the_next_retry_on() -> None:
    before = end(record(job(retries=9, retry_delay="PT1M"), cursor=None, open=(run(),)), State.FAILED, at(2)).record
    (waits,) = before.open
    others = {"disabled": False, "expected": None, "now": at(2), "instance": "i", "run_id": "e"}
    after = decided(register.edit, before, job(retries=9, retry_delay="PT10M"), Jobs(before), **others).record
    assert after.open == (waits,)
    assert waits.not_before is not None
    then = end(begin(after, waits.not_before).record, State.FAILED, at(9)).record.open[0]
    assert then.not_before == pytest.approx(at(19), abs=MINUTE)


@pytest.mark.parametrize("state", [State.FAILED, State.TIMED_OUT])
def test_disabled_while_it_waits_for_its_retry_it_ends_as_its_last_attempt_did(state: State) -> None:
    definition = job(retries=9, retry_delay="PT1M", on_failure_job="F")
    waits = end(record(definition, cursor=at(9), remaining=3, open=(run(),)), state, at(2)).record
    change = decided(register.set_disabled, waits, True, now=at(2), instance="i", run_id="d")
    assert lines(change.rows) == [f"schedule 0 {state} disabled"]
    assert (change.record.open, change.record.remaining, change.record.errors) == ((), 3, 1)
    assert change.record.outbox == (Delivery("r", Trigger.FAILURE, ("F",), "i"),)


@pytest.mark.parametrize("how", ["disabled", "deleted", "cancelled"])
def test_what_is_wanted_no_more_is_not_retried(how: str) -> None:
    """Given an attempt that fails when its job has been disabled or deleted, or somebody ends the run."""
    more = {"disabled": {"disabled": True}, "deleted": {"deleted": at(1)}, "cancelled": {}}[how]
    on = run(cancel=ledger.CANCELLED if how == "cancelled" else "")
    before = record(job(retries=9, retry_delay="PT1M"), cursor=None, remaining=0, open=(on,), **more)
    change = end(before, State.FAILED, at(2))
    assert change.record.open == ()
    assert [row.state for row in change.rows] == [State.FAILED]


def test_each_delay_of_a_run_is_spread_by_itself() -> None:
    assert len(set(delays(job(retries=5, retry_delay="PT10S"), "r"))) == 5


def test_a_delay_counts_from_when_the_end_is_decided() -> None:
    """Given an attempt whose end could not be recorded for three minutes."""
    before = record(job(retries=1, retry_delay="PT1M"), cursor=None, open=(run(),))
    more = {"output": b"", "children": (), "instance": "i"}
    late = attempt(State.FAILED, ended=at(1))
    (waits,) = decided(ledger.end_attempt, before, run_id="r", attempt=late, now=at(4), **more).record.open
    assert waits.not_before == pytest.approx(at(5), abs=6 * SECOND)


@pytest.mark.parametrize("state", [State.FAILED, State.TIMED_OUT])
def test_a_retry_whose_turn_comes_after_epsilon_ends_as_its_last_attempt_did(state: State) -> None:
    before = end(record(job(retries=9, epsilon="PT3M"), cursor=None, open=(run(),)), state, at(2)).record
    change = begin(before, at(3, 1))
    assert (change.record.open, lines(change.rows)) == ((), [f"schedule 0 {state}"])
