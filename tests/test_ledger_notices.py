"""What is owed to the addresses in a job's `notify`."""

from collections.abc import Callable

import pytest
from records import T0, at, attempt, decided, job, record, run
from watched import DEFAULT, FAILED, SUCCEEDED, A, B, claimed, ended, failing, lost, notify, owed, taken, watched

from kala import ledger
from kala.clock import DAY, SECOND
from kala.job import Notify, Record, replace
from kala.ledger import KINDS
from kala.states import State

CAUSES: list[tuple[str, Callable[[Record], Record]]] = [
    ("failure", lambda before: ended(before, FAILED)),
    ("failure", lambda before: ended(before, State.TIMED_OUT)),
    ("recovery", lambda before: ended(failing(before), SUCCEEDED)),
    ("lost", lost),
    ("late", lambda before: claimed(before, 60)),
    ("missed", lambda before: claimed(before, 600)),
    ("", lambda before: ended(before, SUCCEEDED)),
    ("", lambda before: ended(failing(before), State.CANCELLED)),
    ("", lambda before: claimed(before, 59)),
]


@pytest.mark.parametrize("on", [KINDS, DEFAULT, *[(kind,) for kind in KINDS]], ids="+".join)
@pytest.mark.parametrize(("kind", "cause"), CAUSES)
def test_what_happens_is_owed_to_whom_it_concerns(
    kind: str, cause: Callable[[Record], Record], on: tuple[str, ...]
) -> None:
    """Given two addresses of which one wants `on`, and one the other kinds; each gets its own, in the same write."""
    others = tuple(one for one in KINDS if one not in on)
    targets = [notify(*on, late_after="PT59S"), *([notify(*others, url=B, late_after="PT59S")] if others else [])]
    after = cause(watched(*targets))
    assert [(one.kind, one.url) for one in after.notices] == ([(kind, A if kind in on else B)] if kind else [])
    assert all((one.instance, one.tries, one.more) == ("i", 0, 0) for one in after.notices)
    assert all(one.not_before == one.at for one in after.notices)  # the first goes at once
    # and nobody hears of a job that tells nothing
    assert cause(record(job(catch_up="none"))).notices == ()


def test_by_default_all_but_lateness_is_told() -> None:
    assert Notify(A).on == DEFAULT


def test_several_addresses_are_each_owed_their_own() -> None:
    after = ended(watched(notify(), notify(url=B)), FAILED)
    assert [one.url for one in after.notices] == [A, B]
    assert len({one.id for one in after.notices}) == 2


@pytest.mark.parametrize(
    ("before", "then", "expected"),
    [
        pytest.param([SUCCEEDED], SUCCEEDED, [], id="it was well"),
        pytest.param([FAILED], SUCCEEDED, ["recovery"], id="it failed"),
        pytest.param([FAILED, SUCCEEDED], SUCCEEDED, [], id="it has recovered already"),
        pytest.param([State.TIMED_OUT], SUCCEEDED, ["recovery"], id="it timed out"),
        pytest.param([FAILED, State.CANCELLED], SUCCEEDED, ["recovery"], id="a cancelled run says nothing"),
        pytest.param([], SUCCEEDED, [], id="its first"),
    ],
)
def test_a_recovery_comes_after_a_failure_only(before: list[State], then: State, expected: list[str]) -> None:
    record_ = watched(notify("recovery"))
    for state in before:
        record_ = replace(ended(record_, state), notices=())
    assert [one.kind for one in ended(record_, then).notices] == expected
    # and so it is where nobody had heard of the failure
    quiet = record(job())
    for state in before:
        quiet = ended(quiet, state)
    now_watched = replace(quiet, job=watched(notify("recovery")).job)
    assert [one.kind for one in ended(now_watched, then).notices] == expected


def test_a_lost_run_is_followed_by_a_recovery() -> None:
    assert owed(ended(lost(watched()), SUCCEEDED, at(1))) == ["lost a 0:02", "recovery a 1"]


