"""`scripts/chaos` and `scripts/soak` in a small form: every fault on a daemon under load, and its records hold. By
hand: for longer."""

import csv
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.daemon_process import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from chaotic.clock import Clock
from chaotic.faults import FAULTS
from soaking.flat import Bound, growth, is_flat

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@linux
@pytest.mark.slow
def test_ten_kills_leave_nothing_lost_doubled_or_unexplained() -> None:
    chaos = script("chaos", "--faults", "kill", "--kills", 10, "--alive", 20, "--seed", 7)
    assert chaos.returncode == 0, chaos.stdout + chaos.stderr
    assert chaos.stdout.count("processes were alive") == 10
    assert "\nfaults: kill 10\n" in chaos.stdout
    assert ", seed 7: 0 faults\n" in chaos.stdout


@linux
@pytest.mark.slow
def test_a_load_of_many_runs_is_held_against_the_records(program: Callable[[str], str]) -> None:
    program("cc")
    small = ("--faults", "kill", "--kills", 2, "--alive", 3, "--jobs", 8)
    chaos = script("chaos", *small, "--rate", 200, "--minutes", 0.2, "--seed", 9, "--table")
    assert chaos.returncode == 0, chaos.stdout + chaos.stderr
    told = re.search(r"\nload: 200 runs/s asked for; ([\d,]+) ran in (\d+) s", chaos.stdout)
    assert told is not None, chaos.stdout
    assert int(told[2]) >= 12
    # a busy machine runs fewer; what did not run is in the table, and explained
    assert int(told[1].replace(",", "")) > 200
    assert f"\n| load | {told[1].replace(',', '')} | " in chaos.stdout
    assert ", seed 9: 0 faults\n" in chaos.stdout


@linux
@pytest.mark.slow
def test_every_fault_that_can_be_had_here_leaves_nothing_unexplained(tmp_path: Path) -> None:
    graph = tmp_path / "graph.svg"
    small = ("--kills", 1, "--each", 1, "--alive", 8, "--jobs", 25, "--silence", 6)
    chaos = script("chaos", *small, "--seed", 5, "--graph", graph)
    assert chaos.returncode == 0, chaos.stdout + chaos.stderr
    skipped = {line.split(":")[1].strip() for line in chaos.stdout.splitlines() if line.startswith("skipped:")}
    had = [kind for kind in FAULTS if kind not in skipped]
    assert {"kill", "stop", "pause", "files"} <= set(had)
    assert f"\nfaults: {', '.join(f'{kind} 1' for kind in had)}\n" in chaos.stdout
    assert "the database was away" in chaos.stdout
    words = [one.text for one in ElementTree.parse(graph).iter("{http://www.w3.org/2000/svg}text")]
    assert {"succeeded", *had} <= set(words)


def test_an_unknown_fault_is_named() -> None:
    chaos = script("chaos", "--faults", "kill,fire")
    assert chaos.returncode == 2
    assert "no fault is called fire: there are kill, stop, pause," in chaos.stderr


@linux
@pytest.mark.slow
def test_a_soak_of_half_a_minute_finds_nothing_but_growth(tmp_path: Path) -> None:
    table, graph = tmp_path / "table.csv", tmp_path / "graph.svg"
    soak = script("soak", "--minutes", 0.5, "--table", table, "--graph", graph, "--keep", tmp_path / "kept")
    faults = [line for line in soak.stdout.splitlines() if line.startswith("FAULT:")]
    assert [line for line in faults if " grows: " not in line] == [], soak.stdout + soak.stderr
    assert soak.returncode == bool(faults)
    assert f"\n{len(faults)} faults\n" in soak.stdout
    rows = list(csv.DictReader(table.open()))
    assert [round(float(row["seconds"]), -1) for row in rows] == [10, 20, 30]
    assert all(float(row[name]) > 0 for row in rows for name in row if name != "runs on")
    assert len(list(ElementTree.parse(graph).iter("{http://www.w3.org/2000/svg}polyline"))) == 12


def test_flat_is_what_does_not_grow_over_the_second_half() -> None:
    bound = Bound(0.05, 4)
    steady = [(float(at), 100.0 if at > 50 else at) for at in range(101)]
    assert growth(steady) == (0.0, 100.0)
    assert is_flat(steady, bound)
    # a fifth of the samples may be anything
    assert is_flat([(at, 5_000.0 if at % 5 == 0 else value) for at, value in steady], bound)
    # and a leak is found under as much noise
    assert not is_flat([(at, 900.0 if at % 5 == 0 else value + at * 0.2) for at, value in steady], bound)
    assert is_flat([(at, value + at * 0.09) for at, value in steady], bound)
    assert is_flat([(at, value - at) for at, value in steady], bound)


def test_what_a_deceived_clock_showed_is_known_by_the_real_one(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    before = time.time()
    clock.set(3_600)
    ahead = time.time()
    assert (tmp_path / "clock").read_text() == "+3600.000000\n"
    assert clock.real(before) == before
    assert clock.real(ahead + 3_600) == ahead
