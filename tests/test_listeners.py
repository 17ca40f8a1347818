"""A hundred listeners to a real daemon, of which one never reads: it is cut off, the others hear all, and no run is
later for it."""

import json
import re
import selectors
import socket
import statistics
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.daemon_process import API, KalaProcess

RUNS = 100  # a second: what a small machine carries beside those who listen
LISTENERS = 100
OBSERVED = 5.0  # seconds
TIMES = 6  # that is observed: other processes hinder some, the daemon would hinder all
NOISE = 0.005  # seconds of lateness that another process on a small machine makes
PATIENCE = 25.0  # seconds; a peer has 20 to take what it is sent
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Listener:
    """A websocket that reads what is there, and holds that the events' numbers have no gaps and no repetitions.

    One of a hundred is given all its events to look into (`keeps`): that is what time there is for.
    """

    def __init__(self, host: str, after: str = "", keeps: bool = False, buffer: int = 0) -> None:
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        name, port = host.split(":")
        self.socket.connect((name, int(port)))
        path = f"{API}/events/" + (f"?after={after}" if after else "")
        self.socket.sendall(HANDSHAKE.format(path=path, host=host).encode())
        self.port = self.socket.getsockname()[1]
        self.events: list[dict[str, Any]] = []
        self.word, self.last = "", -1
        self._keeps, self._data = keeps, b""

    @property
    def id(self) -> str:
        return f"{self.word}-{self.last}"

    def read(self) -> None:
        data = self.socket.recv(1 << 20)
        assert data, "the connection ended"
        self._data += data
        for text in self._messages():
            begin = re.match(rb'{"events":\[{"id":"([0-9a-f]{8})-(\d+)"', text)
            if begin is None:
                assert text == b'{"events":[]}'
            elif self.last < 0:
                assert b'"type":"hello"' in text
                self.word, self.last = begin[1].decode(), int(begin[2])
            else:
                assert int(begin[2]) == self.last + 1
                self.last += text.count(b'{"id":')
                if self._keeps:
                    self.events += json.loads(text)["events"]

    def _messages(self) -> Iterator[bytes]:
        if self._data.startswith(b"HTTP/1.1 101"):
            head, blank, rest = self._data.partition(b"\r\n\r\n")
            self._data = rest if blank else head
        while len(self._data) >= 2 and self._data[:1] == b"\x81":
            begin, length = 2, self._data[1]
            if length >= 126:
                begin = 4 if length == 126 else 10
                if len(self._data) < begin:
                    return
                (length,) = struct.unpack("!H" if begin == 4 else "!Q", self._data[2:begin])
            if len(self._data) < begin + length:
                return
            text, self._data = self._data[begin : begin + length], self._data[begin + length :]
            yield text


def heard(listeners: list[Listener], seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Let them read for some time, or until something is so."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for listener in listeners:
            selector.register(listener.socket, selectors.EVENT_READ, listener)
        while time.monotonic() < deadline and not until():
            for key, _ in selector.select(0.2):
                key.data.read()


def is_connected(port: int, peer: int) -> bool:
    """The server's side of a connection is open (state 1 in /proc/net/tcp)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if (int(local.split(":")[1], 16), int(remote.split(":")[1], 16)) == (port, peer):
            return state == "01"
    return False


def observed(events: list[dict[str, Any]]) -> tuple[float, float]:
    """Of the lateness of runs, in seconds: the median, and what a tenth of them exceeds."""
    late = sorted(
        (datetime.fromisoformat(event["started"]) - datetime.fromisoformat(event["scheduled_for"])).total_seconds()
        for event in events
        if event["type"] == "run.started"
    )
    assert len(late) > RUNS * OBSERVED / 2
    return statistics.median(late), late[len(late) * 9 // 10]


def is_as_punctual(since: tuple[float, float], before: tuple[float, float]) -> bool:
    return all(late <= was * 1.2 + NOISE for late, was in zip(since, before, strict=True))


@pytest.mark.slow
def test_a_hundred_listeners_of_which_one_never_reads(tmp_path: Path) -> None:
    with KalaProcess(tmp_path) as kala:
        host, port = urlsplit(kala.url).netloc, urlsplit(kala.url).port
        # given a daemon that runs much, to which nobody listens for a while
        first = Listener(host)
        heard([first], PATIENCE, lambda: first.last >= 0)
        first.socket.close()
        begin = datetime.now(UTC).replace(microsecond=0, tzinfo=None) + timedelta(seconds=10)
        for number in range(RUNS):
            start = begin + timedelta(seconds=number / RUNS)
            job = kala.create(
                name=str(number), schedule=f"R/{start.isoformat(timespec='microseconds')}Z/PT1S", overlap="allow"
            )
        kala.wait_for(lambda: kala.job(job)["metadata"]["success_count"] >= OBSERVED)
        # when a hundred come, and want to hear all from the beginning on; one of them does not read
        stalled = Listener(host, first.id, buffer=4096)
        others = [Listener(host, first.id, keeps=number == 0) for number in range(LISTENERS - 1)]
        one = others[0]
        heard(others, PATIENCE, lambda: all(other.last >= 0 for other in others))
        before = observed(one.events)
        # then runs are as punctual as they were
        since: list[tuple[float, float]] = []
        while not since or not is_as_punctual(since[-1], before):
            assert len(since) < TIMES, (before, since)
            known = len(one.events)
            heard(others, OBSERVED)
            since.append(observed(one.events[known:]))
        # and the one is cut off in time, while the others hear everything: `Listener.read` has seen to that
        heard(others, PATIENCE, lambda: not is_connected(port, stalled.port))
        assert not is_connected(port, stalled.port)
        goal = one.last
        heard(others, PATIENCE, lambda: min(other.last for other in others) >= goal)
        assert min(other.last for other in others) >= goal
        # of each run from its claim to its end
        told = defaultdict(list)
        for event in one.events:
            if "run" in event:
                told[event["run"]].append(event["type"])
        whole = ["run.claimed", "run.started", "run.finished"]
        assert all(types == whole[: len(types)] for types in told.values())
        assert sum(types == whole for types in told.values()) > 2 * RUNS * OBSERVED
