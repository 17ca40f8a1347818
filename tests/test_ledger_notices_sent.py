"""How often, in which order and how long what is owed to addresses is sent, and by whom."""

from collections.abc import Sequence

import pytest
from records import MINUTE, T0, Jobs, at, attempt, decided, run, when
from watched import FAILED, SUCCEEDED, A, B, claimed, ended, lost, notify, owed, taken, told, watched

from kala import ledger, register
from kala.clock import DAY, SECOND
from kala.errors import Stale
from kala.job import Notify, Record, encode, replace
from kala.ledger import KINDS, Change

# Of one kind not more than one in `every`.


def test_those_that_come_within_every_are_one() -> None:
    now = watched(notify(every="PT5M"))
    now = ended(now, FAILED, at(0), name="r0")
    assert owed(now) == ["failure a 0"]
    # while the first may be on its way, the next is another one
    now = ended(now, FAILED, at(1), name="r1")
    assert owed(now) == ["failure a 0", "failure a 1"]
    # and stands for all that follow
    now = ended(now, FAILED, at(2), name="r2")
    now = ended(now, FAILED, at(3), name="r3")
    assert owed(now) == ["failure a 0", "failure a 1 +2"]
    assert [one.run.id for one in now.notices] == ["r0", "r3"]
    # it is sent `every` after the first was taken
    now = taken(now, at(4))
    assert owed(now) == ["failure a 9 +2"]
    now = ended(now, FAILED, at(8), name="r4")
    assert owed(now) == ["failure a 9 +3"]
    now = taken(now, at(9))
    assert owed(now) == []
    assert owed(ended(now, FAILED, at(13), name="r5")) == ["failure a 14"]
    # and after that long without, at once
    assert owed(ended(now, FAILED, at(15), name="r5")) == ["failure a 15"]


def test_of_two_at_one_moment_the_first_may_be_on_its_way() -> None:
    now = ended(ended(watched(notify()), FAILED, at(0), name="r0"), FAILED, at(0), name="r1")
    assert owed(now) == ["failure a 0", "failure a 0"]


def test_each_kind_and_address_has_its_own_limit() -> None:
    targets = [notify(every="PT5M"), notify(url=B, every="PT0S")]
    now = ended(watched(*targets), FAILED, at(0), name="r0")
    now = taken(taken(now, at(0, 1)), at(0, 1))
    now = ended(now, FAILED, at(1), name="r1")
    assert owed(now) == ["failure a 5:01", "failure b 1"]
    assert owed(lost(now, at(2))) == ["failure a 5:01", "failure b 1", "lost a 2", "lost b 2"]


def test_an_id_is_always_the_same_for_the_same_run() -> None:
    first, again = ended(watched(), FAILED), ended(watched(), FAILED)
    assert first == again
    other = ended(watched(), FAILED, name="s")
    assert first.notices[0].id != other.notices[0].id


# Order.


def sequence(before: Record, now: int) -> list[str]:
    """What is sent if each is taken at its moment."""
    came = []
    while heads := ledger.next_notices(before):
        notice = min(heads, key=lambda one: one.not_before)
        now = max(now, notice.not_before)
        came.append(f"{told(notice).partition(' ')[0]} {notice.run.id} {when(now)}")
        before = decided(ledger.notified, before, notice_id=notice.id, now=now).record
    return came


def test_the_last_word_is_how_the_job_is() -> None:
    """Given a job that fails and recovers faster than may be told: what is told last is true."""
    now = watched(notify(every="PT10M"))
    for minute, state in enumerate([FAILED, SUCCEEDED] * 3 + [FAILED]):
        now = ended(now, state, at(minute), name=f"r{minute}")
    assert sequence(now, at(7)) == [
        "failure r0 7",
        "recovery r1 7",
        "recovery r5 17",
        "failure r6 17",
    ]


def test_what_waits_because_of_every_holds_up_no_other_kind() -> None:
    now = watched(notify("failure", "missed", "late", every="P1D"), cursor=at(10))
    now = taken(claimed(now, 600), at(20))
    now = claimed(now, 600)
    assert owed(now) == [f"missed a {24 * 60 + 20}"]
    now = ended(now, FAILED, at(40))
    assert [told(one) for one in ledger.next_notices(now)] == ["failure a 40"]


def test_of_several_kinds_that_are_to_be_sent_at_once_the_first_goes_first() -> None:
    now = ended(claimed(watched(notify("failure", "late", late_after="PT59S")), 60), FAILED, at(1))
    assert owed(now) == ["late a 1", "failure a 1"]
    assert [told(one) for one in ledger.next_notices(now)] == ["late a 1"]


# Not taken.


def put_off(before: Record, now: int) -> Record:
    (notice, *_) = ledger.next_notices(before)
    return decided(ledger.put_off, before, notice_id=notice.id, now=now).record


