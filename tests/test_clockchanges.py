"""What changes of the clocks do to the occurrences of a job."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kala import register
from kala.clock import from_datetime, to_datetime
from kala.job import Job, Record
from kala.simulation.clockchanges import clock_changes

BEGIN, END = (from_datetime(datetime(year, 1, 1, tzinfo=UTC)) for year in (2027, 2028))
HALF_PAST_TWO = "R/2026-12-01T02:30:00/P1D"
GAP = "02:30 does not exist on 2027-03-28 in Europe/Berlin"
FOLD = "02:30 comes twice on 2027-10-31 in Europe/Berlin"

CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    (HALF_PAST_TWO, {}, [f"03-28 01:30 {GAP}: an hour later", f"10-31 00:30 {FOLD}: the first"]),
    ("30 2 * * *", {}, [f"03-28 01:30 {GAP}: an hour later", f"10-31 00:30 {FOLD}: the first"]),
    (
        HALF_PAST_TWO,
        {"dst_gap": "skip", "dst_fold": "second"},
        [f"03-28 01:30 {GAP}: left out, as dst_gap is skip", f"10-31 01:30 {FOLD}: the second"],
    ),
    (
        "30 2 * * *",
        {"dst_gap": "skip", "dst_fold": "both"},
        [
            f"03-28 01:30 {GAP}: left out, as dst_gap is skip",
            f"10-31 00:30 {FOLD}: the first",
            f"10-31 01:30 {FOLD}: the second",
        ],
    ),
    ("R/2026-12-01T12:00:00/P1D", {}, []),  # nothing happens at noon
    (HALF_PAST_TWO, {"time_zone": ""}, []),  # nor in UTC
    ("R/2026-12-01T02:30:00/PT24H", {}, []),  # hours pass everywhere alike
    ("R99/2027-01-01T02:30:00/P1D", {}, [f"03-28 01:30 {GAP}: an hour later"]),  # it has ended when autumn comes
    # the hours are added to what the clock shows: of 02:30 on that day, 87 hours
    ("R/2026-12-31T02:30:00/P1DT1H", {}, [f"03-31 16:30 {GAP}: an hour later"]),
]


def record(schedule: str, **members: Any) -> Record:
    job = Job("j", "true", schedule=schedule, **{"time_zone": "Europe/Berlin", **members})
    cursor, remaining = register.first_due(job, BEGIN)
    return Record("J", job, BEGIN, cursor=cursor, remaining=remaining)


@pytest.mark.parametrize(("schedule", "members", "expected"), CASES)
def test_clock_changes(schedule: str, members: dict[str, Any], expected: list[str]) -> None:
    found = clock_changes(record(schedule, **members), BEGIN, END)
    assert [f"{to_datetime(moment):%m-%d %H:%M} {note}" for moment, note in found][: len(expected) or 1] == expected


def test_only_what_lies_in_the_period() -> None:
    change = from_datetime(datetime(2027, 3, 28, 1, 30, tzinfo=UTC))
    assert len(list(clock_changes(record(HALF_PAST_TWO), change, change + 1))) == 1
    assert list(clock_changes(record(HALF_PAST_TWO), change + 1, change + 2)) == []
    assert list(clock_changes(record(HALF_PAST_TWO), change - 1, change)) == []


def test_a_job_that_does_not_run_has_none() -> None:
    disabled = Record("J", record(HALF_PAST_TWO).job, BEGIN, disabled=True, cursor=BEGIN)
    assert list(clock_changes(disabled, BEGIN, END)) == []
