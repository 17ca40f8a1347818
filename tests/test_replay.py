"""The daemon against the original's recorded exchanges, and what they leave open: exact times, order, text as sent."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from daemon_process import API, KalaProcess
from replay import CASES, differences, target
from servers.service import flags_of
from servers.shared import EngineServer

from kala.clock import rfc3339

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kala(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KalaProcess]:
    with KalaProcess(tmp_path_factory.mktemp("replay")) as running:
        yield running


@pytest.fixture(scope="module")
def called() -> Iterator[str]:
    with target() as url:
        yield url


def test_all_cases_are_here() -> None:
    assert len(CASES) == 54
    assert sum(len(case["steps"]) for case in CASES) == 174


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "-"))
def test_it_answers_as_the_original_did(kala: KalaProcess, called: str, case: dict[str, Any]) -> None:
    assert not differences(kala.url, case, called)


def test_it_answers_as_the_original_did_on_every_server(
    engine_server: EngineServer, called: str, tmp_path: Path
) -> None:
    # given daemons with a database of their own on the server, and the cases shared out, for most of them only wait
    shares: list[list[dict[str, Any]]] = [[] for _ in range(5)]
    for case in sorted(CASES, key=seconds_of, reverse=True):
        min(shares, key=lambda share: sum(map(seconds_of, share))).append(case)

    def replay(number: int, flags: list[str]) -> dict[str, list[str]]:
        with KalaProcess(tmp_path / str(number), *flags) as kala:
            return {case["name"]: differences(kala.url, case, called) for case in shares[number]}

    service = engine_server.service
    flags = [flags_of(engine_server.engine, service.fresh()) for _ in shares]
    with ThreadPoolExecutor(len(shares)) as pool:
        found = {name: faults for part in pool.map(replay, range(len(shares)), flags) for name, faults in part.items()}

    assert len(found) == len(CASES)
    assert not {name: faults for name, faults in found.items() if faults}


def seconds_of(case: dict[str, Any]) -> float:
    """How long a case takes: its waits, and a little for each step."""
    return sum(step.get("wait", 0) + 0.05 for step in case["steps"])


@pytest.mark.parametrize(
    ("schedule", "first"),
    [
        ("R/2099-06-04T19:25:16/PT1H", "2099-06-04T19:25:16Z"),
        ("R/2099-06-04T19:25:16.828696-07:00/PT1H", "2099-06-05T02:25:16.828696Z"),
        ("R/2099-06-04T19:25:16.5+05:30/P1Y2M10DT2H30M15S", "2099-06-04T13:55:16.5Z"),
        ("R0/2099-06-04T19:25:16Z/", "2099-06-04T19:25:16Z"),
    ],
)
def test_next_run_at_is_exact_and_the_schedule_as_sent(kala: KalaProcess, schedule: str, first: str) -> None:
    job = kala.job(kala.create(schedule=schedule))

    assert (job["next_run_at"], job["schedule"]) == (first, schedule)


def test_rows_are_in_the_order_of_their_runs_and_on_the_grid(kala: KalaProcess) -> None:
    # given a job that is due four times, a second apart
    start = int(time.time() * 1_000_000) + 5_000_000
    job_id = kala.create(schedule=f"R3/{rfc3339(start)}/PT1S")

    # when all have run
    kala.wait_for(lambda: kala.job(job_id)["is_done"])

    # then each is there, in order, none before its moment, and the last moment stays shown
    rows = kala.get(f"{API}/job/stats/{job_id}/").json["job_stats"]
    times = [row["ran_at"] for row in rows]
    assert len(rows) == 4
    assert times == sorted(times)
    for number, ran_at in enumerate(times):
        assert rfc3339(start + number * 1_000_000)[:19] <= ran_at[:19]
    # (a later one, where a busy machine came to several of them at once)
    assert kala.job(job_id)["next_run_at"] >= rfc3339(start + 3_000_000)


def test_rows_beyond_the_packed_ones_come_from_the_history(kala: KalaProcess) -> None:
    job_id = kala.create()

    for _ in range(25):
        assert kala.post(f"{API}/job/start/{job_id}/").status == 204

    assert len(kala.get(f"{API}/job/stats/{job_id}/").json["job_stats"]) == 25
    assert len(kala.job(job_id)["stats"]) == 25
    assert len(kala.jobs()[job_id]["stats"]) == 20


def test_a_restart_changes_no_answer(kala: KalaProcess, tmp_path: Path) -> None:
    job_id = kala.create(name="kept", owner="a@b.c", retries=2, epsilon="PT5S")
    kala.post(f"{API}/job/start/{job_id}/")
    before = kala.job(job_id)

    kala.restart()

    assert kala.job(job_id) == before
