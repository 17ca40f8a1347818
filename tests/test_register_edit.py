"""Edits: another definition, while runs are on, while they wait, and after occurrences have passed."""

import pytest
from records import MINUTELY, ONCE, Jobs, at, decided, job, lines, record, run, standing

from kala import events, ledger, register
from kala.errors import Invalid, VersionChanged
from kala.job import Record, replace
from kala.ledger import Change
from kala.states import State, Trigger

PARENTS = Jobs(record(id="P"), record(id="Q"), record(id="F"))
WAITING = State.WAITING


def edit(before: Record, *, disabled: bool | None = None, expected: str | None = None, **changed: object) -> Change:
    return decided(
        register.edit,
        before,
        replace(before.job, **changed),
        Jobs(*PARENTS.records.values(), before),
        disabled=before.disabled if disabled is None else disabled,
        expected=expected,
        now=at(9, 30),
        instance="i",
        run_id="new",
    )


ON = (run("r", at(8)), run("w", at(9), WAITING), run("m", at(9), WAITING, Trigger.MANUAL))


@pytest.mark.parametrize(
    ("changed", "then", "rows", "after"),
    [
        pytest.param(
            {"command": "false", "retries": 9},
            ["schedule 8 claimed", "schedule 9 waiting", "manual 9 waiting"],
            [],
            "next 10, 5 left",
            id="the schedule is as it was",
        ),
        pytest.param(
            {"schedule": "R2/2030-01-01T00:00:30Z/PT10M"},
            ["schedule 8 claimed", "manual 9 waiting"],
            ["schedule 9 skipped edited"],
            "next 10:30, 3 left",
            id="another schedule: at once, with its own count",
        ),
        pytest.param(
            {"schedule": ONCE},
            ["schedule 8 claimed", "manual 9 waiting"],
            ["schedule 9 skipped edited"],
            "next -, 1 left",
            id="another schedule, that has passed",
        ),
        pytest.param(
            {"schedule": ""},
            ["schedule 8 claimed", "manual 9 waiting"],
            ["schedule 9 skipped edited"],
            "next -, 0 left",
            id="no schedule any more: it does not run at once",
        ),
        pytest.param(
            {"parent_jobs": ["P"]},
            ["schedule 8 claimed", "manual 9 waiting"],
            ["schedule 9 skipped edited"],
            "next -, 0 left",
            id="it becomes a child",
        ),
    ],
)
def test_edited_while_a_run_is_on_and_others_wait(
    changed: dict[str, object], then: list[str], rows: list[str], after: str
) -> None:
    before = record(job("R7/2030-01-01T00:00:00Z/PT1M"), cursor=at(10), remaining=5, last_due=at(9), open=ON)
    change = edit(before, **changed)
    assert lines(change.record.open) == then
    assert lines(change.rows) == rows
    assert standing(change.record) == after
    assert change.record.version == 2
    assert change.record.job == replace(before.job, **changed)
    assert events.JOB_SAVED in {event.type for event in change.events}


def test_a_claim_of_the_former_schedule_gives_nothing_back_to_the_next() -> None:
    """Rn never runs more than n + 1 times, also when a run of another schedule waited at the edit."""
    before = record(job("R7/2030-01-01T00:00:00Z/PT1M"), cursor=at(10), remaining=5, last_due=at(9), open=ON)
    edited = edit(before, schedule="R1/2030-01-01T00:10:00Z/PT1M").record
    first = decided(
        ledger.claim, edited, version=2, cursor=at(10), now=at(10), run_id="a", instance="i", slot=True
    ).record
    assert standing(first) == "next 11, 1 left"


def test_a_job_that_was_a_child_has_its_schedule() -> None:
    before = record(job(MINUTELY, parent_jobs=["P"]), cursor=None, remaining=0)
    assert standing(edit(before, parent_jobs=None).record) == "next 10, ∞ left"


def test_what_passed_of_a_replaced_schedule_is_accounted_for() -> None:
    before = record(job(), cursor=at(4), disabled=True)
    change = edit(before, schedule="R/2030-01-01T00:00:00Z/P1D", disabled=False)
    assert lines(change.rows) == ["skipped disabled 4..9 ×6"]
    assert standing(change.record) == "next 1440, ∞ left"
    assert (change.record.disabled, change.record.open) == (False, ())


@pytest.mark.parametrize("disabled", [True, False])
def test_edited_and_switched_at_once(disabled: bool) -> None:
    before = record(job(), cursor=at(4), disabled=not disabled, open=(run(),) if disabled else ())
    change = edit(before, command="false", disabled=disabled)
    assert (change.record.disabled, change.record.version) == (disabled, 3)
    assert lines(change.record.open) == (["schedule 0 claimed"] if disabled else ["catch-up 9 waiting limit"])


def test_edited_from_beside_each_other_to_one_after_another() -> None:
    """Given two runs beside each other and one that waits for a place, it waits for both."""
    before = record(job(overlap="allow"), cursor=at(10), open=(run("w", at(7), WAITING), run("a"), run("b")))
    assert [one.id for one in ledger.next_up(before)] == ["w"]
    assert list(ledger.next_up(edit(before, overlap="queue").record)) == []


def test_the_version_that_the_client_saw() -> None:
    before = record(version=3, cursor=at(10))
    assert edit(before, expected="3", command="false").record.version == 4
    for seen in ("2", "4", "", "x"):
        with pytest.raises(VersionChanged):
            edit(before, expected=seen, command="false")


def test_a_failure_job_that_was_deleted_does_not_hinder_other_edits() -> None:
    before = record(job(on_failure_job="gone"), cursor=at(10))
    assert edit(before, command="false").record.version == 2
    with pytest.raises(Invalid):
        edit(before, on_failure_job="nowhere")


def test_a_claim_of_an_earlier_schedule_gives_nothing_back_to_the_later_one() -> None:
    # given a claim, and then another schedule for the job, which is disabled
    before = record(job("R3/2030-01-01T00:00:00Z/PT1M"), cursor=at(10), remaining=2, open=(run("r", at(9)),))
    edited = edit(before, schedule="R4/2030-01-01T00:00:00Z/PT2M", disabled=True).record
    assert edited.remaining == 5

    # when the claim comes to nothing
    change = decided(ledger.put_back, edited, run_id="r", instance="i", reason="shutdown", now=at(11))

    # then the new schedule has as many left as before
    assert change.record.open == ()
    assert change.record.remaining == 5


@pytest.mark.parametrize(
    ("changed", "rows", "after"),
    [
        pytest.param({"time_zone": "Asia/Kathmandu"}, ["schedule 9 skipped edited"], "next 15, ∞ left", id="a zone"),
        pytest.param({"dst_gap": "skip"}, ["schedule 9 skipped edited"], "next 30, ∞ left", id="what a gap does"),
        pytest.param({"dst_fold": "both"}, ["schedule 9 skipped edited"], "next 30, ∞ left", id="and a fold"),
        pytest.param({"jitter": "PT1S", "overlap": "replace"}, [], "next 30, ∞ left", id="nothing of it"),
    ],
)
def test_other_times_are_another_schedule_be_its_text_the_same(
    changed: dict[str, object], rows: list[str], after: str
) -> None:
    """Given two occurrences each hour, one of which waits; in Nepal the clock is 5 h 45 min ahead."""
    before = record(job("*/30 * * * *"), cursor=at(30), remaining=None, last_due=at(9), open=ON[:2])
    change = edit(before, **changed)
    assert lines(change.rows) == rows
    assert standing(change.record) == after
    assert change.record.schedule_version == 1 + len(rows)
