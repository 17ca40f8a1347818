"""The sentences that say why a run is as it is, for every state and reason; and why nothing comes."""

from typing import Any

import pytest
from records import ONCE, T0, at, attempt, job, record, run

from kala.clock import SECOND
from kala.job import Attempt, Job, Run, replace
from kala.ledger import (
    CANCELLED,
    DELETED,
    DISABLED,
    DOWN,
    EDITED,
    LIMIT,
    OVERLAP,
    PAUSED,
    REPLACED,
    RETRY,
    SHUTDOWN,
    label_limit,
)
from kala.states import State, Trigger
from kala.wire.explain import NOTABLY, explain, lateness, when, why_nothing_comes

HERE = "2030-01-01T00:00:00Z"
BY = f"(by schedule, for {HERE})"
FAILED = replace(attempt(State.FAILED), error="exit code 3")
TIMED_OUT = replace(attempt(State.TIMED_OUT, number=2), error="timeout of PT1S")
CUT_OFF = replace(attempt(State.LOST), error="instance i ended while it was on")
STOPPED = replace(attempt(State.CANCELLED), error="ended by TERM")
DEAD = "instance i ended while it was on"
W, C, R = State.WAITING, State.CLAIMED, State.RUNNING
S, M = State.SKIPPED, State.MISSED

TABLE: list[tuple[State, str, dict[str, Any], str]] = [
    (W, "", {}, f"waits {BY}: its turn comes next"),
    (W, "", {"not_before": at(1)}, f"waits {BY}: its moment is 2030-01-01T00:01:00Z"),
    (W, OVERLAP, {"blocker": at(-1)}, f"waits {BY}: the run of 2029-12-31T23:59:00Z is still on"),
    (W, OVERLAP, {}, f"waits {BY}: a run of its job, or what it set off, is still on"),
    (W, LIMIT, {}, f"waits {BY}: as many runs are on as may be at once (--max-runs)"),
    (
        W,
        label_limit("pool", "a=b"),
        {},
        f"waits {BY}: as many runs of jobs with the label pool=a=b are on as may be (--limit-runs)",
    ),
    (W, SHUTDOWN, {}, f"waits {BY}: the daemon stopped before it could go on"),
    (W, SHUTDOWN, {"attempts": (STOPPED,)}, f"waits {BY}: the daemon stopped before it could go on"),
    (W, PAUSED, {}, f"waits {BY}: its turn comes next"),
    (W, DEAD, {"attempts": (CUT_OFF,)}, f"waits {BY}: {DEAD}"),
    (
        W,
        RETRY,
        {"attempts": (FAILED,), "not_before": at(1)},
        "waits for its next attempt at 2030-01-01T00:01:00Z: attempt 1 failed: exit code 3",
    ),
    (
        W,
        RETRY,
        {"attempts": (FAILED, replace(TIMED_OUT, error=""))},
        "waits for its next attempt: attempt 2 timed out",
    ),
    (C, "", {}, f"is about to start {BY}"),
    (C, "", {"cancel": CANCELLED}, f"is about to start {BY}, and is being ended: someone asked for that"),
    (R, "", {}, f"is on {BY}"),
    (R, "", {"cancel": REPLACED}, f"is on {BY}, and is being ended: the next occurrence came, and overlap is replace"),
    (State.SUCCEEDED, "", {"attempts": (attempt(),)}, f"succeeded {BY}"),
    (State.SUCCEEDED, "", {"attempts": (FAILED, attempt(number=2))}, f"succeeded {BY}, at attempt 2"),
    (State.FAILED, "", {"attempts": (FAILED,)}, f"failed {BY}: exit code 3"),
    (State.FAILED, DISABLED, {"attempts": (FAILED,)}, f"failed {BY}: exit code 3; then the job was disabled"),
    (State.FAILED, DELETED, {"attempts": (replace(FAILED, error=""),)}, f"failed {BY}: then the job was deleted"),
    (State.TIMED_OUT, "", {"attempts": (FAILED, TIMED_OUT)}, f"timed out {BY}, at attempt 2: timeout of PT1S"),
    (State.CANCELLED, CANCELLED, {"attempts": (STOPPED,)}, f"cancelled {BY}: someone asked for that"),
    (State.CANCELLED, CANCELLED, {}, f"cancelled {BY}: someone asked for that"),
    (State.CANCELLED, REPLACED, {}, f"cancelled {BY}: the next occurrence came, and overlap is replace"),
    (State.CANCELLED, SHUTDOWN, {"attempts": (STOPPED,)}, f"cancelled {BY}: the daemon stopped"),
    (
        State.CANCELLED,
        DISABLED,
        {"attempts": (STOPPED,)},
        f"cancelled {BY}: ended by TERM; then the job was disabled",
    ),
    (State.LOST, DEAD, {}, f"lost {BY}: {DEAD}, so its outcome is not known"),
    (State.LOST, DELETED, {"attempts": (CUT_OFF,)}, f"lost {BY}: {DEAD}; then the job was deleted"),
    (S, DISABLED, {}, "skipped: the job was disabled"),
    (S, DELETED, {}, "skipped: the job was deleted"),
    (S, EDITED, {"count": 2}, "2 occurrences skipped: the job got another schedule"),
    (S, PAUSED, {"count": 2}, "2 occurrences skipped: the daemon was paused, and catch_up did not make them good"),
    (S, PAUSED, {}, "skipped: the daemon was paused, and catch_up did not make it good"),
    (S, REPLACED, {}, "skipped: a later occurrence took its place, as overlap is replace"),
    (
        S,
        OVERLAP,
        {"blocker": at(-1)},
        "skipped: the run of 2029-12-31T23:59:00Z was still on, and only the latest occurrence waits, as overlap is "
        "queue",
    ),
    (
        S,
        OVERLAP,
        {},
        "skipped: what a run set off was still on, and only the latest occurrence waits, as overlap is queue",
    ),
    (
        M,
        DOWN,
        {},
        "missed: no daemon, or no database, was up to start it in time, and catch_up did not make it good",
    ),
    (
        M,
        DOWN,
        {"count": 1234},
        "1,234 occurrences missed: no daemon, or no database, was up to start them in time, and catch_up did not make "
        "them good",
    ),
]


