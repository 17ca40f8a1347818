"""Occurrences that passed while nothing could claim them: which run after all, and what is said of the others."""

import pytest
from records import MINUTELY, ONCE, T0, at, decided, job, line, lines, record, run, standing

from kala import events, ledger
from kala.clock import SECOND
from kala.errors import Stale
from kala.job import Job, Record
from kala.ledger import DISABLED, DOWN, Change
from kala.states import State, Trigger

SIX = "R5/2030-01-01T00:00:00Z/PT1M"
HOURLY = "R/2030-01-01T00:00:00Z/PT1H"


def catch_up(before: Record, now: int, *, slot: bool = True, because: str = DOWN) -> Change:
    return decided(ledger.catch_up, before, now=now, run_id="new", instance="i", slot=slot, because=because)


@pytest.mark.parametrize(
    ("definition", "remaining", "then", "missed", "after"),
    [
        pytest.param(job(), None, ["catch-up 9 claimed"], "missed down 0..8 ×9", "next 10, ∞ left", id="once"),
        pytest.param(job(HOURLY, catch_up="none"), None, [], "missed down 0..0 ×1", "next 60, ∞ left", id="none"),
        pytest.param(
            job(catch_up="none"),
            None,
            ["schedule 9 claimed"],
            "missed down 0..8 ×9",
            "next 10, ∞ left",
            id="none, and the latest is only late",
        ),
        pytest.param(
            job(HOURLY, resume_at_next_scheduled_time=True),
            None,
            [],
            "missed down 0..0 ×1",
            "next 60, ∞ left",
            id="resuming at the next time",
        ),
        pytest.param(
            job(HOURLY, resume_at_next_scheduled_time=True, catch_up="all"),
            None,
            [],
            "missed down 0..0 ×1",
            "next 60, ∞ left",
            id="resuming at the next time, whatever the policy",
        ),
        pytest.param(
            job(catch_up="all"),
            None,
            ["catch-up 0 claimed", *(f"catch-up {minute} waiting overlap" for minute in range(1, 10))],
            None,
            "next 10, ∞ left",
            id="all, one after another",
        ),
        pytest.param(
            job(catch_up="all", catch_up_limit=2),
            None,
            ["catch-up 8 claimed", "catch-up 9 waiting overlap"],
            "missed down 0..7 ×8",
            "next 10, ∞ left",
            id="all to the limit: the latest",
        ),
        pytest.param(
            job(catch_up="all", overlap="allow", catch_up_limit=2),
            None,
            ["catch-up 8 claimed", "catch-up 9 waiting limit"],
            "missed down 0..7 ×8",
            "next 10, ∞ left",
            id="all, beside each other: one has the place, the other waits for one",
        ),
        pytest.param(
            job(catch_up="all", catch_up_window="PT2M30S"),
            None,
            ["catch-up 7 claimed", "catch-up 8 waiting overlap", "catch-up 9 waiting overlap"],
            "missed down 0..6 ×7",
            "next 10, ∞ left",
            id="all within the window, whose edge belongs to it",
        ),
        pytest.param(
            job(HOURLY, catch_up_window="PT9M29S"),
            None,
            [],
            "missed down 0..0 ×1",
            "next 60, ∞ left",
            id="once, but not within the window",
        ),
        pytest.param(
            job(SIX),
            6,
            ["catch-up 9 claimed"],
            "missed down 0..8 ×9",
            "next 10, 5 left",
            id="missed ones count nothing",
        ),
        pytest.param(
            job(SIX, catch_up="all"),
            2,
            ["catch-up 8 claimed", "catch-up 9 waiting overlap"],
            "missed down 0..7 ×8",
            "next -, 0 left",
            id="all that remain",
        ),
        pytest.param(job(SIX), 1, ["catch-up 9 claimed"], "missed down 0..8 ×9", "next -, 0 left", id="the last one"),
        pytest.param(
            job(SIX, catch_up="none"),
            6,
            ["schedule 9 claimed"],
            "missed down 0..8 ×9",
            "next 10, 5 left",
            id="none, with a count",
        ),
        pytest.param(job(ONCE), 1, ["catch-up 0 claimed"], None, "next -, 0 left", id="R0 runs"),
        pytest.param(job(ONCE, catch_up="none"), 1, ["catch-up 0 claimed"], None, "next -, 0 left", id="R0, none: too"),
        pytest.param(
            job(ONCE, resume_at_next_scheduled_time=True),
            1,
            ["catch-up 0 claimed"],
            None,
            "next -, 0 left",
            id="R0, resuming at the next time: too",
        ),
        pytest.param(
            job(ONCE, catch_up_window="PT5M"), 1, [], "missed down 0..0 ×1", "next -, 1 left", id="R0 out of its window"
        ),
        pytest.param(job("", catch_up="none"), 1, ["now 0 claimed"], None, "next -, 0 left", id="no schedule: it runs"),
        pytest.param(
            job("", catch_up_window="PT5M"),
            1,
            [],
            "missed down 0..0 ×1",
            "next -, 1 left",
            id="no schedule, out of its window",
        ),
    ],
)
def test_ten_minutes_down(
    definition: Job, remaining: int | None, then: list[str], missed: str | None, after: str
) -> None:
    """Given a cursor at minute 0, when it is 9:30."""
    change = catch_up(record(definition, remaining=remaining), at(9, 30))
    assert lines(change.record.open) == then
    assert (line(change.record.gap) if change.record.gap else None) == missed
    assert standing(change.record) == after
    assert change.answer == (change.record.open[0] if then else None)
    assert len({run.id for run in change.record.open}) == len(then)
    if change.record.gap is not None:
        assert change.record.gap.id not in {run.id for run in change.record.open}
        assert (events.OCCURRENCE_MISSED, change.record.gap.id) in {(event.type, event.run) for event in change.events}


