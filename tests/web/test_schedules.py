"""What comes next: of a job, and of a schedule that no job has yet."""

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kala.clock import from_datetime, rfc3339
from kala.job import Job, Record
from kala.ledger import LATE, expected
from kala.web.schedules import Schedules

from .server import FUTURE, Server, until


def coming(server: Server, job: str, query: str = "") -> dict[str, Any]:
    answer = server.ask("GET", f"/api/v1/job/{job}/next/{query}")
    assert answer.status == 200, answer.text
    assert list(answer.json) == ["next", "explanation", "words"]
    found: dict[str, Any] = answer.json
    return found


def previewed(server: Server, **members: Any) -> dict[str, Any]:
    answer = server.ask("POST", "/api/v1/schedule/preview/", members)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_the_coming_occurrences_of_a_job(either: Server) -> None:
    job = either.create(schedule="R/2099-01-31T08:00:00Z/P1M")
    assert coming(either, job, "?count=3") == {
        "next": [
            {"at": "2099-01-31T08:00:00Z", "local": "2099-01-31T08:00:00Z", "note": ""},
            {"at": "2099-02-28T08:00:00Z", "local": "2099-02-28T08:00:00Z", "note": ""},
            {"at": "2099-03-31T08:00:00Z", "local": "2099-03-31T08:00:00Z", "note": ""},
        ],
        "explanation": "",
        "words": "every month on the 31st (or its last day) at 08:00 UTC, from 2099-01-31",
    }
    assert len(coming(either, job)["next"]) == 10
    assert len(coming(either, job, "?count=1000")["next"]) == 1000
    # and no more than there are
    assert len(coming(either, either.create(schedule="R3/2099-01-31T08:00:00Z/P1M"))["next"]) == 4
    assert len(coming(either, either.create(schedule="R0/2099-01-31T08:00:00Z/"))["next"]) == 1


def test_jitter_puts_off_as_the_run_will_be(server: Server) -> None:
    job = server.create(schedule="R/2099-01-01T00:00:00Z/PT1H", jitter="PT30M")
    first = coming(server, job)["next"]
    hours = [datetime(2099, 1, 1, hour, tzinfo=UTC) for hour in range(10)]
    spread = [datetime.fromisoformat(one["at"]) - hour for one, hour in zip(first, hours, strict=True)]
    assert all(timedelta(0) <= one < timedelta(minutes=30) for one in spread)
    assert len(set(spread)) == 10
    assert first == coming(server, job)["next"]
    assert first[0]["at"] == server.ask("GET", f"/api/v1/job/{job}/").json["job"]["next_run_at"]


def test_a_zones_clock_is_told_with_what_its_changes_do(server: Server) -> None:
    # 2:30 is left out on the last Sunday of March
    found = previewed(server, schedule="30 2 * 3 SUN", time_zone="Europe/Berlin", count=20)["next"]
    noted = [one for one in found if one["note"]]
    assert {one["note"][:20] for one in noted} == {"02:30 does not exist"}
    assert {one["local"][10:] for one in noted} == {"T03:30:00+02:00"}
    assert {one["local"][10:] for one in found if not one["note"]} == {"T02:30:00+01:00"}
    assert all(datetime.fromisoformat(one["local"]) == datetime.fromisoformat(one["at"]) for one in found)
    skipped = previewed(server, schedule="30 2 * 3 SUN", time_zone="Europe/Berlin", dst_gap="skip", count=20)["next"]
    assert not [one for one in skipped if one["note"]]
    # 2:30 comes twice on the last Sunday of October
    both = previewed(server, schedule="30 2 * 10 7L", time_zone="Europe/Berlin", dst_fold="both", count=5)["next"]
    begin = int(both[0]["note"].endswith("second"))  # between the two of this year
    assert [one["local"][10:] for one in both[begin:]][:4] == ["T02:30:00+02:00", "T02:30:00+01:00"] * 2
    assert [one["note"][-6:] for one in both[begin:]][:4] == [" first", "second"] * 2


def test_why_nothing_comes(either: Server) -> None:
    parent = either.create()
    child = either.create(schedule="", parent_jobs=[parent])
    once = either.create(schedule="")
    disabled = either.create(disabled=True)
    until(lambda: either.ask("GET", f"/api/v1/job/{once}/").json["job"]["is_done"])
    for job, why in (
        (child, "the job is a child"),
        (once, "the job has no schedule"),
        (disabled, "the job is disabled"),
    ):
        found = coming(either, job)
        assert found["next"] == []
        assert found["explanation"].startswith(why)
    assert coming(either, child)["words"] == "after its parent has succeeded"
    assert coming(either, once)["words"] == "once, when it was made"
    # and while the daemon is paused, of no job
    assert either.ask("POST", "/api/v1/pause/").status == 200
    assert coming(either, parent) == {
        "next": [],
        "explanation": "the daemon is paused: nothing starts until it is resumed",
        "words": "every day at 00:00 UTC, from 2099-01-01",
    }
    assert coming(either, disabled)["explanation"].startswith("the job is disabled")
    # but what a schedule names, it names
    assert previewed(either, schedule=FUTURE, count=1)["next"] == [
        {"at": "2099-01-01T00:00:00Z", "local": "2099-01-01T00:00:00Z", "note": ""}
    ]


