"""What is believed of a proxy's headers, and of whom."""

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from kala.values import UNIX
from kala.web.forwarded import HEADERS, Forwarded
from kala.web.problems import Refused

from .server import FUTURE, Server

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))


def told(
    *headers: tuple[str, str],
    peer: tuple[str, int] | None = ("10.0.0.1", 5000),
    kind: str = "http",
    path: str = "/x",
    proxies: tuple[Any, ...] = PROXIES,
    prefix: str = "",
) -> dict[str, Any]:
    """What the application is told of a request."""
    scope = {
        "type": kind,
        "scheme": "ws" if kind == "websocket" else "http",
        "path": path,
        "raw_path": path.encode(),
        "client": peer,
        "headers": [(b"host", b"inside"), (b"accept", b"*/*"), *((n.lower().encode(), v.encode()) for n, v in headers)],
    }
    Forwarded(proxies, prefix).rewrite(scope)
    return scope


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        (["203.0.113.5"], "203.0.113.5"),
        # what a client has made up stands before what a proxy has seen
        (["1.1.1.1, 203.0.113.5"], "203.0.113.5"),
        (["nonsense, , 203.0.113.5"], "203.0.113.5"),
        (["1.1.1.1", "203.0.113.5"], "203.0.113.5"),
        # proxies of ours behind one another
        (["203.0.113.5, 10.1.1.1, 2001:db8::9"], "203.0.113.5"),
        (["203.0.113.5,10.1.1.1", "10.2.2.2"], "203.0.113.5"),
        (["203.0.113.5, ::ffff:10.1.1.1"], "203.0.113.5"),
        # a client within our own networks
        (["10.3.3.3, 10.1.1.1"], "10.3.3.3"),
        # as some write them
        (["203.0.113.5:4711"], "203.0.113.5"),
        (["[2001:db9::1]:4711"], "2001:db9::1"),
        (["[2001:db9::1]"], "2001:db9::1"),
        (["2001:DB9::1"], "2001:db9::1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy_of_ours(hops: list[str], client: str) -> None:
    assert told(*(("X-Forwarded-For", hop) for hop in hops))["client"] == (client, 0)


def test_scheme_and_host() -> None:
    for said, http, websocket in (
        ("https", "https", "wss"),
        ("wss", "https", "wss"),
        ("http", "http", "ws"),
        ("ws", "http", "ws"),
        ("http, HTTPS", "https", "wss"),
    ):
        assert told(("X-Forwarded-Proto", said))["scheme"] == http
        assert told(("X-Forwarded-Proto", said), kind="websocket")["scheme"] == websocket
    headers = told(("X-Forwarded-Host", "evil.example, kala.example.org:8443"))["headers"]
    assert headers == [(b"host", b"kala.example.org:8443"), (b"accept", b"*/*")]
    # without any of it all is as it was
    assert told() == told(peer=("203.0.113.5", 1)) | {"client": ("10.0.0.1", 5000)}


EVERYTHING = (("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"))


@pytest.mark.parametrize("peer", [("203.0.113.5", 5000), ("::1", 5000), ("unix", 0), None])
def test_nobody_else_is_believed(peer: tuple[str, int] | None) -> None:
    scope = told(*EVERYTHING, peer=peer)
    assert scope == told(peer=peer)
    assert not {name for name, _ in scope["headers"]} & HEADERS
    # nor is a fault of it one
    assert told(("X-Forwarded-For", "nonsense"), ("X-Forwarded-Proto", "x"), peer=peer) == told(peer=peer)


def test_a_unix_socket_has_proxies_behind_it_when_that_is_said() -> None:
    scope = told(*EVERYTHING, peer=("unix", 0), proxies=(UNIX,))
    assert (scope["client"], scope["scheme"]) == (("9.9.9.9", 0), "https")
    assert told(*EVERYTHING, proxies=(UNIX,))["client"] == ("10.0.0.1", 5000)


@pytest.mark.parametrize(
    "header",
    [
        ("X-Forwarded-For", "nonsense"),
        ("X-Forwarded-For", ""),
        ("X-Forwarded-For", "unknown"),
        ("X-Forwarded-For", "203.0.113.5, 10.1.1.1, 10.1.1.999"),
        ("X-Forwarded-For", "203.0.113.5, [10.1.1.1"),
        ("X-Forwarded-For", "9" * 5000),
        ("X-Forwarded-For", "fe80::1%" + "x" * 5000),
        ("X-Forwarded-For", "203.0.113.5:http"),
        ("X-Forwarded-For", "2130706433"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Proto", "https,"),
    ],
)
def test_what_a_proxy_says_must_be_readable(header: tuple[str, str]) -> None:
    with pytest.raises(Refused) as caught:
        told(header)
    assert caught.value.status == 400
    assert header[0] in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/kala/api/v1/job/", "/api/v1/job/"),
        ("/kala/", "/"),
        ("/kala", "/"),
        ("/api/v1/job/", "/api/v1/job/"),  # the proxy has taken it off
        ("/kalamata/", "/kalamata/"),
        ("/Kala/", "/Kala/"),
        ("/kala/kala/", "/kala/"),
        ("/", "/"),
    ],
)
def test_a_prefix_is_taken_off(path: str, inside: str) -> None:
    for kind in "http", "websocket":
        scope = told(path=path, prefix="/kala", kind=kind)
        assert (scope["path"], scope["raw_path"]) == (inside, inside.encode())
        assert told(path=path)["path"] == path


def test_two_slashes_are_no_path_below_a_prefix_either() -> None:
    assert told(path="/kala//api/v1/job/batch/", prefix="/kala")["path"] == "/*"


# The same on a server.


def test_a_server_behind_a_proxy(running: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    server = running(trusted_proxies=(ipaddress.ip_network("127.0.0.1/32"),), allowed_hosts=("kala.example.org",))
    seen: list[dict[str, Any]] = []
    refusal = server.app.gate.refusal

    def noted(scope: Any) -> Any:
        seen.append({**scope})
        return refusal(scope)

    monkeypatch.setattr(server.app.gate, "refusal", noted)
    outside = {"X_Forwarded_For": "203.0.113.5", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "kala.example.org"}
    assert server.ask("GET", "/api/v1/job/", **outside).status == 200
    assert (seen[-1]["client"], seen[-1]["scheme"]) == (("203.0.113.5", 0), "https")
    # a page under the outer name is of the same origin
    job = {"name": "j", "command": "true", "schedule": FUTURE}
    assert server.ask("POST", "/api/v1/job/", job, Origin="https://kala.example.org", **outside).status == 201
    # the gate judges the name as it does any
    for host, status in ("evil.example", 403), ("a b@c", 400), ("", 400):
        answer = server.ask("GET", "/api/v1/job/", **{**outside, "X_Forwarded_Host": host})
        assert (answer.status, "error" in answer.json) == (status, True)
    # what cannot be read is refused, on websockets too
    bad = server.ask("GET", "/api/v1/job/", X_Forwarded_For="nonsense")
    assert (bad.status, bad.json["error"]) == (400, "X-Forwarded-For has no address that can be read: 'nonsense'")
    shake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    bad = server.ask("GET", "/api/v1/events/", X_Forwarded_Proto="x", Sec_WebSocket_Version="13", **shake)
    assert (bad.status, "X-Forwarded-Proto" in bad.json["error"]) == (400, True)


def test_a_server_without_proxies_goes_by_what_it_sees(server: Server) -> None:
    for name, value in EVERYTHING:
        assert server.ask("GET", "/api/v1/job/", **{name.replace("-", "_"): value}).status == 200
