"""What the command line writes and reads without a daemon: tables, the watch screen, TOML, the order of links."""

import json
import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.client import documents, links
from kala.client.board import Board, Picture
from kala.commands.export import stems
from kala.commands.table import Column, Paint, cells, clipped, table
from kala.commands.watchscreen import screen, shares

PLAIN = Paint("never")
COLUMNS = (Column("NAME", cut=True), Column("STATE"), Column("N", right=True), Column("WHY", cut=True))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), max_size=5), st.integers(1, 120))
def test_no_line_of_a_table_is_wider_than_the_terminal(rows: list[tuple[str, str, str, str]], width: int) -> None:
    lines = table(COLUMNS, rows, width=width, paint=PLAIN, state=1)
    assert len(lines) == len(rows) + 1
    assert all(cells(line) <= width for line in lines)


def test_a_table_is_aligned_by_cells_and_gives_room_by_order() -> None:
    rows = [("\u65e5\u672c", "failed", "1", "x" * 40), ("plain", "running", "12,000", "")]
    assert table(COLUMNS, rows, width=50, paint=PLAIN) == [
        "NAME   STATE         N  WHY",
        "\u65e5\u672c   failed        1  xxxxxxxxxxxxxxxxxxxxxxxxx…",
        "plain  running  12,000  ",
    ]
    assert table(COLUMNS, rows, width=20, paint=PLAIN)[2] == "plain  running"
    always = table(COLUMNS, rows, width=None, paint=Paint("always"), state=1)
    assert "\x1b[31mfailed" in always[1]
    assert "x" * 40 in always[1]


@given(TEXT, st.integers(0, 40))
def test_clipped_text_fits(text: str, width: int) -> None:
    assert cells(clipped(text, width)) <= max(width, 0) or cells(text) == 0


def test_no_colours_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert Paint("auto")("x", "red") != "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Paint("auto")("x", "red") == "x"
    assert Paint("always")("x", "red") != "x"


VALUES = st.recursive(
    TEXT | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(TEXT, VALUES, min_size=1, max_size=4), min_size=1, max_size=3))
def test_toml_and_json_read_as_they_were_written(jobs: list[dict[str, Any]]) -> None:
    expected: Any = jobs[0] if len(jobs) == 1 else {"jobs": jobs}
    assert tomllib.loads(documents.as_toml(jobs)) == expected
    assert json.loads(documents.as_json(jobs)) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "A", "a"], ["a", "A-2", "a-3"]),
        (["../../etc", "a/b", "", "-x", "\u00fc b"], ["etc", "a-b", "job", "x", "\u00fc-b"]),
        (["a", "a-2", "a"], ["a", "a-2", "a-3"]),
    ],
)
def test_names_of_files(names: list[str], expected: list[str]) -> None:
    assert stems(names) == expected


NAMES = "abcdef"
PARENTS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=3), max_size=6)


@given(PARENTS, st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES), max_size=3))
def test_parents_come_first_unless_they_are_in_a_ring(parents: dict[str, list[str]], failure: dict[str, str]) -> None:
    jobs = {one: {"parent_jobs": parents[one], "on_failure_job": failure.get(one, "")} for one in parents}
    order = links.in_order(jobs)
    assert sorted(order) == sorted(jobs)
    without_failures = {one: {"parent_jobs": job["parent_jobs"]} for one, job in jobs.items()}
    if not list(links.cycles(without_failures)):
        for one, job in jobs.items():
            for parent in job["parent_jobs"]:
                assert parent not in jobs or order.index(parent) < order.index(one)


def test_cycles_follow_what_jobs_set_off() -> None:
    assert list(links.cycles({"p": {"on_failure_job": "c"}, "c": {"parent_jobs": ["p"]}})) == []
    [ring] = links.cycles({"p": {"on_failure_job": "c"}, "c": {"on_failure_job": "p"}})
    assert sorted(ring) == ["c", "p"]
    assert list(links.cycles({"p": {"parent_jobs": ["p"]}})) == [["p"]]


def event(kind: str, run: str = "", **more: Any) -> dict[str, Any]:
    return {"id": "s-1", "at": "2026-01-01T11:59:00Z", "type": kind, "job": "J", "run": run, **more}


def run_object(run: str, state: str, **more: Any) -> dict[str, Any]:
    plain = {"attempts": [], "started": None, "ended": None, "until": None, "duration": None, "reason": "", "count": 1}
    known = {"id": run, "job_id": "J", "job_name": "job", "state": state, "trigger": "manual"}
    moments = {"created": "2026-01-01T11:00:00Z", "scheduled_for": "2026-01-01T11:00:00Z"}
    return plain | known | moments | more


def test_a_board_follows_runs_and_forgets_what_a_picture_does_not_have() -> None:
    board = Board()
    board.take([event("run.claimed", "1"), event("run.started", "1"), event("run.claimed", "2")], 0.0)
    assert (list(board.going), list(board.waiting)) == (["1"], ["2"])
    board.take([event("run.finished", "1", state="failed", duration=2.0, reason="edited")], 1.0)
    board.take([event("occurrence.skipped", state="skipped", count=5)], 2.0)
    assert [(one.state, one.times) for one in board.ended.values()] == [("failed", 1), ("skipped", 5)]
    assert board.minute.count(59.0) == {"started": 1, "failed": 1, "skipped": 1}
    assert board.minute.count(61.5) == {"skipped": 1}
    board.take([event("run.claimed", "9", job_name="backup")], 2.0)
    assert board.names["J"] == "backup"
    board.take([event("reload")], 62.0)
    assert board.stale
    going = run_object("3", "running", started="2026-01-01T11:30:00Z", trigger="schedule")
    board.replace(Picture([going], [run_object("9", "lost")], [], "mending"))
    assert (list(board.going), list(board.waiting), list(board.ended), board.paused) == (["3"], [], ["9"], "mending")
    board.take([event("run.started", "3", started="2026-01-01T11:50:00Z", attempt=2)], 63.0)
    assert (board.going["3"].started, board.going["3"].attempt) == ("2026-01-01T11:30:00Z", 2)
    board.take([event("daemon.resumed"), event("store.down"), event("run.finished", "3", state="succeeded")], 64.0)
    assert (board.paused, bool(board.store_down), len(board.going)) == (None, True, 0)


@settings(max_examples=50, deadline=None)
@given(st.integers(12, 120), st.integers(3, 50), st.integers(0, 30), st.text(max_size=60))
def test_a_screen_has_its_size_whatever_is_on(width: int, height: int, runs: int, why: str) -> None:
    board = Board()
    board.replace(
        Picture(
            [run_object(str(n), "running", job_name=why, trigger="schedule") for n in range(runs)],
            [run_object(f"e{n}", "timed_out", reason=why) for n in range(runs)],
            [{"id": f"j{n}", "name": why, "next_run_at": "2026-01-01T13:00:00Z"} for n in range(runs)],
            why,
        )
    )
    lines = screen(board, url="http://a", connection=why, width=width, height=height, now=NOW, steady=0.0, paint=PLAIN)
    assert len(lines) == height
    assert all(cells(line) <= width for line in lines)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4), st.integers(0, 60))
def test_sections_share_all_lines_that_are_wanted(wanted: list[int], lines: int) -> None:
    given_ = shares(wanted, lines)
    room = max(lines - len(wanted), 0)
    assert sum(given_) <= room
    assert sum(given_) == min(room, sum(max(one, 1) for one in wanted))
