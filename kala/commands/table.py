"""Text for people on a terminal: colours, and tables, aligned and cut to its width."""

import os
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click

from kala.logs import escaped

GAP = 2  # cells between columns
LEAST = 8  # cells to which a column may be cut

STATE_COLOURS: Mapping[str, str] = {
    "succeeded": "green",
    "failed": "red",
    "timed_out": "red",
    "lost": "red",
    "cancelled": "magenta",
    "running": "cyan",
    "claimed": "cyan",
    "waiting": "yellow",
    "missed": "yellow",
    "skipped": "bright_black",
    "disabled": "bright_black",
}


class Paint:
    """Colours, where they are wanted: `always`, `never`, or `auto`: on a terminal, unless NO_COLOR is set."""

    def __init__(self, when: str = "never") -> None:
        self.on = when == "always" or (when == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))

    def __call__(self, text: str, colour: str | None = None, *, bold: bool = False) -> str:
        return click.style(text, fg=colour, bold=bold or None) if self.on and (colour or bold) and text else text

    def state(self, text: str, state: str) -> str:
        """`text` in the colour of a run's state."""
        return self(text, STATE_COLOURS.get(state))


class Column(NamedTuple):
    """A heading, whether its cells stand to the right, and whether it may be cut when a line is too long."""

    heading: str
    right: bool = False
    cut: bool = False


def cells(text: str) -> int:
    """How many cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def clipped(text: str, width: int) -> str:
    """`text` in at most `width` cells, with … where it is cut."""
    if cells(text) <= width:
        return text
    kept, left = [], width - 1
    for one in text:
        left -= cells(one)
        if left < 0:
            break
        kept.append(one)
    return "".join(kept) + "…" if width > 0 else ""


def padded(text: str, width: int, *, right: bool = False) -> str:
    fill = " " * (width - cells(text))
    return fill + text if right else text + fill


def terminal_width() -> int | None:
    """Cells of a line of the terminal; None when standard output is none: then nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None,
    paint: Paint,
    state: int | None = None,
) -> list[str]:
    """Lines of a table with its headings. What other programs wrote moves no cursor: hidden characters are escaped.
    `state` is the column that holds a run's state, which gets its colour."""
    clean = [[escaped(cell) for cell in row] for row in rows]
    widths = [max([cells(column.heading), *(cells(row[n]) for row in clean)]) for n, column in enumerate(columns)]
    kept = fitting(columns, widths, width)
    columns, widths = [columns[n] for n in kept], [widths[n] for n in kept]
    clean = [[row[n] for n in kept] for row in clean]
    state = kept.index(state) if state in kept else None
    widths = narrowed(columns, widths, width)
    headings = [paint(cell, bold=True) for cell in fitted([column.heading for column in columns], columns, widths)]
    lines = [(" " * GAP).join(headings)]
    for row in clean:
        made = fitted(row, columns, widths)
        if state is not None:
            made[state] = paint.state(made[state], row[state].split(" ")[0])
        lines.append((" " * GAP).join(made))
    return lines


def fitting(columns: Sequence[Column], widths: Sequence[int], width: int | None) -> list[int]:
    """The columns that fit on a line when all are cut as far as they may be, the first ones first; one in any case."""
    kept: list[int] = []
    used = -GAP
    for n, column in enumerate(columns):
        least = min(widths[n], LEAST) if column.cut else widths[n]
        if width is None or not kept or used + GAP + least <= width:
            kept.append(n)
            used += GAP + least
    return kept


def narrowed(columns: Sequence[Column], widths: Sequence[int], width: int | None) -> list[int]:
    """Widths that fit on a line: the widest of the columns that may be cut gives way first."""
    widths = list(widths)
    while width is not None and sum(widths) + GAP * (len(widths) - 1) > width:
        able = [n for n, column in enumerate(columns) if column.cut and widths[n] > LEAST] or range(len(widths))
        widths[max(able, key=lambda n: widths[n])] -= 1
    return widths


def fitted(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> list[str]:
    """The cells of a row in their widths; nothing follows the last."""
    made = [
        padded(clipped(cell, width), width, right=column.right)
        for cell, column, width in zip(row, columns, widths, strict=True)
    ]
    return [*made[:-1], made[-1].rstrip()]
