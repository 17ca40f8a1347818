"""The proxy that the checks of faults go through: what it passes on, and what it does not."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from servers.proxy import Proxy


class Echo(socketserver.ThreadingTCPServer):
    """Answers each line with the same, and notes all that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), EchoHandler)
        self.lines: list[bytes] = []
        self.came = threading.Condition()


class EchoHandler(socketserver.StreamRequestHandler):
    server: Echo

    def handle(self) -> None:
        for line in self.rfile:
            with self.server.came:
                self.server.lines.append(line)
                self.server.came.notify_all()
            self.wfile.write(line)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.server_address[1]) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def ask(client: socket.socket, line: bytes) -> bytes:
    """The answer; nothing when the connection was cut."""
    try:
        client.sendall(line)
        return client.recv(1_000)
    except ConnectionError:
        return b""


def wait_for_lines(echo: Echo, *lines: bytes) -> None:
    with echo.came:
        assert echo.came.wait_for(lambda: echo.lines == list(lines), 10), echo.lines


def test_it_passes_bytes_both_ways_and_counts_them(proxy: Proxy) -> None:
    with closing(connect(proxy)) as first, closing(connect(proxy)) as second:
        assert ask(first, b"one\n") == b"one\n"
        assert ask(second, b"two\n") == b"two\n"
        assert ask(first, b"three\n") == b"three\n"
    assert (proxy.sent, proxy.answered) == (14, 3)
    assert not proxy.fired


def test_a_connection_that_the_client_ends_is_ended_at_the_server(proxy: Proxy) -> None:
    with closing(connect(proxy)) as client:
        assert ask(client, b"one\n") == b"one\n"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1_000) == b""


def test_cut_concerns_the_connections_that_are(proxy: Proxy) -> None:
    with closing(connect(proxy)) as client:
        assert ask(client, b"one\n") == b"one\n"
        proxy.cut()
        assert ask(client, b"two\n") == b""
    with closing(connect(proxy)) as client:
        assert ask(client, b"three\n") == b"three\n"


def test_refusing_concerns_new_ones_as_well_until_it_is_healed(proxy: Proxy) -> None:
    with closing(connect(proxy)) as client:
        assert ask(client, b"one\n") == b"one\n"
        proxy.refuse()
        assert ask(client, b"two\n") == b""
    with closing(connect(proxy)) as client:
        assert ask(client, b"three\n") == b""
    proxy.heal()
    with closing(connect(proxy)) as client:
        assert ask(client, b"four\n") == b"four\n"


def test_what_was_sent_into_silence_arrives_late(proxy: Proxy, echo: Echo) -> None:
    with closing(connect(proxy)) as client, closing(connect(proxy)) as given_up:
        proxy.silence()
        client.settimeout(0.2)
        client.sendall(b"one\n")
        with pytest.raises(TimeoutError):
            client.recv(1_000)
        wait_for_lines(echo)
        proxy.heal()
        client.settimeout(10)
        assert client.recv(1_000) == b"one\n"

        proxy.silence()
        given_up.sendall(b"two\n")
        given_up.close()
        proxy.heal()
        wait_for_lines(echo, b"one\n", b"two\n")


def test_an_answer_is_lost_and_its_request_is_not(proxy: Proxy, echo: Echo) -> None:
    with closing(connect(proxy)) as client, closing(connect(proxy)) as other:
        assert ask(other, b"zero\n") == b"zero\n"  # it is through
        proxy.lose_answer(after=1)
        assert ask(client, b"one\n") == b"one\n"
        assert not proxy.fired
        assert ask(client, b"two\n") == b""
        assert proxy.fired
        assert ask(other, b"three\n") == b"", "all connections are cut"
        wait_for_lines(echo, b"zero\n", b"one\n", b"two\n")
    with closing(connect(proxy)) as client:
        assert ask(client, b"four\n") == b"four\n", "once is enough"


def test_a_request_is_cut_after_some_of_its_bytes(proxy: Proxy, echo: Echo) -> None:
    with closing(connect(proxy)) as client:
        proxy.cut_after(6)
        assert ask(client, b"one\n") == b"one\n"
        assert ask(client, b"four\n") == b""
        assert proxy.fired
    wait_for_lines(echo, b"one\n", b"fo")


def test_a_server_that_is_away_ends_connections(proxy: Proxy, echo: Echo) -> None:
    with closing(connect(proxy)) as client:
        assert ask(client, b"one\n") == b"one\n"
    echo.server_close()
    with closing(connect(proxy)) as client:
        assert ask(client, b"two\n") == b""