@pytest.mark.parametrize(
    ("state", "reason", "more", "sentence"),
    TABLE,
    ids=[f"{state} {reason} {n}" for n, (state, reason, *_) in enumerate(TABLE)],
)
def test_every_state_and_reason(state: State, reason: str, more: dict[str, Any], sentence: str) -> None:
    assert explain(run(state=state, reason=reason, **more), job()) == sentence


def test_no_state_and_no_reason_is_without_a_sentence() -> None:
    assert {state for state, *_ in TABLE} == set(State)
    reasons = {OVERLAP, DISABLED, DELETED, EDITED, DOWN, PAUSED, LIMIT, RETRY, SHUTDOWN, CANCELLED, REPLACED}
    assert {reason for _, reason, *_ in TABLE} >= reasons
    # none of them lets a bare code through
    for state, reason, more, sentence in TABLE:
        if reason in reasons:
            assert not sentence.endswith(f": {reason}"), (state, more)


@pytest.mark.parametrize(
    ("trigger", "cause"),
    [
        (Trigger.SCHEDULE, f"by schedule, for {HERE}"),
        (Trigger.CATCH_UP, f"made good by catch-up, for {HERE}"),
        (Trigger.MANUAL, f"started by hand at {HERE}"),
        (Trigger.NOW, f"a job without schedule, at {HERE}"),
        (Trigger.PARENT, "set off by the success of run P"),
        (Trigger.FAILURE, "set off by the failure of run P"),
    ],
)
def test_the_cause_is_told(trigger: Trigger, cause: str) -> None:
    assert explain(run(trigger=trigger, state=R, parent_run="P"), None) == f"is on ({cause})"


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (job(overlap="skip"), ", and overlap is skip"),
        (job(resume_at_next_scheduled_time=True), ", and overlap is skip"),
        (job(overlap="queue"), ", and only the latest occurrence waits, as overlap is queue"),
        (job(overlap="allow"), ""),
        (None, ""),
    ],
)
def test_the_policy_is_told_by_which_an_occurrence_was_skipped(policy: Job | None, why: str) -> None:
    skipped = run(state=S, reason=OVERLAP, blocker=T0)
    assert explain(skipped, policy) == f"skipped: the run of {HERE} was still on{why}"


def test_while_the_daemon_is_paused_what_waits_does_so_because_of_that() -> None:
    waiting = run(state=W, reason=RETRY, attempts=(FAILED,))
    assert explain(waiting, job(), paused=True) == f"waits {BY}: the daemon is paused"
    assert explain(run(state=R), job(), paused=True) == f"is on {BY}"


