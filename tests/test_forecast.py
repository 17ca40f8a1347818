"""What is to come, held against walking along every schedule."""

from collections import Counter
from datetime import UTC, datetime
from itertools import takewhile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kala.clock import DAY, SECOND, Moment, from_datetime, rfc3339
from kala.forecast import Due, Load
from kala.forecast.load import MINUTE
from kala.forecast.walk import FEW, Budget
from kala.job import Job, Record
from kala.ledger import LATE, expected, plan_of
from kala.register import first_due

NOW = from_datetime(datetime(2030, 3, 28, 10, 0, 30, tzinfo=UTC))  # Berlin's clock changes on the 31st
SINCE = NOW // MINUTE * MINUTE


def record(job_id: str, schedule: str, *, now: Moment = NOW, disabled: bool = False, **members: str) -> Record:
    job = Job(job_id, "true", schedule=schedule, **members)  # type: ignore[arg-type]
    cursor, remaining = first_due(job, now)
    return Record(job_id, job, now, cursor=cursor, remaining=remaining, disabled=disabled)


def walked(record: Record, now: Moment, since: Moment, until: Moment) -> list[Moment]:
    """All starts of a job in the span, one after another: slow, and simple."""
    if record.disabled or record.deleted is not None or record.cursor is None:
        return []
    if not record.job.schedule:
        starts = [expected(record, record.cursor)]
    else:
        plan = plan_of(record.job)
        moments = iter([record.cursor]) if plan.is_single else plan.ahead(record.cursor - 1)
        starts = []
        for moment in takewhile(lambda one: one < until, moments):
            if plan.is_single or expected(record, moment) >= now - LATE:
                starts.append(expected(record, moment))
        starts = starts[: record.remaining]
    return [at for at in starts if since <= at < until]


def loaded(records: list[Record], since: Moment, minutes: int, now: Moment = NOW) -> Load:
    load = Load(now, since, minutes)
    for one in records:
        load.add(one)
    for _ in load.finish():
        pass
    return load


def found(records: list[Record], since: Moment, until: Moment, now: Moment = NOW) -> Due:
    due = Due(now, since, until)
    for one in records:
        due.add(one)
    due.close()
    return due


def agrees(records: list[Record], since: Moment, minutes: int, now: Moment = NOW) -> None:
    until = since + minutes * MINUTE
    starts = {one.id: walked(one, now, since, until) for one in records}
    load = loaded(records, since, minutes, now)
    by_minute = Counter((at - since) // MINUTE for several in starts.values() for at in several)
    assert {minute: count for minute, count in enumerate(load.counts) if count} == dict(by_minute)
    assert (load.jobs, load.truncated) == (sum(map(bool, starts.values())), False)
    due = found(records, since, until, now)
    wanted = sorted((several[0], job_id, len(several)) for job_id, several in starts.items() if several)
    assert due.after(0, "", len(records)) == wanted
    assert due.total == len(wanted)
    assert sum(count for _, _, count in wanted) == sum(load.counts)


INTERVALS = [
    *("PT1M", "PT5M", "PT1H", "PT61M", "PT7H30M", "P1D", "P1W", "P2D", "PT36H"),
    *("PT10S", "PT30S", "PT7S", "PT45S", "PT90S", "PT61S", "PT1H1S", "PT0.5S", "PT0.7S", "PT11.234567S", "PT77.7S"),
    *("P1M", "P1Y", "P1DT1H", "P1MT5M"),
]
ZONES = ["", "", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
CRONS = ["*/5 * * * *", "30 2 * * *", "0 6 * * MON-FRI", "0 */2 31 * *", "*/20 * * * * *", "@daily", "* 1,2,3 * * *"]


@st.composite
def jobs(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    zone = draw(st.sampled_from(ZONES))
    members = {"time_zone": zone}
    if draw(st.booleans()):
        members |= {"dst_gap": draw(st.sampled_from(["shift", "skip"]))}
        members |= {"dst_fold": draw(st.sampled_from(["first", "second", "both"]))}
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(CRONS)), members
    offset = draw(st.one_of(st.integers(-400 * 86_400, 5 * 86_400), st.integers(-7_200, 7_200)))
    start = rfc3339(NOW + offset * SECOND + draw(st.sampled_from([0, 0, 1, 700_000])))
    if zone and draw(st.booleans()):
        start = start.removesuffix("Z")  # by the zone's clock
    elif not zone and draw(st.integers(0, 5)) == 0:
        start += "[Europe/Berlin]"
    repetitions = draw(st.sampled_from(["", "", "", "0", "1", "2", "5", "40", "1000", "30000"]))
    interval = "" if repetitions == "0" else draw(st.sampled_from(INTERVALS))
    return f"R{repetitions}/{start}/{interval}", members


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Record], Moment, int]:
    """Jobs, some of which waited since before, or have made some of their claims; and a span."""
    records = []
    budget = FEW
    for number, (schedule, members) in enumerate(draw(st.lists(jobs(), min_size=1, max_size=6))):
        since = NOW - draw(st.sampled_from([0, 0, 0, 30, 90, 86_400])) * SECOND
        if draw(st.integers(0, 3)) == 0:
            members["jitter"] = draw(st.sampled_from(["PT10S", "PT5M", "PT3H", "P10D"]))
        one = record(f"job {number}", schedule, now=since, disabled=draw(st.integers(0, 9)) == 0, **members)
        if members.get("jitter") and len(walked(one, NOW, SINCE - DAY, SINCE + 4 * DAY)) > budget:
            one = record(f"job {number}", schedule, now=since, **(members | {"jitter": ""}))
        records.append(one)
    since = SINCE + draw(st.sampled_from([0, 0, 1, 60, 2_000])) * MINUTE
    return records, since, draw(st.sampled_from([1, 60, 1_500, 4_000]))


