"""`/metrics`: how it is asked for, and what it says of the web itself."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
from scraped import Scrape
from trio.testing import trio_test
from wsproto.events import AcceptConnection, RejectConnection

from kala.errors import StoreUnavailable
from kala.hub import RING
from kala.traffic import Traffic
from kala.web.limits import Limits
from kala.web.measured import MeasuredApp

from .listeners import Client, Stream
from .server import DEADLINE, Answer, Server, connections, request, until
from .test_live import flood

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


def scrape(server: Server) -> Scrape:
    answer = server.ask("GET", "/metrics")
    assert answer.status == 200, answer.text
    return Scrape(answer.body)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, TEXT),
        ("*/*", TEXT),
        ("text/html", TEXT),
        ("", TEXT),
        (";;=,q=", TEXT),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=9", TEXT),
        ("application/openmetrics-text;version=x\u00e4", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.1,text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("text/plain;version=1.0.0;q=0.9,application/openmetrics-text;q=0.3", OPENMETRICS),
    ],
)
def test_each_is_answered_in_a_format_that_it_can_read(server: Server, accept: str | None, expected: str) -> None:
    answer = server.ask("GET", "/metrics", **({} if accept is None else {"Accept": accept}))
    assert (answer.status, answer.headers["Content-Type"]) == (200, expected)
    found = Scrape(answer.body, expected)
    assert found.value("kala_database_up") == 1
    assert found.families["kala_runs_total"].type == "counter"
    assert answer.text.endswith("# EOF\n") is (expected == OPENMETRICS)


@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
def test_it_is_not_to_be_kept_and_comes_packed_when_asked(either: Server, path: str) -> None:
    scrape(either)  # after which nothing new is to come
    plain, packed = either.ask("GET", path), either.ask("GET", path, Accept_Encoding="gzip")
    for answer in (plain, packed):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert (plain.headers["Content-Encoding"], packed.headers["Content-Encoding"]) == (None, "gzip")
    assert Scrape(plain.body).families == Scrape(packed.body).families
    assert len(packed.body) < len(plain.body) / 3
    head = either.ask("HEAD", path)
    assert (head.status, head.body, head.headers["Content-Type"]) == (200, b"", TEXT)


def test_requests_are_counted_once_each_by_their_answers_and_routes(either: Server) -> None:
    first, second = either.create(), either.create()
    for job in (first, second):
        assert either.ask("GET", f"/api/v1/job/{job}/").status == 200
        assert either.ask("HEAD", f"/api/v1/job/{job}").status == 200
    assert either.ask("GET", "/api/v1/job/none/").status == 404
    assert either.ask("GET", "/no/such/path").status == 404
    assert either.ask("BREW", "/api/v1/job/").status == 405
    assert either.ask("GET", "/healthz", Host="elsewhere").status == 200
    assert either.ask("GET", "/api/v1/job/", Host="elsewhere").status == 403
    assert either.ask("POST", "/api/v1/job/", b"{").status == 400
    assert either.ask("POST", "/api/v1/job/", b" " * (2 << 20)).status == 413
    page = either.ask("GET", "/", Accept_Encoding="gzip")
    assert either.ask("GET", "/", Accept_Encoding="gzip", If_None_Match=page.headers["ETag"]).status == 304
    found = scrape(either)
    assert found.all("kala_http_requests_total") == {("2xx",): 8, ("3xx",): 1, ("4xx",): 6}
    counts = found.all("kala_http_request_duration_seconds_count")
    assert counts == {
        ("POST", "/api/v1/job/"): 3,
        ("GET", "/api/v1/job/{job_id}/"): 5,
        ("GET", "/healthz/"): 1,
        ("GET", "/"): 2,
        ("other", "other"): 4,
    }
    assert first not in found.text
    assert "BREW" not in found.text
    assert "elsewhere" not in found.text
    # what asks about routes is told with one of them
    assert either.ask("OPTIONS", "/api/v1/job/").status == 204
    after = scrape(either).all("kala_http_request_duration_seconds_count")
    assert sum(after.values()) == sum(counts.values()) + 2
    assert {method for method, _ in after} == {"GET", "POST", "other"}


def test_a_bug_in_a_route_is_one_answer_of_500(either: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(either.service), "totals", property(lambda self: 1 / 0))
    assert either.ask("GET", "/api/v1/stats/").status == 500
    found = scrape(either)
    assert found.all("kala_http_requests_total") == {("5xx",): 1}
    assert found.all("kala_http_request_duration_seconds_count") == {("GET", "/api/v1/stats/"): 1}


@pytest.mark.parametrize(("begun", "expected"), [(False, {5: 1}), (True, {2: 1})])
@trio_test
async def test_what_fails_below_the_routes_is_counted_once(begun: bool, expected: dict[int, int]) -> None:
    class Broken(MeasuredApp):
        async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
            if begun:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            raise OSError("broken")

    async def send(message: Any) -> None:
        pass

    app = Broken("kala.web", static_folder=None)
    app.traffic = Traffic()
    with pytest.raises(OSError, match="broken"):
        await app({"type": "http", "state": {}}, send, send)
    assert +app.traffic.answers == expected
    assert sum(app.traffic.seconds[None].counts) == 1


def test_a_request_takes_as_long_as_it_takes(server: Server) -> None:
    job = server.create(command="wait")
    connection = server.connect()
    connection.request("POST", f"/api/v1/job/start/{job}/")
    until(lambda: server.attempts == 1)
    labels = {"method": "POST", "route": "/api/v1/job/start/{job_id}/"}
    found = scrape(server)
    assert ("POST", labels["route"]) not in found.all("kala_http_request_duration_seconds_count")
    assert found.value("kala_runs_running") == 1
    until(lambda: scrape(server).value("kala_http_connections") == 2)
    server.let_go()
    assert connection.getresponse().status == 204
    connection.close()
    assert scrape(server).value("kala_http_request_duration_seconds_count", **labels) == 1
    until(lambda: scrape(server).value("kala_http_connections") == 1)


def test_listeners_are_counted_while_they_listen(server: Server) -> None:
    clients = [Client(server), Client(server)]
    assert all(isinstance(client.opening, AcceptConnection) for client in clients)
    assert isinstance(Client(server, Host="elsewhere").opening, RejectConnection)
    stream = Stream(server)
    until(lambda: scrape(server).value("kala_event_listeners") == 3)
    server.create()
    found = scrape(server)
    assert found.value("kala_events_published_total") == 1
    requests = found.all("kala_http_requests_total")
    assert (requests["1xx",], requests["4xx",]) == (2, 1)
    counts = found.all("kala_http_request_duration_seconds_count")
    assert counts["GET", "/api/v1/events/"] == 3
    for client in (*clients, stream):
        client.socket.shutdown(socket.SHUT_RDWR)
    until(lambda: scrape(server).value("kala_event_listeners") == 0)
    assert scrape(server).value("kala_event_listeners_cut_off_total") == 0


@pytest.mark.slow
def test_a_listener_that_lags_is_counted_as_cut_off_once(running: Callable[..., Server]) -> None:
    server = running(Limits(send=10, graceful=0.5))
    clients = Client(server), Client(server)
    until(lambda: server.hub.listeners == 2)
    flood(server)
    for client in clients:
        assert client.wait_close().code == 1013
    until(lambda: server.hub.listeners == 0)
    found = scrape(server)
    assert found.value("kala_event_listeners_cut_off_total") == 2
    assert found.value("kala_events_published_total") == 3 * RING


def test_connections_above_the_limit_and_slow_ones_are_counted(running: Callable[..., Server]) -> None:
    server = running(Limits(connections=2, head=1.5, idle=0.3, linger=5))
    slow = socket.create_connection(server.address, timeout=DEADLINE)
    slow.sendall(b"GET / HTT")
    assert slow.recv(100).startswith(b"HTTP/1.1 408")
    slow.close()
    until(lambda: not connections(server))
    idle = socket.create_connection(server.address, timeout=DEADLINE)
    idle.sendall(request())
    while idle.recv(65_536):
        pass
    idle.close()
    job = server.create(command="wait")
    busy = [server.connect() for _ in range(2)]
    for connection in busy:
        connection.request("POST", f"/api/v1/job/start/{job}/")
    until(lambda: [one.phase for one in connections(server)] == ["answer", "answer"])
    assert server.ask("GET", "/metrics").status == 503
    server.let_go()
    assert [connection.getresponse().status for connection in busy] == [204, 204]
    for connection in busy:
        connection.close()
    until(lambda: not connections(server))
    found = scrape(server)
    assert found.value("kala_http_connections_refused_total") == 1
    assert found.value("kala_http_connections_slow_total") == 1
    assert found.value("kala_http_connections") == 1


def test_what_is_no_request_is_counted_apart(either: Server) -> None:
    for data, status in ((b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"), (request(b"GET / HTTP/2.0"), b"505")):
        with socket.create_connection(either.address, timeout=DEADLINE) as connection:
            connection.sendall(data)
            assert connection.recv(100).startswith(b"HTTP/1.1 " + status)
    found = scrape(either)
    assert found.value("kala_http_requests_unreadable_total") == 2
    assert found.all("kala_http_requests_total") == {}


def test_while_the_database_is_away_it_says_so(server: Server) -> None:
    server.create()
    found = scrape(server)
    assert (found.value("kala_database_up"), found.value("kala_database_away_seconds")) == (1, 0)
    commits = found.value("kala_commit_decisions_count")
    assert commits == found.value("kala_commit_duration_seconds_count") == 1
    server.driver.away = StoreUnavailable("pulled out")

    def refused() -> Answer:
        return server.ask("POST", "/api/v1/job/", {"name": "j", "command": "true"})

    assert refused().status == 503
    until(lambda: scrape(server).value("kala_database_up") == 0)
    found = scrape(server)
    assert found.value("kala_database_away_seconds") > 0
    assert found.value("kala_commit_failures_total") == 1
    assert found.value("kala_commit_decisions_count") == commits
    assert found.all("kala_jobs") == {("enabled",): 1}
    server.driver.away = None
    until(lambda: scrape(server).value("kala_database_up") == 1)
    assert scrape(server).value("kala_database_away_seconds") == 0
    assert refused().status == 201
    assert scrape(server).value("kala_commit_decisions_count") > commits
