"""Who may do what: every role at every route, with and without tokens, by header and by cookie."""

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from kala.clock import SECOND, Clock, rfc3339
from kala.roles import Role
from kala.tokens import Tokens, new_token, session_of
from kala.web import api, pages
from kala.web.door import BURST, EVERY, Door, Failures, cookie_in, network_of
from kala.web.routes import Route

from .server import DEADLINE, Answer, Server, until

ROUTES: list[Route] = api.table(None, None)  # type: ignore[arg-type]  # the views are never called
PATHS = {one.name: re.sub("<[a-z_]+>", "none", one.path) for one in ROUTES}
MADE = {role: new_token(f"the-{role}", role) for role in Role}
SECRETS = {role: secret for role, (secret, _) in MADE.items()}
OVER, _OVER = new_token("over", Role.ADMIN, 1_000)
LINES = "\n".join([*(token.line() for _, token in MADE.values()), _OVER.line()])
LET_IN = 0


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    from kala.settings import Settings

    from .server import LIMITS

    server = Server(Settings(port=0, tokens=LINES), LIMITS).start()
    yield server
    server.stop()


def asked(server: Server, method: str, path: str, **headers: str) -> int:
    """The status; `LET_IN` when it is one that a route gives. Only the head is read: some answers have no end."""
    connection = server.connect()
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, b"{}" if method in ("POST", "PATCH") else None, named)
        response = connection.getresponse()
        return response.status if response.status in (401, 403, 429) else LET_IN
    finally:
        connection.close()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def cookie(server: Server, role: Role, *, own: bool = True) -> dict[str, str]:
    host, port = server.address
    session = session_of(MADE[role][1], server.clock.now() + 60 * SECOND)
    given = {"Cookie": f"a=b; kala_session_{port}={session}; c=d"}
    return given | ({"Origin": f"http://{host}:{port}"} if own else {})


# The table.


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_role_at_every_route(guarded: Server, route: Route) -> None:
    path, needed = PATHS[route.name], route.needs
    nobody = LET_IN if needed is None else 401
    assert asked(guarded, route.method, path) == nobody
    assert asked(guarded, route.method, path, Authorization="Basic YTpi") in (nobody, 429)
    assert asked(guarded, route.method, path, **bearer("kala_" + "x" * 43)) in (nobody, 429 if nobody else LET_IN)
    assert asked(guarded, route.method, path, **bearer(OVER)) in (nobody, 429 if nobody else LET_IN)
    for role in Role:
        wanted = LET_IN if needed is None or role.may(needed) else 403
        assert asked(guarded, route.method, path, **bearer(SECRETS[role])) == wanted, role
        assert asked(guarded, route.method, path, **cookie(guarded, role)) == wanted, role
        without_origin = wanted if route.method == "GET" or needed is None else 403
        assert asked(guarded, route.method, path, **cookie(guarded, role, own=False)) == without_origin, role
    # a wrong name, and a page from elsewhere, whatever is shown
    is_probe = path in ("/healthz/", "/readyz/")
    rebound = bearer(SECRETS[Role.ADMIN]) | {"Host": "evil.example"}
    assert asked(guarded, route.method, path, **rebound) == (LET_IN if is_probe else 403)
    if route.method != "GET":
        across = cookie(guarded, Role.ADMIN) | {"Origin": "http://evil.example"}
        assert asked(guarded, route.method, path, **across) == 403
        fetched = cookie(guarded, Role.ADMIN) | {"Sec-Fetch-Site": "cross-site"}
        assert asked(guarded, route.method, path, **fetched) == 403


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_without_tokens_everybody_may_do_everything(server: Server, route: Route) -> None:
    if "start" not in route.path:
        assert asked(server, route.method, PATHS[route.name]) == LET_IN
        assert asked(server, route.method, PATHS[route.name], **bearer("what")) == LET_IN


def test_what_changes_something_names_its_role() -> None:
    for route in ROUTES:
        if route.method != "GET" and route.needs is not None:
            assert route.role is not None or route.needs is Role.ADMIN
    assert {route.name for route in ROUTES if route.is_open} == {
        "GET /healthz/",
        "GET /readyz/",
        "POST /api/v1/session/",
    }
    assert {route.name for route in ROUTES if route.needs is Role.RUN} == {
        "POST /api/v1/job/start/<job_id>/",
        "POST /api/v1/job/enable/<job_id>/",
        "POST /api/v1/job/disable/<job_id>/",
        "POST /api/v1/run/<run_id>/cancel/",
        "POST /api/v1/pause/",
        "POST /api/v1/resume/",
    }


def test_the_docs_have_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    told = {}
    for role, routes in re.findall(r"^\| (none|read|run|admin) \| (`.*`) \|$", text, re.MULTILINE):
        told |= dict.fromkeys(re.findall("`([^`]*)`", routes), role)
    assert told == {one.name: "none" if one.needs is None else str(one.needs) for one in ROUTES}