@settings(max_examples=120, deadline=None)
@given(fleets())
@example(([record("J", "R/2030-01-01T06:00:00/P1D", time_zone="Europe/Berlin")], SINCE, 6_000))
@example(([record("J", "R2/2030-03-28T06:00:00/P1D", time_zone="Europe/Berlin")], SINCE + 4_000 * MINUTE, 6_000))
def test_load_and_due_are_what_walking_along_comes_to(fleet: tuple[list[Record], Moment, int]) -> None:
    agrees(*fleet)


def test_jobs_that_go_on_alike_from_different_starts_are_counted_each() -> None:
    zone = {"time_zone": "Europe/Berlin"}
    fleet = [record(f"{day}", f"R/2030-01-{day:02d}T06:00:00/P1D", **zone) for day in range(1, 20)]
    fleet += [record(f"after {day}", f"R3/2030-03-{day:02d}T06:00:00/P1D", **zone) for day in range(29, 32)]
    fleet += [record(f"cron {number}", "0 6 * * *", **zone) for number in range(5)]
    agrees(fleet, SINCE, 10 * 1_440)


def test_jobs_of_one_schedule_with_and_without_jitter_are_counted_each() -> None:
    # given a span that begins between a moment and what is put off from it
    fleet = [record(f"{number}", "*/7 9,10 * * *", jitter="PT6M" if number % 2 else "") for number in range(20)]
    moment = plan_of(fleet[0].job).next_after(NOW)
    assert moment is not None
    since = moment // MINUTE * MINUTE + 3 * MINUTE
    assert {bool(walked(one, NOW, since, since + MINUTE)) for one in fleet if one.job.jitter} == {True, False}
    for minutes in (1, 3, 60, 1_500):
        agrees(fleet, since, minutes)


def test_what_has_no_schedule_is_due_once_and_a_child_never() -> None:
    waiting = Record("now", Job("now", "true"), NOW, cursor=NOW, remaining=1)
    child = Record("child", Job("child", "true", parent_jobs=["now"]), NOW)
    gone = Record("gone", Job("gone", "true", schedule="@daily"), NOW, cursor=NOW + DAY, remaining=None, deleted=NOW)
    agrees([waiting, child, gone], SINCE, 1_440)
    assert found([waiting, child, gone], SINCE, SINCE + DAY).total == 1


def test_what_is_too_late_is_not_to_come_and_what_is_put_off_still_is() -> None:
    before = NOW - DAY
    late = record("late", f"R/{rfc3339(before)}/PT1H", now=before)
    put_off = record("put off", f"R/{rfc3339(before)}/PT1H", now=before, jitter="PT1H")
    paused = record("month", "0 * * * *", now=before, jitter="PT50M")
    only = record("only", f"R0/{rfc3339(NOW - 90 * SECOND)}/", now=before)
    agrees([late, put_off, paused, only], SINCE - 2 * MINUTE, 600)


def test_many_that_are_put_off_are_as_many_in_all() -> None:
    # given jobs each of whose occurrences are too many to ask about
    fleet = [record(f"{number}", f"R/{rfc3339(SINCE)}/PT2M", jitter="PT2M") for number in range(40)]
    fleet += [record(f"cron {number}", "*/3 * * * *", jitter="PT3M") for number in range(40)]
    load, due = loaded(fleet, SINCE, 1_440), found(fleet, SINCE, SINCE + DAY)
    # then in all there are as many, but for those that come at the ends, and no minute has all of them or none
    count = sum(one.many for one in due.after(0, "", 100))
    assert abs(sum(load.counts) - count) <= len(fleet)
    assert load.jobs == due.total == 80
    middle = load.counts[10:-10]
    assert min(middle) > 10
    assert max(middle) < 60
    # but where it cannot leave its minute, each minute is right
    agrees([record("J", f"R/{rfc3339(SINCE)}/PT2M", jitter="PT1M")], SINCE, 1_440)


def test_what_would_take_too_long_is_not_all_counted_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "WALKED", 2_000)
    fleet = [record("sparse", "0 6 * * *"), record("dense", "* * * * * *"), record("steady", f"R/{rfc3339(NOW)}/PT1M")]
    load = loaded(fleet, SINCE, 1_440)
    # then the others are counted all the same, and of it as much as may be
    assert load.truncated
    assert 1_440 + 1 <= sum(load.counts) <= 1_440 + 1 + 2_000 + 1_000
    assert min(load.counts) == 1
    assert not loaded(fleet, SINCE, 10).truncated


def test_places_in_the_list_are_gone_on_from() -> None:
    fleet = [record(f"{number:04d}", f"{number % 60} 12 * * *") for number in range(2_500)]
    due = found(fleet, SINCE, SINCE + DAY)
    everything = due.after(0, "", 3_000)
    assert len(everything) == due.total == 2_500
    assert everything == sorted(everything)
    pages, place = [], (0, "")
    while page := due.after(*place, 100):
        pages += page
        place = (page[-1].at, page[-1].job)
    assert pages == everything
