"""Time in which nothing could be claimed: every policy, every reason, however much passed, whatever the plan."""

from typing import Any

import pytest
from records import MINUTE, T0, at, decided, job, record

from kala import ledger, register
from kala.errors import Stale
from kala.job import Record
from kala.ledger import DISABLED, DOWN, PAUSED, Change
from kala.states import State, Trigger

# How many of 1, 3 and 1,000 occurrences run after all.
POLICIES: dict[str, tuple[dict[str, Any], dict[int, int]]] = {
    "once": ({"catch_up": "once"}, {1: 1, 3: 1, 1000: 1}),
    "none": ({"catch_up": "none"}, {1: 0, 3: 0, 1000: 0}),
    "all": ({"catch_up": "all"}, {1: 1, 3: 3, 1000: 100}),
    "all to a limit": ({"catch_up": "all", "catch_up_limit": 2}, {1: 1, 3: 2, 1000: 2}),
    "all within a window": ({"catch_up": "all", "catch_up_window": "PT1M30S"}, {1: 1, 3: 2, 1000: 2}),
    "once within a window": ({"catch_up": "once", "catch_up_window": "PT29S"}, {1: 0, 3: 0, 1000: 0}),
}
PLANS: dict[str, tuple[dict[str, Any], int | None]] = {
    "without end": ({"schedule": "R/2030-01-01T00:00:00Z/PT1M"}, None),
    "many left": ({"schedule": "R5000/2030-01-01T00:00:00Z/PT1M"}, 5001),
    "two left": ({"schedule": "R5000/2030-01-01T00:00:00Z/PT1M"}, 2),
    "the last": ({"schedule": "R5000/2030-01-01T00:00:00Z/PT1M"}, 1),
    "cron": ({"schedule": "* * * * *"}, None),
    "cron by a clock": ({"schedule": "0 * * * * *", "time_zone": "Asia/Kathmandu"}, None),
    "by a clock": ({"schedule": "R/2030-01-01T01:00:00[Europe/Paris]/PT1M"}, None),
    "by a clock, counted": ({"schedule": "R9/2030-01-01T01:00:00/PT1M", "time_zone": "Europe/Paris"}, 10),
}
GRID = [(policy, count, plan) for policy in POLICIES for count in (1, 3, 1000) for plan in PLANS]


def given(policy: str, plan: str, **more: Any) -> Record:
    members, remaining = PLANS[plan]
    return record(job(**members, **POLICIES[policy][0]), remaining=remaining, **more)


def looked_at(before: Record, now: int, because: str) -> Change:
    """What is decided when there is someone again to look, or when it is enabled."""
    if because == DISABLED:
        return decided(register.set_disabled, before, False, now=now, instance="i", run_id="new")
    more = {"version": before.version, "cursor": T0, "now": now, "run_id": "new", "instance": "i", "slot": True}
    return decided(ledger.claim, before, because=because, **more)


@pytest.mark.parametrize("because", [DOWN, PAUSED, DISABLED])
@pytest.mark.parametrize(("policy", "count", "plan"), GRID)
def test_so_many_passed(policy: str, count: int, plan: str, because: str) -> None:
    """Given a cursor at minute 0, and now half a minute after the last of `count` occurrences."""
    before = given(policy, plan, disabled=because == DISABLED)
    change = looked_at(before, at(count - 1, 30), because)
    after, left = change.record, before.remaining
    taken = POLICIES[policy][1][count]
    if because == DISABLED or (count > 1 and taken):
        check(change, count, taken if left is None else min(taken, left), left, because, Trigger.CATCH_UP)
    elif count > 1:  # the latest is late, and runs
        check(change, count, 1, left, because, Trigger.SCHEDULE)
    else:  # it is late, and runs
        assert [(run.scheduled_for, run.trigger) for run in after.open] == [(T0, Trigger.SCHEDULE)]
        assert after.gap is None


def check(change: Change, count: int, taken: int, left: int | None, because: str, trigger: Trigger) -> None:
    after = change.record
    assert [run.scheduled_for for run in after.open] == [at(count - k) for k in range(taken, 0, -1)]
    assert {run.trigger for run in after.open} <= {trigger}
    states = [State.WAITING if because == DISABLED else State.CLAIMED, *[State.WAITING] * taken]
    assert [run.state for run in after.open] == states[:taken]
    if count > taken:
        assert after.gap is not None
        assert (after.gap.scheduled_for, after.gap.until) == (T0, at(count - taken - 1))
        assert (after.gap.count, after.gap.reason) == (count - taken, because)
        assert after.gap.state is (State.MISSED if because == DOWN else State.SKIPPED)
    else:
        assert after.gap is None
    assert after.remaining == (None if left is None else left - taken)
    assert after.cursor == (None if after.remaining == 0 else at(count))
    assert after.last_due == at(count - 1)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("policy", POLICIES)
def test_none_passed(policy: str, plan: str) -> None:
    for because in (DOWN, PAUSED):
        with pytest.raises(Stale):
            looked_at(given(policy, plan), T0 - MINUTE, because)
    before = given(policy, plan, disabled=True)
    after = looked_at(before, T0 - MINUTE, DISABLED).record
    assert (after.open, after.gap, after.cursor, after.remaining) == ((), None, T0, before.remaining)
