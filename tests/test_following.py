"""What real processes print, asked of a real daemon: as it comes, and afterwards."""

import http.client
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from daemon_process import API, DEADLINE, KalaProcess

COLOURS = b"\xff\x00\x1b[31mred\x1b[0m\r\n"


class Got(NamedTuple):
    """An answer: bytes, and what the headers say of them."""

    status: int
    attempt: int
    offset: int
    size: int
    body: bytes


def got(response: http.client.HTTPResponse, body: bytes) -> Got:
    attempt, offset, size = (
        int(response.headers[f"Kala-{name}"]) for name in ("Attempt", "Output-Offset", "Output-Size")
    )
    return Got(response.status, attempt, offset, size, body)


def output(kala: KalaProcess, run: str, query: str = "") -> Got:
    return got(*kala.request("GET", f"{API}/run/{run}/output/{query}"))


def started(kala: KalaProcess, command: str, **members: object) -> str:
    """A run of a new job; its id."""
    job = kala.create(command=command, shell=True, **members)
    answer = kala.post(f"{API}/job/start/{job}/?wait=false")
    assert answer.status == 202, answer
    return str(answer.json["id"])


@contextmanager
def following(kala: KalaProcess, run: str) -> Iterator[http.client.HTTPResponse]:
    """An answer whose head has come."""
    connection = http.client.HTTPConnection(urlsplit(kala.url).netloc, timeout=DEADLINE)
    try:
        connection.request("GET", f"{API}/run/{run}/output?follow=true")
        response = connection.getresponse()
        assert response.status == 200
        yield response
    finally:
        connection.close()