def started(after: int, **more: Any) -> Run:
    first = Attempt(1, T0 + after, T0 + after + SECOND, State.SUCCEEDED)
    return run(state=State.SUCCEEDED, attempts=(first,), **more)


def test_lateness_counts_from_when_it_was_to_start() -> None:
    assert lateness(started(3 * SECOND)) == 3 * SECOND
    assert lateness(started(3 * SECOND, due=T0 + 2 * SECOND)) == SECOND
    assert lateness(started(-1)) == 0
    assert lateness(run()) is None
    assert lateness(run(), started=T0 + 5) == 5
    # and is told when it is notable
    assert explain(started(NOTABLY), job()) == f"succeeded {BY}"
    assert explain(started(2_500_000), job()) == f"succeeded {BY}, 2.5 s late"


NOTHING: list[tuple[dict[str, Any], Job, str]] = [
    ({}, job(), ""),
    ({"disabled": True}, job(), "the job is disabled: nothing of it starts until it is enabled"),
    ({"cursor": None}, job("", parent_jobs=["p"]), "the job is a child: it runs when its parent has succeeded"),
    (
        {"cursor": None},
        job("", parent_jobs=["p", "q"]),
        "the job is a child: it runs when one of its parents has succeeded",
    ),
    (
        {"cursor": None},
        job("", parent_jobs=["p", "q"], parents_mode="all"),
        "the job is a child: it runs when all of its parents have succeeded",
    ),
    ({}, job(""), ""),
    (
        {"cursor": None, "remaining": 0},
        job(""),
        "the job has no schedule: it ran once, when it was made, and runs again when it is started by hand",
    ),
    (
        {"cursor": None, "remaining": 0},
        job(ONCE),
        f"the one occurrence of its schedule, {HERE}, has come",
    ),
    (
        {"cursor": None, "remaining": 0},
        job("R1233/2030-01-01T00:00:00Z/PT1M"),
        "all 1,234 occurrences of its schedule have come",
    ),
    (
        {"cursor": None, "remaining": None},
        job("R/9999-01-01T00:00:00Z/P1Y"),
        "its schedule names no further occurrence until the end of the year 9999",
    ),
    (
        {"cursor": None, "remaining": 5},
        job("R9/9999-01-01T00:00:00Z/P1Y"),
        "its schedule names no further occurrence until the end of the year 9999",
    ),
    ({"cursor": None, "remaining": 0}, job(), "the job was done already where it was taken over from"),
    ({"cursor": None, "remaining": 0}, job("@daily"), "the job was done already where it was taken over from"),
]


@pytest.mark.parametrize(("more", "definition", "sentence"), NOTHING)
def test_why_nothing_comes(more: dict[str, Any], definition: Job, sentence: str) -> None:
    assert why_nothing_comes(record(definition, **more)) == sentence
    # while the daemon is paused, that is why, unless nothing would come anyway
    paused = why_nothing_comes(record(definition, **more), paused=True)
    assert paused == (sentence or "the daemon is paused: nothing starts until it is resumed")


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (job(""), "once, when it was made"),
        (job("", parent_jobs=["p"]), "after its parent has succeeded"),
        (job("", parent_jobs=["p", "q"]), "after one of its parents has succeeded"),
        (job("", parent_jobs=["p", "q"], parents_mode="all"), "after all of its parents have succeeded"),
        (job("@daily"), "every day at 00:00 UTC"),
        (job("@daily", time_zone="Europe/Berlin"), "every day at 00:00, Europe/Berlin"),
        (job("@daily", jitter="PT90M"), "every day at 00:00 UTC, put off by up to 1 hour and 30 minutes"),
        (job("@daily", jitter="PT0S"), "every day at 00:00 UTC"),
        (job("R/2029-12-31T08:00:00Z/P1D"), "every day at 08:00 UTC"),
        (job("R/2030-01-01T00:00:00Z/P1D"), "every day at 00:00 UTC"),
        (job("R/2030-01-01T00:00:01Z/P1D"), "every day at 00:00:01 UTC, from 2030-01-01"),
    ],
)
def test_when_a_job_runs(definition: Job, words: str) -> None:
    assert when(definition, T0) == words
