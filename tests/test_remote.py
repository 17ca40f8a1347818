"""Calls to real servers: what is sent, how answers are judged, and what is said of those that fail."""

import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from http_servers import Answer, Peer, Seen, Server, fixed, serving

import kala
from kala.clock import Clock
from kala.connections import Connections
from kala.job import Attempt, Remote
from kala.remote import call, check
from kala.states import State
from kala.stop import Stop

MiB = 1 << 20


@asynccontextmanager
async def connections(environment: dict[str, str] | None = None) -> AsyncIterator[Connections]:
    made = Connections(environment or {})
    try:
        yield made
    finally:
        await made.aclose()


async def one(made: Connections, url: str, **options: Any) -> tuple[Attempt, bytes]:
    ours = {name: options.pop(name) for name in ("headers_more", "limit", "stop", "seconds") if name in options}
    return await call(
        Remote(url=url, **options),
        number=3,
        clock=Clock(),
        connections=made,
        headers=ours.get("headers_more"),
        timeout=ours.get("seconds"),
        output_limit=ours.get("limit", 65536),
        stop=ours.get("stop"),
    )


def called(answers: dict[str, Answer], path: str, **options: Any) -> tuple[Attempt, bytes, Server]:
    """One call to a server of its own."""

    async def main() -> tuple[Attempt, bytes, Server]:
        async with serving(answers) as server, connections() as made:
            attempt, output = await one(made, server.url + path, **options)
            return attempt, output, server

    return trio.run(main)


