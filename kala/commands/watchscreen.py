"""The screen of `kala watch`: from what is known to lines. Pure."""

from collections.abc import Sequence
from datetime import datetime

from kala.client.board import Board, Ended, Going
from kala.commands import phrases
from kala.commands.table import Column, Paint, cells, clipped, table
from kala.logs import escaped

RUNNING = (Column("RUNNING", cut=True), Column("FOR", right=True), Column("TRIGGER"), Column("TRY", right=True))
NEXT = (Column("NEXT", cut=True), Column("IN", right=True), Column("AT"))
NARROW = 40  # cells, below which there is no room for an address
ENDED = (
    Column("ENDED", cut=True),
    Column("STATE"),
    Column("TOOK", right=True),
    Column("AT"),
    Column("REASON", cut=True),
)


def screen(
    board: Board, *, url: str, connection: str, width: int, height: int, now: datetime, steady: float, paint: Paint
) -> list[str]:
    """Exactly `height` lines, none wider than `width`. `connection` is empty while it stands, else why it does not;
    `steady` is the clock of the board's events."""
    lines = [head(url, connection, width, now, paint), counts(board, width, steady, paint)]
    if board.paused is not None:
        because = f": {board.paused}" if board.paused else ""
        lines.append(paint(clipped(escaped(f"paused: nothing starts{because}"), width), "yellow"))
    if board.store_down:
        lines.append(paint(clipped(escaped(board.store_down), width), "red"))
    running = [going_row(board, one, now) for one in sorted(board.going.values(), key=lambda one: one.started)]
    coming = [[name_of(board, job), until(at, now), phrases.clock(at, now)] for job, at in board.coming]
    ended = [ended_row(board, one, now) for one in reversed(board.ended.values())]
    room = shares([len(running), len(coming), len(ended)], height - len(lines) - 3)
    for columns, rows, most, state in (
        (RUNNING, running, room[0], None),
        (NEXT, coming, room[1], None),
        (ENDED, ended, room[2], 1),
    ):
        lines += ["", *section(columns, rows, most, width=width, paint=paint, state=state)]
    return [*lines, *[""] * height][:height]


def head(url: str, connection: str, width: int, now: datetime, paint: Paint) -> str:
    if width < NARROW:
        return paint(clipped(escaped(f"kala: {connection or 'connected'}"), width), "red" if connection else "green")
    time = f"{now:%H:%M:%S}"
    left = clipped(escaped(f"kala at {url}"), max(width - len(time) - 14, 10))
    state = clipped(escaped(connection or "connected"), max(width - cells(left) - len(time) - 4, 0))
    gap = " " * max(width - cells(left) - cells(state) - len(time) - 4, 0)
    return f"{paint(left, bold=True)}  {paint(state, 'red' if connection else 'green')}{gap}  {time}"


def counts(board: Board, width: int, steady: float, paint: Paint) -> str:
    """How much is on, and the last minute in numbers."""
    minute = board.minute.count(steady)
    started = minute.pop("started", 0)
    parts = [f"{count:,} {state.replace('_', ' ')}" for state, count in sorted(minute.items()) if state]
    now = f"{len(board.going):,} running, {len(board.waiting):,} waiting"
    return clipped(", ".join([f"{now}; last minute {started / 60:.1f}/s: {started:,} started", *parts]), width)


def shares(wanted: Sequence[int], lines: int) -> list[int]:
    """How many rows each section gets, its heading not counted: the smallest wish is met first."""
    lines = max(lines - len(wanted), 0)
    given = [0] * len(wanted)
    left = sorted(range(len(wanted)), key=lambda n: wanted[n])
    for place, n in enumerate(left):
        given[n] = min(max(wanted[n], 1), lines // (len(left) - place))
        lines -= given[n]
    return given


def section(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    most: int,
    *,
    width: int,
    paint: Paint,
    state: int | None,
) -> list[str]:
    """A heading and at most `most` rows; the last says how many more there are."""
    shown = rows if len(rows) <= most else rows[: max(most - 1, 0)]
    lines = table(columns, shown, width=width, paint=paint, state=state)
    if len(shown) < len(rows) and most:
        lines.append(f"… {len(rows) - len(shown):,} more")
    elif not rows and most:
        lines.append("–")
    return lines


def name_of(board: Board, job: str) -> str:
    return board.names.get(job, job)


def going_row(board: Board, one: Going, now: datetime) -> list[str]:
    return [name_of(board, one.job), ago(one.started, now), one.trigger, str(one.attempt) if one.attempt > 1 else ""]


def ended_row(board: Board, one: Ended, now: datetime) -> list[str]:
    several = f" × {one.times:,}" if one.times > 1 else ""
    return [
        name_of(board, one.job),
        one.state + several,
        phrases.length(one.duration),
        phrases.clock(one.at, now),
        one.reason,
    ]


def ago(text: str, now: datetime) -> str:
    when = phrases.moment(text)
    return "" if when is None else phrases.whole(max(int((now - when).total_seconds()), 0))


def until(text: str, now: datetime) -> str:
    when = phrases.moment(text)
    if when is None:
        return ""
    left = int((when - now).total_seconds())
    return phrases.whole(left) if left > 0 else "now"
