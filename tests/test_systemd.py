"""What systemd is told: a socket at its other end, the unit of kala.service.example, and a real daemon from it."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest
import trio
import trio.testing
from daemon_process import API, DEADLINE, ROOT, KalaProcess, until_there, wait_for
from small_disk import filled, small_disk

from kala.systemd import Systemd

EXAMPLE = ROOT / "kala.service.example"


class Manager:
    """The other end: it takes what it is sent, and keeps it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.told: list[str] = []
        self.at: list[float] = []  # by the monotonic clock: when each was looked at

    def look(self) -> list[str]:
        """All messages that have come so far."""
        while True:
            try:
                self.told.append(self._socket.recv(65_536).decode())
            except BlockingIOError:
                return self.told
            self.at.append(time.monotonic())

    def lines(self) -> list[str]:
        return [line for message in self.look() for line in message.splitlines()]

    def wait(self, pattern: str, times: int = 1) -> None:
        """Return when so many lines fit."""
        wait_for(
            lambda: sum(bool(re.fullmatch(pattern, line)) for line in self.lines()) >= times,
            lambda: f"{pattern} did not come; what came:\n" + "\n".join(self.lines()),
        )

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@kala-test-{os.getpid()}")
    yield made
    made.close()


def environment(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address, "PATH": "/bin", **more}


def test_what_is_told_and_when(manager: Manager) -> None:
    given = environment(manager, WATCHDOG_USEC="4000000", WATCHDOG_PID=str(os.getpid()))
    systemd = Systemd(given, lambda: "what\nit does")
    assert given == {"PATH": "/bin"}

    async def life() -> list[list[str]]:
        rounds: list[list[str]] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(systemd.keep_telling)
            for step in (lambda: None, systemd.ready, systemd.stopping):
                await trio.testing.wait_all_tasks_blocked()
                step()
                await trio.sleep(2)  # half of the watchdog's time: one word
                await trio.testing.wait_all_tasks_blocked()
                rounds.append(manager.look()[:])
            nursery.cancel_scope.cancel()
        return rounds

    rounds = trio.run(life, clock=trio.testing.MockClock(autojump_threshold=0.05))
    alive, more = "WATCHDOG=1\nSTATUS=what it does", "\nEXTEND_TIMEOUT_USEC=30000000"
    assert rounds[0] == [alive + more] * 2  # it starts
    said = "\nSTATUS=what it does"
    assert rounds[1][2:] == ["READY=1" + said, alive]
    assert rounds[2][4:] == ["STOPPING=1" + said, alive + more]


def test_a_reload_is_told_only_of_what_has_started(manager: Manager) -> None:
    systemd = Systemd(environment(manager), lambda: "")
    systemd.reloading()
    systemd.reloaded()
    systemd.ready()
    before = time.monotonic_ns() // 1_000
    systemd.reloading()
    systemd.reloaded()
    systemd.stopping()
    systemd.reloading()
    systemd.reloaded()
    systemd.stopping()
    ready, reloading, again, stopping = manager.look()
    assert (ready, again, stopping) == ("READY=1\nSTATUS=", "READY=1", "STOPPING=1\nSTATUS=")
    first, second = reloading.splitlines()
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1_000


def test_what_the_socket_has_no_room_for_comes_later_and_in_order(manager: Manager) -> None:
    systemd = Systemd(environment(manager), lambda: "")
    for _ in range(2_000):  # far more than a socket's queue takes
        systemd.reloading()
        systemd.ready()
    systemd.stopping()
    assert "STOPPING=1" not in manager.lines()

    async def life() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(systemd.keep_telling)
            for _ in range(1_000):
                await trio.sleep(5)
                if "STOPPING=1" in manager.lines():
                    nursery.cancel_scope.cancel()

    trio.run(life, clock=trio.testing.MockClock(autojump_threshold=0))
    told = [one for one in manager.lines() if one in ("READY=1", "RELOADING=1", "STOPPING=1")]
    assert told.count("STOPPING=1") == 1
    assert told.count("READY=1") == told[:-1:2].count("READY=1") == 2_000
    assert told[-1] == "STOPPING=1"