def test_a_plain_call_has_the_originals_defaults() -> None:
    before = Clock().now()
    attempt, output, server = called({"/x": fixed(200, b"hello")}, "/x?a=b%20c&d=%C3%A4#part")
    [seen] = server.requests
    assert (seen.method, seen.target, seen.body) == ("GET", "/x?a=b%20c&d=%C3%A4", b"")
    assert dict(seen.headers) == {
        "Host": f"127.0.0.1:{server.port}",
        "Content-Type": "application/json",
        "User-Agent": f"kala/{kala.__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }
    assert (attempt.number, attempt.state, attempt.status, attempt.error) == (3, State.SUCCEEDED, 200, "")
    assert (attempt.output_size, output) == (5, b"hello")
    assert before <= attempt.started <= attempt.ended <= Clock().now()


def test_what_was_defined_is_sent() -> None:
    headers = {"X-Many": ["1", "zwei ü"], "content-type": ["text/plain"], "Host": ["evil"], "Content-Length": ["99"]}
    more = {"Kala-Run-Id": "run", "X-Many": "not this"}
    _, _, server = called({"/": fixed(200)}, "/", method="pUt", body="{ä}", headers=headers, headers_more=more)
    [seen] = server.requests
    assert (seen.method, seen.body) == ("PUT", "{ä}".encode())
    assert seen.values("x-many") == ["1", "zwei ü"]
    assert seen.values("Content-Type") == ["text/plain"]
    assert seen.values("Kala-Run-Id") == ["run"]
    assert seen.values("Content-Length") == ["4"]
    assert seen.values("Host") == [f"127.0.0.1:{server.port}"]


def test_a_user_in_the_url_is_sent_as_credentials_and_never_shown() -> None:
    async def main() -> None:
        async with serving({"/": fixed(200)}) as server, connections() as made:
            await one(made, f"http://me:s%40crecy@127.0.0.1:{server.port}/")
            assert server.requests[0].values("Authorization") == ["Basic bWU6c0BjcmVjeQ=="]
            attempt, _ = await one(made, "ftp://me:s%40crecy@127.0.0.1/")
            assert "crecy" not in attempt.error

    trio.run(main)


@dataclass(frozen=True)
class Judging:
    status: int
    expected: list[int] | None
    state: State
    error: str = ""


JUDGINGS = [
    Judging(200, None, State.SUCCEEDED),
    Judging(200, [], State.SUCCEEDED),
    Judging(201, None, State.FAILED, "answered 201, expected 200"),
    Judging(201, [200, 201], State.SUCCEEDED),
    Judging(500, None, State.FAILED, "answered 500, expected 200"),
    Judging(404, [200, 204], State.FAILED, "answered 404, expected 200 or 204"),
    Judging(500, [500], State.SUCCEEDED),
    Judging(302, [302], State.SUCCEEDED),  # without a Location there is nothing to follow
]


@pytest.mark.parametrize("case", JUDGINGS, ids=str)
def test_expected_codes_decide(case: Judging) -> None:
    attempt, output, _ = called({"/": fixed(case.status, b"why")}, "/", expected_response_codes=case.expected)
    assert (attempt.state, attempt.status, attempt.error) == (case.state, case.status, case.error)
    assert output == b"why"


@dataclass(frozen=True)
class Redirect:
    status: int
    method: str
    then: str
    body: bytes


REDIRECTS = [
    Redirect(301, "POST", "GET", b""),
    Redirect(302, "POST", "GET", b""),
    Redirect(303, "PUT", "GET", b""),
    Redirect(303, "HEAD", "HEAD", b""),
    Redirect(307, "POST", "POST", b"{}"),
    Redirect(308, "PUT", "PUT", b"{}"),
]


@pytest.mark.parametrize("case", REDIRECTS, ids=str)
def test_redirects_are_followed(case: Redirect) -> None:
    async def head_or_body(peer: Peer, seen: Seen) -> None:
        await peer.send(200, b"")

    answers: dict[str, Answer] = {"/a/b": fixed(case.status, b"moved", "Location: ../c?d=e"), "/c": head_or_body}
    if case.method == "HEAD":
        answers["/a/b"] = fixed(case.status, b"", "Location: ../c?d=e")
    body = "" if case.method == "HEAD" else "{}"
    attempt, output, server = called(answers, "/a/b", method=case.method, body=body)
    first, second = server.requests
    assert (second.method, second.target, second.body) == (case.then, "/c?d=e", case.body)
    assert bool(second.values("Content-Type")) == (case.then == case.method)
    assert (attempt.state, attempt.status, attempt.output_size) == (State.SUCCEEDED, 200, 0)


def test_redirects_end_somewhere() -> None:
    attempt, _, server = called({"/": fixed(302, b"", "Location: /")}, "/")
    assert (attempt.state, attempt.error) == (State.FAILED, "redirected more than 10 times")
    assert len(server.requests) == 11
    for location, error in {
        "ftp://x/": "must be an http:// or https:// URL: ftp://x/",
        "http://": "has no host: http:",
    }.items():
        attempt, _, _ = called({"/": fixed(302, b"", f"Location: {location}")}, "/")
        assert attempt.state == State.FAILED
        assert attempt.error.startswith(error)


def test_secrets_are_not_taken_to_another_host() -> None:
    async def main() -> None:
        async with serving({"/": fixed(200)}) as other, connections() as made:
            async with serving(
                {"/": fixed(307, b"", f"Location: {other.url}/"), "/same": fixed(307, b"", "Location: /")}
            ) as server:
                secrets = {"Authorization": ["a"], "Cookie": ["c"], "X-Plain": ["p"]}
                await one(made, server.url + "/same", headers=secrets)
            [_, same], [seen] = server.requests, other.requests
            assert (same.values("Authorization"), same.values("Cookie")) == (["a"], ["c"])
            assert (seen.values("Authorization"), seen.values("Cookie"), seen.values("X-Plain")) == ([], [], ["p"])

    trio.run(main)


async def silence(peer: Peer, seen: Seen) -> None:
    await trio.sleep_forever()


async def half_a_body(peer: Peer, seen: Seen) -> None:
    await peer.stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await trio.sleep_forever()


async def dribble(peer: Peer, seen: Seen) -> None:
    await peer.stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.stream.send_all(b"1\r\nx\r\n")
        await trio.sleep(0.05)


@pytest.mark.parametrize(("answer", "status"), [(silence, None), (half_a_body, 200), (dribble, 200)])
def test_the_timeout_is_for_the_whole_call(answer: Answer, status: int | None) -> None:
    attempt, output, _ = called({"/": answer}, "/", seconds=0.3)
    assert (attempt.state, attempt.status, attempt.error) == (State.TIMED_OUT, status, "timed out after 0.3 s")
    assert 300_000 <= attempt.ended - attempt.started < 3_000_000
    assert output.startswith({silence: b"timed out", half_a_body: b"half", dribble: b"xxx"}[answer])


def test_the_jobs_own_timeout_holds() -> None:
    attempt, _, _ = called({"/": silence}, "/", timeout=1)
    assert attempt.error == "timed out after 1 s"


def test_stop_ends_a_call_at_once() -> None:
    async def main() -> None:
        stop, results = Stop(), []
        async with serving({"/": half_a_body}) as server, connections() as made:

            async def calling() -> None:
                results.append(await one(made, server.url, stop=stop))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(calling)
                with trio.fail_after(5):
                    while not server.requests:  # noqa: ASYNC110 - the server tells nobody
                        await trio.sleep(0.01)
                stop.request()
            [(attempt, _)] = results
            assert (attempt.state, attempt.error) == (State.CANCELLED, "cancelled")
            stopped = await one(made, server.url, stop=stop)
            assert stopped[0].state == State.CANCELLED
            assert len(server.requests) == 1

    trio.run(main)


async def hang_up(peer: Peer, seen: Seen) -> None:
    await peer.stream.aclose()


async def garbage(peer: Peer, seen: Seen) -> None:
    await peer.stream.send_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def cut_short(peer: Peer, seen: Seen) -> None:
    await peer.stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await peer.stream.aclose()


async def endless_head(peer: Peer, seen: Seen) -> None:
    await peer.stream.send_all(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.stream.send_all(b"X-Header: " + b"x" * 10_000 + b"\r\n")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (hang_up, "it has closed the connection without an answer"),
        (garbage, "illegal status line: bytearray(b'SSH-2.0-OpenSSH_9.2')"),
        (cut_short, "peer closed connection without sending complete message body (received 4 bytes, expected 100)"),
        (endless_head, "Receive buffer too long"),
    ],
)
def test_what_is_no_answer_is_a_failure(answer: Answer, error: str) -> None:
    attempt, _, server = called({"/": answer}, "/")
    assert (attempt.state, attempt.error) == (State.FAILED, f"no proper answer from 127.0.0.1:{server.port}: {error}")
    assert len(server.requests) == 1


