"""The hot way answers as Quart does, byte for byte, and leaves the same traces; and a connection's limits hold."""

import re
import socket
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
import trio

from kala.errors import StoreUnavailable
from kala.job import MAX_RESULTS
from kala.roles import Role
from kala.tokens import new_token
from kala.web.hot import Call, Hot
from kala.web.limits import Limits

from .server import Answer, Server, connections, request, until
from .test_guard import JOB

UNKNOWN = "00000000-0000-4000-8000-000000000000"
FINISHED = "finished"  # stands for a job with more runs than its record carries
FRESH = "fresh"  # and for one with none
TOKENS = {role: new_token(f"the-{role}", role) for role in (Role.READ, Role.ADMIN)}
LINES = "\n".join(token.line() for _, token in TOKENS.values())
EXCHANGE = re.compile(rb"HTTP/1.1 .*?\r\n\r\n", re.DOTALL)

READS = [
    f"/api/v1/job/{FRESH}/",
    f"/api/v1/job/{FRESH}",
    f"/api/v1/job/{FINISHED}/",
    f"/api/v1/job/{UNKNOWN}/",
    f"/api/v1/job/stats/{FRESH}/",
    f"/api/v1/job/stats/{FINISHED}/",
    f"/api/v1/job/stats/{UNKNOWN}/",
    "/api/v1/stats/",
    "/api/v1/stats",
    "/healthz",
    "/readyz/",
]
BODIES = [
    JOB,
    b"",
    b"{",
    b"[1]",
    b"\xff\xfe",
    b'{"name":"","command":"true","retries":"x"}',
    b'{"name":"j","command":"true","schedule":"nonsense"}',
    b'{"name":"j","command":"true","schedule":"R/1999-01-01T00:00:00Z/P1D"}',
    b'{"name":"j","command":"true","parent_jobs":["nosuch"]}',
    b'{"name":"j","command":"true","environment":{"A":"secret:NONE"}}',
    b'{"name":"j","command":"true","labels":{"a":"\\ud800"}}',
    b'{"name":"' + b"j" * 2_000 + b'","command":"\'"}',
]
FIELDS: list[tuple[bytes, ...]] = [
    (),
    (b"Accept-Encoding: gzip, br", b"User-Agent: one/1", b"Accept: */*"),
    (b"Accept-Encoding: gzip;q=0",),
    (b"Accept-Encoding: br", b"Accept-Encoding: gzip"),
    (b"Connection: keep-alive",),
    (b"Origin: http://evil.example",),
    (b"Origin: http://localhost",),
    (b"Sec-Fetch-Site: cross-site",),
    (b"Cookie: kala_session=nonsense",),
    (b"Authorization: Bearer kala_nonsense",),
    (b"Authorization: Basic eA==",),
    (b"Authorization: Bearer " + TOKENS[Role.READ][0].encode(),),
    (b"authorization: bearer " + TOKENS[Role.ADMIN][0].encode(),),
]
AWAY_FROM_IT = [
    request(b"GET /api/v1/stats/?a=b HTTP/1.1"),
    request(b"GET /api/v1/st%61ts/ HTTP/1.1"),
    request(b"GET //api/v1/stats/ HTTP/1.1"),
    request(b"HEAD /healthz HTTP/1.1"),
    request(b"OPTIONS /api/v1/stats/ HTTP/1.1"),
    request(b"DELETE /api/v1/stats/ HTTP/1.1", b"Content-Length: 0"),
    request(b"GET /api/v1/stats/ HTTP/1.0"),
    request(b"GET /api/v1/job/nosuch/ HTTP/1.1"),
    request(b"GET /api/v1/job/%s/ HTTP/1.1" % UNKNOWN.upper().replace("0", "A").encode()),
    request(b"GET /healthz HTTP/1.1", b"X-Forwarded-For: 192.0.2.1"),
    request(b"POST /api/v1/job/ HTTP/1.1", b"Content-Length: 2", b"Idempotency-Key: k", body=b"{}"),
    request(b"POST /api/v1/job/ HTTP/1.1", b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
]


class Counted:
    """What the hot way of a server has answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Call] = []
        inner = Hot.answer

        async def answer(hot: Hot, call: Call, *arguments: Any) -> tuple[bytes, bytes]:
            self.calls.append(call)
            return await inner(hot, call, *arguments)

        monkeypatch.setattr(Hot, "answer", answer)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def with_jobs(server: Server) -> dict[str, str]:
    """Its jobs' ids, by what stands for them."""
    ids = {}
    for name in (FRESH, FINISHED):
        made = told(server, b"POST /api/v1/job/ HTTP/1.1", (), JOB)
        ids[name] = re.search(r'"id":"([^"]+)"', made.decode())[1]  # type: ignore[index]
    for _ in range(MAX_RESULTS + 2):
        told(server, b"POST /api/v1/job/start/%s/ HTTP/1.1" % ids[FINISHED].encode())
    return ids


def told(server: Server, line: bytes, fields: tuple[bytes, ...] = (), body: bytes = b"") -> bytes:
    """The answer to a request of an admin, whether tokens are demanded or not."""
    admin = b"Authorization: Bearer " + TOKENS[Role.ADMIN][0].encode()
    return exchanged(server, [request(line, *fields, admin, b"Content-Length: %d" % len(body), body=body)])[0]


def exchanged(server: Server, requests: list[bytes]) -> list[bytes]:
    """The answers to requests on one connection, one after another."""
    answers = []
    with server.dial() as connection:
        for one in requests:
            connection.sendall(one)
            answers.append(read_answer(connection, has_body=not one.startswith(b"HEAD")))
    return answers


def read_answer(connection: socket.socket, *, has_body: bool = True) -> bytes:
    data = b""
    while (head := EXCHANGE.match(data)) is None:
        data += (more := connection.recv(65_536))
        assert more, data
    length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head[0])
    whole = head.end() + (int(length[1]) if length is not None and has_body else 0)
    while len(data) < whole:
        data += (more := connection.recv(65_536))
        assert more, data
    assert len(data) == whole
    return data