@pytest.mark.parametrize(
    ("variables", "every"),
    [
        ({}, 5),
        ({"WATCHDOG_USEC": "60000000"}, 5),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 5),  # another process's
        ({"WATCHDOG_USEC": "x"}, 5),
        ({"WATCHDOG_USEC": "0"}, 5),
    ],
)
def test_how_often_it_is_told(tmp_path: Path, variables: dict[str, str], every: float) -> None:
    manager = Manager(str(tmp_path / "notify"))

    async def life() -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Systemd(environment(manager, **variables), lambda: "").keep_telling)
            for _ in range(61):
                await trio.sleep(0.99)
                manager.look()  # a queue takes few
            nursery.cancel_scope.cancel()
        return len(manager.look())

    assert trio.run(life, clock=trio.testing.MockClock(autojump_threshold=0)) == int(60 / every) + 1
    manager.close()


def test_nobody_asks_or_nobody_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def told(address: str) -> None:
        systemd = Systemd({"NOTIFY_SOCKET": address} if address else {}, lambda: "")
        systemd.ready()
        with trio.move_on_after(20):
            await systemd.keep_telling()
        systemd.close()
        systemd.stopping()

    for address in ("", "vsock:2:1234", str(tmp_path / "missing")):
        trio.run(told, address, clock=trio.testing.MockClock(autojump_threshold=0))
    assert caplog.messages == [
        "systemd is not told anything: NOTIFY_SOCKET is neither a path nor abstract: vsock:2:1234",
        f"systemd cannot be told: {tmp_path}/missing: No such file or directory",
    ]


# A real daemon.