@pytest.mark.parametrize(
    ("late_after", "seconds", "late"),
    [
        ("PT30S", 30, False),
        ("PT30S", 30.1, True),
        ("PT0S", 0, False),
        ("PT0S", 0.5, True),
        ("PT5M", 60, False),
    ],
)
def test_late_is_what_begins_later_than_is_tolerated(late_after: str, seconds: float, late: bool) -> None:
    after = claimed(watched(notify("late", late_after=late_after)), seconds)
    assert [one.kind for one in after.notices] == (["late"] if late else [])
    # one that waits for its turn is late when that comes, and not before
    waits = replace(
        watched(notify("late", late_after=late_after)), open=(run("w", T0, State.WAITING, created=T0),), cursor=None
    )
    began = decided(ledger.begin, waits, run_id="w", instance="i", now=T0 + round(seconds * SECOND)).record
    assert [one.kind for one in began.notices] == (["late"] if late else [])
    # and a retry is not
    retried = replace(waits, open=(replace(waits.open[0], attempts=(attempt(FAILED),)),))
    retried = replace(retried, job=replace(retried.job, retries=1))
    began = decided(ledger.begin, retried, run_id="w", instance="i", now=T0 + DAY).record
    assert began.notices == ()
    assert began.open[0].state is State.CLAIMED


def test_only_those_who_tolerate_less_hear_of_it() -> None:
    targets = [notify("late", late_after="PT10S"), notify("late", url=B, late_after="PT50S")]
    assert owed(claimed(watched(*targets), 20)) == ["late a 0:20"]


def test_a_job_is_late_by_its_jitter_only_when_that_has_passed() -> None:
    before = watched(notify("late", late_after="PT1S"))
    waits = run("w", T0, State.WAITING, due=at(1))
    before = replace(before, open=(waits,))
    punctual = decided(ledger.begin, before, run_id="w", instance="i", now=at(1))
    assert punctual.record.notices == ()
    assert owed(decided(ledger.begin, before, run_id="w", instance="i", now=at(1, 2)).record) == ["late a 1:02"]


def test_a_run_that_is_put_back_and_begins_late_again_is_told_of_once() -> None:
    after = claimed(watched(notify("late")), 59)
    (on,) = after.open
    before = replace(after, notices=())
    waits = replace(before, open=(replace(on, state=State.WAITING, instance=""),))
    first = decided(ledger.begin, waits, run_id=on.id, instance="i", now=at(5)).record
    again = replace(first, open=waits.open)
    second = decided(ledger.begin, again, run_id=on.id, instance="i", now=at(6)).record
    assert second.notices == first.notices


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("none", ["missed 9", "late 1"]), ("once", ["missed 9", "late 1"]), ("all", ["late 1"])],
)
def test_what_is_missed_is_told_at_the_catch_up(catch_up: str, expected: list[str]) -> None:
    """Given ten occurrences that passed while nothing was up: those that are not made good are told of, in one."""
    before = watched(notify("missed", "late", late_after="PT30S"))
    after = claimed(replace(before, job=replace(before.job, catch_up=catch_up)), 9 * 60 + 45)
    assert [f"{one.kind} {one.run.count}" for one in after.notices] == expected


def test_what_was_skipped_while_disabled_or_paused_is_not_missed() -> None:
    before = watched(notify("missed"))
    change = decided(ledger.catch_up, before, now=at(9), run_id="c", instance="i", slot=True, because=ledger.PAUSED)
    assert change.record.gap is not None
    assert change.record.notices == ()


def test_a_range_that_has_grown_since_is_news() -> None:
    """Given a range of missed occurrences of which somebody has heard, and that has grown: the id is another one."""
    before = watched(notify("missed"))
    each_quarter = replace(before.job, schedule="R/2030-01-01T00:00:00Z/PT15M")
    first = claimed(replace(before, job=each_quarter), 600)
    second = claimed(taken(first, at(15)), 600)
    assert first.gap is not None
    assert second.gap is not None
    assert (first.gap.id, first.gap.count) == (second.gap.id, second.gap.count // 2)
    assert [one.run.count for one in second.notices] == [second.gap.count]
    assert first.notices[0].id != second.notices[0].id