def timeless(answer: bytes) -> bytes:
    """Without what differs from one time to another."""
    answer = re.sub(rb"\r\ndate: [^\r]+", b"", answer)
    answer = re.sub(rb'"created":"[^"]+"', b"", answer)
    answer = re.sub(rb"(content-length: )\d+", rb"\1", answer) if b'"Stats"' in answer else answer
    return re.sub(rb'\{"id":"[0-9a-f-]{36}"', b"", answer)


def traces(server: Server) -> tuple[Any, ...]:
    """What a request leaves behind: the audit log, counters and times by route, refusals."""
    traffic, audit = server.app.traffic, server.door.audit
    entries = [] if audit is None else audit.latest(1_000)
    shown = [(e.address, e.method, e.path, e.status, e.who, e.role, e.session, bool(e.job)) for e in entries]
    seconds = {route: sum(histogram.counts) for route, histogram in traffic.seconds.items()}
    return shown, dict(traffic.answers), seconds, server.door.refused


def difference(after: tuple[Any, ...], before: tuple[Any, ...]) -> tuple[Any, ...]:
    shown, answers, seconds, refused = after
    return (
        shown[: len(shown) - len(before[0])],
        {key: count - before[1][key] for key, count in answers.items() if count != before[1][key]},
        {key: count - before[2].get(key, 0) for key, count in seconds.items() if count != before[2].get(key, 0)},
        refused - before[3],
    )


def both_ways(server: Server, data: bytes, counted: Counted, *, is_hot: bool = True) -> bytes:
    """The answer to a request, which must be the same with and without the hot way, as must be what is left of it."""
    hot, came, left = server.app.hot, [], []
    for way in (hot, None):
        server.guard.hot = way
        calls, before = len(counted.calls), server.call(traces, server)
        came.append(exchanged(server, [data])[0])
        left.append(difference(server.call(traces, server), before))
        assert len(counted.calls) - calls == (is_hot and way is hot), data
    server.guard.hot = hot
    assert timeless(came[0]) == timeless(came[1]), data
    assert left[0] == left[1], data
    return came[0]


def with_fields(line: bytes, fields: tuple[bytes, ...], body: bytes, host: bytes) -> bytes:
    length = (b"Content-Length: %d" % len(body),) if line.startswith(b"POST") else ()
    return request(line, *fields, *length, body=body, host=host)