def test_a_preview_begins_now_and_ends_where_the_schedule_does(server: Server) -> None:
    before = datetime.now(UTC)
    found = previewed(server, schedule="R/2020-01-01T00:00:00Z/P1D", count=2)
    assert before <= datetime.fromisoformat(found["next"][0]["at"]) < datetime.now(UTC) + timedelta(days=1)
    assert previewed(server, schedule="R0/2020-01-01T00:00:00Z/") == {
        "next": [],
        "explanation": "the one occurrence of its schedule, 2020-01-01T00:00:00Z, has come",
        "words": "once at 2020-01-01 00:00 UTC",
    }
    assert len(previewed(server, schedule="R2/2099-01-01T00:00:00Z/PT1S", count=10)["next"]) == 3
    assert len(previewed(server, schedule="@daily")["next"]) == 10
    assert len(previewed(server, SCHEDULE="@daily", Count=4)["next"]) == 4
    words = previewed(server, schedule="30 2 * * MON", time_zone="Europe/Berlin")["words"]
    assert words == "at 02:30 on Monday, Europe/Berlin"
    last = previewed(server, schedule="R/9999-12-30T00:00:00Z/P1D", count=10)
    assert [one["at"] for one in last["next"]] == ["9999-12-30T00:00:00Z", "9999-12-31T00:00:00Z"]


FAULTS: list[tuple[Any, set[str]]] = [
    ({}, {"schedule"}),
    ({"schedule": ""}, {"schedule"}),
    ({"schedule": "61 * * * *"}, {"schedule"}),
    ({"schedule": 7}, {"schedule"}),
    ({"schedule": "@daily", "time_zone": "Europe/Nowhere"}, {"time_zone"}),
    ({"schedule": "", "time_zone": "Europe/Nowhere"}, {"schedule", "time_zone"}),
    (
        {"schedule": "@daily", "dst_gap": "x", "dst_fold": "y", "jitter": "z", "count": 0},
        {"dst_gap", "dst_fold", "jitter", "count"},
    ),
    ({"schedule": "@daily", "count": 1001}, {"count"}),
    ({"schedule": "@daily", "count": "5"}, {"count"}),
    ([], {""}),
    (b"{", {""}),
    (b"", {""}),
]


@pytest.mark.parametrize(("body", "fields"), FAULTS)
def test_faults_of_a_preview_are_named_as_members_of_a_job(server: Server, body: Any, fields: set[str]) -> None:
    answer = server.ask("POST", "/api/v1/schedule/preview/", body)
    assert answer.status == 400
    assert answer.json["fields"].keys() == fields


def test_faults_of_a_question_about_a_job(server: Server) -> None:
    job = server.create()
    for count in ("0", "1001", "x", "-1"):
        assert server.ask("GET", f"/api/v1/job/{job}/next/?count={count}").json["fields"].keys() == {"count"}
    assert server.ask("GET", "/api/v1/job/nosuch/next/").status == 404
    assert server.ask("HEAD", f"/api/v1/job/{job}/next/").status == 200


@pytest.mark.slow
def test_the_rarest_of_schedules_holds_nobody_up(server: Server) -> None:
    # given one whose occurrences are decades apart, by a clock whose changes have to be looked up for each year
    answers: list[dict[str, Any]] = []

    def ask() -> None:
        answers.append(previewed(server, schedule="0 0 29 2 */7", time_zone="Europe/Berlin", count=60))

    thread = threading.Thread(target=ask)
    thread.start()
    answered = 0
    while thread.is_alive():
        assert server.ask("GET", "/healthz").status == 200
        answered += 1
    thread.join()
    assert len(answers[0]["next"]) == 60
    assert answered > 5, "hundreds; held up all along, one or two"


@pytest.mark.parametrize(
    ("schedule", "late", "first"),
    [
        pytest.param("R/2030-01-01T00:00:00Z/PT1S", LATE, 0, id="late, and runs"),
        pytest.param("R/2030-01-01T00:00:00Z/PT1S", LATE + 5_000_000, 5, id="for catch-up to decide about"),
        pytest.param("R0/2030-01-01T00:00:00Z/", LATE + 5_000_000, 0, id="the only one runs, however late"),
    ],
)
def test_what_has_passed_and_is_not_claimed_yet_comes_next_while_it_is_late(
    schedule: str, late: int, first: int
) -> None:
    start = from_datetime(datetime(2030, 1, 1, tzinfo=UTC))
    service = cast(Any, SimpleNamespace(clock=SimpleNamespace(now=lambda: start + late)))
    record = Record("J", Job("j", "true", schedule=schedule), start, cursor=start, remaining=None)
    coming = list(Schedules(service)._ahead(record, 1))
    assert [one.at for one in coming] == [rfc3339(start + first * 1_000_000)]


def test_what_jitter_puts_off_until_later_is_still_to_come() -> None:
    start = from_datetime(datetime(2030, 1, 1, tzinfo=UTC))
    job = Job("j", "true", schedule="R/2030-01-01T00:00:00Z/PT1H", jitter="PT1H")
    record = Record("J", job, start, cursor=start, remaining=None)
    at = expected(record, start)
    assert at > start + 2 * LATE
    for late, first in ((at - start, at), (at + LATE - start, at), (at + LATE + 1 - start, None)):
        service = cast(Any, SimpleNamespace(clock=SimpleNamespace(now=lambda late=late: start + late)))
        (coming,) = Schedules(service)._ahead(record, 1)
        assert coming.at == rfc3339(at if first is not None else expected(record, start + 3_600_000_000))
