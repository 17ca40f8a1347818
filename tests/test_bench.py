"""`scripts/bench`: its short form, which holds the daemon's speed to the machine's; and what it measures with."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.daemon_process import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from benchmarks.databases import Ours, inherited
from benchmarks.peers import far
from benchmarks.results import Results
from benchmarks.short import REFERENCE, has_fallen
from benchmarks.table import standing, write
from benchmarks.tools import HttpSink, Sink, Tools, request
from benchmarks.trouble import COMMIT_MS, LINE_MS, OPEN, Connections, SlowDisk, SlowLine

from kala.drivers.server import Server

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")


@pytest.fixture
def tools(tmp_path: Path, program: Callable[[str], str]) -> Tools:
    program("cc")
    return Tools(tmp_path / "tools")


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_no_ratio_to_the_floor_has_fallen_by_a_third(program: Callable[[str], str]) -> None:
    program("cc")
    done = bench("--short")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{len(json.loads(REFERENCE.read_text()))} ratios, 0 fallen\n")


def test_a_ratio_has_fallen_when_a_third_is_gone() -> None:
    assert not has_fallen(0.67, 1.0)
    assert has_fallen(0.66, 1.0)
    assert not has_fallen(3.0, 1.0)


@pytest.mark.slow
def test_figures_of_several_runs_become_tables_and_pictures(tmp_path: Path, program: Callable[[str], str]) -> None:
    program("cc")
    # given a document, and two runs, of a step each
    document, figures = tmp_path / "speed.md", tmp_path / "figures.json"
    document.write_text(
        "# Speed\n<!-- bench: creates -->\nold\n<!-- /bench -->\n<!-- bench: lateness -->\n<!-- /bench -->\nthe end\n"
        "![](pictures/speed-rates.svg)\n"
    )
    alone = ("--only", "Kala", "--results", figures)
    first = bench("--rounds", 2, "--steps", "create", *alone)
    assert first.returncode == 0, first.stdout + first.stderr
    second = bench("--rounds", 1, "--steps", "due", "--counts", 1, *alone, "--write", document)
    assert second.returncode == 0, second.stdout + second.stderr

    # then the figures are those of both
    kept = Results(figures).columns["Kala"].figures
    assert len(kept["creates, one at a time over 16 connections, /s"]) == 2
    assert all(values and min(values) > 0 for name, values in kept.items() if name.endswith("/s"))
    assert len(kept["one job due: p50, ms"]) == 1

    # and they are in the document, in place of what was there
    text = document.read_text()
    assert "old" not in text
    assert text.endswith("the end\n![](pictures/speed-rates.svg)\n")
    assert "| creates, one at a time over 16 connections, /s | " in text
    assert "| one job due: p50, ms | " in text
    assert write_again(document, figures) == text


def write_again(document: Path, figures: Path) -> str:
    write(document, Results(figures))
    return document.read_text()


def test_what_is_behind_is_told_as_what_is_ahead(tmp_path: Path) -> None:
    results = Results()
    for title, rate, late, memory in ("Kala", 200.0, 4.0, 100.0), ("the original", 100.0, 2.0, 101.0):
        results.column(title).add("most runs, /s", rate)
        results.column(title).add("one job every 50 ms: p50, ms", late)
        results.column(title).add("10 jobs: memory, MB", memory)
        results.column(title).curve("10 jobs due at once", [late * n for n in range(101)])
    assert standing(results).splitlines() == [
        "- ahead of the original: most runs (2 times)",
        "- even with the original: 10 jobs: memory",
        "- behind the original: one job every 50 ms: p50 (2 times)",
    ]
    document = tmp_path / "speed.md"
    document.write_text("![](pictures/speed-rates.svg) ![](pictures/speed-late-10-jobs.svg)\n")
    write(document, results)
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [one.name for one in pictures] == ["speed-late-10-jobs.svg", "speed-rates.svg"]
    for picture in pictures:
        words = [one.text for one in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}text")]
        assert {"Kala", "the original"} <= set(words)


def test_each_figure_is_in_the_table_of_its_kind(tmp_path: Path) -> None:
    names = {
        "creates": "a create in a batch: processor time of the daemon, µs",
        "lateness": "20 calls due at once to 2 origins: p99, ms",
        "runs": "a run, 5 asked for a second: commits",
        "meanwhile": "a create during 20 jobs due at once: longest, ms",
    }
    results, document = Results(), tmp_path / "speed.md"
    for name in names.values():
        results.column("Kala").add(name, 1.0)
    document.write_text("".join(f"<!-- bench: {section} -->\n<!-- /bench -->\n" for section in names))
    write(document, results)
    found = re.findall(
        r"<!-- bench: (\w+) -->.*?\n\| (?!\|)([^|]+) \| 1 \|\n<!-- /bench", document.read_text(), re.DOTALL
    )
    assert dict(found) == names


def test_every_origin_that_calls_go_to_answers(tools: Tools) -> None:
    with closing(Sink()) as sink, closing(HttpSink(tools, sink, 3)) as calls:
        for number, url in enumerate(calls.urls):
            with urllib.request.urlopen(f"{url}/{number}", timeout=30) as answer:
                assert answer.read() == b"ok"
        told = sink.wait(3, time.time() + 30)
    assert sorted(one for one, _ in told) == ["0", "1", "2"]


def test_what_is_unknown_is_named() -> None:
    assert "no step is called fly: there are create, " in bench("--steps", "create,fly").stderr
    assert "no trouble is called rain: there are slow-disk, " in bench("--trouble", "rain").stderr


@pytest.fixture
def answering() -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that answers whatever comes, and what it was asked."""
    listener, asked = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            while data := one.recv(65_536):
                asked.append(data)
                one.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok")

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], asked
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_each_request_of_a_load_has_its_number(tools: Tools, answering: tuple[int, list[bytes]]) -> None:
    port, asked = answering
    told = tools.load(port, request("POST", "/x/", {"A": "b"}, {"name": "job @@@@@@@@"}), count=30, connections=1)
    assert told.number == 30
    assert 0 < told.p50 <= told.p99
    assert 0 < told.first_tenth <= told.seconds
    assert [data.partition(b"\r\n\r\n")[2] for data in asked] == [b'{"name": "job %08d"}' % n for n in range(30)]
    assert asked[0].startswith(b"POST /x/ HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\r\n")