SERVERS = [
    {},
    {"tokens": LINES},
    {"path_prefix": "/kala"},
    {"tokens": LINES, "path_prefix": "/kala", "trusted_proxies": (ip_network("127.0.0.0/8"),)},
]


@pytest.mark.parametrize("settings", SERVERS, ids=["plain", "tokens", "prefix", "tokens and prefix"])
def test_every_route_is_its_twin(running: Callable[..., Server], counted: Counted, settings: dict[str, Any]) -> None:
    # given a server with jobs, one of which has more runs than its record carries
    server = running(limits=Limits(connections=200), **settings)
    ids = with_jobs(server)
    # then every hot route answers whatever is asked as Quart does, and leaves the same traces
    statuses = set()
    for fields in FIELDS:
        asks = [(f"GET {path} HTTP/1.1".encode(), b"") for path in READS]
        asks += [(b"POST /api/v1/job/ HTTP/1.1", body) for body in BODIES]
        if "path_prefix" in settings:
            asks += [(line.replace(b" /", b" /kala/"), body) for line, body in asks[::3]]
        for line, body in asks:
            for name, job_id in ids.items():
                line = line.replace(name.encode(), job_id.encode())
            # wrong tokens are refused in another way from the eleventh on: each comes from an empty bucket
            server.call(server.door._failures._full_until.clear)
            server.call(server.door._unknown._full_until.clear)
            answer = both_ways(server, with_fields(line, fields, body, b"localhost"), counted)
            statuses.add(int(answer[9:12]))
    for host in (b"evil.example", b"a b", b"127.0.0.1:1"):
        answer = both_ways(server, with_fields(b"GET /api/v1/stats/ HTTP/1.1", (), b"", host), counted)
        statuses.add(int(answer[9:12]))
    assert statuses >= {200, 201, 400, 403, 404} | ({401} if "tokens" in settings else set())


def test_what_is_odd_stays_away(running: Callable[..., Server], counted: Counted) -> None:
    server = running()
    for data in AWAY_FROM_IT:
        both_ways(server, data, counted, is_hot=False)


def test_while_the_database_is_away(running: Callable[..., Server], counted: Counted) -> None:
    # given a database that has gone, which a write has met
    server = running()
    ids = with_jobs(server)
    server.driver.away = StoreUnavailable("the database is away")
    create = request(b"POST /api/v1/job/ HTTP/1.1", b"Content-Length: %d" % len(JOB), body=JOB)
    assert exchanged(server, [create])[0].startswith(b"HTTP/1.1 503")
    # then what is only there is missing, writes are refused, and it says that it is not ready
    finished = ids[FINISHED].encode()
    stale = both_ways(server, request(b"GET /api/v1/job/%s/ HTTP/1.1" % finished), counted)
    assert b"\r\nkala-stale: true\r\n" in stale
    assert both_ways(server, create, counted).startswith(b"HTTP/1.1 503")
    assert both_ways(server, request(b"GET /readyz HTTP/1.1"), counted).startswith(b"HTTP/1.1 503")
    server.driver.away = None


