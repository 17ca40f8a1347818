"""`kala watch` against real daemons: lines, JSON, and the screen of a real terminal."""

import json
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import PROGRAM, Cli, Terminal
from daemon_process import KalaProcess, wait_for
from servers.service import free_port

FAR = "R/2100-01-01T00:00:00Z/P1D"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KalaProcess]:
    with KalaProcess(tmp_path_factory.mktemp("kala"), "--no-persist", "--drain", "0") as kala:
        yield kala


class Watching:
    """`kala watch --json` (or other flags), whose lines are read one by one."""

    def __init__(self, url: str, *flags: str) -> None:
        self.process = Cli(url).popen("watch", *flags)

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "it has ended"
        return line.decode()

    def until(self, wanted: Callable[[dict[str, Any]], object]) -> list[dict[str, Any]]:
        """The events up to the first that is wanted."""
        found = [json.loads(self.line())]
        while not wanted(found[-1]):
            found.append(json.loads(self.line()))
        return found


def of(kind: str, **more: object) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["type"] == kind and all(event.get(name) == value for name, value in more.items())


def test_json_has_each_event_and_filters(daemon: KalaProcess) -> None:
    one, two = daemon.create(name="one", labels={"team": "a"}), daemon.create(name="two")
    with (
        Watching(daemon.url, "--json", "--label", "team=a") as by_label,
        Watching(daemon.url, "--json") as everything,
        Watching(daemon.url, "--json", "--job", "two", "--type", "run.finished") as finished,
    ):
        for watching in (by_label, everything, finished):
            watching.until(of("hello"))
        for job in (two, one):
            daemon.post(f"/api/v1/job/start/{job}/")
        all_of_it = everything.until(of("run.finished", job=one))
        assert {event["job"] for event in all_of_it} == {one, two}
        assert {"run.claimed", "run.started", "run.finished"} <= {event["type"] for event in all_of_it}
        assert {event["job"] for event in by_label.until(of("run.finished"))} == {one}
        assert [event["job"] for event in finished.until(of("run.finished"))] == [two]


def test_lines_for_people_have_names_and_end_by_signal(daemon: KalaProcess) -> None:
    job = daemon.create(name="evil\x1b[2Jname", command="false")
    with Watching(daemon.url) as watching:
        assert watching.line().rstrip().endswith("hello")
        daemon.post(f"/api/v1/job/start/{job}/")
        while "run.finished" not in (line := watching.line()):
            assert "\x1b" not in line
        assert "evil\\u001b[2Jname" in line
        assert " failed " in line
        watching.process.send_signal(signal.SIGTERM)
        assert watching.process.wait(30) == 128 + signal.SIGTERM


def test_who_reads_no_more_ends_it_quietly(daemon: KalaProcess) -> None:
    shell = f"{' '.join(PROGRAM)} watch --json | head -n 1; echo ${{PIPESTATUS[0]}}"
    job = daemon.create()
    process = subprocess.Popen(
        ["bash", "-c", shell], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=Cli(daemon.url).environment
    )
    assert process.stdout is not None
    assert b"hello" in process.stdout.readline()
    # (what is told before `head` is gone still gets somewhere)
    daemon.wait_for(lambda: daemon.post(f"/api/v1/job/start/{job}/") and process.poll() is not None, "it goes on")
    out, err = process.communicate(timeout=30)
    assert (out, err) == (b"1\n", b"")


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--type", "nonsense"], 2, b"'nonsense'"),
        (["--job", "nobody"], 4, b"there is no job"),
    ],
)
def test_what_cannot_be_watched(daemon: KalaProcess, flags: list[str], code: int, said: bytes) -> None:
    ended = Cli(daemon.url).process("watch", *flags)
    assert ended.returncode == code
    assert said in ended.stderr


