"""`/metrics` of real daemons: what they did and nothing else, and an answer whatever state they are in."""

import json
import platform
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from daemon_process import API, ROOT, KalaProcess
from missing import require
from scraped import Scrape
from servers.registry import SERVICES
from servers.service import flags_of, free_port

from kala import __version__
from kala.clock import SECOND, rfc3339
from kala.roles import Role
from kala.tokens import new_token

pytestmark = pytest.mark.slow


def scrape(kala: KalaProcess, **headers: str) -> Scrape:
    response, body = kala.request("GET", "/metrics", headers=headers)
    assert response.status == 200, body
    return Scrape(body)


def runs(kala: KalaProcess) -> list[dict[str, Any]]:
    answer = kala.get(f"{API}/run/?limit=1000")
    assert answer.status == 200
    return list(answer.json["runs"])


def soon(seconds: float) -> str:
    return rfc3339(round((time.time() + seconds) * SECOND))


def test_what_is_counted_is_what_ran(start_kala: Callable[..., KalaProcess]) -> None:
    kala = start_kala("--max-runs=20", "--limit-runs=team=*:3")
    good = kala.create(name="good")
    kala.create(name="child", parent_jobs=[good], schedule="")
    nurse = kala.create(name="nurse")
    bad = kala.create(name="bad", command="false", retries=2, on_failure_job=nurse)
    slow = kala.create(name="slow", command="sleep 60", timeout="PT0.1S", kill_after="PT0.1S")
    far = kala.create(name="far", command="", type=1, remote_properties={"url": f"{kala.url}/healthz"})
    nowhere = kala.create(name="nowhere", command="", type=1, remote_properties={"url": f"{kala.url}/no/such/path"})
    kala.create(name="scheduled", schedule=f"R2/{soon(3)}/PT1S", overlap="allow")
    kala.create(name="skipping", command="sleep 2.5", schedule=f"R1/{soon(3)}/PT1S", overlap="skip")
    for job in (good, good, bad, slow, far, nowhere):
        kala.post(f"{API}/job/start/{job}/")
    kala.wait_for(lambda: sum(run["trigger"] == "schedule" and run["state"] == "succeeded" for run in runs(kala)) == 5)
    kala.wait_for(lambda: scrape(kala).value("kala_runs_running") == 0)
    found = scrape(kala)

    assert found.all("kala_runs_total") == {
        ("succeeded", "manual"): 3,
        ("succeeded", "parent"): 2,
        ("succeeded", "failure"): 1,
        ("failed", "manual"): 2,
        ("timed_out", "manual"): 1,
        ("succeeded", "schedule"): 5,
    }
    assert found.all("kala_attempts_total") == {("local",): 14, ("remote",): 2}
    assert found.all("kala_retries_total") == {("local",): 2}
    assert found.all("kala_run_duration_seconds_count") == {("local",): 12, ("remote",): 2}
    told = runs(kala)
    skipped = sum(run["count"] for run in told if run["state"] == "skipped")
    assert skipped >= 2
    assert found.all("kala_occurrences_not_run_total") == {("overlap", "skipped"): skipped}
    ended = [run for run in told if run["attempts"]]
    assert found.all("kala_runs_total") == Counter((run["state"], run["trigger"]) for run in ended)
    assert found.value("kala_run_duration_seconds_sum", type="local") > 5
    assert found.value("kala_run_lateness_seconds_count", trigger="schedule") == 5
    assert found.classes("kala_run_lateness_seconds", trigger="schedule")[5] == 5
    assert found.all("kala_jobs") == {("enabled",): 9}
    assert found.value("kala_database_up") == 1
    assert found.value("kala_commit_decisions_sum") >= 30
    assert found.value("kala_lease_remaining_seconds") > 5
    assert found.value("kala_runs_running_limit") == 20
    assert found.all("kala_pool_limit") == {("team", "*"): 3}
    assert found.value("kala_build_info", version=__version__, python=platform.python_version(), database="sqlite") == 1
    assert found.value("process_start_time_seconds") == pytest.approx(time.time(), abs=120)
    assert found.value("kala_event_loop_lag_seconds_count") >= 2
    assert found.all("kala_clock_jumps_total") == {}
    for run in told:
        assert run["id"] not in found.text
    for job_id in kala.jobs():
        assert job_id not in found.text


def test_what_a_dead_daemon_left_is_counted_by_the_next(start_kala: Callable[..., KalaProcess]) -> None:
    kala = start_kala()
    kala.create(name="lost", command="sleep 60", schedule=f"R0/{soon(3)}/PT1H")
    kala.wait_for(lambda: scrape(kala).value("kala_runs_running") == 1)
    kala.kill()
    kala.start()
    assert scrape(kala).all("kala_runs_total") == {("lost", "schedule"): 1}


def test_it_answers_paused_and_stopping(start_kala: Callable[..., KalaProcess]) -> None:
    kala = start_kala("--drain=60")
    job = kala.create(
        command="test -e go || { sleep 0.1; exit 1; }", shell=True, retries=500, directory=str(kala.folder)
    )
    kala.post(f"{API}/pause/")
    assert scrape(kala).value("kala_paused") == 1
    kala.post(f"{API}/resume/")
    assert scrape(kala).value("kala_paused") == 0
    long = kala.create(command="until test -e go; do sleep 0.05; done", shell=True, directory=str(kala.folder))
    for one in (job, long):
        assert kala.post(f"{API}/job/start/{one}/?wait=false").status == 202
    kala.wait_for(lambda: scrape(kala).value("kala_runs_running") == 2)
    kala.wait_for(lambda: scrape(kala).value("kala_retries_total", type="local") >= 1)
    assert kala.process is not None
    kala.process.terminate()
    kala.wait_for(lambda: kala.get("/readyz").status == 503)
    found = scrape(kala)
    assert found.value("kala_runs_running") >= 1
    (kala.folder / "go").touch()
    assert kala.wait() == 0