def resident(pid: int, what: str = "VmRSS") -> int:
    """Memory of a process, bytes."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


def wait_gone(kala: KalaProcess, seconds: float = DEADLINE) -> None:
    """Return when the daemon has no connection to a client; that of the last question may take a moment to go."""
    port = f":{urlsplit(kala.url).port:04X}"
    states = ("01", "08")  # established, and closed by the client alone: linux/include/net/tcp_states.h

    def connections() -> list[str]:
        lines = [line.split() for line in Path(f"/proc/{kala.pid}/net/tcp").read_text().splitlines()[1:]]
        return [local for _, local, _, state, *_ in lines if local.endswith(port) and state in states]

    kala.wait_for(lambda: not connections(), "a connection stays", seconds)


def test_bytes_stay_as_they_were_printed_while_it_runs_and_after(kala: KalaProcess) -> None:
    text = "printf '\\377\\000\\033[31mred\\033[0m\\r\\n'"
    run = started(kala, f"{text}; until [ -e go ]; do sleep 0.02; done; {text} >&2")
    kala.wait_for(lambda: output(kala, run).body == COLOURS)
    assert output(kala, run) == output(kala, run, "?attempt=1") == Got(200, 1, 0, len(COLOURS), COLOURS)
    with following(kala, run) as follower:
        assert got(follower, follower.read(len(COLOURS))) == Got(200, 1, 0, len(COLOURS), COLOURS)
        (kala.folder / "go").touch()
        assert follower.read() == COLOURS
    whole = Got(200, 1, 0, 2 * len(COLOURS), 2 * COLOURS)
    assert output(kala, run) == output(kala, run, "?attempt=1") == whole
    assert output(kala, run, "?follow=true&attempt=1") == whole
    # the head alone, and what is said to browsers
    response, body = kala.request("HEAD", f"{API}/run/{run}/output")
    assert got(response, body) == whole._replace(body=b"")
    assert response.headers["Content-Length"] == str(whole.size)
    assert response.headers["Content-Type"] == "text/plain"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    response, body = kala.request("HEAD", f"{API}/run/{run}/output?follow=true")
    assert got(response, body) == whole._replace(body=b"")
    # and after another start
    kala.restart()
    assert output(kala, run) == whole


def test_who_counts_bytes_goes_on_where_it_was(kala: KalaProcess) -> None:
    command = "printf first-; until [ -e go ]; do sleep 0.02; done; printf second; [ -e n ] || { touch n; false; }"
    run = started(kala, command, retries=1, retry_delay="PT1S")
    kala.wait_for(lambda: output(kala, run).body == b"first-")
    assert output(kala, run, "?offset=3") == Got(200, 1, 3, 6, b"st-")
    assert output(kala, run, "?offset=99999999999") == Got(200, 1, 6, 6, b"")
    connection = http.client.HTTPConnection(urlsplit(kala.url).netloc, timeout=DEADLINE)
    connection.request("GET", f"{API}/run/{run}/output/?follow=true&attempt=1&offset=2")
    answer = connection.getresponse()
    (kala.folder / "go").touch()
    assert got(answer, answer.read()) == Got(200, 1, 2, 6, b"rst-second")  # nothing of the next attempt
    connection.close()
    kala.wait_for(lambda: output(kala, run).attempt == 2)
    assert output(kala, run, "?follow=true&attempt=1&offset=6") == Got(200, 1, 6, 12, b"second")
    assert kala.get(f"{API}/run/{run}/output/?offset=-1").json["fields"].keys() == {"offset"}


def test_what_cannot_be_had_is_said(kala: KalaProcess) -> None:
    run = started(kala, "true")
    assert output(kala, run).body == b""
    kala.wait_for(lambda: output(kala, run)[:4] == (200, 1, 0, 0))
    for query, status, text in (
        ("?attempt=2", 400, "attempts so far: 1"),
        ("?attempt=0", 400, "whole number from 1"),
        ("?attempt=one&follow=true", 400, "whole number from 1"),
    ):
        answer = kala.get(f"{API}/run/{run}/output/{query}")
        assert (answer.status, list(answer.json["fields"])) == (status, ["attempt"])
        assert text in answer.json["error"]
    for query in "", "?follow=true":
        answer = kala.get(f"{API}/run/nothing/output/{query}")
        assert (answer.status, answer.json) == (404, {"error": "there is no run 'nothing'"})


def test_a_retry_is_followed_as_well(kala: KalaProcess) -> None:
    script = "echo attempt $KALA_ATTEMPT; until [ -e go$KALA_ATTEMPT ]; do sleep 0.02; done; [ $KALA_ATTEMPT = 2 ]"
    run = started(kala, script, retries=2, retry_delay="PT0.3S")
    with following(kala, run) as follower, following(kala, run) as other:
        assert follower.readline() == b"attempt 1\n"
        (kala.folder / "go1").touch()
        assert follower.readline() == b"attempt 2\n"
        assert output(kala, run, "?attempt=1").body == b"attempt 1\n"
        assert output(kala, run)[:2] == (200, 2)
        (kala.folder / "go2").touch()
        assert follower.read() == b""
        assert other.read() == output(kala, run, "?attempt=1&follow=true").body == b"attempt 1\nattempt 2\n"


def test_what_could_not_be_started_says_why(kala: KalaProcess) -> None:
    job = kala.create(command="/no/such/program")
    run = kala.post(f"{API}/job/start/{job}/?wait=false").json["id"]
    with following(kala, run) as follower:
        assert b"/no/such/program" in follower.read()
    assert b"/no/such/program" in output(kala, run).body


def test_a_hundred_thousand_lines_are_followed_whole(kala: KalaProcess) -> None:
    wait = "until [ -e {} ]; do sleep 0.02; done; "
    run = started(kala, f"echo 1; {wait.format('on')}echo 2; {wait.format('go')}seq 100000")
    with following(kala, run) as follower:
        assert follower.readline() == b"1\n"
        (kala.folder / "on").touch()
        assert follower.readline() == b"2\n"  # it reads along
        (kala.folder / "go").touch()
        assert follower.read() == "".join(f"{number}\n" for number in range(1, 100_001)).encode()


@pytest.mark.parametrize(("limit", "kept"), [(None, b"56789"), (3, b"789"), (0, b""), (1000, b"0123456789")])
def test_each_job_may_have_a_limit_of_its_own(
    start_kala: Callable[..., KalaProcess], limit: int | None, kept: bytes
) -> None:
    kala = start_kala("--output-limit", "5")
    run = started(kala, "printf 01234; printf 56789; until [ -e go ]; do sleep 0.02; done; exit 0", output_limit=limit)
    kala.wait_for(lambda: output(kala, run).size == 10)
    expected = Got(200, 1, 10 - len(kept), 10, kept)
    assert output(kala, run) == expected
    (kala.folder / "go").touch()
    with following(kala, run) as follower:
        follower.read()
    assert output(kala, run) == expected


def test_a_follower_that_hangs_up_is_let_go_though_nothing_is_printed(kala: KalaProcess) -> None:
    run = started(kala, "echo one; until [ -e go ]; do sleep 0.02; done")
    kala.wait_for(lambda: output(kala, run).body == b"one\n")
    with following(kala, run) as follower:
        assert follower.readline() == b"one\n"
    wait_gone(kala, 15)
    assert output(kala, run).body == b"one\n"
    (kala.folder / "go").touch()


def test_a_kill_of_the_daemon_ends_the_stream_and_the_next_one_knows_the_run(kala: KalaProcess) -> None:
    run = started(kala, "echo one; sleep 300")
    with following(kala, run) as follower:
        assert follower.readline() == b"one\n"
        kala.kill()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            follower.read()
    kala.start()
    assert output(kala, run) == Got(200, 0, 0, 0, b"")
    with following(kala, run) as follower:
        assert follower.read() == b""


@pytest.mark.slow
def test_a_follower_that_reads_nothing_does_not_grow_the_daemon(kala: KalaProcess) -> None:
    # given a printer of 200 MB with a follower that never reads, and one that does
    script = "until [ -e go ]; do sleep 0.02; done; head -c 200M /dev/zero; until [ -e end ]; do sleep 0.02; done"
    run = started(kala, script)
    address = urlsplit(kala.url)
    lazy = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=DEADLINE)
    lazy.sendall(f"GET {API}/run/{run}/output/?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    with following(kala, run) as follower:
        before = resident(kala.pid)
        (kala.folder / "go").touch()
        kala.wait_for(lambda: output(kala, run).size == 200 << 20)
        # then neither holds the printer up, nor takes more than what is held for followers and some pieces under way
        assert resident(kala.pid, "VmHWM") - before < 24 << 20
        (kala.folder / "end").touch()
        # and who reads is told how much he was too slow for
        heard = follower.read()
        passed = [int(size.replace(b",", b"")) for size in re.findall(rb"\n\[kala: ([0-9,]+) bytes were", heard)]
        assert heard.count(0) + sum(passed) == 200 << 20
        assert heard.count(0) > 1 << 20
    lazy.close()