def test_one_that_is_not_taken_is_sent_again_later_and_later_and_given_up_after_a_day() -> None:
    before = ended(watched(), FAILED, T0)
    now, delays = T0, []
    was = before.notices[0]
    while before.notices:
        before = put_off(before, now)
        for one in before.notices:
            assert replace(one, tries=0, refused=0, not_before=was.not_before) == was  # its id, above all
            delays.append((one.not_before - now) // SECOND)
            now = one.not_before
    assert delays[:9] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert set(delays[9:]) == {600}
    assert DAY <= now - T0 < DAY + 600 * SECOND
    # a limit is for what was taken
    assert before.noticed is None


def test_a_day_begins_with_the_first_try() -> None:
    """Given one that waited for two days because of `every`, or because no daemon was up: it is tried for a day."""
    before = ended(watched(), FAILED, T0)
    late = put_off(before, T0 + 2 * DAY)
    assert [one.tries for one in late.notices] == [1]
    assert put_off(late, T0 + 3 * DAY).notices == ()


def test_decisions_about_what_is_owed_no_more_are_stale() -> None:
    before = ended(watched(), FAILED)
    (notice,) = before.notices
    after = taken(before, at(1))
    for decide in (ledger.notified, ledger.put_off):
        with pytest.raises(Stale):
            decided(decide, after, notice_id=notice.id, now=at(2))


def test_an_address_that_is_down_for_a_day_does_not_let_the_record_grow() -> None:
    """Given a job that fails each second, by hundreds of attempts, and recovers at times, and ten addresses that take
    nothing: for each there are two of each kind at most, and the record stays small."""
    targets = [notify(*KINDS, url=f"http://a.example/{n}", every="PT1M") for n in range(10)]
    one_day = watched(*targets)
    attempts = tuple(attempt(FAILED, number=n + 1) for n in range(500))
    sizes = []
    for second in range(0, 86_400, 60):  # each second of them would fold likewise
        now = T0 + second * SECOND
        state = SUCCEEDED if second % 240 == 0 else FAILED
        on = replace(one_day, open=(run(f"r{second}", attempts=attempts),))
        one_day = ledger.end_attempt(
            on,
            run_id=f"r{second}",
            attempt=attempt(state, number=501, ended=now),
            output=b"",
            now=now,
            children=(),
            instance="i",
        ).record
        for notice in ledger.next_notices(one_day):
            if notice.not_before <= now:
                one_day = ledger.put_off(one_day, notice_id=notice.id, now=now).record
        sizes.append(len(encode(one_day)))
    assert len(one_day.notices) == 10 * 2 * 2
    assert max(sizes) < 250_000
    assert max(sizes[700:]) <= max(sizes[:700]) + 1000
    (stands, *_) = [one for one in one_day.notices if one.more and one.kind == "failure"]
    assert stands.more > 1000
    assert stands.run.retries == 500
    assert (stands.run.attempts[0].number, stands.run.attempts[-1].number) == (1, 501)


# Others.


def test_of_a_dead_instance_the_next_one_sends() -> None:
    before = ended(ended(watched(every_minute()), FAILED, name="r0"), FAILED, at(1), name="r1")
    half = replace(before, notices=(replace(before.notices[0], instance="alive"), before.notices[1]))
    change = decided(ledger.take_over, half, alive=frozenset({"alive"}), instance="n", now=at(2))
    assert [one.instance for one in change.record.notices] == ["alive", "n"]
    assert [one.id for one in change.record.notices] == [one.id for one in half.notices]
    with pytest.raises(Stale):
        decided(ledger.take_over, change.record, alive=frozenset({"alive", "n"}), instance="n", now=at(2))


def every_minute() -> Notify:
    return notify(every="PT1M")


def deleted(before: Record, now: int = T0) -> Record:
    (change,) = register.delete("J", Jobs(before), now)
    return change.record


def test_what_is_owed_outlives_the_job() -> None:
    before = ended(watched(), FAILED)
    after = deleted(before)
    assert after.notices == before.notices
    with pytest.raises(Stale):
        register.purge(after, T0 + 2 * DAY)
    assert register.purge(taken(after, at(1)), T0 + 2 * DAY).purge
    # but of what ends after that nobody hears
    assert deleted(replace(watched(), open=(run(),))).open != ()
    assert ended(deleted(watched()), FAILED).notices == ()


@pytest.mark.parametrize(
    ("targets", "left"),
    [
        pytest.param([notify(), notify(url=B)], [A, B], id="as it was"),
        pytest.param([notify(url=B)], [B], id="an address is gone"),
        pytest.param([notify("lost"), notify(url=B)], [B], id="a kind is gone"),
        pytest.param([notify(every="P1D", late_after="P1D"), notify(url=B)], [A, B], id="other limits"),
        pytest.param(None, [], id="nobody is told any more"),
    ],
)
def test_whom_the_definition_does_not_name_any_more_nothing_is_owed(
    targets: Sequence[Notify] | None, left: list[str]
) -> None:
    before = ended(watched(notify(), notify(url=B)), FAILED)
    definition = replace(before.job, notify=targets)
    change: Change = decided(
        register.edit,
        before,
        definition,
        Jobs(before),
        disabled=False,
        expected=None,
        now=at(1),
        instance="i",
        run_id="e",
    )
    assert [one.url for one in change.record.notices] == left


def test_limits_of_addresses_that_are_gone_are_forgotten() -> None:
    now = taken(ended(watched(notify(every="P1D")), FAILED, at(0)), at(0))
    assert now.noticed is not None
    moved = replace(now, job=replace(now.job, notify=[notify(url=B)]))
    later = taken(ended(moved, FAILED, at(1), name="s"), at(1) + MINUTE)
    assert list(later.noticed or ()) == [f"failure {B}"]