def test_a_bug_ends_one_request(
    running: Callable[..., Server], counted: Counted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = running()

    def bug() -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(server.service, "totals", bug)
    answer = both_ways(server, request(b"GET /api/v1/stats/ HTTP/1.1"), counted)
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"the inside" not in answer
    assert caplog.text.count("GET /api/v1/stats/ failed") == 2


def test_tokens_read_anew_hold_at_once(running: Callable[..., Server], tmp_path: Any, counted: Counted) -> None:
    # given a connection that shows a token, again and again
    secret, token = TOKENS[Role.READ]
    file = tmp_path / "tokens"
    file.write_text(f"{token.line()}\n")
    file.chmod(0o600)
    server = running(tokens_file=str(file))
    data = request(b"GET /api/v1/stats/ HTTP/1.1", b"Authorization: Bearer " + secret.encode())
    with server.dial() as connection:
        for _ in range(3):
            connection.sendall(data)
            assert read_answer(connection).startswith(b"HTTP/1.1 200")
        # when its token is taken away
        file.write_text(new_token("another", Role.READ)[1].line() + "\n")
        server.call(server.tokens.reload)
        # then the next request is refused
        connection.sendall(data)
        assert read_answer(connection).startswith(b"HTTP/1.1 401")
    assert len(counted.calls) == 4


def test_an_answer_that_its_client_does_not_read_waits_for_it(running: Callable[..., Server], counted: Counted) -> None:
    # given a client that asks and does not read, until the answer to a further request finds no room
    server = running(limits=Limits(send=30, idle=30))
    job = server.create(command="true " + "x" * 50_000)
    data = request(b"GET /api/v1/job/%s/ HTTP/1.1" % job.encode())
    with server.dial() as connection:
        assert read_more(connection, request()).startswith(b"HTTP/1.1 200")
        until(lambda: len(connections(server)) == 1)  # that of the creation has ended
        (one,) = connections(server)
        sent, before = 0, len(counted.calls)
        while one.phase != "answer":
            connection.sendall(data)
            sent += 1
            until(lambda asked=sent: len(counted.calls) - before == asked or one.phase == "answer")  # type: ignore[misc]
            assert sent < 1_000
        # when it reads at last, then every answer is whole
        answers = b""
        while answers.count(b'"is_done"') < len(counted.calls) - before:
            answers += connection.recv(1 << 20)
        until(lambda: one.phase == "idle")
        assert len(set(re.split(rb"HTTP/1.1 200 OK\r\n(?:.*\r\n)*?\r\n", answers)[1:])) == 1
        assert read_more(connection, data).startswith(b"HTTP/1.1 200")


def read_more(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return read_answer(connection)


def test_who_goes_on_asking_is_not_idle(running: Callable[..., Server], counted: Counted) -> None:
    # given a client that asks more often than it would be taken for idle, for longer than that
    limits = Limits(head=2, idle=2, linger=0.1)
    server = running(limits=limits)
    begun, asked = time.monotonic(), 0
    with server.dial() as connection:
        while time.monotonic() - begun < 2.5 * limits.idle:
            assert read_more(connection, request()).startswith(b"HTTP/1.1 200")
            asked += 1
            time.sleep(limits.idle / 40)
        assert len(counted.calls) == asked
        # when it is silent, then its connection is closed, no earlier and not much later than it should
        last = time.monotonic()
        assert connection.recv(1) == b""
        assert limits.idle * 0.9 < time.monotonic() - last < limits.idle + 9
    until(lambda: not connections(server))


def test_a_create_that_begins_as_the_turn_ends_is_made(running: Callable[..., Server], counted: Counted) -> None:
    server = running()
    create = request(b"POST /api/v1/job/ HTTP/1.1", b"Content-Length: %d" % len(JOB), body=JOB)
    with server.dial() as connection:
        assert read_more(connection, request()).startswith(b"HTTP/1.1 200")
        (one,) = connections(server)

        def both_at_once() -> None:  # in the server's thread, which finds both when it goes on
            one.turn.deadline = trio.current_time()
            connection.sendall(create)

        # when its turn is over in the moment in which a request comes, then none is lost
        for _ in range(20):
            server.call(both_at_once)
            assert read_answer(connection).startswith(b"HTTP/1.1 201")
    assert len(server.service.job_ids()) == 20


def test_a_stop_ends_it_with_its_answer(running: Callable[..., Server], counted: Counted) -> None:
    # given an idle connection that has been answered the hot way
    server = running()
    with server.dial() as connection:
        assert read_more(connection, request()).startswith(b"HTTP/1.1 200")
        # when the server stops, then it is closed at once
        server.stop()
        assert connection.recv(1) == b""


def test_over_tls(secure: Server, counted: Counted) -> None:
    job = secure.create()
    for line in (b"GET /api/v1/job/%s/ HTTP/1.1" % job.encode(), b"GET /api/v1/stats/ HTTP/1.1"):
        assert both_ways(secure, request(line), counted).startswith(b"HTTP/1.1 200")
    answers: list[Answer] = [secure.ask("GET", f"/api/v1/job/{job}/") for _ in range(3)]
    assert {one.status for one in answers} == {200}