def test_the_page_and_its_login_show_themselves_to_everybody(guarded: Server) -> None:
    version = pages.load().version
    for path in ("/", "/webui/", "/login/", f"/webui/static/{version}/base.js", f"/webui/static/{version}/no.js"):
        assert asked(guarded, "GET", path) == LET_IN


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/api/v1/job/"),
        ("OPTIONS", "/api/v1/job/"),
        ("GET", "/no/such/path"),
        ("GET", "/API/V1/JOB/"),
        ("GET", "//api/v1/job/"),
        ("GET", "/healthz/../api/v1/job/"),
        ("GET", "/api/v1/job"),
        ("PUT", "/api/v1/job/"),
        ("DELETE", "/api/v1/job/all"),
        ("POST", "/webui/"),
        ("POST", "/api/v1/session/../job/"),
        ("GET", "http://localhost/api/v1/job/"),
        ("GET", "/api/v1/job/?/healthz/"),
        ("GET", "/%61pi/v1/job/"),
        ("GET", "/api/v1/job/%2e%2e/%2e%2e/healthz"),
    ],
)
def test_no_detour_leads_past_the_door(guarded: Server, method: str, path: str) -> None:
    assert asked(guarded, method, path) == 401
    assert asked(guarded, method, path, **bearer(SECRETS[Role.ADMIN])) == LET_IN


@pytest.mark.parametrize("path", ["/api/v1/job", "/api/v1//job/", "/api/v1/job/all", "/%61pi/v1/job/all/"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
def test_no_detour_gives_a_role(guarded: Server, method: str, path: str) -> None:
    answer = guarded.ask(method, path, b"{}", **bearer(SECRETS[Role.READ]))
    assert answer.status in (403, 404, 405), answer.text


def test_a_body_is_not_waited_for_from_who_may_not(guarded: Server) -> None:
    connection = guarded.connect()
    connection.putrequest("POST", "/api/v1/job/import/")
    connection.putheader("Content-Length", str(100 << 20))
    connection.endheaders(b"{")
    assert connection.getresponse().status == 401
    connection.close()


def test_an_authorization_that_is_wrong_is_not_made_good_by_a_cookie(guarded: Server) -> None:
    shown = cookie(guarded, Role.ADMIN) | bearer("kala_" + "y" * 43)
    assert asked(guarded, "GET", "/api/v1/job/", **shown) in (401, 429)


def test_a_cookie_of_another_port_is_not_looked_at(guarded: Server) -> None:
    session = session_of(MADE[Role.ADMIN][1], guarded.clock.now() + 60 * SECOND)
    assert asked(guarded, "GET", "/api/v1/job/", Cookie=f"kala_session_1={session}; kala_session={session}") == 401


# Websockets.


@pytest.mark.parametrize(
    ("shown", "status"),
    [("nothing", 401), ("wrong", 401), ("read", 101), ("cookie", 101), ("cookie, no origin", 403)],
)
def test_a_websocket_needs_a_token(running: Callable[..., Server], shown: str, status: int) -> None:
    server = running(tokens=LINES)
    fields = {
        "nothing": {},
        "wrong": bearer("kala_" + "x" * 43),
        "read": bearer(SECRETS[Role.READ]),
        "cookie": cookie(server, Role.READ),
        "cookie, no origin": cookie(server, Role.READ, own=False),
    }[shown]
    connection = server.connect()
    connection.putrequest("GET", "/api/v1/events/")
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for name, value in (upgrade | fields).items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.sock.recv(64).startswith(b"HTTP/1.1 %d " % status)
    connection.close()


# What lasts.


def test_who_loses_the_token_is_shown_out(running: Callable[..., Server], tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    (stays, one), (goes, two) = new_token("stays", Role.READ), new_token("goes", Role.READ)
    path.write_text(f"{one.line()}\n{two.line()}\n")
    path.chmod(0o600)
    server = running(tokens_file=str(path))
    staying, going = (following(server, secret) for secret in (stays, goes))
    path.write_text(f"{one.line()}\n")
    server.call(server.tokens.reload)
    server.call(server.door.look_again)
    going.join(DEADLINE)
    assert not going.is_alive()
    assert asked(server, "GET", "/api/v1/job/", **bearer(goes)) == 401

    assert staying.is_alive()
    server.call(server.hub.close)
    staying.join(DEADLINE)


def test_what_lasts_ends_with_the_token(running: Callable[..., Server]) -> None:
    secret, token = new_token("short", Role.READ, Clock().now() + 5 * SECOND)
    server = running(tokens=token.line())
    thread = following(server, secret)
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert server.clock.now() >= (token.until or 0)


def following(server: Server, secret: str) -> threading.Thread:
    """Somebody who reads events until there are no more."""
    connection = server.connect()
    connection.request("GET", "/api/v1/events/", headers=bearer(secret))
    response = connection.getresponse()
    assert response.status == 200
    assert b"hello" in response.readline()

    def read() -> None:
        try:
            while response.readline():
                pass
        except http.client.IncompleteRead:
            pass
        finally:
            connection.close()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


# Failures.


def test_wrong_tokens_become_slow_and_right_ones_do_not(running: Callable[..., Server]) -> None:
    server = running(tokens=LINES)
    answers = [server.ask("GET", "/api/v1/job/", **bearer("kala_" + "z" * 43)) for _ in range(BURST + 5)]
    assert [answer.status for answer in answers] == [401] * BURST + [429] * 5
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= EVERY + 1
    assert answers[0].headers["WWW-Authenticate"] == 'Bearer realm="kala", error="invalid_token"'
    assert asked(server, "GET", "/api/v1/job/", **bearer(SECRETS[Role.READ])) == LET_IN
    assert server.door.refused == BURST + 5
    # nor can they fill the audit log
    entries = server.ask("GET", "/api/v1/audit/", **bearer(SECRETS[Role.ADMIN])).json["entries"]
    assert len(entries) == BURST


def test_the_bucket_of_failures() -> None:
    now = 0.0
    failures = Failures(lambda: now)
    assert [failures.add("192.0.2.1") for _ in range(BURST)] == [0.0] * BURST
    assert failures.add("192.0.2.1") == EVERY
    assert failures.add("192.0.2.1") == EVERY  # trying again does not make it longer
    assert failures.add("192.0.2.2") == 0.0
    now = EVERY
    assert failures.add("192.0.2.1") == 0.0
    assert failures.add("192.0.2.1") == EVERY
    now = 10 * BURST * EVERY
    assert [failures.add("192.0.2.1") for _ in range(BURST)] == [0.0] * BURST


def test_failures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kala.web.door.ADDRESSES", 100)
    failures = Failures(lambda: 0.0)
    for number in range(1_000):
        failures.add(f"10.0.{number // 250}.{number % 250}")
    assert len(failures._full_until) == 100


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_whose_failures_count_together(address: str, counted: str) -> None:
    assert network_of(address) == counted


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"n=v", "v"),
        (b"a=b; n=v; c=d", "v"),
        (b"a=b;n=v", "v"),
        (b"n=", ""),
        (b"m=v", None),
        (b"xn=v", None),
        (b"n", None),
        (b"", None),
        (b"n=v; " + b"a=" + b"b" * 5_000, None),
        (b"\xff=\xff; n=v", "v"),
    ],
)
def test_cookies(header: bytes, value: str | None) -> None:
    assert cookie_in(header, "n") == value


