"""A unix socket in place of a port."""

import http.client
import json
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from cli_process import Cli
from servers.certificates import Certificates

from kala.client.stream import Event, Stream
from kala.errors import SettingsError
from kala.settings import Settings
from kala.web.serve import unix_socket
from kala.web.unixsocket import UnixSocket

from .server import DEADLINE, GRACEFUL, Server, connections, until


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(self._path)


def get(path: Path, target: str = "/healthz") -> int:
    connection = UnixConnection(str(path))
    connection.request("GET", target)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kala.sock"


def test_it_is_served_and_gone_at_the_end(running: Callable[..., Server], path: Path) -> None:
    server = running(interface=f"unix:{path}")
    assert server.urls == [f"unix:{path}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert get(path) == 200
    assert get(path, "/api/v1/job/") == 200
    server.stop()
    assert not path.exists()
    assert os.listdir(path.parent) == []


def test_the_mode_is_what_was_asked_for_whatever_the_umask(path: Path) -> None:
    before = os.umask(0o777)
    try:
        for mode in 0o660, 0o666, 0o600:
            one = UnixSocket(str(path), mode)
            assert stat.S_IMODE(path.stat().st_mode) == mode
            one.remove()
            one.socket.close()
    finally:
        os.umask(before)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("mode", "let_in"), [(0o600, False), (0o660, False), (0o666, True)])
def test_the_mode_keeps_others_out(running: Callable[..., Server], path: Path, mode: int, let_in: bool) -> None:
    running(interface=f"unix:{path}", socket_mode=mode)
    for folder in [path.parent, *path.parent.parents]:
        if folder != Path("/") and folder.stat().st_mode & 0o005 != 0o005 and folder.owner() == "root":
            folder.chmod(folder.stat().st_mode | 0o011)
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code], user="nobody", group="nogroup", extra_groups=[], check=False
    )
    assert (done.returncode == 0) == let_in


def test_what_a_killed_daemon_left_is_replaced(running: Callable[..., Server], path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    running(interface=f"unix:{path}")
    assert get(path) == 200


def refusal(path: Path | str) -> str:
    with pytest.raises(SettingsError) as caught:
        unix_socket(Settings(interface=f"unix:{path}"))
    assert str(caught.value).startswith(f"--interface unix:{path}")
    return str(caught.value)


def test_what_is_in_use_is_not_replaced(running: Callable[..., Server], path: Path) -> None:
    running(interface=f"unix:{path}")
    assert "is in use by another program" in refusal(path)
    assert get(path) == 200


def test_one_that_is_too_busy_to_answer_is_in_use_as_well(path: Path) -> None:
    # given a program whose queue of connections is full
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        waiting = []
        for _ in range(10):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(str(path))
        assert "is in use by another program" in refusal(path)
        for one in waiting:
            one.close()
    assert path.is_socket()


def test_other_files_are_not_replaced(path: Path) -> None:
    path.write_text("precious")
    assert "is no socket" in refusal(path)
    assert path.read_text() == "precious"
    path.unlink()
    path.symlink_to("elsewhere")
    assert "is no socket" in refusal(path)
    assert path.is_symlink()
    path.unlink()
    path.mkdir()
    assert "is no socket" in refusal(path)
    assert f"there is no folder {path}/none" in refusal(f"{path}/none/kala.sock")
    with pytest.raises(SettingsError, match="there is no folder"):
        UnixSocket("/dev/null/kala.sock", 0o600)


def test_what_has_taken_its_place_is_not_removed(running: Callable[..., Server], path: Path) -> None:
    server = running(interface=f"unix:{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        server.stop()
        assert path.is_socket()


def test_a_daemon_that_is_ending_leaves_its_place_to_the_next(running: Callable[..., Server], path: Path) -> None:
    # given a server that is told to stop while a request goes on
    server = running(GRACEFUL, interface=f"unix:{path}")
    connection = UnixConnection(str(path))
    connection.request(
        "POST", "/api/v1/job/", '{"name": "j", "command": "wait", "schedule": "R/2099-01-01T00:00:00Z/P1D"}'
    )
    job = json.loads(connection.getresponse().read())["id"]
    connection.request("POST", f"/api/v1/job/start/{job}/")
    until(lambda: server.attempts == 1)
    server.call(server._stop_web.set)
    # then the path is free at once, and what comes there is not removed when the first has ended
    until(lambda: not path.exists())
    running(interface=f"unix:{path}")
    server.let_go()
    assert connection.getresponse().status == 204
    server.stop()
    assert get(path) == 200


def test_nobody_else_can_come_in_without_tokens_unless_it_is_told(path: Path, running: Any, caplog: Any) -> None:
    running(interface=f"unix:{path}", socket_mode=0o660)
    assert "everybody" not in caplog.text
    running(interface=f"unix:{path}2", socket_mode=0o666)
    assert "everybody on this machine can run commands here" in caplog.text


def test_curl(running: Callable[..., Server], path: Path, program: Callable[[str], str]) -> None:
    server = running(interface=f"unix:{path}")
    for host, status in ("localhost", "200"), ("evil.example", "403"):
        command = [program("curl"), "-sS", "-w", "%{http_code}", "--unix-socket", str(path)]
        done = subprocess.run(
            [*command, f"http://{host}/api/v1/job/"], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert done.stdout.endswith(status), done
    until(lambda: not connections(server))


def test_tls_goes_over_it_too(
    running: Callable[..., Server], path: Path, certs: Certificates, program: Callable[[str], str]
) -> None:
    running(interface=f"unix:{path}", tls_cert=certs.server, tls_key=certs.server_key)
    command = [program("curl"), "-sS", "--cacert", certs.ca, "--unix-socket", str(path), "https://localhost/healthz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.stdout == '{"status":"ok"}', done


def test_the_command_line(running: Callable[..., Server], path: Path) -> None:
    server = running(interface=f"unix:{path}")
    kala = Cli(f"unix:{path}")
    made = kala.json(
        "jobs", "create", "--name", "there", "--command", "true", "--schedule", "R/2099-01-01T00:00:00Z/P1D"
    )
    assert made["id"]
    assert "there" in kala("jobs", "list").stdout
    server.stop()
    assert f"unix:{path} cannot be reached" in kala("jobs", "list", code=3).stderr
    assert "the address of a daemon is like" in kala("jobs", "list", "--url", "unix:", code=2).stderr


def test_events_over_it(running: Callable[..., Server], path: Path) -> None:
    server = running(interface=f"unix:{path}")
    said: list[str] = []

    async def main() -> list[Event]:
        out, into = trio.open_memory_channel[list[Event]](0)
        heard: list[Event] = []
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Stream(f"unix:{path}", {}, out, said.append).run)
                heard += await into.receive()
                # when it breaks off and the server is there again, it comes back
                await trio.to_thread.run_sync(lambda: [server.call(one.socket.close) for one in connections(server)])
                heard += await into.receive()
                nursery.cancel_scope.cancel()
        return heard

    assert [event["type"] for event in trio.run(main)] == ["hello", "hello"]
    assert said[0] == said[-1] == ""
    assert said[1].startswith("connecting again: ")
    server.stop()
    from kala.client.faults import Unreachable

    async def alone() -> None:
        out, _ = trio.open_memory_channel[list[Event]](0)
        await Stream(f"unix:{path}", {}, out, said.append).run()

    with pytest.raises(Unreachable, match="No such file"):
        trio.run(alone)
