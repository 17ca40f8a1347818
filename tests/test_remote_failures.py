"""Calls to real servers that go wrong, end late or are too large, and what is wrong before any call."""

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
import trio
from http_servers import Answer, Peer, Seen, call_once, called, connections, fixed, serving

from kala.calls.remote import check
from kala.job import Remote
from kala.states import State
from kala.stop import Stop

MiB = 1 << 20


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
    attempt, output, _ = called({"/": answer}, "/", seconds=2)
    assert (attempt.state, attempt.status, attempt.error) == (State.TIMED_OUT, status, "timed out after 2 s")
    assert 2_000_000 <= attempt.ended - attempt.started < 12_000_000
    assert output.startswith({silence: b"timed out", half_a_body: b"half", dribble: b"x"}[answer])


def test_the_jobs_own_timeout_holds() -> None:
    attempt, _, _ = called({"/": silence}, "/", timeout=1)
    assert attempt.error == "timed out after 1 s"


def test_stop_ends_a_call_at_once() -> None:
    async def main() -> None:
        stop, results = Stop(), []
        async with serving({"/": half_a_body}) as server, connections() as made:

            async def calling() -> None:
                results.append(await call_once(made, server.url, stop=stop))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(calling)
                with trio.fail_after(30):
                    while not server.requests:  # noqa: ASYNC110 - the server tells nobody
                        await trio.sleep(0.01)
                stop.request()
            [(attempt, _)] = results
            assert (attempt.state, attempt.error) == (State.CANCELLED, "cancelled")
            stopped = await call_once(made, server.url, stop=stop)
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
    async def main() -> None:
        with trio.socket.socket() as bound:  # to a port on which nobody listens
            await bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            async with connections() as made:
                for host in ("127.0.0.1", "localhost"):
                    attempt, output = await call_once(made, f"http://{host}:{port}/")
                    assert attempt.state == State.FAILED
                    assert attempt.error == f"cannot connect to {host}:{port}: connection refused"
                    assert output == attempt.error.encode()
                attempt, _ = await call_once(made, "http://no-such-host.invalid/")
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
                assert (await call_once(made, url))[0].state == State.FAILED
            for options in ({"method": "GE T"}, {"headers": {"a b": ["c"]}}, {"headers": {"a": ["b\nc: d"]}}):
                async with serving({"/": fixed(200)}) as server:
                    attempt, _ = await call_once(made, server.url, **options)
                    assert attempt.state == State.FAILED
                    assert attempt.error.startswith("not a request that can be sent: ")
                    assert not server.requests
            assert (await call_once(made, "http://127.0.0.1/", body="\ud800"))[
                0
            ].error == "cannot be encoded: '\\ud800'"

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
    "blank before": ({"headers": {"a": ["b", " c"]}}, "headers", "the value of a begins or ends with a blank"),
    "tab after": ({"headers": {"a": ["b\t"]}}, "headers", "the value of a begins or ends with a blank"),
    "half a character": ({"headers": {"a": ["\ud800"]}}, "headers", "the value of a holds characters"),
    "body": ({"body": "\ud800"}, "body", "cannot be encoded in UTF-8"),
    "negative": ({"timeout": -1}, "timeout", "must be 0 to 86400 seconds"),
    "too long": ({"timeout": 86_401}, "timeout", "must be 0 to 86400 seconds"),
    "code": ({"expected_response_codes": [200, 600]}, "expected_response_codes", "600 is not an HTTP status"),
}


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS)
def test_faults_are_found_at_creation(case: tuple[dict[str, Any], str, str]) -> None:
    changes, field, fault = case
    [(path, said)] = check(msgspec.structs.replace(FINE, **changes)).items()
    assert path == f"remote_properties.{field}"
    assert said.startswith(fault)


def test_what_is_fine_has_no_faults_and_all_faults_are_named_at_once() -> None:
    assert check(FINE) == {}
    assert check(Remote(url="http://localhost")) == {}
    wrong = Remote(url="x", method=" ", body="\ud800", headers={" ": []}, timeout=-1, expected_response_codes=[0])
    assert len(check(wrong)) == 6
    assert json.dumps(check(wrong))
