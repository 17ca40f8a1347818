"""Real daemons whose database's server dies, is silent, and comes back, while jobs run."""

import http.client
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from daemon_process import API, KalaProcess, until_there
from missing import require
from servers.registry import SERVICES
from servers.service import Service, flags_of

from kala.clock import SECOND, from_datetime, rfc3339

pytestmark = pytest.mark.slow
DOWN, UP = "the database is away", "the database is back"


class Place(NamedTuple):
    """A database that nobody else uses, and a daemon on it that is not started yet."""

    service: Service
    kala: KalaProcess

    @property
    def kept(self) -> list[Path]:
        """The files of results that wait."""
        return sorted(self.kala.folder.glob("kala-spool-*"))

    def lines(self) -> int:
        return sum(len(path.read_bytes().splitlines()) for path in self.kept)


@pytest.fixture(params=["redis", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind = SERVICES[request.param]
    require(kind)
    service = kind(tmp_path / "server").start()
    kala = KalaProcess(tmp_path / "kala", "--drain=60", *flags_of(kind.engine, service.fresh()))
    try:
        yield Place(service, kala)
    finally:
        kala.close()
        service.kill()


def soon(seconds: float) -> str:
    return rfc3339(round((time.time() + seconds) * SECOND))


def listen(kala: KalaProcess) -> http.client.HTTPResponse:
    """The stream of what is told of the database, from now on."""
    connection = http.client.HTTPConnection(urlsplit(kala.url).netloc, timeout=60)
    connection.request("GET", f"{API}/events/?type=store.down,store.up")
    response = connection.getresponse()
    assert b"hello" in response.readline()
    return response


def covered(kala: KalaProcess, job_id: str) -> Counter[int]:
    """Of every second, how many records there are of it."""
    found: Counter[int] = Counter()
    after = ""
    while True:
        answer = kala.get(f"{API}/run/?job={job_id}&limit=1000{after}")
        assert answer.status == 200
        for run in answer.json["runs"]:
            first = seconds_of(run["scheduled_for"])
            last = seconds_of(run["until"] or run["scheduled_for"])
            assert run["count"] == last - first + 1
            assert run["state"] == "succeeded" or run["reason"], run
            found.update(range(first, last + 1))
        if not answer.json["next"]:
            return found
        after = f"&after={answer.json['next']}"


def seconds_of(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text)) // SECOND


def test_a_server_that_is_away_for_seconds_costs_no_occurrence(place: Place, tmp_path: Path) -> None:
    service, kala = place
    ran = tmp_path / "ran"
    ran.touch()
    # given jobs that run each second
    with kala:
        events = listen(kala)
        command = f"echo $KALA_JOB_ID $KALA_SCHEDULED_FOR >> {ran}"
        first = soon(6)
        jobs = [kala.create(command=command, shell=True, schedule=f"R/{first}/PT1S") for _ in range(10)]
        kala.wait_for(lambda: len(ran.read_text().splitlines()) > 30)
        # when the server is killed, and away for 8 seconds
        service.kill()
        kala.wait_for(lambda: "database_away_since" in str(kala.get("/readyz").json))
        response, _ = kala.request("POST", f"{API}/job/", {"name": "new", "command": "true"})
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert kala.get("/healthz").status == 200
        assert set(kala.jobs()) == set(jobs)
        time.sleep(8)
        before = len(ran.read_text().splitlines())
        service.start()
        # then all goes on by itself
        kala.wait_for(lambda: kala.get("/readyz").status == 200)
        kala.wait_for(lambda: len(ran.read_text().splitlines()) > before + 50)
        for job in jobs:
            kala.post(f"{API}/job/disable/{job}/")
        kala.wait_for(lambda: not kala.get(f"{API}/run/?state=waiting,claimed,running").json["runs"])
        # each second is explained, once, and nothing ran twice
        for job in jobs:
            found = covered(kala, job)
            assert set(found.values()) == {1}
            assert sorted(found) == list(range(min(found), max(found) + 1))
            assert min(found) == seconds_of(first)
        lines = ran.read_text().splitlines()
        assert len(lines) == len(set(lines))
        succeeded = kala.get(f"{API}/stats/").json["Stats"]["success_count"]
        assert len(lines) == succeeded
        # it was told once
        assert kala.log().count(DOWN) == kala.log().count(UP) == 1
        lines = (line for line in iter(events.readline, b"") if line.strip())  # an empty one says that all is well
        told = [json.loads(next(lines))["type"] for _ in range(2)]
        assert told == ["store.down", "store.up"]
        assert place.kept == []


def test_a_daemon_that_is_killed_while_the_server_is_away_loses_no_result(place: Place) -> None:
    service, kala = place
    kala.start()
    # given runs that end while the server is away
    go = kala.folder / "go"
    command = f"sh -c 'echo done; until [ -e {go} ]; do sleep 0.05; done'"
    jobs = [kala.create(command=command, schedule="") for _ in range(5)]
    kala.wait_for(lambda: len(kala.get(f"{API}/run/?state=running").json["runs"]) == len(jobs))
    service.kill()
    go.touch()
    kala.wait_for(lambda: place.lines() == len(jobs), "nothing is kept")
    # when the daemon is killed, too, and both are started again
    kala.kill()
    service.start()
    kala.start()
    # then all is recorded, with what was printed
    kala.wait_log("results of an earlier start have been recorded")
    for job in jobs:
        (run,) = kala.get(f"{API}/run/?job={job}").json["runs"]
        assert run["state"] == "succeeded"
        assert kala.request("GET", f"{API}/run/{run['id']}/output/")[1] == b"done\n"
    assert place.kept == []
    assert kala.stop() == 0


@pytest.mark.parametrize("place", ["redis"], indirect=True)
@pytest.mark.parametrize("hurried", [False, True])
def test_a_stop_while_the_server_is_silent_ends_in_time_and_keeps_results(place: Place, hurried: bool) -> None:
    service, kala = place
    kala.start()
    go = kala.folder / "go"
    job = kala.create(command=until_there(go), schedule="")
    kala.wait_for(kala.descendants)
    service.pause()
    go.touch()
    kala.wait_for(lambda: not kala.descendants())
    # when it is told to stop
    begun = time.monotonic()
    kala.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
    kala.wait_log("stopping")
    if hurried:
        kala.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
    assert kala.wait(60) == 0
    assert time.monotonic() - begun < (30 if hurried else 45)
    assert place.lines() == 1
    assert "1 results are kept in" in kala.log()
    # then the next start waits for the server, says so, and records the result
    kala.start(ready=False)
    kala.wait_for(lambda: "waits for its database" in str(kala.get("/readyz").json))
    assert kala.get("/healthz").status == 200
    assert kala.log().count("waiting for the database") == 1
    service.resume()
    kala.wait_log("results of an earlier start have been recorded")
    (run,) = kala.get(f"{API}/run/?job={job}").json["runs"]
    assert run["state"] == "succeeded"
    assert place.kept == []
    assert kala.stop() == 0


@pytest.mark.parametrize("place", ["redis"], indirect=True)
def test_what_is_known_of_a_job_is_shown_and_said_to_be_stale(place: Place) -> None:
    service, kala = place
    with kala:
        job = kala.create(command="true", schedule="")
        for _ in range(25):
            kala.post(f"{API}/job/start/{job}/")
        path, rows = f"{API}/job/stats/{job}/", lambda answer: len(json.loads(answer[1])["job_stats"])
        there = kala.request("GET", path)
        assert (rows(there), there[0].headers["Kala-Stale"]) == (26, None)
        service.kill()
        away: Any = kala.request("GET", path)
        assert (rows(away), away[0].headers["Kala-Stale"]) == (20, "true")
        listed, _ = kala.request("GET", f"{API}/run/?job={job}")
        assert (listed.status, listed.headers["Retry-After"]) == (503, "1")
        service.start()
        kala.wait_for(lambda: kala.get("/readyz").status == 200)
        kala.wait_for(lambda: kala.request("GET", path)[0].headers["Kala-Stale"] is None)
