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
    assert server.ask("POST", f"/api/v1/job/start/{made['Ärger']}/").status == 204
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
    ("state=active", ["Backup", "report", "Ärger"]),
    ("state=disabled", ["archive"]),
    ("state=done", ["once"]),
    ("state=failing", ["Ärger"]),
    ("state=running", []),
    ("state=done,disabled", ["archive", "once"]),
    ("state=running,failing&state=disabled", ["archive", "Ärger"]),
    ("state=active,done,disabled", ["Backup", "report", "archive", "once", "Ärger"]),
    ("state=failing&disabled=true", []),
    ("state=&id=", ["Backup", "report", "archive", "once", "Ärger"]),
    ("sort=created", ["Backup", "report", "archive", "once", "Ärger"]),
    ("sort=-created", ["Ärger", "once", "archive", "report", "Backup"]),
    ("sort=name", ["archive", "Backup", "once", "report", "Ärger"]),
    ("sort=-name", ["Ärger", "report", "once", "Backup", "archive"]),
    ("sort=owner", ["Backup", "archive", "report", "once", "Ärger"]),
    ("sort=-owner", ["Ärger", "once", "report", "archive", "Backup"]),
    ("sort=next_run_at", ["Ärger", "report", "Backup", "archive", "once"]),
    ("sort=-next_run_at", ["archive", "Backup", "report", "Ärger", "once"]),
    ("sort=last_attempted_run", ["once", "Ärger", "report", "Backup", "archive"]),
    ("sort=-last_attempted_run", ["report", "Ärger", "once", "archive", "Backup"]),
    ("sort=name&q=e&disabled=false", ["Backup", "once", "report", "Ärger"]),
    ("q=&owner=&disabled=&done=&sort=&label=", ["Backup", "report", "archive", "once", "Ärger"]),
]


def test_jobs_are_found_and_sorted_alone_and_in_pages(server: Server, jobs: dict[str, str]) -> None:
    for query, names in FOUND:
        assert found(server, query) == names, query
        # filters alone are no page, and their number is told to who asks
        assert server.ask("GET", f"/api/v1/job/?{query}").json.keys() == {"jobs"}
        assert server.ask("GET", f"/api/v1/job/?{query}&total=true").json["total"] == len(names)
        for limit in (1, 2, 5):
            pages: list[str] = []
            after: str | None = ""
            while after is not None:
                page = server.ask("GET", f"/api/v1/job/?{query}&limit={limit}&after={after}").json
                assert len(page["jobs"]) <= limit
                pages += [job["name"] for job in page["jobs"].values()]
                # in brief, and with the number of all, the page is the same
                brief = server.ask("GET", f"/api/v1/job/?{query}&limit={limit}&after={after}&brief=true").json
                assert (list(brief["jobs"]), brief["next"]) == (list(page["jobs"]), page["next"])
                assert brief["total"] == len(names)
                assert page.keys() == {"jobs", "next"}
                after = page["next"]
            assert pages == names, (query, limit)


def test_some_jobs_by_their_ids(server: Server, jobs: dict[str, str]) -> None:
    asked = [jobs[name] for name in ("once", "report", "Backup", "report")]
    query = "&".join(f"id={job}" for job in [*asked, "nosuch"])
    # in order, each once, and those that are not there left out
    assert found(server, query) == ["Backup", "report", "once"]
    assert found(server, f"{query}&sort=-name") == ["report", "once", "Backup"]
    assert found(server, f"{query}&state=active") == ["Backup", "report"]
    assert found(server, f"{query}&q=report") == ["report"]
    assert found(server, "id=nosuch") == []
    # also in pages
    page = server.ask("GET", f"/api/v1/job/?{query}&limit=2&total=true").json
    assert (list(page["jobs"]), page["next"], page["total"]) == ([jobs["Backup"], jobs["report"]], jobs["report"], 3)
    page = server.ask("GET", f"/api/v1/job/?{query}&limit=2&total=true&after={jobs['report']}").json
    assert (list(page["jobs"]), page["next"], page["total"]) == ([jobs["once"]], None, 3)
    # and as many as may be
    some = [jobs["Ärger"], *(f"{number:08}-0000-4000-8000-000000000000" for number in range(199))]
    assert found(server, "&".join(f"id={job}" for job in some)) == ["Ärger"]
    answer = server.ask("GET", "/api/v1/job/?" + "&".join(f"id={job}" for job in [*some, "x"]))
    assert answer.json["fields"] == {"id": "is given 201 times, and at most 200 are taken"}


def test_a_job_is_running_from_its_claim_to_its_end_and_a_child_is_never_done(server: Server) -> None:
    long = server.create(name="long", command="wait")
    child = server.create(name="child", schedule="", parent_jobs=[long])
    assert found(server, "state=running") == []
    for _ in range(2):  # the second waits
        server.ask("POST", f"/api/v1/job/start/{long}/?wait=false")
    assert found(server, "state=running") == ["long"]
    assert found(server, "state=done") == []
    server.let_go()
    until(lambda: server.ask("GET", f"/api/v1/job/{child}/").json["job"]["metadata"]["number_of_finished_runs"] == 2)
    until(lambda: found(server, "state=running") == [])
    assert found(server, "state=active") == ["long", "child"]
    assert found(server, "done=true") == ["child"]


FAULTS = [
    ("limit=0", {"limit"}),
    ("limit=100000000", {"limit"}),
    ("disabled=maybe", {"disabled"}),
    ("done=2", {"done"}),
    ("sort=size", {"sort"}),
    ("sort=--name", {"sort"}),
    ("state=active,dead", {"state"}),
    ("total=some", {"total"}),
    ("brief=2", {"brief"}),
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
    page = server.ask("GET", f"/api/v1/job/?{order}limit=3&total=true").json
    assert page["total"] == 6
    first = [job["name"] for job in page["jobs"].values()]
    server.ask("DELETE", f"/api/v1/job/{page['next']}/")
    rest = server.ask("GET", f"/api/v1/job/?{order}limit=9&total=true&after={page['next']}").json
    assert rest["total"] == 5
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
