"""Listening: where, where not, and what is said when it cannot be."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from servers.certificates import Certificates

from kala.errors import SettingsError
from kala.roles import Role
from kala.settings import Settings
from kala.tokens import new_token
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
    for way_out in "--tokens-file", "kala token new", "--interface 127.0.0.1", "--insecure":
        assert way_out in said


@pytest.mark.parametrize("way", ["insecure", "tokens", "tokens_file"])
def test_unless_told_to_or_there_are_tokens(running: Callable[..., Server], tmp_path: Path, way: str) -> None:
    secret, token = new_token("me", Role.READ)
    file = tmp_path / "tokens"
    file.touch(0o600)
    file.write_text(token.line())
    given = {"insecure": True, "tokens": token.line(), "tokens_file": str(file)}
    server = running(interface="0.0.0.0", **{way: given[way]})
    with socket.create_connection(("127.0.0.1", server.address[1])) as connection:
        shown = f"Authorization: Bearer {secret}\r\n" if way != "insecure" else ""
        connection.sendall(f"GET /api/v1/stats/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{shown}\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("interface", ["no.such.name.invalid", "192.0.2.1", "x" * 300])
def test_an_address_that_is_not_here_is_named(interface: str) -> None:
    said = refusal(interface=interface, insecure=True)
    assert interface in said
    assert "--interface" in said


def test_tokens_in_the_clear_are_told(
    running: Callable[..., Server], certs: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    secure = {"tls_cert": certs.server, "tls_key": certs.server_key}
    tokens = new_token("me", Role.READ)[1].line()
    for given in ({"interface": "127.0.0.1"}, {"interface": "0.0.0.0", **secure}):
        running(tokens=tokens, **given)
        assert "in the clear" not in caplog.text
    running(interface="0.0.0.0", insecure=True)
    assert "in the clear" not in caplog.text
    server = running(interface="0.0.0.0", tokens=tokens)
    assert f"tokens travel in the clear to {server.urls[0]}" in caplog.text


def test_a_second_server_after_the_first_takes_its_port_at_once(running: Callable[..., Server]) -> None:
    first = running()
    port = first.address[1]
    kept = first.connect()
    kept.request("GET", "/healthz")
    kept.getresponse().read()
    first.stop()
    assert running(port=port).ask("GET", "/healthz").status == 200
    kept.close()