def test_what_cannot_be_connected_to_is_a_failure() -> None:
    with trio.socket.socket() as bound:  # a port on which nobody listens

        async def main() -> None:
            await bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            async with connections() as made:
                for host in ("127.0.0.1", "localhost"):
                    attempt, output = await one(made, f"http://{host}:{port}/")
                    assert attempt.state == State.FAILED
                    assert attempt.error == f"cannot connect to {host}:{port}: connection refused"
                    assert output == attempt.error.encode()
                attempt, _ = await one(made, "http://no-such-host.invalid/")
                assert attempt.error.startswith("cannot connect to no-such-host.invalid:80: ")

        trio.run(main)


REFUSED = {
    "": "not a URL",
    "x": "must be",
    "http:///x": "has no host",
    "http://h:99999/": "not a URL",
    "http://h\n/": "not a URL",
    "http://\ud800/": "not a URL",
}


def test_a_call_that_cannot_be_made_is_a_failure() -> None:
    async def main() -> None:
        async with connections() as made:
            for url in REFUSED:
                assert (await one(made, url))[0].state == State.FAILED
            for options in ({"method": "GE T"}, {"headers": {"a b": ["c"]}}, {"headers": {"a": ["b\nc: d"]}}):
                async with serving({"/": fixed(200)}) as server:
                    attempt, _ = await one(made, server.url, **options)
                    assert attempt.state == State.FAILED
                    assert attempt.error.startswith("not a request that can be sent: ")
                    assert not server.requests
            assert (await one(made, "http://127.0.0.1/", body="\ud800"))[0].error == "cannot be encoded: '\\ud800'"

    trio.run(main)