@pytest.mark.slow
def test_it_comes_back_after_a_restart_and_reads_afresh(tmp_path: Path) -> None:
    port = str(free_port())
    kala = KalaProcess(tmp_path, "--drain", "0")
    try:
        kala.start("--port", port)
        job = kala.create(name="survivor")
        with Watching(kala.url, "--json") as lines, Terminal(kala.url, "watch") as terminal:
            lines.until(of("hello"))
            terminal.shows("connected", "survivor")
            kala.stop()
            terminal.shows("connecting again", "survivor")
            kala.start("--port", port)
            lines.until(of("reload"))
            terminal.shows("connected", "survivor")
            kala.post(f"/api/v1/job/start/{job}/")
            lines.until(of("run.finished", job=job))
            terminal.shows("succeeded")
    finally:
        kala.close()


def test_the_screen_shows_what_runs_comes_and_has_ended(daemon: KalaProcess) -> None:
    daemon.delete("/api/v1/job/all/")
    slow, bad = daemon.create(name="slow", command="sleep 600"), daemon.create(name="bad", command="false")
    daemon.create(name="\u65e5\u672c\x1b[31m" * 20)
    daemon.post(f"/api/v1/job/start/{slow}/?wait=false")
    with Terminal(daemon.url, "watch", columns=90, lines=24) as terminal:
        terminal.shows("1 running", "connected", "slow ", "\u65e5\u672c\\u001b[31m")
        assert terminal.before[3] & termios.ICANON
        assert not termios.tcgetattr(terminal.theirs)[3] & (termios.ICANON | termios.ECHO)
        daemon.post(f"/api/v1/job/start/{bad}/")
        terminal.shows("bad  ", "failed", "1 failed")
        daemon.post("/api/v1/pause/", {"reason": "for now"})
        terminal.shows("paused: nothing starts: for now")
        daemon.post("/api/v1/resume/")
        terminal.wait(lambda: not any("paused" in line for line in terminal.screen))
        first = duration_of(terminal, "slow")
        terminal.wait(lambda: duration_of(terminal, "slow") != first)
        for columns, lines in ((40, 9), (200, 50), (12, 3)):
            terminal.resize(columns, lines)
            terminal.signal(signal.SIGWINCH)
            terminal.wait(lambda lines=lines: len(terminal.screen) == lines)  # type: ignore[misc]
            assert max(map(cells_of, terminal.screen)) <= columns
        terminal.type("q")
        assert terminal.end() == 0
        assert_given_back(terminal)
    for run in daemon.get("/api/v1/run/?state=running").json["runs"]:
        daemon.post(f"/api/v1/run/{run['id']}/cancel/")


def cells_of(line: str) -> int:
    from kala.commands.table import cells

    return cells(line.removesuffix("\x1b[J"))


def duration_of(terminal: Terminal, name: str) -> str:
    return next(line.split()[1] for line in terminal.screen if line.startswith(f"{name} "))


def assert_given_back(terminal: Terminal) -> None:
    terminal.wait(lambda: terminal.written.rstrip().endswith(b"\x1b[?25h\x1b[?1049l"))
    assert termios.tcgetattr(terminal.theirs) == terminal.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_terminal_back(daemon: KalaProcess, number: int) -> None:
    with Terminal(daemon.url, "watch") as terminal:
        terminal.shows("connected")
        terminal.signal(number)
        assert terminal.end() == 128 + number
        assert_given_back(terminal)


def test_stopping_gives_the_terminal_back_and_going_on_takes_it(daemon: KalaProcess) -> None:
    with Terminal(daemon.url, "watch") as terminal:
        terminal.shows("connected")
        terminal.signal(signal.SIGTSTP)
        wait_for(lambda: stopped(terminal), lambda: "it does not stop")
        terminal.read()
        assert_given_back(terminal)
        terminal.signal(signal.SIGCONT)
        terminal.wait(lambda: terminal.written.count(b"\x1b[?1049h") == 2)
        terminal.type("q")
        assert terminal.end() == 0


def stopped(terminal: Terminal) -> bool:
    status = Path(f"/proc/{terminal.process.pid}/stat").read_text()
    return status.rsplit(")", 1)[1].split()[0] == "T"