def test_a_month_end_comes_back() -> None:
    """The gap before what is caught up with ends at the occurrence before it, on the calendar."""
    given = record(job("R/2030-01-31T00:00:00Z/P1M"), cursor=at(30 * 1440))
    change = catch_up(given, at(90 * 1440 + 5))  # 1 April: 31 January, 28 February and 31 March have passed
    assert lines(change.record.open) == [f"catch-up {89 * 1440} claimed"]
    assert change.record.gap is not None
    assert line(change.record.gap) == f"missed down {30 * 1440}..{58 * 1440} ×2"
    assert change.record.cursor == at(119 * 1440)


@pytest.mark.parametrize(
    ("overlap", "then", "gaps"),
    [
        ("queue", ["schedule 0 claimed", "catch-up 9 waiting overlap"], ["missed down 1..8 ×8"]),
        ("skip", ["schedule 0 claimed"], ["missed down 1..8 ×8", "skipped overlap 9..9 ×1"]),
        ("allow", ["schedule 0 claimed", "catch-up 9 claimed"], ["missed down 1..8 ×8"]),
    ],
)
def test_catching_up_while_a_run_is_on(overlap: str, then: list[str], gaps: list[str]) -> None:
    change = catch_up(record(job(overlap=overlap), cursor=at(1), open=(run(),)), at(9, 30))
    assert lines(change.record.open) == then
    assert change.record.gap is not None
    assert lines((*change.rows, change.record.gap)) == gaps


def test_catching_up_once_replaces_what_waits_already() -> None:
    waits = run("w", at(1), State.WAITING)
    given = record(job(SIX), cursor=at(2), remaining=4, open=(run(), waits))
    change = catch_up(given, at(5, 30))
    assert lines(change.record.open) == ["schedule 0 claimed", "catch-up 5 waiting overlap"]
    assert change.record.gap is not None
    assert lines((*change.rows, change.record.gap)) == ["missed down 2..4 ×3", "skipped overlap 1..1 ×1"]
    assert standing(change.record) == "next 6, 4 left"


def test_without_a_place_it_waits() -> None:
    change = catch_up(record(), at(9, 30), slot=False)
    assert lines(change.record.open) == ["catch-up 9 waiting limit"]


def test_what_passed_while_disabled_is_skipped() -> None:
    change = catch_up(record(job(catch_up="none")), at(9, 30), because=DISABLED)
    assert change.record.gap is not None
    assert line(change.record.gap) == "skipped disabled 0..9 ×10"
    assert [event.type for event in change.events] == [events.OCCURRENCE_SKIPPED]


@pytest.mark.parametrize("definition", [job(), job(ONCE), job("")])
def test_nothing_to_catch_up_with(definition: Job) -> None:
    with pytest.raises(Stale):
        catch_up(record(definition, cursor=None, remaining=0), at(9, 30))


def test_a_year_each_second_is_one_range() -> None:
    """A job each second, a year down: one record, and no walk over 31 million occurrences."""
    given = record(job("R/2030-01-01T00:00:00Z/PT1S", catch_up="none"))
    change = catch_up(given, at(365 * 1440))
    assert change.record.gap is not None
    assert (change.record.gap.scheduled_for, change.record.gap.until) == (T0, at(365 * 1440) - SECOND)
    assert change.record.gap.count == 365 * 86_400
    assert change.rows == ()


# Ranges: neighbours with one reason are one.


@pytest.mark.parametrize(
    ("gap", "then"),
    [
        pytest.param(("skipped", "disabled", 0, 3), ["skipped disabled 0..9 ×10"], id="the same goes on"),
        pytest.param(
            ("skipped", "disabled", 0, 2),
            ["skipped disabled 0..2 ×3", "skipped disabled 4..9 ×6"],
            id="one between them ran",
        ),
        pytest.param(
            ("skipped", "overlap", 0, 3),
            ["skipped overlap 0..3 ×4", "skipped disabled 4..9 ×6"],
            id="another reason",
        ),
        pytest.param(
            ("missed", "disabled", 0, 3),
            ["missed disabled 0..3 ×4", "skipped disabled 4..9 ×6"],
            id="another state",
        ),
    ],
)
def test_neighbours_with_one_reason_are_one_range(gap: tuple[str, str, int, int], then: list[str]) -> None:
    state, reason, first, last = gap
    before = run(
        "gap", at(first), State(state), Trigger.SCHEDULE, reason=reason, until=at(last), count=last - first + 1
    )
    given = record(job(MINUTELY, catch_up="none"), cursor=at(4), gap=before)
    change = catch_up(given, at(9), because=DISABLED)
    assert change.record.gap is not None
    assert lines((*change.rows, change.record.gap)) == then
    assert change.record.gap.ended == at(9)


def test_a_range_is_closed_once() -> None:
    before = run("gap", at(0), State.SKIPPED, reason="overlap", until=at(3), count=4)
    change = decided(ledger.close_gap, record(gap=before))
    assert (change.rows, change.record.gap) == ((before,), None)
    again = decided(ledger.close_gap, change.record)
    assert again.record is change.record
    assert again.rows == ()


def test_what_is_told_of_runs_and_occurrences_names_the_job() -> None:
    change = catch_up(record(), at(9))
    assert [(one.type, one.job_name) for one in change.events] == [
        (events.OCCURRENCE_MISSED, "j"),
        (events.RUN_CLAIMED, "j"),
    ]
    waiting = catch_up(record(), at(9), slot=False).record
    dropped = decided(ledger.drop_waiting, waiting, reason=DISABLED, now=at(9), instance="i")
    assert [(one.type, one.job_name) for one in dropped.events] == [(events.OCCURRENCE_SKIPPED, "j")]
