"""A terminal's whole screen, taken and given back."""

import os
import shutil
import sys
import termios
from collections.abc import Sequence
from typing import Any

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The other screen and no cursor; a cursor and the screen that was there before."""
HOME, TO_END_OF_LINE, TO_END = "\x1b[H", "\x1b[K", "\x1b[J"


class Terminal:
    """A context manager: inside, the screen is ours, and keys are neither shown nor kept for the shell."""

    def __init__(self) -> None:
        self._keys = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._before: list[Any] | None = None

    def __enter__(self) -> "Terminal":
        self.take()
        return self

    def __exit__(self, *error: object) -> None:
        self.give_back()

    def take(self) -> None:
        if self._keys is not None:
            self._before = termios.tcgetattr(self._keys)
            mine = termios.tcgetattr(self._keys)
            mine[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(self._keys, termios.TCSADRAIN, mine)
        self._write(ENTER)

    def give_back(self) -> None:
        self._write(LEAVE)
        if self._keys is not None and self._before is not None:
            termios.tcsetattr(self._keys, termios.TCSAFLUSH, self._before)
            self._before = None

    @property
    def keys(self) -> int | None:
        """The descriptor on which keys arrive; None when standard input is no terminal."""
        return self._keys

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
        return (columns, lines) if columns and lines else shutil.get_terminal_size()

    def draw(self, lines: Sequence[str]) -> None:
        """Lines from the top on, each at most as wide as the terminal; the rest is cleared."""
        self._write(HOME + "\n".join(one + TO_END_OF_LINE for one in lines) + TO_END)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
