"""A daemon that is shown below a path, by the proxies that the docs describe."""

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_process import DEADLINE, ROOT, wait_for
from missing import missing
from servers.certificates import Certificates
from servers.service import free_port, program

from kala.web import pages

from .server import FUTURE, Server, unverified

OUTER = "kala.example.org"
NAME = "db.example"
"""Of the server in the docs, and the one that the certificate has."""
DOCS = (ROOT / "docs" / "security.md").read_text()


def block(language: str) -> str:
    """An example of the docs."""
    found = re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def replaced(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture(params=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest, running: Callable[..., Server], certs: Certificates, tmp_path: Path
) -> Iterator[int]:
    """The port of a proxy set up by the docs' example, in front of a server that is started as they say."""
    name = request.param
    path = program(name)
    if path is None:
        missing(f"{name} is not installed: scripts/services installs it")
    inside = tmp_path / "kala.sock"
    running(
        interface=f"unix:{inside}",
        socket_mode=0o660,
        trusted_proxies=("unix",),
        allowed_hosts=(NAME,),
        path_prefix="/kala",
    )
    port, config = free_port(), tmp_path / "proxy.conf"
    if name == "nginx":
        folders = "".join(
            f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        server = replaced(
            block("nginx"),
            (OUTER, NAME),
            ("/run/kala/kala.sock", str(inside)),
            ("listen 443", f"listen 127.0.0.1:{port}"),
            ("/etc/ssl/kala.pem", certs.server),
            ("/etc/ssl/kala.key", certs.server_key),
        )
        user = "user root;\n" if os.getuid() == 0 else ""
        config.write_text(
            f"{user}pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off; error_log stderr;\n{folders}{server}}}\n"
        )
        command = [
            path,
            "-c",
            str(config),
            "-p",
            str(tmp_path),
            "-e",
            "stderr",
            "-g",
            "daemon off; master_process off;",
        ]
    else:
        site = replaced(
            block("caddy"),
            ("/run/kala/kala.sock", str(inside)),
            (f"{OUTER} {{", f"https://{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {certs.server} {certs.server_key}"),
        )
        config.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}")
        command = [path, "run", "--adapter", "caddyfile", "--config", str(config)]
    log = tmp_path / "log"
    others = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environment = others | {"HOME": str(tmp_path)}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            wait_for(lambda: process.poll() is not None or answers(port), log.read_text)
            assert process.poll() is None, log.read_text()
            yield port
        finally:
            process.kill()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Outside(http.client.HTTPSConnection):
    """A connection of a client that knows the proxy by its name."""

    def __init__(self, port: int) -> None:
        super().__init__(NAME, port, timeout=DEADLINE, context=unverified())

    def connect(self) -> None:
        self.sock = dialled(self.port)


def dialled(port: int) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    return unverified().wrap_socket(plain, server_hostname=NAME)


def test_all_of_it_works_below_the_prefix(proxy: int) -> None:
    client = Outside(proxy)

    def ask(method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body)
        client.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = client.getresponse()
        return answer.status, answer.read()

    # the page names its files below the prefix, and they are there
    status, page = ask("GET", "/kala/")
    assert status == 200
    files = re.findall(r'(?:src|href)="(/[^"]+)"', page.decode())
    assert len(files) > 3
    for file in files:
        assert file.startswith(f"/kala{pages.ROOT}/")
        assert ask("GET", file)[0] == 200
    # what the page does is of the same origin; what others do is not
    own, other = f"https://{NAME}:{proxy}", "https://evil.example"
    job = {"name": "j", "command": "true", "schedule": FUTURE}
    assert ask("POST", "/kala/api/v1/job/", job, Origin=own)[0] == 201
    assert ask("POST", "/kala/api/v1/job/", job, Origin=other)[0] == 403
    # a body that is longer than buffers
    lines = "\n".join(json.dumps(job | {"name": f"job {number}"}) for number in range(2_000))
    client.request("POST", "/kala/api/v1/job/batch/", lines.encode(), {"Content-Type": "application/x-ndjson"})
    answer = client.getresponse()
    assert (answer.status, answer.read().count(b'"id"')) == (200, 2_000)
    # events come as they happen
    with dialled(proxy) as socket_:
        shake = (
            f"GET /kala/api/v1/events/ HTTP/1.1\r\nHost: {NAME}:{proxy}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nOrigin: {own}\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        socket_.sendall(shake.encode())
        heard = read_until(socket_, b'"hello"')
        assert heard.startswith(b"HTTP/1.1 101")
        made = json.loads(ask("POST", "/kala/api/v1/job/", job)[1])["id"]
        read_until(socket_, made.encode())
    client.close()


def read_until(connection: socket.socket, text: bytes) -> bytes:
    data, deadline = b"", time.monotonic() + DEADLINE
    while text not in data:
        assert time.monotonic() < deadline, data
        more = connection.recv(65_536)
        assert more, data
        data += more
    return data


def test_the_server_itself_shows_both(running: Callable[..., Server]) -> None:
    server = running(path_prefix="/kala")
    for path in "/", "/kala/", "/kala", "/healthz", "/kala/healthz", "/kala/api/v1/job/":
        assert server.ask("GET", path).status == 200, path
    assert server.ask("GET", "/kalamata/").status == 404
    assert server.ask("GET", "/other/api/v1/job/").status == 404
    assert server.ask("GET", "http://localhost/kala/healthz").status == 200
    # a batch below the prefix is taken as it comes as well
    job = {"name": "j", "command": "true", "schedule": FUTURE}
    assert server.ask("POST", "/kala/api/v1/job/batch/", [job] * 3).body.count(b'"id"') == 3
    # and no larger body than elsewhere
    assert server.ask("POST", "/kala/api/v1/job/", b"x" * 1_100_000).status == 413
