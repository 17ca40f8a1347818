"""An occurrence comes due: what becomes of it, alone and beside runs that are on."""

import pytest
from records import MINUTELY, ONCE, T0, at, decided, job, lines, record, run, standing

from kala import events, ledger
from kala.clock import SECOND
from kala.errors import Stale
from kala.job import Attempt, Delivery, Job, Record, replace
from kala.ledger import Change
from kala.states import State, Trigger

THREE = "R2/2030-01-01T00:00:00Z/PT1M"
OWING = (Delivery("r0", Trigger.PARENT, ("K",), "i"),)
WAITING = State.WAITING


def claim(before: Record, now: int | None = None, *, run_id: str = "new", slot: bool = True) -> Change:
    assert before.cursor is not None
    return decided(
        ledger.claim,
        before,
        version=before.version,
        cursor=before.cursor,
        now=before.cursor if now is None else now,
        run_id=run_id,
        instance="i",
        slot=slot,
    )


@pytest.mark.parametrize(
    ("definition", "remaining", "after", "trigger"),
    [
        pytest.param(job(ONCE), 1, "next -, 0 left", "schedule", id="R0 runs once"),
        pytest.param(
            job("R0/2030-01-01T00:00:00Z/P1D"), 1, "next -, 0 left", "schedule", id="R0 whatever its interval"
        ),
        pytest.param(job(THREE), 3, "next 1, 2 left", "schedule", id="R2, the first of three"),
        pytest.param(job(THREE), 2, "next 1, 1 left", "schedule", id="R2, the second"),
        pytest.param(job(THREE), 1, "next -, 0 left", "schedule", id="R2, the last"),
        pytest.param(job(MINUTELY), None, "next 1, ∞ left", "schedule", id="R goes on"),
        pytest.param(job(""), 1, "next -, 0 left", "now", id="no schedule"),
    ],
)
def test_an_occurrence_is_claimed(definition: Job, remaining: int | None, after: str, trigger: str) -> None:
    change = claim(record(definition, remaining=remaining))
    assert lines(change.record.open) == [f"{trigger} 0 claimed"]
    assert standing(change.record) == after
    assert change.rows == ()
    assert change.answer is change.record.open[0]
    assert (change.answer.id, change.answer.instance, change.answer.created) == ("new", "i", at(0))
    assert [(event.type, event.run, event.state) for event in change.events] == [
        (events.RUN_CLAIMED, "new", State.CLAIMED.value)
    ]


def test_the_whole_of_a_schedule() -> None:
    """R2 gives three runs, each minute, then nothing; the last moment stays to be shown."""
    given = record(job(THREE), remaining=3)
    for minute in range(3):
        assert not given.is_done
        change = claim(given, run_id=f"r{minute}")
        assert lines(change.record.open) == [f"schedule {minute} claimed"]
        given = replace(change.record, open=())
    assert given.is_done
    assert (given.cursor, given.last_due, given.remaining) == (None, at(2), 0)


@pytest.mark.parametrize("late", [0, 1, 59 * SECOND, 60 * SECOND])
def test_until_a_minute_has_passed_an_occurrence_is_late_and_runs(late: int) -> None:
    for policy in ("none", "once", "all"):
        change = claim(record(job(catch_up=policy)), at(0) + late)
        assert lines(change.record.open) == ["schedule 0 claimed"]
        assert standing(change.record) == "next 1, ∞ left"


def test_after_a_minute_catch_up_decides() -> None:
    hourly = record(job("R/2030-01-01T00:00:00Z/PT1H", catch_up="none"))
    change = claim(hourly, at(1) + 1)
    assert lines(change.record.open) == []
    assert standing(change.record) == "next 60, ∞ left"


def test_after_a_minute_catch_up_decides_about_what_is_older() -> None:
    change = claim(record(job(catch_up="none")), at(1) + 1)
    assert lines(change.record.open) == ["schedule 1 claimed"]
    assert change.record.gap is not None
    assert (change.record.gap.scheduled_for, change.record.gap.count) == (T0, 1)
    assert standing(change.record) == "next 2, ∞ left"


@pytest.mark.parametrize(
    ("given", "version", "cursor", "now"),
    [
        pytest.param(record(version=2), 1, at(0), at(0), id="the definition has changed"),
        pytest.param(record(cursor=at(1)), 1, at(0), at(1), id="it is claimed already"),
        pytest.param(record(job(ONCE), cursor=None, remaining=0), 1, at(0), at(0), id="the schedule has ended"),
        pytest.param(record(disabled=True), 1, at(0), at(0), id="disabled"),
        pytest.param(record(deleted=at(0)), 1, at(0), at(0), id="deleted"),
        pytest.param(record(), 1, at(0), at(0) - ledger.LEAD - 1, id="the clock was set back"),
        pytest.param(record(open=(run(),)), 1, at(0), at(0) - 1, id="not yet, and a run is on that it may not meet"),
    ],
)
def test_an_occurrence_that_is_not_due_is_not_claimed(given: Record, version: int, cursor: int, now: int) -> None:
    with pytest.raises(Stale):
        decided(ledger.claim, given, version=version, cursor=cursor, now=now, run_id="new", instance="i", slot=True)


