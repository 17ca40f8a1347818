"""The routes, over real sockets and the real service; on both ways through the server."""

from typing import Any

import pytest

from kala.errors import StoreUnavailable

from .server import FUTURE, Server, until

MISSING = "00000000-0000-0000-0000-000000000000"
ZERO = "0001-01-01T00:00:00Z"


def test_a_job_from_creation_to_deletion(either: Server) -> None:
    # given a job that was created
    made = either.ask("POST", "/api/v1/job/", {"name": "j", "command": "true", "schedule": FUTURE})
    assert (made.status, made.headers["Content-Type"], list(made.json)) == (201, "application/json", ["id"])
    path = f"/api/v1/job/{made.json['id']}"
    # then it is there under both forms of its path, with its version as its tag
    for form in (path, f"{path}/"):
        got = either.ask("GET", form)
        assert (got.status, got.headers["ETag"]) == (200, '"1"')
        assert (got.json["job"]["name"], got.json["job"]["owner"]) == ("j", "me@example.org")
        assert got.json["job"]["stats"] is None
    assert list(either.ask("GET", "/api/v1/job").json["jobs"]) == [made.json["id"]]
    # when it is started, the answer comes when it has ended, and its result is shown
    started = either.ask("POST", f"/api/v1/job/start/{made.json['id']}/")
    assert (started.status, started.body, started.headers["Content-Type"]) == (204, b"", None)
    (row,) = either.ask("GET", f"/api/v1/job/stats/{made.json['id']}").json["job_stats"]
    assert (row["job_id"], row["success"], row["number_of_retries"]) == (made.json["id"], True, 0)
    assert either.ask("GET", path).json["job"]["stats"] == [row]
    assert either.ask("GET", "/api/v1/job/").json["jobs"][made.json["id"]]["stats"] == [row]
    stats = either.ask("GET", "/api/v1/stats/").json["Stats"]
    assert (stats["jobs"], stats["active_jobs"], stats["success_count"]) == (1, 1, 1)
    # when it is disabled, twice, it is so, and cannot be started
    assert [either.ask("POST", f"/api/v1/job/disable/{made.json['id']}/").status for _ in range(2)] == [204, 204]
    assert either.ask("GET", path).json["job"]["disabled"] is True
    assert either.ask("POST", f"/api/v1/job/start/{made.json['id']}/").status == 409
    assert either.ask("POST", f"/api/v1/job/enable/{made.json['id']}").status == 204
    # when it is deleted, it is gone
    assert either.ask("DELETE", path).status == 204
    assert either.ask("GET", path).status == 404
    assert either.ask("DELETE", path).status == 404


