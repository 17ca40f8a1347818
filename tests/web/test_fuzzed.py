"""What is sent that fits the OpenAPI document, or just does not, is answered as it says, and by no internal error."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from daemon_process import API, KalaProcess
from guarded import Guarded
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = 25
"""For each route, of what fits, and again of what does not."""
ENDLESS = {("GET", f"{API}/events/")}
NOWHERE = "http://127.0.0.1:1/"
SCHEDULES = ["", "R/2099-01-01T00:00:00Z/P1D", "R3/2098-01-31T00:00:00Z/P1M", "0 8 * * MON-FRI", "@daily"]
DEFINES = {"command", "schedule", "remote_properties", "notify", "TemplateDelimiters", "time_zone"}


def harmless(value: Any, choose: Callable[[list[Any]], Any]) -> Any:
    """What is sent, but for what would run or call something; and often with what can be read where a text would be
    no schedule. What is of another type than it should be stays so."""
    if isinstance(value, list):
        return [harmless(one, choose) for one in value]
    if not isinstance(value, dict):
        return value
    made = {name: harmless(one, choose) for name, one in value.items()}
    for name, one in made.items():
        if name.casefold() == "url":
            made[name] = NOWHERE
        elif name.casefold() == "command":
            made[name] = "true"
        elif name == "schedule" and isinstance(one, str):
            made[name] = choose([*SCHEDULES, one])
        elif name == "time_zone" and isinstance(one, str):
            made[name] = choose(["", "Europe/Berlin", one])
        elif name == "TemplateDelimiters" and isinstance(one, str):
            made[name] = choose(["", "{{ }}", one])
        elif name in ("parent_jobs", "on_failure_job") and one:
            made[name] = choose([None, one])
        elif name == "type" and isinstance(one, int) and not isinstance(one, bool):
            made[name] = choose([0, 0, 1, one])
    if DEFINES & made.keys() or "name" in made:
        made |= {"command": "true", "disabled": True}
    return made


class Talk:
    """With a daemon, about whatever its document says. `answered` are the statuses, by method and path."""

    def __init__(self, kala: KalaProcess) -> None:
        self.kala = kala
        self.answered: dict[tuple[str, str], set[int]] = {}
        self.known = {"job_id": "", "run_id": ""}
        self.checks = [
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_headers_conformance,
            response_schema_conformance,
        ]

    def begin(self) -> None:
        """There is a job with a run, and the daemon is not paused."""
        self.kala.post(f"{API}/resume/")
        job = self.kala.create()
        run = self.kala.post(f"{API}/job/start/{job}/?wait=false").json["id"]
        self.known = {"job_id": job, "run_id": run}

    def about(self, operation: Any, mode: schemathesis.GenerationMode) -> None:
        seen = self.answered.setdefault((operation.method.upper(), operation.path), set())

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
        def talk(case: Any, data: Any) -> None:
            def choose(among: list[Any]) -> Any:
                return data.draw(st.sampled_from(among))

            for name in self.known.keys() & case.path_parameters.keys():
                case.path_parameters[name] = choose([self.known[name], case.path_parameters[name]])
            if case.body is not None:
                case.body = harmless(case.body, choose)
            response = case.call(timeout=30, headers=self.kala.headers)
            seen.add(response.status_code)
            case.validate_response(response, checks=self.checks)

        talk()


@pytest.mark.slow
def test_nothing_that_comes_is_answered_otherwise_than_the_document_says(
    tmp_path: Path,
) -> None:
    with Guarded(tmp_path, "--no-persist") as guarded:
        talk_about_all(Talk(guarded))


def talk_about_all(talk: Talk) -> None:
    schema = schemathesis.openapi.from_url(f"{talk.kala.url}/openapi.json", headers=talk.kala.headers)
    for found in schema.get_all_operations():
        operation = found.ok()
        if (operation.method.upper(), operation.path) not in ENDLESS:
            talk.begin()
            talk.about(operation, schemathesis.GenerationMode.POSITIVE)
            with suppress(Unsatisfiable):  # where nothing is given, nothing can be wrong
                talk.about(operation, schemathesis.GenerationMode.NEGATIVE)
    assert talk.kala.get("/healthz").status == 200
    # and what was talked about was not only what is wrong; but that a run has ended, which cannot be cancelled any
    # more, and that nobody guesses a token
    for (method, path), seen in talk.answered.items():
        assert min(seen) < 300 or path.endswith(("/cancel/", "/session/")), (method, path, seen)