# The login.


def login(server: Server, token: object, **headers: str) -> Answer:
    return server.ask("POST", "/api/v1/session/", {"token": token}, **headers)


def test_the_login(running: Callable[..., Server]) -> None:
    server = running(tokens=LINES)
    answer = login(server, SECRETS[Role.RUN] + "\n")
    assert answer.status == 200
    until = answer.json.pop("until")
    assert answer.json["name"] == "the-run"
    assert until > rfc3339(server.clock.now())
    set_cookie = answer.headers["Set-Cookie"]
    port = server.address[1]
    match = re.fullmatch(
        rf"(kala_session_{port}=\S+); Path=/; Max-Age=604\d{{3}}; HttpOnly; SameSite=Strict", set_cookie
    )
    assert match is not None, set_cookie
    assert SECRETS[Role.RUN] not in set_cookie + answer.text
    shown = {"Cookie": match[1]}
    assert server.ask("GET", "/api/v1/session/", **shown).json == {
        "name": "the-run",
        "role": "run",
        "tokens": True,
        "until": until,
    }
    origin = {"Origin": "http://{}:{}".format(*server.address)}
    left = server.ask("DELETE", "/api/v1/session/", **shown, **origin)
    assert left.status == 204
    assert f"kala_session_{port}=; Path=/; Max-Age=0;" in left.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"token": "kala_" + "q" * 43}, 401, "this token is not known"),
        ({"token": OVER}, 401, "this token is not known"),
        ({"token": ""}, 400, "token: is needed"),
        ({"token": 5}, 400, "token: must be text"),
        ({"token": "x" * 300}, 400, "token: is 300 characters long"),
        ({}, 400, "token: is needed"),
        ([], 400, "must be a JSON object"),
        (b"token=x", 400, "not JSON"),
        ({"token": "x", "more": "y" * 5_000}, 413, "a login is no larger than"),
    ],
)
def test_a_login_that_is_wrong(running: Callable[..., Server], body: Any, status: int, said: str) -> None:
    server = running(tokens=LINES)
    answer = server.ask("POST", "/api/v1/session/", body)
    assert answer.status == status
    assert said in answer.json["error"]
    assert "Set-Cookie" not in answer.headers