REFUSED: list[tuple[str, str, Any, int]] = [
    ("GET", f"/api/v1/job/{MISSING}/", None, 404),
    ("GET", "/api/v1/job/stats/nosuch/", None, 404),
    ("DELETE", "/api/v1/job/nosuch", None, 404),
    ("PATCH", "/api/v1/job/nosuch/", {}, 404),
    ("POST", "/api/v1/job/start/nosuch/", None, 404),
    ("POST", "/api/v1/job/disable/nosuch/", None, 404),
    ("POST", "/api/v1/job/enable/nosuch/", None, 404),
    ("POST", "/api/v1/job/", None, 400),
    ("POST", "/api/v1/job/", b"{", 400),
    ("POST", "/api/v1/job/", [], 400),
    ("POST", "/api/v1/job/", {"name": "j", "command": "true", "schedule": "nonsense"}, 400),
    ("POST", "/api/v1/job/", {"name": "j", "command": "true", "parent_jobs": ["nosuch"]}, 400),
    ("POST", "/api/v1/job/import/", b"[]", 400),
    ("GET", "/api/v1/job/?limit=0", None, 400),
    ("GET", "/api/v1/job/?limit=x", None, 400),
    ("GET", "/api/v1/job/?limit=1&after=nosuch", None, 404),
    ("GET", "/api/v1/nope/", None, 404),
    ("GET", "/api/v2/job/", None, 404),
    ("GET", "/api//v1/job/", None, 404),
    ("GET", "/nope", None, 404),
    ("GET", "/webui/static/0/nope.js", None, 404),
    ("GET", "/webui/static/0/index.html", None, 404),
    ("PUT", "/api/v1/job/", {}, 405),
    ("GET", "/api/v1/job/start/x/", None, 405),
    ("DELETE", "/api/v1/stats/", None, 405),
    ("POST", "/webui/", None, 405),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
def test_what_is_refused_says_why_in_json(server: Server, method: str, path: str, body: Any, status: int) -> None:
    answer = server.ask(method, path, body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    assert isinstance(answer.json["error"], str)
    assert ("Allow" in answer.headers) == (status == 405)
    assert server.service.job_ids() == []


def test_all_faults_are_named_at_once(server: Server) -> None:
    answer = server.ask("POST", "/api/v1/job/", {"command": "true", "schedule": "x", "retries": -1})
    assert answer.status == 400
    assert set(answer.json["fields"]) == {"name", "schedule", "retries"}


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_any_content_type_is_json(either: Server, media_type: str) -> None:
    job = {"name": "j", "command": "true", "schedule": FUTURE}
    assert either.ask("POST", "/api/v1/job/", job, Content_Type=media_type).status == 201


def test_a_body_in_chunks_is_taken(either: Server) -> None:
    connection = either.connect()
    parts = [b'{"name":"j",', b'"command":"true",', b'"schedule":"%s"}' % FUTURE.encode()]
    connection.request("POST", "/api/v1/job/", iter(parts), encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()


def test_warnings_come_with_the_creation(server: Server) -> None:
    answer = server.ask("POST", "/api/v1/job/", {"name": "j", "command": "echo a | cat", "schedule": FUTURE})
    assert answer.status == 201
    assert answer.json["warnings"]


def test_an_edit_replaces_what_it_names_if_the_version_is_the_one_seen(either: Server) -> None:
    # given a job at version 1
    path = f"/api/v1/job/{either.create(owner='a')}/"
    # when it is edited by someone who has seen version 1
    edited = either.ask("PATCH", path, {"command": "false", "Retries": 2}, If_Match='"1"')
    # then it is at version 2, and what was not named is as it was
    assert (edited.status, edited.headers["ETag"]) == (200, '"2"')
    job = either.ask("GET", path).json["job"]
    assert (job["command"], job["retries"], job["owner"]) == ("false", 2, "a")
    # and another who has seen version 1 is told so
    late = either.ask("PATCH", path, {"command": "true"}, If_Match='"1"')
    assert late.status == 412
    assert "version 2" in late.json["error"]
    # while one who does not care is not
    assert either.ask("PATCH", path, {"command": "true"}).headers["ETag"] == '"3"'
    assert either.ask("PATCH", path, {"command": "false"}, If_Match="*").headers["ETag"] == '"4"'
    assert either.ask("PATCH", path, {"schedule": "x"}).json["fields"].keys() == {"schedule"}


def test_children_show_as_dependent_jobs(server: Server) -> None:
    parent = server.create()
    assert server.ask("GET", f"/api/v1/job/{parent}/").json["job"]["dependent_jobs"] is None
    child = server.create(schedule="", parent_jobs=[parent])
    assert server.ask("GET", f"/api/v1/job/{parent}/").json["job"]["dependent_jobs"] == [child]
    assert server.ask("POST", f"/api/v1/job/start/{parent}/").status == 204
    assert server.ask("GET", f"/api/v1/job/{child}/").json["job"]["metadata"]["success_count"] == 1
    server.ask("DELETE", f"/api/v1/job/{child}/")
    assert server.ask("GET", f"/api/v1/job/{parent}/").json["job"]["dependent_jobs"] == []


def test_a_start_that_need_not_wait(either: Server) -> None:
    job = either.create(command="wait")
    answer = either.ask("POST", f"/api/v1/job/start/{job}/?wait=false")
    assert (answer.status, list(answer.json)) == (202, ["id"])
    either.let_go()
    until(lambda: either.ask("GET", f"/api/v1/job/stats/{job}/").json["job_stats"] is not None)


def test_all_results_that_are_kept_are_shown_of_one_job(server: Server) -> None:
    # given more results than a record carries
    job = server.create()
    for _ in range(23):
        assert server.ask("POST", f"/api/v1/job/start/{job}/").status == 204
    # then the job and its stats show all, the list the last, and all of them oldest first
    whole = server.ask("GET", f"/api/v1/job/stats/{job}/").json["job_stats"]
    assert len(whole) == 23
    assert [row["ran_at"] for row in whole] == sorted(row["ran_at"] for row in whole)
    assert server.ask("GET", f"/api/v1/job/{job}/").json["job"]["stats"] == whole
    listed = server.ask("GET", "/api/v1/job/").json["jobs"][job]["stats"]
    assert [row["ran_at"] for row in listed] == [row["ran_at"] for row in whole[3:]]
    # and while the database is away, the last ones
    server.driver.away = StoreUnavailable("it is away")
    assert len(server.ask("GET", f"/api/v1/job/{job}/").json["job"]["stats"]) == 20
    server.driver.away = None


@pytest.mark.parametrize(
    "path", ["/", "/webui/", "/healthz", "/api/v1/job/", "/api/v1/stats/", "/webui/static/0/styles.css"]
)
def test_head_answers_as_get_without_a_body(either: Server, path: str) -> None:
    head, get = either.ask("HEAD", path), either.ask("GET", path)
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Type", "ETag", "Content-Security-Policy", "X-Content-Type-Options"):
        assert head.headers[name] == get.headers[name]


def test_options_tells_the_methods(either: Server) -> None:
    answer = either.ask("OPTIONS", "/api/v1/job/x/")
    assert (answer.status, answer.body) == (204, b"")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}


def test_while_the_database_is_away_reads_are_served_and_writes_told_so(either: Server) -> None:
    # given a database that is away
    job = either.create()
    either.driver.away = StoreUnavailable("the disk is full")
    # when something is written, then it is refused for now, with the reason
    refused = either.ask("DELETE", f"/api/v1/job/{job}/")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert "the disk is full" in refused.json["error"]
    # and what is read is read, but the server is not ready, though it lives
    assert either.ask("GET", f"/api/v1/job/{job}/").status == 200
    assert len(either.ask("GET", "/api/v1/job/").json["jobs"]) == 1
    ready = either.ask("GET", "/readyz")
    assert (ready.status, "the disk is full" in ready.json["error"]) == (503, True)
    assert either.ask("GET", "/healthz").json == {"status": "ok"}
    # when it is back, all is well
    either.driver.away = None
    until(lambda: either.ask("GET", "/readyz").status == 200)
    assert either.ask("DELETE", f"/api/v1/job/{job}/").status == 204


def test_while_stopping_nothing_is_started(server: Server) -> None:
    # given a daemon that stops, and waits for a run
    job = server.create(command="wait")
    server.ask("POST", f"/api/v1/job/start/{job}/?wait=false")
    until(lambda: server.attempts == 1)
    server.call(server.scheduler.stop_starting)
    # then reads are answered, and nothing is begun
    assert server.ask("GET", f"/api/v1/job/{job}/").status == 200
    assert server.ask("GET", "/readyz").status == 503
    for path in (f"/api/v1/job/start/{job}/", "/api/v1/job/", f"/api/v1/job/disable/{job}/"):
        answer = server.ask("POST", path, {"name": "j", "command": "true"})
        assert answer.status == 503
        assert "stopping" in answer.json["error"]
        assert int(answer.headers["Retry-After"]) > 0


def test_two_starts_run_one_after_the_other(server: Server) -> None:
    job = server.create(command="wait")
    connections = [server.connect() for _ in range(2)]
    for connection in connections:
        connection.request("POST", f"/api/v1/job/start/{job}/")
    until(lambda: server.attempts == 1)
    server.let_go()
    assert [connection.getresponse().status for connection in connections] == [204, 204]
    assert len(server.ask("GET", f"/api/v1/job/stats/{job}/").json["job_stats"]) == 2
    for connection in connections:
        connection.close()