def test_the_beginning_of_the_body_is_kept() -> None:
    attempt, output, _ = called({"/": fixed(200, bytes(range(256)) * 1000)}, "/", limit=300)
    assert (attempt.output_size, output) == (256_000, bytes(range(256)) + bytes(range(44)))


async def compressed(peer: Peer, seen: Seen) -> None:
    await peer.send(200, b"\x1f\x8b not unpacked", "Content-Encoding: gzip")


def test_nothing_is_unpacked() -> None:
    assert called({"/": compressed}, "/")[1] == b"\x1f\x8b not unpacked"


def gigabytes(size: int) -> Answer:
    async def answer(peer: Peer, seen: Seen) -> None:
        await peer.stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // MiB):
            await peer.stream.send_all(bytes(MiB))

    return answer


@pytest.mark.slow
def test_a_body_of_a_gigabyte_does_not_grow_the_daemon() -> None:
    tracemalloc.start()
    try:
        attempt, output, _ = called({"/": gigabytes(1024 * MiB)}, "/", seconds=300)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (attempt.state, attempt.output_size, output) == (State.SUCCEEDED, 1024 * MiB, bytes(65536))
    assert peak < 16 * MiB


FINE = Remote(
    url="https://example.org/a?b",
    method="post",
    headers={"X-A": ["b\tc", "ü"]},
    timeout=86_400,
    expected_response_codes=[100, 599],
    body="ä",
)
FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no url": ({"url": ""}, "url", "is needed"),
    "relative": ({"url": "/x"}, "url", "must be an http:// or https:// URL"),
    "other scheme": ({"url": "file:///etc/passwd"}, "url", "must be an http:// or https:// URL"),
    "no host": ({"url": "http:///x"}, "url", "has no host"),
    "control character": ({"url": "http://a/\n"}, "url", "not a URL"),
    "space in host": ({"url": "http://a b/"}, "url", "not a URL"),
    "half a character in the url": ({"url": "http://a/\ud800"}, "url", "not a URL"),
    "port": ({"url": "http://a:99999/"}, "url", "not a URL"),
    "method": ({"method": "GE T"}, "method", "not an HTTP method"),
    "tunnel": ({"method": "connect"}, "method", "not an HTTP method"),
    "header name": ({"headers": {"a:": ["b"]}}, "headers", "not a header's name: 'a:'"),
    "no header name": ({"headers": {"": ["b"]}}, "headers", "not a header's name: ''"),
    "line break": ({"headers": {"a": ["b\r\nc: d"]}}, "headers", "the value of a holds characters"),
    "NUL": ({"headers": {"a": ["b\0"]}}, "headers", "the value of a holds characters"),
    "half a character": ({"headers": {"a": ["\ud800"]}}, "headers", "the value of a holds characters"),
    "body": ({"body": "\ud800"}, "body", "cannot be encoded in UTF-8"),
    "negative": ({"timeout": -1}, "timeout", "must be 0 to 86400 seconds"),
    "too long": ({"timeout": 86_401}, "timeout", "must be 0 to 86400 seconds"),
    "code": ({"expected_response_codes": [200, 600]}, "expected_response_codes", "600 is not an HTTP status"),
}


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS)
def test_faults_are_found_at_creation(case: tuple[dict[str, Any], str, str]) -> None:
    changes, field, fault = case
    [(path, said)] = check(
        Remote(**{**{name: getattr(FINE, name) for name in FINE.__struct_fields__}, **changes})
    ).items()
    assert path == f"remote_properties.{field}"
    assert said.startswith(fault)


def test_what_is_fine_has_no_faults_and_all_faults_are_named_at_once() -> None:
    assert check(FINE) == {}
    assert check(Remote(url="http://localhost")) == {}
    wrong = Remote(url="x", method=" ", body="\ud800", headers={" ": []}, timeout=-1, expected_response_codes=[0])
    assert len(check(wrong)) == 6
    assert json.dumps(check(wrong))