def test_it_answers_while_the_database_is_away(tmp_path: Path) -> None:
    kind = SERVICES["redis"]
    require(kind)
    service = kind(tmp_path / "server").start()
    try:
        with KalaProcess(tmp_path / "kala", "--drain=20", *flags_of(kind.engine, service.fresh())) as kala:
            job = kala.create(command="until test -e go; do sleep 0.05; done", shell=True, directory=str(kala.folder))
            assert kala.post(f"{API}/job/start/{job}/?wait=false").status == 202
            kala.wait_for(lambda: scrape(kala).value("kala_runs_running") == 1)
            assert scrape(kala).value("kala_commit_failures_total") == 0
            service.pause()
            (kala.folder / "go").touch()  # its end cannot be written
            kala.wait_for(lambda: scrape(kala).value("kala_database_up") == 0)
            kala.wait_for(lambda: scrape(kala).value("kala_results_spooled") == 1)
            found = scrape(kala)
            assert found.value("kala_results_waiting") == 1
            (kept,) = kala.folder.glob("kala-spool-*")
            assert found.value("kala_spool_bytes") == kept.stat().st_size > 0
            assert found.value("kala_runs_running") == 0
            assert found.value("kala_commit_failures_total") >= 1
            assert found.value("kala_writer_queue") >= 1
            kala.wait_for(lambda: scrape(kala).value("kala_lease_failures_total") >= 1)
            kala.wait_for(lambda: scrape(kala).value("kala_lease_remaining_seconds") == 0)
            assert scrape(kala).value("kala_database_away_seconds") > 1
            service.resume()
            kala.wait_for(lambda: scrape(kala).value("kala_database_up") == 1)
            kala.wait_for(lambda: scrape(kala).value("kala_lease_remaining_seconds") > 0)
            kala.wait_for(lambda: scrape(kala).value("kala_results_waiting") == 0)
            kala.wait_for(lambda: scrape(kala).value("kala_spool_bytes") == 0)
            found = scrape(kala)
            assert found.value("kala_database_away_seconds") == found.value("kala_results_spooled") == 0
            assert found.value("kala_runs_total", state="succeeded", trigger="manual") == 1
    finally:
        service.kill()


def test_a_token_that_reads_is_needed_where_there_are_tokens(start_kala: Callable[..., KalaProcess]) -> None:
    secret, token = new_token("prometheus", Role.READ)
    operator, other = new_token("ci", Role.RUN)
    kala = start_kala(environment={"KALA_TOKENS": f"{token.line()}\n{other.line()}"})
    assert kala.get("/metrics").status == 401
    reader = {"Authorization": f"Bearer {secret}"}
    before = scrape(kala, **reader).value("kala_authentication_failures_total")
    assert kala.request("GET", "/metrics", headers={"Authorization": "Bearer kala_wrong"})[0].status == 401
    assert kala.request("POST", f"{API}/pause/", headers=reader)[0].status == 403
    found = scrape(kala, Authorization=f"Bearer {operator}")
    assert found.value("kala_authentication_failures_total") == before + 2
    assert found.value("kala_paused") == 0
    for hidden in (secret, operator, "prometheus", "ci"):
        assert f'"{hidden}"' not in found.text


def test_prometheus_reads_it_with_a_token_and_takes_the_rules(
    start_kala: Callable[..., KalaProcess], program: Callable[[str], str], tmp_path: Path
) -> None:
    path = program("prometheus")
    secret, token = new_token("prometheus", Role.READ)
    kala = start_kala(environment={"KALA_TOKENS": token.line()})
    (tmp_path / "token").write_text(secret)
    scraped = {
        "job_name": "kala",
        "scrape_interval": "5s",  # and timeout
        "authorization": {"credentials_file": str(tmp_path / "token")},
        "static_configs": [{"targets": [kala.url.removeprefix("http://")]}],
    }
    config = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "docs/alerts.yaml")],
        "scrape_configs": [scraped],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # which is YAML
    port = free_port()
    command = [path, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("wb") as log:
        prometheus = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:

        def asked(path: str) -> Any:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=5) as response:
                    return json.load(response)["data"]
            except OSError:
                return None  # it does not listen yet

        def value(query: str) -> float | None:
            found = asked(f"query?query={quote(query)}")
            return float(found["result"][0]["value"][1]) if found and found["result"] else None

        kala.wait_for(lambda: value("up"), "it is not asked")
        assert value("kala_database_up") == 1
        assert value("sum(kala_runs_total)") == 0
        before = value("kala_events_published_total")
        assert before is not None
        (target,) = asked("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        known = asked("metadata")
        assert known["kala_run_lateness_seconds"][0]["type"] == "histogram"
        assert known["kala_claims"][0]["type"] == "counter"  # as OpenMetrics has it: so that was read
        kala.wait_for(
            lambda: all(rule["health"] == "ok" for rule in asked("rules")["groups"][0]["rules"]),
            "rules are not evaluated",
        )
        assert [one["labels"]["alertname"] for one in asked("alerts")["alerts"]] == []
        kala.kill()
        kala.wait_for(
            lambda: [one["labels"]["alertname"] for one in asked("alerts")["alerts"]] == ["KalaDown"], "nobody notices"
        )
    finally:
        prometheus.terminate()
        prometheus.wait(30)
