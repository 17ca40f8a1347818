"""Whatever sets a run off, and whatever is on then: what the overlap policy makes of it."""

from typing import Any

import pytest
from records import at, attempt, decided, job, line, lines, record, run, standing

from kala import ledger
from kala.job import Delivery, Record, Run, replace
from kala.ledger import Change
from kala.states import State, Trigger

TEN_MINUTELY = "R9/2030-01-01T00:02:00Z/PT10M"
OWING = (Delivery("r0", Trigger.PARENT, ("K",), "i"),)
RESUMING = "resuming at the next time"
POLICIES: dict[str, dict[str, Any]] = {
    "queue": {"overlap": "queue"},
    "skip": {"overlap": "skip"},
    "allow": {"overlap": "allow"},
    "replace": {"overlap": "replace"},
    RESUMING: {"overlap": "replace", "resume_at_next_scheduled_time": True},
}


def on(situation: str, trigger: Trigger) -> dict[str, Any]:
    """What a record holds: a run of minute 0 that something has set off."""
    held: dict[str, dict[str, Any]] = {
        "on": {"state": State.CLAIMED},
        "retry": {"state": State.WAITING, "attempts": (attempt(State.FAILED),), "reason": "retry", "not_before": at(9)},
        "limit": {"state": State.WAITING, "reason": "limit"},
    }
    if situation in held:
        return {"open": (run("r", at(0), trigger=trigger, **held[situation]),)}
    return {"outbox": OWING} if situation == "outbox" else {}


def said(one: Run) -> str:
    return line(one) + (f", {one.cancel}" if one.cancel else "")


def comes(policy: str, trigger: Trigger, situation: str, of: Trigger) -> Change:
    """At minute 2 something sets a run off: an occurrence then, someone, a run that succeeded, one that failed."""
    schedule = "" if trigger is Trigger.NOW else TEN_MINUTELY
    remaining = 1 if trigger is Trigger.NOW else 5
    before = record(job(schedule, **POLICIES[policy]), cursor=at(2), remaining=remaining, **on(situation, of))
    if trigger in (Trigger.PARENT, Trigger.FAILURE):
        delivery = Delivery("p", trigger, ("J",), "i")
        return decided(ledger.deliver, before, delivery=delivery, parent="P", now=at(2))
    more = {"run_id": "new", "instance": "i", "slot": trigger is not Trigger.MANUAL}
    if trigger is Trigger.MANUAL:
        return decided(ledger.start, before, now=at(2), **more)
    now = at(4) if trigger is Trigger.CATCH_UP else at(2)
    return decided(ledger.claim, before, version=1, cursor=at(2), now=now, **more)


SKIPPED = "skipped overlap 2..2 ×1"
# The run that is on, as it then is; the one that comes; what is not to run any more; the claims left.
OF_THE_CLOCK: dict[tuple[str, str], tuple[str, str, str, int]] = {
    ("queue", "nothing"): ("", "claimed", "", 4),
    ("queue", "on"): ("claimed", "waiting overlap", "", 4),
    ("queue", "retry"): ("waiting retry", "waiting overlap", "", 4),
    ("queue", "limit"): ("", "waiting overlap", "skipped overlap 0..0 ×1", 5),
    ("queue", "outbox"): ("", "waiting overlap", "", 4),
    ("skip", "nothing"): ("", "claimed", "", 4),
    ("skip", "on"): ("claimed", "", SKIPPED, 5),
    ("skip", "retry"): ("waiting retry", "", SKIPPED, 5),
    ("skip", "limit"): ("waiting limit", "", SKIPPED, 5),
    ("skip", "outbox"): ("", "", SKIPPED, 5),
    ("allow", "nothing"): ("", "claimed", "", 4),
    ("allow", "on"): ("claimed", "claimed", "", 4),
    ("allow", "retry"): ("waiting retry", "claimed", "", 4),
    ("allow", "limit"): ("waiting limit", "claimed", "", 4),
    ("allow", "outbox"): ("", "claimed", "", 4),
    ("replace", "nothing"): ("", "claimed", "", 4),
    ("replace", "on"): ("claimed, replaced", "waiting overlap", "", 4),
    ("replace", "retry"): ("", "claimed", "schedule 0 cancelled replaced", 4),
    ("replace", "limit"): ("", "claimed", "skipped replaced 0..0 ×1", 5),
    ("replace", "outbox"): ("", "waiting overlap", "", 4),
}
OF_THE_CLOCK |= {(RESUMING, situation): then for (policy, situation), then in OF_THE_CLOCK.items() if policy == "skip"}


def expected(policy: str, situation: str, trigger: Trigger) -> tuple[str, str, str, int]:
    if policy == RESUMING and trigger is Trigger.CATCH_UP:  # which it does not do
        return OF_THE_CLOCK["allow", situation][0], "", "missed down 2..2 ×1", 5
    return OF_THE_CLOCK[policy, situation]


def check(change: Change, is_on: str, of: Trigger, came: str, trigger: Trigger, gone: str) -> None:
    both = [f"{of} 0 {is_on}"] * bool(is_on) + [f"{trigger} 2 {came}"] * bool(came)
    assert [said(one) for one in change.record.open] == both
    gap = (change.record.gap,) if change.record.gap is not None else ()
    assert lines((*change.rows, *gap)) == [gone] * bool(gone)
    if came == "claimed":
        assert change.answer is change.record.open[-1]


