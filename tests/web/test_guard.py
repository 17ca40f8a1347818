"""Whatever bytes come, or do not come: the server goes on answering, and stops when told to."""

import contextlib
import socket
import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from kala.web.limits import Limits

from .server import DEADLINE, FUTURE, HASTY, LIMITS, LINGERING, Server, connections, request, until

SHAKE = (
    b"GET /api/v1/events/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
OPEN = SHAKE + b"\r\n"
CHUNKED = b"POST /api/v1/job/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
JOB = b'{"name":"j","command":"true","schedule":"R/2099-01-01T00:00:00Z/P1D"}'
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


PAUSE = 0.02
"""Seconds between two packets, so that they are two reads."""

POST = b"POST /api/v1/job/ HTTP/1.1"
H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")

PACKETS: list[tuple[str, list[bytes], set[int]]] = [
    # what is sent, packet by packet; the statuses of which the first answer must have one (0: closed without a word)
    ("nothing but a newline", [b"\r\n"], {0, 400, 408}),
    ("zeros", [b"\0" * 100], {400}),
    ("text", [b"hello\r\n\r\n"], {400}),
    ("TLS hello", [bytes.fromhex("16030100c8010000c40303") + b"x" * 190], {400}),
    ("high bytes", [b"\xff\xfe\xfd" * 30 + b"\r\n\r\n"], {400}),
    ("no version", [b"GET /healthz\r\n\r\n"], {400}),
    ("no host", [b"GET /api/v1/job/ HTTP/1.1\r\n\r\n"], {400}),
    ("no host in 1.0", [b"GET /api/v1/job/ HTTP/1.0\r\n\r\n"], {400}),
    ("two hosts", [request(b"GET /api/v1/job/ HTTP/1.1", b"Host: other")], {400}),
    ("odd host", [request(b"GET /api/v1/job/ HTTP/1.1", host=b"a b@c")], {400}),
    ("empty host", [request(b"GET /api/v1/job/ HTTP/1.1", host=b"")], {400}),
    ("host of high bytes", [request(b"GET /api/v1/job/ HTTP/1.1", host=b"\xe4\xf6")], {400}),
    ("version 3.0", [b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n"], {505}),
    ("version 0.9", [b"GET / HTTP/0.9\r\nHost: localhost\r\n\r\n"], {400, 505}),
    ("header without colon", [request(b"GET / HTTP/1.1", b"nonsense")], {400}),
    ("header name with space", [request(b"GET / HTTP/1.1", b"a b: c")], {400}),
    ("folded header", [request(b"GET /healthz HTTP/1.1", b"a: b", b" c")], {200, 400}),
    ("zero in a header", [request(b"GET / HTTP/1.1", b"a: b\0c")], {400}),
    ("bare newlines", [b"GET /healthz HTTP/1.1\nHost: localhost\n\n"], {200, 400}),
    ("target of high bytes", [b"GET /\xe4 HTTP/1.1\r\nHost: localhost\r\n\r\n"], {400}),
    ("target with a zero", [b"GET /%00%ff%c3%28 HTTP/1.1\r\nHost: localhost\r\n\r\n"], {404}),
    ("target of a star", [b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"], {404}),
    ("whole URL as target", [b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"], {200}),
    ("URL without path", [b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n"], {200}),
    ("broken URL as target", [b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n"], {404}),
    ("CONNECT", [b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n"], {400, 404, 405}),
    ("unknown method", [request(b"BREW /api/v1/job/ HTTP/1.1")], {405}),
    ("climbing path", [request(b"GET /webui/static/../../app.py HTTP/1.1")], {404}),
    ("climbing path, encoded", [request(b"GET /webui/static/..%2f..%2fapp.py HTTP/1.1")], {404}),
    ("length that is no number", [request(POST, b"Content-Length: x")], {400}),
    ("negative length", [request(POST, b"Content-Length: -1")], {400}),
    ("endless length", [request(POST, b"Content-Length: " + b"9" * 5000)], {400}),
    ("large length", [request(POST, b"Content-Length: 99999999999")], {413}),
    ("two lengths", [request(POST, b"Content-Length: 1", b"Content-Length: 2")], {400}),
    (
        "length and chunks",
        [
            request(
                b"POST /api/v1/job/ HTTP/1.1", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"
            )
        ],
        {400},
    ),
    ("unknown encoding", [request(POST, b"Transfer-Encoding: gzip")], {400, 501}),
    ("chunk size that is no number", [CHUNKED, b"zz\r\nabc\r\n"], {400}),
    ("the same in one packet", [CHUNKED + b"zz\r\nabc\r\n"], {400}),
    ("endless chunk size", [CHUNKED, b"f" * 100 + b"\r\n"], {400}),
    ("chunk without its end", [CHUNKED, b"3\r\nabcXX0\r\n\r\n"], {400}),
    ("negative chunk", [CHUNKED, b"-3\r\nabc\r\n"], {400}),
    ("endless chunk extension", [CHUNKED, b"3;" + b"x" * 40_000], {400, 431}),
    ("endless trailers", [CHUNKED, b"0\r\n" + b"a: b\r\n" * 8_000], {400, 431}),
    ("oversized head", [b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000], {431}),
    ("oversized target", [b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n"], {431, 400}),
    ("oversized body", [request(POST, b"Content-Length: 1048577")], {413}),
    ("oversized body in chunks", [CHUNKED, *[b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * 20], {413}),
    (
        "expectation",
        [request(POST, b"Content-Length: 2", b"Expect: 100-continue"), b"{}"],
        {100},
    ),
    ("h2 preface", [PREFACE], {505}),
    ("h2 preface and garbage", [PREFACE + b"\0\0\x12\x04\0\0\0\0\0" + b"\xff" * 50], {505, 400}),
    ("h2 preface in pieces", [PREFACE[:10], PREFACE[10:]], {505, 400}),
    (
        "h2c upgrade",
        [
            request(
                b"GET /healthz HTTP/1.1",
                b"Connection: Upgrade, HTTP2-Settings",
                b"Upgrade: h2c",
                b"HTTP2-Settings: AAMAAABk",
            )
        ],
        {200},
    ),
    ("bytes after the upgrade, same packet", [OPEN + b"\x81\x85aaaahello"], {0, 101, 400}),
    ("garbage after the upgrade, same packet", [OPEN + b"\xff" * 200], {0, 101, 400}),
    ("frame that is not masked", [OPEN, b"\x81\x05hello"], {101}),
    ("frame of an unknown kind", [OPEN, b"\x8f\x80aaaa"], {101}),
    ("frame with reserved bits", [OPEN, b"\xf1\x80aaaa"], {101}),
    ("long ping", [OPEN, b"\x89\xfe\x01\x00aaaa" + b"x" * 256], {101}),
    ("fragmented ping", [OPEN, b"\x09\x80aaaa"], {101}),
    ("continuation of nothing", [OPEN, b"\x80\x80aaaa"], {101}),
    ("text that is not UTF-8", [OPEN, b"\x81\x82\0\0\0\0\xff\xfe"], {101}),
    ("close of one byte", [OPEN, b"\x88\x81\0\0\0\0x"], {101}),
    ("close with a bad code", [OPEN, b"\x88\x82\0\0\0\0\0\0"], {101}),
    ("frame of 2^63 bytes", [OPEN, b"\x82\xff" + b"\xff" * 8 + b"aaaa"], {101}),
    ("message that is too long", [OPEN, *[b"\x02\xfe\xff\xff\0\0\0\0" + b"x" * 65_535] * 3], {101}),
    ("messages after a close", [OPEN, b"\x88\x82\0\0\0\0\x03\xe8", b"\x81\x85aaaahello"], {101}),
    ("upgrade without a key", [SHAKE.replace(b"Sec-WebSocket-Key", b"X-Key") + b"\r\n"], {400}),
    ("upgrade of version 7", [SHAKE.replace(b"Version: 13", b"Version: 7") + b"\r\n"], {400}),
    ("upgrade with bad extensions", [SHAKE + b"Sec-WebSocket-Extensions: permessage-deflate; =;;,\r\n\r\n"], {101}),
    ("upgrade with high bytes", [SHAKE + b"Sec-WebSocket-Protocol: \xff\xfe\r\n\r\n"], {0, 101, 400, 500}),
    ("upgrade by POST", [SHAKE.replace(b"GET", b"POST") + b"\r\n"], {400, 404, 405}),
    ("upgrade elsewhere", [SHAKE.replace(b"/events/", b"/nope/") + b"\r\n"], {404}),
    ("upgrade of a plain route", [SHAKE.replace(b"/events/", b"/job/") + b"\r\n"], {400, 404, 405}),
    ("upgrade from elsewhere", [SHAKE + b"Origin: http://evil.example\r\n\r\n"], {403}),
    ("upgrade under another name", [SHAKE.replace(b"localhost", b"evil.example") + b"\r\n"], {403}),
    ("pipelined", [request() * 5], {200}),
    ("pipelined with garbage", [request() + b"\0\0\0\r\n\r\n"], {200, 400}),
    ("pipelined over two packets", [request() + request()[:20], request()[20:]], {200}),
    ("slow head", [b"GET / HTTP/1.1\r\nHost: lo"], {408}),
    ("slow body", [request(POST, b"Content-Length: 70") + b"{"], {408}),
    ("slow long body", [request(POST, b"Content-Length: 700000") + b"{"], {408}),
    ("slow chunk", [CHUNKED, b"5\r\nab"], {408}),
    ("no request at all", [], {0}),
]


def limits_for(statuses: set[int]) -> Limits:
    """Short ones for what ends with the time for a head or a body."""
    return HASTY if statuses & {0, 408} else LIMITS


def talk(server: Server, packets: list[bytes]) -> tuple[bytes, socket.socket]:
    """Send, then read until the server closes or says nothing more for a while. The connection is left open."""
    connection = server.dial()
    answer = b""
    try:
        for number, packet in enumerate(packets):
            if number and packets[number - 1] == OPEN:
                answer += connection.recv(65_536)  # frames come after the handshake's answer
            elif number:
                time.sleep(PAUSE)
            connection.sendall(packet)
    except OSError:
        pass  # it has closed already; what it said is still to be read
    connection.settimeout(0.05 if answer else DEADLINE)
    try:
        while data := connection.recv(65_536):
            answer += data
            # of an error the body, which may come apart from the head, is waited for
            connection.settimeout(0.05 if answer[9:10] < b"4" or b'{"error":' in answer else DEADLINE)
    except OSError:
        pass
    return answer, connection


@pytest.mark.parametrize(("packets", "statuses"), [case[1:] for case in PACKETS], ids=[case[0] for case in PACKETS])
def test_any_bytes(either_running: Callable[..., Server], packets: list[bytes], statuses: set[int]) -> None:
    # given a server, when these bytes come
    server = either_running(limits_for(statuses))
    answer, connection = talk(server, packets)
    # then they get one of the answers that are right for them
    status = int(answer[9:12]) if answer else 0
    assert status in statuses, answer[:300]
    if status >= 400:
        assert b'{"error":' in answer
    # and the server answers others, knows no connection but this one, and stops although this one stays open
    assert server.ask("GET", "/healthz").status == 200
    server.stop()
    connection.close()


@pytest.mark.parametrize("change", [(b"Sec-WebSocket-Key", b"X-Key"), (b"Version: 13", b"Version: 7")])
def test_the_connection_ends_after_a_handshake_that_is_none(
    either_running: Callable[..., Server], change: tuple[bytes, bytes]
) -> None:
    server = either_running(replace(LIMITS, head=6 * DEADLINE))  # which would end it, too
    with server.dial() as connection:
        connection.sendall(OPEN.replace(*change))
        answer = b""
        while data := connection.recv(65_536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 400")
    until(lambda: not connections(server))


@pytest.mark.parametrize(
    "packets", [case[1] for case in PACKETS if case[1]], ids=[case[0] for case in PACKETS if case[1]]
)
def test_any_bytes_and_a_hang_up(server: Server, packets: list[bytes]) -> None:
    # given that the peer resets the connection at once after sending
    connection = socket.create_connection(server.address, timeout=DEADLINE)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with contextlib.suppress(OSError):  # it may have been closed on the way
        connection.sendall(b"".join(packets))
    connection.close()
    # then the server answers others and forgets the connection
    assert server.ask("GET", "/healthz").status == 200
    until(lambda: not connections(server))


def test_a_sender_of_a_large_body_gets_to_read_that_it_is_too_large(either_running: Callable[..., Server]) -> None:
    connection = either_running(LINGERING).connect()
    connection.request("POST", "/api/v1/job/", b"x" * 3_000_000)
    response = connection.getresponse()
    assert response.status == 413
    assert b"larger than 1048576 bytes" in response.read()
    connection.close()


def test_a_body_of_many_packets_is_taken_whole(either: Server) -> None:
    # given a creation in packets of a few bytes
    data = request(POST, b"Content-Length: %d" % len(JOB), body=JOB)
    connection = socket.create_connection(either.address, timeout=DEADLINE)
    for start in range(0, len(data), 40):
        connection.sendall(data[start : start + 40])
        time.sleep(0.005)
    # then it is one creation, and the connection goes on
    answer = connection.recv(65_536)
    while not answer.endswith(b"}"):  # its head may come before its body
        answer += connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 201")
    connection.sendall(request())
    assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
    connection.close()
    assert len(either.service.job_ids()) == 1


def test_pipelined_requests_are_answered_in_order(either: Server) -> None:
    connection = socket.create_connection(either.address, timeout=DEADLINE)
    paths = [b"/healthz", b"/nope", b"/api/v1/stats/", b"/readyz", b"/api/v1/job/nosuch/"]
    connection.sendall(b"".join(request(b"GET %s HTTP/1.1" % path) for path in paths))
    answer = b""
    while answer.count(b"HTTP/1.1 ") < 5:
        data = connection.recv(65_536)
        assert data
        answer += data
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200", b"200", b"404"]
    connection.close()


def test_a_client_that_hangs_up_withdraws_nothing(either: Server) -> None:
    # given clients that create a job and start one, and are gone before the answer
    job = either.create(command="wait")
    for line, body in (
        (b"POST /api/v1/job/ HTTP/1.1", JOB),
        (b"POST /api/v1/job/start/%s/ HTTP/1.1" % job.encode(), b""),
    ):
        connection = socket.create_connection(either.address, timeout=DEADLINE)
        connection.sendall(request(line, b"Content-Length: %d" % len(body), body=body))
        connection.close()
    # then the job is there, and the run goes on to its end
    until(lambda: len(either.service.job_ids()) == 2)
    until(lambda: either.attempts == 1)
    until(lambda: not connections(either))
    either.let_go()
    until(lambda: either.ask("GET", f"/api/v1/job/{job}/").json["job"]["metadata"]["success_count"] == 1)


def test_errors_of_the_application_end_one_request(
    either: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given a bug in the service
    def bug(job_id: str) -> None:
        raise RuntimeError("the inside")

    job = either.create(schedule=FUTURE)
    monkeypatch.setattr(either.service, "job", bug)
    # then its request is answered with 500 and nothing of the inside, which is in the log
    answer = either.ask("GET", f"/api/v1/job/{job}/")
    assert answer.status == 500
    assert answer.json == {"error": "internal error: the daemon's log says more"}
    assert "RuntimeError: the inside" in caplog.text
    # and others are answered
    assert either.ask("GET", "/api/v1/stats/").status == 200