@pytest.mark.parametrize(
    ("overlap", "given", "then", "left", "gap"),
    [
        pytest.param("queue", {}, ["schedule 2 claimed"], 4, None, id="nothing is on"),
        pytest.param(
            "queue", {"open": (run(),)}, ["schedule 0 claimed", "schedule 2 waiting overlap"], 4, None, id="queue"
        ),
        pytest.param("queue", {"outbox": OWING}, ["schedule 2 waiting overlap"], 4, None, id="queue: its children run"),
        pytest.param(
            "queue",
            {"open": (run(), run("w", at(1), WAITING))},
            ["schedule 0 claimed", "schedule 2 waiting overlap"],
            5,
            "skipped overlap 1..1 ×1",
            id="queue: the latest replaces the one that waits, which gives back its count",
        ),
        pytest.param(
            "queue",
            {"open": (run("w", at(1), WAITING, reason="limit"),)},
            ["schedule 2 waiting overlap"],
            5,
            "skipped overlap 1..1 ×1",
            id="queue: also one that waits for the limit",
        ),
        pytest.param(
            "queue",
            {"open": (run(), run("w", at(1), WAITING, Trigger.CATCH_UP))},
            ["schedule 0 claimed", "schedule 2 waiting overlap"],
            5,
            "skipped overlap 1..1 ×1",
            id="queue: also one that was caught up with",
        ),
        pytest.param(
            "queue",
            {"open": (run("w", at(1), WAITING, attempts=(Attempt(1, at(1), at(1), State.FAILED),)),)},
            ["schedule 1 waiting", "schedule 2 waiting overlap"],
            4,
            None,
            id="queue: a run that waits for its retry has begun, and stays",
        ),
        pytest.param(
            "queue",
            {"open": (run(), run("m", at(1), WAITING, Trigger.MANUAL), run("p", at(1), WAITING, Trigger.PARENT))},
            ["schedule 0 claimed", "manual 1 waiting", "parent 1 waiting", "schedule 2 waiting overlap"],
            4,
            None,
            id="queue: manual and parent triggers wait each for themselves",
        ),
        pytest.param(
            "skip", {"open": (run(),)}, ["schedule 0 claimed"], 5, "skipped overlap 2..2 ×1", id="skip: uses up nothing"
        ),
        pytest.param("skip", {"outbox": OWING}, [], 5, "skipped overlap 2..2 ×1", id="skip: its children run"),
        pytest.param("skip", {}, ["schedule 2 claimed"], 4, None, id="skip: nothing is on"),
        pytest.param(
            "allow", {"open": (run(),)}, ["schedule 0 claimed", "schedule 2 claimed"], 4, None, id="allow: beside it"
        ),
    ],
)
def test_an_occurrence_comes_while_a_run_is_on(
    overlap: str, given: dict[str, object], then: list[str], left: int, gap: str | None
) -> None:
    definition = job("R9/2030-01-01T00:00:00Z/PT1M", overlap=overlap)
    change = claim(record(definition, cursor=at(2), remaining=5, **given))
    assert lines(change.record.open) == then
    assert standing(change.record) == f"next 3, {left} left"
    assert (lines([change.record.gap])[0] if change.record.gap else None) == gap
    assert change.rows == ()


def test_resuming_at_the_next_time_skips_what_overlaps_whatever_the_policy() -> None:
    definition = job(resume_at_next_scheduled_time=True, overlap="allow")
    change = claim(record(definition, open=(run("r0", at(-1)),)))
    assert lines(change.record.open) == ["schedule -1 claimed"]
    assert change.answer is None


def test_catch_up_all_keeps_what_it_made_good() -> None:
    waits = run("w", at(1), WAITING, Trigger.CATCH_UP)
    change = claim(record(job(catch_up="all"), cursor=at(2), open=(run(), waits)))
    assert lines(change.record.open) == ["schedule 0 claimed", "catch-up 1 waiting", "schedule 2 waiting overlap"]


@pytest.mark.parametrize("overlap", ["queue", "allow"])
def test_above_the_limit_a_run_is_claimed_as_waiting(overlap: str) -> None:
    change = claim(record(job(overlap=overlap)), slot=False)
    assert lines(change.record.open) == ["schedule 0 waiting limit"]
    assert change.answer is not None
    assert change.answer.instance == ""
    assert list(ledger.next_up(change.record)) == [change.answer]


def test_skipped_occurrences_are_one_range_until_something_else_happens() -> None:
    given = record(job(overlap="skip"), open=(run("r0", at(-1)),))
    for minute in range(5):
        given = claim(given, run_id=f"s{minute}").record
    assert given.gap is not None
    assert lines([given.gap]) == ["skipped overlap 0..4 ×5"]
    assert given.gap.id == "s0"
    change = decided(
        ledger.end_attempt,
        given,
        run_id="r0",
        attempt=Attempt(1, at(-1), at(4, 30), State.SUCCEEDED),
        output=b"",
        now=at(4, 30),
        children=(),
        instance="i",
    )
    assert lines(change.rows) == ["skipped overlap 0..4 ×5", "schedule -1 succeeded"]
    assert change.record.gap is None


@pytest.mark.parametrize("policy", ["queue", "skip", "allow"])
def test_a_claim_repeated_after_its_effect_is_stale(policy: str) -> None:
    given = record(job(overlap=policy), open=(run("r0", at(-1)),))
    after = claim(given).record
    with pytest.raises(Stale):
        ledger.claim(after, version=given.version, cursor=at(0), now=at(0), run_id="new", instance="i", slot=True)
