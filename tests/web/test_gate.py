"""Who may come in."""

from typing import Any

import pytest

from kala.web.gate import Gate

from .server import Server

GATE = Gate("192.0.2.7", ["kala.example.org"])

ASKED: list[tuple[str, dict[str, str], int]] = [
    # method ("WS": a websocket), headers, the status of the refusal (0: let in)
    ("GET", {"host": "localhost:8000"}, 0),
    ("GET", {"host": "LOCALHOST"}, 0),
    ("GET", {"host": "localhost."}, 0),
    ("GET", {"host": "127.0.0.1:8000"}, 0),
    ("GET", {"host": "[::1]:8000"}, 0),
    ("GET", {"host": "192.0.2.7"}, 0),
    ("GET", {"host": "203.0.113.9:80"}, 0),  # an address cannot be rebound
    ("GET", {"host": "kala.example.org:8443"}, 0),
    ("GET", {"host": "kala.localhost"}, 0),
    ("GET", {"host": "evil.example"}, 403),
    ("GET", {"host": "localhost.evil.example"}, 403),
    ("GET", {"host": "127.0.0.1.evil.example"}, 403),
    ("GET", {}, 400),
    ("GET", {"host": ""}, 400),
    ("GET", {"host": "localhost:port"}, 400),
    ("GET", {"host": "me@localhost"}, 400),
    ("GET", {"host": "localhost/x"}, 400),
    ("GET", {"host": "localhost", "origin": "http://evil.example"}, 0),  # the browser does not let it read
    ("POST", {"host": "localhost:8000"}, 0),
    ("POST", {"host": "localhost:8000", "origin": "http://localhost:8000"}, 0),
    ("POST", {"host": "localhost", "origin": "http://localhost"}, 0),
    ("POST", {"host": "localhost", "origin": "http://localhost:80"}, 0),
    ("POST", {"host": "[::1]:8000", "origin": "http://[::1]:8000"}, 0),
    ("POST", {"host": "localhost:8000", "origin": "https://kala.example.org"}, 0),  # a proxy that sets Host
    ("POST", {"host": "localhost:8000", "sec-fetch-site": "same-origin"}, 0),
    ("POST", {"host": "localhost:8000", "sec-fetch-site": "none"}, 0),
    ("POST", {"host": "localhost:8000", "origin": "http://localhost:3000"}, 403),
    ("POST", {"host": "localhost:8000", "origin": "http://evil.example"}, 403),
    ("POST", {"host": "localhost:8000", "origin": "null"}, 403),
    ("POST", {"host": "localhost:8000", "origin": "http://[x"}, 403),
    ("POST", {"host": "localhost:8000", "origin": "file:///x"}, 403),
    ("POST", {"host": "localhost:8000", "sec-fetch-site": "cross-site"}, 403),
    ("POST", {"host": "localhost:8000", "sec-fetch-site": "same-site"}, 403),
    ("DELETE", {"host": "localhost:8000", "origin": "http://evil.example"}, 403),
    ("PATCH", {"host": "localhost:8000", "origin": "http://evil.example"}, 403),
    ("WS", {"host": "localhost:8000"}, 0),
    ("WS", {"host": "localhost:8000", "origin": "http://localhost:8000"}, 0),
    ("WS", {"host": "localhost:8000", "origin": "http://evil.example"}, 403),
    ("WS", {"host": "evil.example", "origin": "http://evil.example"}, 403),
]


def scope_of(method: str, headers: dict[str, str], path: str = "/api/v1/job/") -> dict[str, Any]:
    kind: dict[str, Any] = {"type": "websocket"} if method == "WS" else {"type": "http", "method": method}
    return {**kind, "path": path, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}


@pytest.mark.parametrize(("method", "headers", "status"), ASKED)
def test_who_is_let_in(method: str, headers: dict[str, str], status: int) -> None:
    for _ in range(2):  # a verdict that is remembered is the same
        refusal = GATE.refusal(scope_of(method, headers))
        assert (0 if refusal is None else refusal.status) == status


def test_verdicts_are_remembered_within_bounds() -> None:
    gate = Gate("127.0.0.1", [])
    for number in range(10_000):
        assert gate.refusal(scope_of("GET", {"host": f"h{number}.example"})) is not None
    assert len(gate._verdicts) <= 256


def test_refusals_are_json_and_do_nothing(either: Server) -> None:
    job = either.create()
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        answer = either.ask("DELETE", f"/api/v1/job/{job}/", b"x" * 100_000, **headers)
        assert (answer.status, answer.headers["Content-Type"]) == (403, "application/json")
        assert answer.json["error"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert either.service.job_ids() == [job]


def test_probes_may_use_any_name(either: Server) -> None:
    for path in ("/healthz", "/readyz"):
        assert either.ask("GET", path, Host="10.0.0.1:80").status == 200
        assert either.ask("GET", path, Host="some.balancer.example").status == 200
    assert either.ask("GET", "/", Host="some.balancer.example").status == 403