@pytest.fixture
def ours(tools: Tools, tmp_path: Path) -> Iterator[Ours]:
    daemon = Ours(tools, tmp_path / "data")
    daemon.folder.mkdir()
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()


@pytest.mark.slow
def test_a_load_that_is_refused_is_no_figure(ours: Ours, tools: Tools) -> None:
    with pytest.raises(SystemExit, match="of 5 answers were no success"):
        tools.load(ours.port, request("GET", "/api/v1/job/none/"), count=5, connections=1)


@pytest.mark.slow
def test_commits_and_bytes_written_are_counted(ours: Ours) -> None:
    commits, written = ours.commits(), ours.written()
    ours.create_many(ours.job("far", "true", ours.once(far())), 40)
    assert 3 <= ours.commits() - commits <= 40  # by 16 connections: several share one
    kind = subprocess.run(["stat", "-f", "-c", "%T", ours.folder], check=True, capture_output=True, text=True).stdout
    assert ours.written() > written or kind.strip() == "tmpfs"  # which has no disk


def test_the_floor_for_runs_is_programs_that_have_run(tools: Tools) -> None:
    with closing(Sink()) as sink:
        began = time.monotonic()
        rate = tools.spawn_rate(sink, 0.5)
        took = time.monotonic() - began
        assert rate > 0
        ran = len(sink.wait(int(rate * 0.3), time.time() + 10))
    assert rate * 0.25 <= ran <= rate * took * 1.5


def test_a_commit_on_a_slow_disk_takes_longer(tools: Tools, tmp_path: Path) -> None:
    code = "import os, time; f = os.open('x', os.O_CREAT | os.O_WRONLY); began = time.monotonic();"
    code += "os.fsync(f); os.fdatasync(f); print(time.monotonic() - began)"
    command = [sys.executable, "-c", code]
    with inherited(SlowDisk(tools).environment()):
        took = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert float(took) >= 2 * COMMIT_MS / 1e3
    assert "SLOW_DISK_MS" not in os.environ


def test_a_slow_line_is_as_far_as_it_says(tools: Tools, answering: tuple[int, list[bytes]]) -> None:
    line = SlowLine(tools)
    near = line.reached(Server(f"127.0.0.1:{answering[0]}/name"))
    try:
        host, _, port = near.address.removesuffix("/name").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as one:
            began = time.monotonic()
            one.sendall(b"x" * 10)
            assert one.recv(100).startswith(b"HTTP/1.1 201")
            assert time.monotonic() - began >= LINE_MS / 1e3
        assert answering[1] == [b"x" * 10]
    finally:
        line.close()


@pytest.mark.slow
def test_further_connections_are_open_until_the_end(tools: Tools, tmp_path: Path) -> None:
    trouble = Connections(tools)
    ours = Ours(tools, tmp_path / "data", trouble=trouble)
    ours.folder.mkdir()
    ours.start()
    try:
        sockets = 0
        for path in Path(f"/proc/{ours.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it has been closed
                sockets += os.readlink(path).startswith("socket:")
        assert sockets >= OPEN
        ours.kill()
        deadline = time.monotonic() + 30
        while not trouble.wrong:  # it has asked on one of them
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        with pytest.raises(SystemExit):  # so that what was measured meanwhile does not count
            ours.close()