def test_under_tls_the_cookie_travels_by_tls_alone(running: Callable[..., Server]) -> None:
    server = running(tokens=LINES, trusted_proxies=(ip_network("127.0.0.1"),))
    answer = login(server, SECRETS[Role.RUN], X_Forwarded_Proto="https")
    assert answer.headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")


def test_no_other_page_logs_somebody_in(running: Callable[..., Server]) -> None:
    server = running(tokens=LINES)
    assert login(server, SECRETS[Role.RUN], Origin="http://evil.example").status == 403


def test_without_tokens_there_is_nothing_to_log_in_to(server: Server) -> None:
    answer = login(server, "x")
    assert (answer.status, answer.json) == (200, {"name": "", "role": "admin", "tokens": False})
    assert "Set-Cookie" not in answer.headers
    assert server.ask("GET", "/api/v1/audit/").status == 404


# The audit log.


def test_who_did_what(running: Callable[..., Server]) -> None:
    server = running(tokens=LINES)
    admin, runs, reads = (bearer(SECRETS[role]) for role in (Role.ADMIN, Role.RUN, Role.READ))
    job = {"name": "j", "command": "true", "schedule": "R/2099-01-01T00:00:00Z/P1D"}
    job_id = server.ask("POST", "/api/v1/job/", job, **admin).json["id"]
    run_id = server.ask("POST", f"/api/v1/job/start/{job_id}/?wait=false", **runs).json["id"]
    server.ask("POST", "/api/v1/job/batch/", [job, {}, job], **admin)
    server.ask("GET", "/api/v1/job/", **reads)
    server.ask("DELETE", f"/api/v1/job/{job_id}/", **reads)
    server.ask("PATCH", f"/api/v1/job/{job_id}/", {"retries": -1}, **admin)
    server.ask("POST", "/api/v1/job/", job, Origin="http://evil.example")
    told = server.ask("GET", "/api/v1/audit/?limit=50", **admin).json["entries"]
    assert [(entry.get("who", ""), entry["method"], entry["status"]) for entry in reversed(told)] == [
        ("the-admin", "POST", 201),
        ("the-run", "POST", 202),
        ("the-admin", "POST", 200),
        ("the-read", "DELETE", 403),
        ("the-admin", "PATCH", 400),
        ("", "POST", 403),
    ]
    created, started, batch = list(reversed(told))[:3]
    assert created["job"] == job_id
    assert started["run"] == run_id
    assert batch["jobs"] == 2
    assert created["address"] == "127.0.0.1"
    assert created["role"] == "admin"
    assert not any(secret in json.dumps(told) for secret in SECRETS.values())
    assert len(server.ask("GET", "/api/v1/audit/?limit=2", **admin).json["entries"]) == 2
    assert server.ask("GET", "/api/v1/audit/?limit=0", **admin).status == 400


def test_who_has_no_token_cannot_fill_the_audit_log(running: Callable[..., Server]) -> None:
    server = running(tokens=LINES)
    for _ in range(BURST + 10):
        assert asked(server, "POST", "/api/v1/job/") == 401
    assert len(server.door.audit.latest(100)) == BURST  # type: ignore[union-attr]
    for _ in range(BURST + 10):
        assert asked(server, "DELETE", "/api/v1/job/none/", **bearer(SECRETS[Role.READ])) == 403
    assert len(server.door.audit.latest(100)) == 2 * BURST + 10  # type: ignore[union-attr]


def test_a_start_that_nobody_waits_for_is_noted(running: Callable[..., Server]) -> None:
    server = running(tokens=LINES)
    admin = bearer(SECRETS[Role.ADMIN])
    job = {"name": "j", "command": "wait", "schedule": "R/2099-01-01T00:00:00Z/P1D"}
    job_id = server.ask("POST", "/api/v1/job/", job, **admin).json["id"]
    connection = server.connect()
    connection.request("POST", f"/api/v1/job/start/{job_id}/", headers=admin)
    until(lambda: server.attempts == 1)
    connection.close()
    until(lambda: len(server.door.audit.latest(9)) == 2)  # type: ignore[union-attr]
    entry = server.door.audit.latest(1)[0]  # type: ignore[union-attr]
    assert (entry.status, entry.who) == (0, "the-admin")
    assert entry.run
    server.let_go()


def test_the_door_without_an_audit_log_notes_nothing() -> None:
    Door(Clock(), Tokens()).note({"type": "http", "method": "POST", "path": "/", "headers": [], "state": {}}, 200)
