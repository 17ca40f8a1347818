"""Two daemons on one database, of every engine that several can share: each occurrence runs once, whoever takes it."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from daemon_process import API, KalaProcess, wait_for
from servers.shared import EngineServer

from kala.clock import rfc3339

pytestmark = pytest.mark.slow

OCCURRENCES = int(os.environ.get("KALA_TEST_OCCURRENCES", "1000"))
JOBS = 200  # each with its share of these, a second apart
BEFORE = 15.0  # seconds from the beginning of creating to the first of them


class Pair(NamedTuple):
    first: KalaProcess
    second: KalaProcess

    def runs(self, state: str, through: KalaProcess | None = None) -> list[dict[str, Any]]:
        """All runs in a state, as the second daemon tells of them."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            answer = (through or self.second).get(f"{API}/run/?state={state}&limit=1000{after}")
            assert answer.status == 200, answer
            found += answer.json["runs"]
            if not answer.json["next"]:
                return found
            after = f"&after={answer.json['next']}"


@pytest.fixture
def pair(engine_server: EngineServer, tmp_path: Path) -> Iterator[Pair]:
    flags = ["--shared", "--keep-runs=100000", "--drain=5", *engine_server.flags]
    with (
        KalaProcess(tmp_path / "first", "--node=first", *flags) as first,
        KalaProcess(tmp_path / "second", "--node=second", *flags) as second,
    ):
        yield Pair(first, second)


def test_every_occurrence_runs_once(engine_server: EngineServer, pair: Pair, tmp_path: Path) -> None:
    if engine_server.service.title == "FerretDB":
        pytest.skip("FerretDB 1 is too slow for 200 runs a second, as its writers take turns")
    ledger, times = tmp_path / "ledger", OCCURRENCES // JOBS
    # Given jobs that are all due at the same moments, made half here and half there
    first = time.time() + BEFORE
    command = f'echo "$KALA_JOB_ID $KALA_SCHEDULED_FOR $KALA_NODE" >>{ledger}'
    for daemon in pair:
        line = {
            "name": "each second",
            "command": command,
            "shell": True,
            "overlap": "allow",  # a busy machine may be behind
            "schedule": f"R{times - 1}/{rfc3339(round(first * 1e6))}/PT1S",
        }
        body = "\n".join([json.dumps(line)] * (JOBS // 2)).encode()
        response, answer = daemon.request("POST", f"{API}/job/batch/", body)
        assert response.status == 200
        assert b'"error"' not in answer
    assert time.time() < first, "it took longer to make them than was thought"

    # When all have passed
    def ran() -> int:
        return len(ledger.read_text().splitlines()) if ledger.exists() else 0

    expected = JOBS * times
    pair.first.wait_for(lambda: ran() >= expected, "not all ran", seconds=60 + OCCURRENCES / 50)
    pair.second.wait_for(lambda: pair.second.get(f"{API}/stats/").json["Stats"]["success_count"] >= expected)

    # Then each has run once, on whichever was first
    lines = [line.split() for line in ledger.read_text().splitlines()]
    assert set(Counter((job, moment) for job, moment, _ in lines).values()) == {1}
    assert len(lines) == expected
    assert {node for _, _, node in lines} <= {"first", "second"}
    # and the records say the same
    runs = pair.runs("succeeded")
    assert Counter((run["job_id"], run["scheduled_for"]) for run in runs).most_common(1)[0][1] == 1
    assert len(runs) == expected
    for state in "failed", "lost", "missed", "skipped":
        assert pair.runs(state) == []


def test_the_other_decides_what_a_dead_one_had_on(pair: Pair, tmp_path: Path) -> None:
    # Given long runs of both: whichever saw one first that was to start
    command = f"test $KALA_NODE = first && exec sleep 60; until test -e {tmp_path}/go; do sleep 0.1; done"
    ids = set()
    for daemon, count in (pair.first, 6), (pair.second, 4):
        for job_id in [daemon.create(name="long", command=command, shell=True) for _ in range(count)]:
            answer = daemon.post(f"{API}/job/start/{job_id}/?wait=false")
            assert answer.status == 202, answer
            ids.add(answer.json["id"])
    pair.second.wait_for(lambda: len(pair.runs("claimed,running")) == len(ids), "it does not see all runs")

    # then the other leaves those that are not its own alone, for longer than it takes to look after the dead
    instances = {run["id"]: run["instance"] for run in pair.runs("claimed,running")}
    looked = time.monotonic() + 7
    wait_for(lambda: time.monotonic() > looked, lambda: "")
    assert {run["id"]: run["instance"] for run in pair.runs("claimed,running")} == instances
    assert instances.keys() == ids
    first, second = (daemon.get(f"{API}/node/").json["instance"] for daemon in pair)
    assert set(instances.values()) == {first, second}
    theirs = {run for run, instance in instances.items() if instance == first}
    assert len(pair.first.descendants()) == len(theirs)

    # When one is killed
    pair.first.kill()

    # Then the other ends what is left of its runs and decides them, and its own go on to their end
    pair.second.wait_for(lambda: {run["id"] for run in pair.runs("lost")} == theirs, "they are not decided")
    assert pair.first.descendants() == []
    (tmp_path / "go").touch()
    pair.second.wait_for(lambda: {run["id"] for run in pair.runs("succeeded")} == ids - theirs)
    pair.second.wait_for(lambda: not pair.runs("claimed,running"))
