"""Keeping values out of what is printed: each is replaced by `***` as it passes, in whatever pieces it comes."""

import threading
from collections.abc import Iterable, Iterator

MASK = b"***"
SHORTEST = 6
"""Bytes: what is shorter is not looked for. It would be found in everything, and give itself away by that."""
CUT = "…"  # where `errors.shortened` cuts


class Mask:
    """Looks for `values`. What may be the beginning of one is held back until it is known, which is at most one byte
    less than the longest. One thread feeds at a time; the end may come in another."""

    __slots__ = ("_held", "_lock", "_told", "values")

    def __init__(self, values: Iterable[bytes]) -> None:
        self.values = tuple({value for value in values if len(value) >= SHORTEST})
        self._held = b""
        self._told = 0  # of the held bytes, how many are part of what has been masked already
        self._lock = threading.Lock()

    def fresh(self) -> "Mask":
        """Another one for the same values."""
        return Mask(self.values)

    def feed(self, piece: bytes | bytearray | memoryview, *, last: bool = False) -> bytes:
        """What may be shown now. With `last` nothing is held back."""
        with self._lock:
            data = self._held + piece
            keep = len(data) if last else self._undecided(data)
            shown, upto = [], self._told
            for start, end in self._places(data):
                if start >= keep:
                    break
                if start >= upto:  # values that overlap are masked as one: no fragment is left between
                    shown += [data[upto:start], MASK]
                upto = max(upto, end)
            shown.append(data[upto:keep])
            self._held, self._told = data[keep:], max(upto - keep, 0)
            return b"".join(shown)

    def text(self, text: str) -> str:
        """A sentence without them, nor the beginning of one that was cut off in it."""
        shown = self.fresh().feed(text.encode(errors="replace"), last=True).decode(errors="replace")
        if shown.encode(errors="replace") == text.encode(errors="replace"):
            shown = text
        for value in self.values if CUT in shown else ():
            whole = value.decode(errors="replace")
            for length in range(len(whole) - 1, 2, -1):
                shown = shown.replace(whole[:length] + CUT, MASK.decode() + CUT)
        return shown

    def finds(self, text: str) -> bool:
        """Whether one of them is in a text."""
        data = text.encode(errors="surrogateescape")
        return any(value in data for value in self.values)

    def _places(self, data: bytes) -> list[tuple[int, int]]:
        """Where they stand, also where one overlaps another or itself, in order."""

        def found() -> Iterator[tuple[int, int]]:
            for value in self.values:
                at = data.find(value)
                while at >= 0:
                    yield at, at + len(value)
                    at = data.find(value, at + 1)

        return sorted(found())

    def _undecided(self, data: bytes) -> int:
        """The first place at which a value may begin that is not all there yet; the end when there is none."""
        first = len(data)
        for value in self.values:
            at = max(len(data) - len(value) + 1, 0)
            while (at := data.find(value[:1], at, first)) >= 0:
                if value.startswith(data[at : at + SHORTEST]) and value.startswith(data[at:]):
                    first = at
                    break
                at += 1
        return first