@pytest.mark.parametrize(("policy", "situation"), OF_THE_CLOCK)
@pytest.mark.parametrize("trigger", [Trigger.SCHEDULE, Trigger.CATCH_UP])
def test_an_occurrence_comes_beside_one_of_the_schedule(trigger: Trigger, policy: str, situation: str) -> None:
    is_on, came, gone, left = expected(policy, situation, trigger)
    change = comes(policy, trigger, situation, Trigger.SCHEDULE)
    check(change, is_on, Trigger.SCHEDULE, came, trigger, gone)
    assert standing(change.record) == f"next 12, {left} left"


@pytest.mark.parametrize(("policy", "situation"), OF_THE_CLOCK)
@pytest.mark.parametrize("trigger", [Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.NOW])
def test_an_occurrence_comes_beside_what_someone_started(trigger: Trigger, policy: str, situation: str) -> None:
    """As beside one of the schedule; but what someone wants, and has not begun, waits its turn."""
    is_on, came, gone, left = expected(policy, situation, trigger)
    if situation == "limit" and policy in ("queue", "replace"):
        is_on, came, gone, left = "waiting limit", "waiting overlap", "", 4
    change = comes(policy, trigger, situation, Trigger.MANUAL)
    check(change, is_on, Trigger.MANUAL, came, trigger, gone.replace("schedule", "manual"))
    following = "next 12" if trigger is not Trigger.NOW else "next -"
    assert standing(change.record) == f"{following}, {left if trigger is not Trigger.NOW else left - 4} left"


@pytest.mark.parametrize("situation", ["nothing", "on", "retry", "limit", "outbox"])
@pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.PARENT, Trigger.FAILURE])
@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_asked_for_waits_its_turn_and_ends_nothing(policy: str, trigger: Trigger, situation: str) -> None:
    is_on = OF_THE_CLOCK["allow", situation][0]
    waits = "waiting limit" if policy == "allow" or situation == "nothing" else "waiting overlap"
    change = comes(policy, trigger, situation, Trigger.SCHEDULE)
    check(change, is_on, Trigger.SCHEDULE, waits, trigger, "")
    assert standing(change.record) == "next 2, 5 left"


def claim(before: Record, minute: int, run_id: str, *, slot: bool = True) -> Change:
    now, version = at(minute), before.version
    more = {"version": version, "cursor": at(minute), "now": now, "instance": "i", "slot": slot}
    return decided(ledger.claim, before, run_id=run_id, **more)


def test_replace_ends_what_is_on_and_the_latest_follows() -> None:
    """Given three occurrences, the first of which does not end: what waited in between is skipped, for free."""
    change = claim(record(job("R2/2030-01-01T00:00:00Z/PT1M", overlap="replace"), remaining=3), 0, "a")
    for minute, name in ((1, "b"), (2, "c")):
        change = claim(change.record, minute, name)
    assert [said(one) for one in change.record.open] == ["schedule 0 claimed, replaced", "schedule 2 waiting overlap"]
    assert change.record.open[1].blocker == at(0)
    assert change.record.gap is not None
    assert line(change.record.gap) == "skipped replaced 1..1 ×1"
    assert standing(change.record) == "next 3, 1 left"
    ended = decided(
        ledger.end_attempt,
        change.record,
        run_id="a",
        attempt=attempt(State.CANCELLED),
        output=b"",
        now=at(2),
        children=("K",),
        instance="i",
    )
    assert lines(ended.rows) == ["skipped replaced 1..1 ×1", "schedule 0 cancelled replaced"]
    assert (ended.record.outbox, ended.record.errors, ended.record.finished) == ((), 0, 1)
    assert [one.id for one in ledger.next_up(ended.record)] == ["c"]


def test_of_several_made_good_under_replace_the_latest_runs_when_nothing_is_on() -> None:
    given = record(job("R5/2030-01-01T00:00:00Z/PT1M", overlap="replace", catch_up="all"), remaining=6)
    change = decided(ledger.catch_up, given, now=at(3, 30), run_id="new", instance="i", slot=True)
    assert lines(change.record.open) == ["catch-up 3 claimed"]
    assert change.answer is change.record.open[0]
    assert change.answer.id == "new"
    assert change.record.gap is not None
    assert line(change.record.gap) == "skipped replaced 0..2 ×3"
    assert standing(change.record) == "next 4, 5 left"


def test_a_run_that_someone_ends_already_is_not_replaced() -> None:
    given = record(job(overlap="replace"), cursor=at(2), open=(run("r", cancel=ledger.CANCELLED),))
    assert [said(one) for one in claim(given, 2, "new").record.open] == [
        "schedule 0 claimed, cancelled",
        "schedule 2 waiting overlap",
    ]


@pytest.mark.parametrize(("version", "left"), [(1, 4), (2, 5)])
def test_what_is_skipped_gives_back_its_count_to_its_own_schedule_alone(version: int, left: int) -> None:
    """Given an occurrence that waits, of the job's schedule or of the one before it."""
    waits = run("w", at(1), State.WAITING, version=version)
    before = record(job("R9/2030-01-01T00:00:00Z/PT1M"), cursor=at(2), remaining=5, open=(run("on"), waits))
    before = replace(before, version=2, schedule_version=2)
    more = {"run_id": "n", "instance": "i", "slot": True}
    change = decided(ledger.claim, before, version=2, cursor=at(2), now=at(2), **more)
    assert lines(change.record.open) == ["schedule 0 claimed", "schedule 2 waiting overlap"]
    assert change.record.remaining == left
