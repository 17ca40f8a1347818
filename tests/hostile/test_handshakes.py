"""A daemon that speaks TLS, and those who do not."""

import contextlib
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio
from servers.certificates import certificates

from tests.daemon_process import KalaProcess, wait_for

from .figures import figures
from .handshakes import INPUTS, Raw
from .shape import get
from .talk import DEADLINE

HANGING = 50


async def ended(address: tuple[str, int], case: Raw, answers: dict[str, bytes]) -> None:
    """Send it, and read to the end, which must come."""
    data = b""
    with trio.fail_after(DEADLINE):
        async with await trio.open_tcp_stream(*address) as stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(case.data)
                while part := await stream.receive_some(65_536):
                    data += part
    answers[case.name] = data


async def all_ended(address: tuple[str, int], answers: dict[str, bytes]) -> None:
    async with trio.open_nursery() as nursery:
        for case in INPUTS:
            nursery.start_soon(ended, address, case, answers)


def healthy(address: tuple[str, int], ca: str, path: str = "/healthz") -> bool:
    """Whether somebody who does speak TLS is answered, and well."""
    with (
        socket.create_connection(address, timeout=DEADLINE) as plain,
        ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        secured.sendall(get(path.encode(), b"Connection: close"))
        return secured.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_handshakes_that_are_none(tmp_path: Path) -> None:
    # given a daemon that speaks TLS
    made = certificates(tmp_path)
    kala = KalaProcess(tmp_path / "kala", "--tls-cert", made.server, "--tls-key", made.server_key)
    try:
        kala.start(ready=False)
        parts = urlsplit(kala.url)
        address = str(parts.hostname), int(parts.port or 0)
        wait_for(lambda: healthy(address, made.ca, "/readyz"), kala.log)  # it has its database open
        before = figures(kala.pid)
        # when all of these come at once, then each is closed, and none has an answer but an alert of TLS
        answers: dict[str, bytes] = {}
        trio.run(all_ended, address, answers)
        assert answers.keys() == {case.name for case in INPUTS}
        assert {name: data for name, data in answers.items() if data and data[0] != 0x15} == {}
        # and others are answered, and nothing is left
        assert healthy(address, made.ca)
        wait_for(lambda: figures(kala.pid).descriptors <= before.descriptors, kala.log)
        # and it stops while some hang in the middle of theirs
        hanging = [socket.create_connection(address, timeout=DEADLINE) for _ in range(HANGING)]
        for number, one in enumerate(hanging):
            one.sendall(INPUTS[number % 4].data)
        assert kala.stop() == 0
        assert "Traceback" not in kala.log()
        for one in hanging:
            one.close()
    finally:
        kala.close()
