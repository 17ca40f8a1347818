"""Limits on time and number, and how the server stops."""

import socket
import threading
import time
from collections.abc import Callable

import pytest

from kala.web.limits import Limits

from .server import DEADLINE, GRACEFUL, Server, connections, request, until


@pytest.fixture(params=["plain", "TLS"])
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings of a server."""
    if request.param == "plain":
        return {}
    certs = request.getfixturevalue("certs")
    return {"tls_cert": certs.server, "tls_key": certs.server_key}


def test_idle_connections_end(running: Callable[..., Server], way: dict[str, str]) -> None:
    # given a connection that has had its answer
    server = running(Limits(idle=0.3, linger=0.2, head=5), **way)
    connection = server.dial()
    connection.sendall(request())
    assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
    # when nothing more comes, then the server closes it
    assert connection.recv(65_536) == b""
    connection.close()
    until(lambda: not connections(server))


def test_stop_does_not_wait_for_idle_connections(either_running: Callable[..., Server]) -> None:
    either = either_running(GRACEFUL)
    kept = []
    for _ in range(20):
        connection = either.connect()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        kept.append(connection)
    silent = socket.create_connection(either.address)
    either.stop()
    for one in [*kept, silent]:
        one.close()


def test_a_run_that_ends_as_the_daemon_stops_is_answered(either: Server) -> None:
    # given a start that waits for its run
    job = either.create(command="wait")
    connection = either.connect()
    connection.request("POST", f"/api/v1/job/start/{job}/")
    until(lambda: either.attempts == 1)
    # when the daemon stops, which waits for its runs, then it has its answer
    either.stop()
    assert connection.getresponse().status == 204


@pytest.mark.slow
def test_a_list_that_is_being_read_when_the_daemon_stops_comes_whole(either_running: Callable[..., Server]) -> None:
    # given a list larger than all buffers, of which a client has read the beginning
    either = either_running(GRACEFUL)
    fill(either)
    connection = socket.create_connection(either.address, timeout=DEADLINE)
    connection.sendall(request(b"GET /api/v1/job/ HTTP/1.1"))
    answer = connection.recv(1000)
    # when the daemon stops
    stopping = threading.Thread(target=either.stop)
    stopping.start()
    until(lambda: either.guard.stop_at < float("inf"))
    # then the rest comes
    while data := connection.recv(65_536):
        answer += data
    assert answer.endswith(b"}}\r\n0\r\n\r\n")
    stopping.join(DEADLINE)
    connection.close()


def fill(server: Server) -> None:
    """Jobs whose list is 12 MB."""
    for _ in range(100):
        server.create(command="true " + "x" * 120_000)


@pytest.mark.slow
def test_a_peer_that_reads_nothing_is_cut_off(running: Callable[..., Server], way: dict[str, str]) -> None:
    # given a list larger than all buffers
    server = running(Limits(send=0.5, graceful=0.5, linger=0.2), **way)
    fill(server)
    stalled = server.dial()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # when its reader stalls
    stalled.sendall(request(b"GET /api/v1/job/ HTTP/1.1"))
    assert stalled.recv(1) == b"H"
    # then it is cut off, and others are not
    assert server.ask("GET", "/healthz").status == 200
    until(lambda: not connections(server))
    # and when another stalls as the server stops, it does not hold that up
    again = server.dial()
    again.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    again.sendall(request(b"GET /api/v1/job/ HTTP/1.1"))
    assert again.recv(1) == b"H"
    server.stop()
    stalled.close()
    again.close()


@pytest.mark.slow
def test_a_peer_that_reads_slowly_but_reads_gets_all(running: Callable[..., Server], way: dict[str, str]) -> None:
    # given a list that the application sends in pieces of megabytes
    server = running(Limits(send=3.0, linger=0.2), **way)
    fill(server)
    slow = server.dial()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
    # when its reader takes longer for one than it may for 64 KB
    slow.sendall(request(b"GET /api/v1/job/ HTTP/1.1", b"Connection: close"))
    begun, answer = time.monotonic(), bytearray()
    while data := slow.recv(65_536):
        answer += data
        time.sleep(len(data) / 2e6)
    # then it has all of it all the same
    assert answer.endswith(b"}}\r\n0\r\n\r\n")
    assert time.monotonic() - begun > 5
    slow.close()


@pytest.mark.parametrize(("first", "status"), [(0, 200), (60, 503)])
def test_above_the_limit_who_has_said_nothing_for_long_enough_makes_room(
    running: Callable[..., Server], first: float, status: int
) -> None:
    # given as many connections as may be, none of which has said anything
    server = running(Limits(connections=3, first=first, linger=5, graceful=0.5))
    silent = [socket.create_connection(server.address, timeout=DEADLINE) for _ in range(3)]
    until(lambda: len(connections(server)) == 3)
    # then one more is served in place of the first of them, if that was silent for so long
    assert server.ask("GET", "/healthz").status == status
    if status == 200:
        assert silent[0].recv(1) == b""
    for one in silent:
        one.close()


def test_above_the_limit_idle_connections_make_room_and_busy_ones_do_not(
    running: Callable[..., Server], way: dict[str, str]
) -> None:
    # given as many connections as may be, all idle
    server = running(Limits(connections=3, linger=5, graceful=0.5), **way)
    kept = []
    for _ in range(3):
        one = server.connect()
        one.request("GET", "/healthz")
        one.getresponse().read()
        kept.append(one)
    # when one more comes, then it is served in place of the longest idle
    assert server.ask("GET", "/healthz").status == 200
    assert kept[0].sock is not None
    assert kept[0].sock.recv(1) == b""
    # given that all are busy
    job = server.create(command="wait")
    busy = []
    for _ in range(3):
        one = server.connect()
        one.request("POST", f"/api/v1/job/start/{job}/")
        busy.append(one)
    until(lambda: len(server.call(lambda: [c for c in server.guard.connections if c.phase == "answer"])) == 3)
    # then one more is refused, with the reason
    refused = server.ask("GET", "/healthz")
    assert refused.status == 503
    assert "too many connections" in refused.json["error"]
    assert refused.headers["Retry-After"] == "1"
    # and served when there is room again
    server.let_go()
    for one in busy:
        assert one.getresponse().status == 204
        one.close()
    until(lambda: server.ask("GET", "/healthz").status == 200)
    for one in kept:
        one.close()