@pytest.mark.slow
def test_a_daemon_from_start_to_stop(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    given = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"}
    with KalaProcess(tmp_path / "kala", environment=given) as kala:
        # it is ready, and none of this is for jobs
        manager.wait("READY=1")
        ready = manager.lines().index("READY=1")
        assert "EXTEND_TIMEOUT_USEC=30000000" in manager.lines()[:ready]
        job_id = kala.create(command="env")
        run = kala.post(f"{API}/job/start/{job_id}/?wait=false").json
        kala.wait_for(lambda: kala.job(job_id)["metadata"]["success_count"])
        printed = kala.request("GET", f"{API}/run/{run['id']}/output/")[1]
        assert b"KALA_RUN_ID=" in printed
        assert b"NOTIFY_SOCKET" not in printed
        assert b"WATCHDOG" not in printed
        manager.wait("STATUS=1 jobs, 0 running")

        # it says so when it reads its files anew
        kala.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
        manager.wait("READY=1", times=2)
        assert [one.split("=")[0] for one in manager.lines()].count("RELOADING") == 1

        # its watchdog is heard of twice a second: while its loop turns, and no longer
        def regularly() -> bool:
            count = manager.lines().count("WATCHDOG=1")
            manager.wait("WATCHDOG=1", times=count + 4)
            return all(b - a < 1.0 for a, b in zip(manager.at[-4:], manager.at[-3:], strict=False))

        kala.wait_for(regularly, "not twice a second")

        # when it stops, it asks for time while a run is on
        sleeps = kala.create(command=until_there(tmp_path / "go"))
        kala.post(f"{API}/job/start/{sleeps}/?wait=false")
        kala.wait_for(kala.descendants)
        kala.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
        manager.wait("STATUS=stopping: 1 running")
        stopping = manager.lines().index("STOPPING=1")
        kala.wait_for(lambda: "EXTEND_TIMEOUT_USEC=30000000" in manager.lines()[stopping:])
        (tmp_path / "go").touch()
        assert kala.wait() == 0
        assert "EXTEND_TIMEOUT_USEC=30000000" not in manager.lines()[ready:stopping]
    manager.close()


@pytest.mark.slow
def test_a_loop_that_hangs_is_not_heard_of(tmp_path: Path) -> None:
    """Threads go on in a daemon whose loop hangs, such as that of the lease: the word must come from the loop."""
    manager = Manager(str(tmp_path / "notify"))
    hang = (
        "import signal, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600))\n"  # in the main thread: that of the loop
        "from kala.cli import main\n"
        "main()"
    )
    kala = KalaProcess(
        tmp_path / "kala",
        command=[sys.executable, "-c", hang, "serve"],
        environment={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"},
    ).start()
    try:
        manager.wait("WATCHDOG=1", times=3)
        assert kala.process is not None
        kala.process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)  # what was on its way has come
        before = len(manager.look())
        time.sleep(1.0)
        assert len(manager.look()) == before
    finally:
        kala.close()
        manager.close()


@pytest.mark.slow
def test_without_its_database_it_asks_for_time_and_says_why(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    refused = ("--jobdb", "redis", "--jobdb-address", "127.0.0.1:1")
    kala = KalaProcess(tmp_path / "kala", *refused, environment={"NOTIFY_SOCKET": manager.address})
    kala.start(ready=False)
    try:
        manager.wait("STATUS=without its database: the daemon waits for its database: .*; 0 running")
        assert "READY=1" not in manager.lines()
        assert "EXTEND_TIMEOUT_USEC=30000000" in manager.lines()
    finally:
        assert kala.stop() == 0
        manager.close()


@pytest.mark.slow
def test_a_database_that_goes_away_is_in_the_status(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    folder = tmp_path / "disk"
    given = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
    with small_disk(folder, "3m"):
        kala = KalaProcess(tmp_path, environment=given).start("--bolt-path", str(folder))
        large = {"name": "n", "command": "true" + "x" * 9000}
        with filled(folder):
            kala.wait_for(lambda: kala.post(f"{API}/job/", large).status == 503)
            manager.wait("STATUS=without its database: .*the disk is full.*; 0 running")
        count = len(manager.look())
        kala.wait_for(lambda: any(re.match(r"STATUS=\d+ jobs, 0 running", one) for one in manager.lines()[count:]))
        assert kala.stop() == 0
    manager.close()


# The unit.


def unit() -> dict[str, dict[str, str]]:
    """The example's sections, each name with its last value."""
    parser = RawConfigParser(strict=False, comment_prefixes=("#",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(EXAMPLE)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_the_unit_fits_what_the_daemon_does() -> None:
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert service["RestartPreventExitStatus"].split() == ["2", "3"]  # `commands/exits.py`: a person must act
    assert service["Restart"] == "on-failure"
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) >= 60  # a drain of 30 s, and 20 s to end runs
    assert service["ExecReload"].endswith("-HUP $MAINPID")
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"


def test_systemd_takes_the_unit(tmp_path: Path, program: Callable[[str], str]) -> None:
    text = EXAMPLE.read_text()
    for old, new in {"/opt/kala/bin/kala": sys.executable, "User=kala": "User=daemon"}.items():
        text, count = re.subn(rf"^(?!#)(.*){re.escape(old)}", rf"\g<1>{new}", text, flags=re.MULTILINE)
        assert count == 1, old
    (tmp_path / "kala.service").write_text(text)
    analyze = [program("systemd-analyze"), "verify", str(tmp_path / "kala.service")]
    found = subprocess.run(analyze, capture_output=True, text=True, timeout=DEADLINE)
    told = [line for line in found.stderr.splitlines() if str(tmp_path) in line or "kala" in line]
    assert (found.returncode, told) == (0, [])
    # it does look
    (tmp_path / "kala.service").write_text(text.replace("KillMode=mixed", "KillMode=gently"))
    assert "gently" in subprocess.run(analyze, capture_output=True, text=True, timeout=DEADLINE).stderr


@pytest.mark.slow
def test_what_the_unit_starts_and_reloads(tmp_path: Path) -> None:
    service = unit()["Service"]
    manager = Manager(str(tmp_path / "notify"))
    folder = tmp_path / "state"
    start = service["ExecStart"].replace("/opt/kala/bin/kala", f"{sys.executable} -m kala")
    start = start.replace("/var/lib/kala", str(folder)).replace("--port 8000", "--port 0")
    given = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(service["WatchdogSec"]) * 1_000_000)}
    with KalaProcess(folder, command=start.split(), environment=given) as kala:
        manager.wait("READY=1")
        subprocess.run(service["ExecReload"].replace("$MAINPID", str(kala.pid)).split(), check=True)
        manager.wait("READY=1", times=2)
        with sqlite3.connect(folder / "kala.db") as connection:
            assert connection.execute("select count(*) from kala_meta").fetchone()[0]
        connection.close()
    # a person must act: no restart
    (folder / "kala.db").write_bytes(b"no database\n" * 1_000)
    kala.launch()
    assert str(kala.wait()) in service["RestartPreventExitStatus"].split()
    manager.close()
