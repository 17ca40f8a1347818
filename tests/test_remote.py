"""Calls to real servers: what is sent, how answers are judged, and where redirects lead."""

from dataclasses import dataclass

import pytest
import trio
from http_servers import Answer, Peer, Seen, call_once, called, connections, fixed, serving

import kala
from kala.calls.remote import call
from kala.clock import Clock
from kala.job import Remote
from kala.states import State
from kala.tail import Tail


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
            await call_once(made, f"http://me:s%40crecy@127.0.0.1:{server.port}/")
            assert server.requests[0].values("Authorization") == ["Basic bWU6c0BjcmVjeQ=="]
            attempt, _ = await call_once(made, "ftp://me:s%40crecy@127.0.0.1/")
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
    attempt, _, server = called(answers, "/a/b", method=case.method, body=body)
    _, second = server.requests
    assert (second.method, second.target, second.body) == (case.then, "/c?d=e", case.body)
    assert bool(second.values("Content-Type")) == (case.then == case.method)
    assert (attempt.state, attempt.status, attempt.output_size) == (State.SUCCEEDED, 200, 0)


def test_the_body_is_there_as_it_comes_and_that_of_a_redirect_is_not() -> None:
    async def main() -> None:
        looked = trio.Event()
        seen: list[bytes] = []

        class Grown(Tail):
            def is_wanted(self) -> bool:
                return True

            def grown(self) -> None:
                self.told = False
                seen.append(self.last()[1])
                looked.set()

        async def slowly(peer: Peer, request: Seen) -> None:
            await peer.stream.send_all(b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n12345")
            await looked.wait()
            await peer.stream.send_all(b"67890")

        output = Grown(7)
        answers = {"/": fixed(302, b"moved", "Location: /there"), "/there": slowly}
        async with serving(answers) as server, connections() as made:
            with trio.fail_after(10):
                remote, clock = Remote(url=server.url), Clock()
                attempt, kept = await call(remote, number=1, clock=clock, connections=made, output=output)
        assert seen[0] == b"12345"
        assert seen[-1] == kept == b"1234567"
        assert (attempt.state, attempt.output_size, output.size) == (State.SUCCEEDED, 10, 10)

    trio.run(main)


def test_redirects_end_somewhere() -> None:
    attempt, _, server = called({"/": fixed(302, b"", "Location: /")}, "/")
    assert (attempt.state, attempt.error) == (State.FAILED, "redirected more than 10 times")
    assert len(server.requests) == 11
    wrong = {"ftp://x/": "must be an http:// or https:// URL: ftp://x/", "http://x:99999/": "not a URL: http:"}
    for location, error in wrong.items():
        attempt, _, _ = called({"/": fixed(302, b"", f"Location: {location}")}, "/")
        assert attempt.state == State.FAILED
        assert attempt.error.startswith(error)


def test_secrets_are_not_taken_to_another_host() -> None:
    async def main() -> None:
        async with serving({"/": fixed(200)}) as other, connections() as made:
            away, same = fixed(307, b"", f"Location: {other.url}/"), fixed(307, b"", "Location: /")
            async with serving({"/": away, "/same": same}) as server:
                secrets = {"Authorization": ["a"], "Cookie": ["c"], "X-Plain": ["p"]}
                await call_once(made, server.url + "/same", headers=secrets)
            [_, second], [seen] = server.requests, other.requests
            assert (second.values("Authorization"), second.values("Cookie")) == (["a"], ["c"])
            assert (seen.values("Authorization"), seen.values("Cookie"), seen.values("X-Plain")) == ([], [], ["p"])

    trio.run(main)
