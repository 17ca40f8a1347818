"""Listening: where, where not, and what is said when it cannot be."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
import trio

from kala.errors import SettingsError
from kala.settings import Settings
from kala.web.serve import listen

from .server import Server


def refusal(**settings: Any) -> str:
    """What `listen` says, which must not leave anything open."""
    with pytest.raises(SettingsError) as caught:
        trio.run(listen, Settings(**{"port": 0, **settings}))
    return str(caught.value)


def test_it_says_where_it_listens(running: Callable[..., Server]) -> None:
    server = running(interface="127.0.0.1")
    assert server.urls == [f"http://127.0.0.1:{server.address[1]}"]
    assert server.address[1] > 0


def test_localhost_is_every_address_of_that_name_on_one_port(running: Callable[..., Server]) -> None:
    server = running(interface="localhost")
    assert len({url.rsplit(":", 1)[1] for url in server.urls}) == 1
    for url in server.urls:
        host = url.removeprefix("http://").rsplit(":", 1)[0].strip("[]")
        with socket.create_connection((host, server.address[1])) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_port_in_use_is_named(running: Callable[..., Server]) -> None:
    server = running()
    port = server.address[1]
    said = refusal(port=port)
    assert f"127.0.0.1:{port} is in use" in said
    assert "--port" in said


@pytest.mark.parametrize("interface", ["0.0.0.0", "::", "192.0.2.1"])
def test_it_does_not_listen_where_others_reach_it(interface: str) -> None:
    said = refusal(interface=interface)
    assert interface in said
    assert "--insecure" in said


def test_unless_told_to(running: Callable[..., Server]) -> None:
    server = running(interface="0.0.0.0", insecure=True)
    with socket.create_connection(("127.0.0.1", server.address[1])) as connection:
        connection.sendall(b"GET /api/v1/stats/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("interface", ["no.such.name.invalid", "192.0.2.1", "x" * 300])
def test_an_address_that_is_not_here_is_named(interface: str) -> None:
    said = refusal(interface=interface, insecure=True)
    assert interface in said
    assert "--interface" in said


def test_a_second_server_after_the_first_takes_its_port_at_once(running: Callable[..., Server]) -> None:
    first = running()
    port = first.address[1]
    kept = first.connect()
    kept.request("GET", "/healthz")
    kept.getresponse().read()
    first.stop()
    assert running(port=port).ask("GET", "/healthz").status == 200
    kept.close()
