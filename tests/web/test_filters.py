"""Finding jobs: by what they hold, in an order, in pages."""

from typing import Any

import pytest

from .server import FUTURE, Server, until


def found(server: Server, query: str) -> list[str]:
    """The names of the jobs that are answered, in order."""
    answer = server.ask("GET", f"/api/v1/job/?{query}")
    assert answer.status == 200, answer.text
    return [job["name"] for job in answer.json["jobs"].values()]


@pytest.fixture
def jobs(server: Server) -> dict[str, str]:
    definitions: dict[str, dict[str, Any]] = {
        "Backup": {"owner": "ann@example.org", "labels": {"team": "data", "tier": "1"}, "command": "true nightly"},
        "report": {"owner": "bob@example.org", "labels": {"team": "web"}, "schedule": "R/2098-01-01T00:00:00Z/P1D"},
        "archive": {"owner": "ann@example.org", "labels": {"team": "data"}, "disabled": True},
        "once": {"owner": "", "schedule": ""},
        "Ärger": {"schedule": "R/2097-01-01T00:00:00Z/P1D", "command": "false"},
    }
    made = {name: server.create(**{"name": name, **members}) for name, members in definitions.items()}
    until(lambda: server.ask("GET", f"/api/v1/job/{made['once']}/").json["job"]["is_done"])
    assert server.ask("POST", f"/api/v1/job/start/{made['report']}/").status == 204
    return made


FOUND = [
    ("q=backup", ["Backup"]),
    ("q=NIGHTLY", ["Backup"]),
    ("q=ann@", ["Backup", "archive"]),
    ("q=%C3%A4RG", ["Ärger"]),
    ("q=nothing", []),
    ("label=team", ["Backup", "report", "archive"]),
    ("label=team%3Ddata", ["Backup", "archive"]),
    ("label=team=data&label=tier", ["Backup"]),
    ("label=team=data&label=tier=2", []),
    ("label=team=", []),
    ("owner=ann@example.org", ["Backup", "archive"]),
    ("owner=ann", []),
    ("owner=me@example.org", ["once", "Ärger"]),
    ("disabled=true", ["archive"]),
    ("disabled=0", ["Backup", "report", "once", "Ärger"]),
    ("done=yes", ["once"]),
    ("done=false", ["Backup", "report", "archive", "Ärger"]),
    ("q=a&disabled=false&owner=ann@example.org&done=false&label=tier=1", ["Backup"]),
    ("sort=created", ["Backup", "report", "archive", "once", "Ärger"]),
    ("sort=-created", ["Ärger", "once", "archive", "report", "Backup"]),
    ("sort=name", ["archive", "Backup", "once", "report", "Ärger"]),
    ("sort=-name", ["Ärger", "report", "once", "Backup", "archive"]),
    ("sort=next_run_at", ["Ärger", "report", "Backup", "archive", "once"]),
    ("sort=-next_run_at", ["once", "archive", "Backup", "report", "Ärger"]),
    ("sort=last_attempted_run", ["once", "report", "Backup", "archive", "Ärger"]),
    ("sort=name&q=e&disabled=false", ["Backup", "once", "report", "Ärger"]),
    ("q=&owner=&disabled=&done=&sort=&label=", ["Backup", "report", "archive", "once", "Ärger"]),
]


def test_jobs_are_found_and_sorted_alone_and_in_pages(server: Server, jobs: dict[str, str]) -> None:
    for query, names in FOUND:
        assert found(server, query) == names, query
        # filters alone are no page
        assert "next" not in server.ask("GET", f"/api/v1/job/?{query}").json
        for limit in (1, 2, 5):
            pages: list[str] = []
            after: str | None = ""
            while after is not None:
                page = server.ask("GET", f"/api/v1/job/?{query}&limit={limit}&after={after}").json
                assert len(page["jobs"]) <= limit
                pages += [job["name"] for job in page["jobs"].values()]
                after = page["next"]
            assert pages == names, (query, limit)


FAULTS = [
    ("limit=0", {"limit"}),
    ("limit=100000000", {"limit"}),
    ("disabled=maybe", {"disabled"}),
    ("done=2", {"done"}),
    ("sort=size", {"sort"}),
    ("sort=--name", {"sort"}),
    ("limit=x&disabled=x&done=x&sort=x", {"limit", "disabled", "done", "sort"}),
]


@pytest.mark.parametrize(("query", "fields"), FAULTS)
def test_all_faults_are_named(server: Server, query: str, fields: set[str]) -> None:
    answer = server.ask("GET", f"/api/v1/job/?{query}")
    assert answer.status == 400
    assert answer.json["fields"].keys() == fields


@pytest.mark.parametrize("order", ["", "sort=-created&", "sort=name&", "disabled=false&"])
def test_a_page_goes_on_after_a_job_that_has_been_deleted_meanwhile(server: Server, order: str) -> None:
    for number in range(6):
        server.create(name=f"job {number}")
    page = server.ask("GET", f"/api/v1/job/?{order}limit=3").json
    first = [job["name"] for job in page["jobs"].values()]
    server.ask("DELETE", f"/api/v1/job/{page['next']}/")
    rest = server.ask("GET", f"/api/v1/job/?{order}limit=9&after={page['next']}").json
    names = [job["name"] for job in rest["jobs"].values()]
    assert sorted(first + names) == [f"job {number}" for number in range(6)]
    assert rest["next"] is None


def test_without_parameters_the_answer_is_the_originals(server: Server) -> None:
    job = server.create()
    assert list(server.ask("GET", "/api/v1/job/").json) == ["jobs"]
    assert list(server.ask("GET", "/api/v1/job/?unknown=1").json["jobs"]) == [job]


@pytest.mark.slow
def test_among_ten_thousand_jobs_finding_holds_nobody_up(server: Server) -> None:
    job = {"name": "j", "command": "true", "schedule": FUTURE}
    jobs = {f"{number:08}-0000-4000-8000-000000000000": {**job, "name": f"n{number % 100}"} for number in range(10_000)}
    assert len(server.ask("POST", "/api/v1/job/import/", {"jobs": jobs}).json["imported"]) == 10_000
    page = server.ask("GET", "/api/v1/job/?q=n7&sort=-name&limit=3")
    assert [one["name"] for one in page.json["jobs"].values()] == ["n79"] * 3
    whole = server.ask("GET", "/api/v1/job/?sort=name").json["jobs"]
    names = [one["name"] for one in whole.values()]
    assert names == sorted(names)
    assert len(names) == 10_000
