"""Servers for tests."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from missing import missing
from servers.certificates import Certificates, certificates

from kala.settings import Settings
from kala.web import serve as serving
from kala.web.guard import Connection
from kala.web.limits import GuardConfig, Limits

from .server import LIMITS, Server


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Starts servers, and stops them at the end; each must end cleanly. Takes fields of `Settings`, and `limits`."""
    servers: list[Server] = []

    def shared(*arguments: Any) -> GuardConfig:
        servers[-1].guard = GuardConfig(*arguments)
        return servers[-1].guard

    monkeypatch.setattr(serving, "GuardConfig", shared)

    def start(limits: Limits = LIMITS, **settings: Any) -> Server:
        server = Server(Settings(**{"port": 0, **settings}), limits)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(running: Callable[..., Server]) -> Server:
    return running()


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of a server at 127.0.0.1 and of a client. Without openssl the test is skipped, and fails when `CI`
    is set."""
    if shutil.which("openssl") is None:
        missing("openssl is not installed: scripts/services installs it")
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(running: Callable[..., Server], certs: Certificates) -> Server:
    """A server with TLS."""
    return running(tls_cert=certs.server, tls_key=certs.server_key)


@pytest.fixture(params=["short way", "hypercorn's way"])
def either_running(
    request: pytest.FixtureRequest, running: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Server]:
    """As `running`, with and without the short way."""
    if request.param != "short way":
        monkeypatch.setattr(serving, "ShortWay", Connection)
    return running


@pytest.fixture
def either(either_running: Callable[..., Server]) -> Server:
    """A server with, and one without the short way."""
    return either_running()
