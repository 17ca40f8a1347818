"""Cutting a stream of JSON into its elements, as its bytes come: a line each, or the elements of an array.

Every byte is looked at once or twice, whatever the pieces in which they come. Whether an element is JSON, its reader
finds out.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator

LARGEST = 1 << 20
"""Bytes of an element."""

BLANKS = b" \t\r\n"
_BETWEEN = re.compile(rb'["{}\[\],]')
_WITHIN = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_FLAT = re.compile(
    rb'([ \t\r\n]*+\{[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+\}[ \t\r\n]*+),', re.DOTALL
)
"""An object without others in it, and the comma after it: what most arrays are of, in one step."""


Element = tuple[int, bytes]
"""The number of its line, or its place in the array, from 1; and its bytes."""


class Broken(Exception):
    """The rest cannot be cut: it is not JSON, or breaks off, at element `number`."""

    def __init__(self, number: int, fault: str) -> None:
        self.number, self.fault = number, fault
        super().__init__(f"{number}: {fault}")


class Cutter(ABC):
    """Cuts one stream. `feed` what comes, then `end`; both may raise `Broken`, after they have given what was whole."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.number = 1  # of the element that comes

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[Element]:
        """The elements that are whole with these bytes. To be iterated to its end."""

    @abstractmethod
    def end(self) -> Iterator[Element]:
        """No more comes: what is left."""

    def _limit(self, size: int) -> None:
        if size > LARGEST:
            raise Broken(self.number, f"larger than {LARGEST} bytes, the most that is taken of one")


class Lines(Cutter):
    """An element a line; empty lines count, and are passed over."""

    def feed(self, data: bytes) -> Iterator[Element]:
        first, *lines = data.split(b"\n")
        self._held += first
        if lines:
            lines.insert(0, bytes(self._held))
            self._held = bytearray(lines.pop())
            for line in lines:
                self._limit(len(line))
                if line.strip():
                    yield self.number, line
                self.number += 1
        self._limit(len(self._held))

    def end(self) -> Iterator[Element]:
        yield from self.feed(b"\n")


class Items(Cutter):
    """The elements of one array."""

    def __init__(self) -> None:
        super().__init__()
        self._begin = 0  # of the element that comes
        self._at = 0  # up to where it has been looked at
        self._depth = 0
        self._in_text = self._is_over = False

    def feed(self, data: bytes) -> Iterator[Element]:
        self._held += data
        for element in self._cut():
            self._limit(len(element))
            yield self.number, element
            self.number += 1
        del self._held[: self._begin]
        self._at -= self._begin
        self._begin = 0
        self._limit(len(self._held))

    def _cut(self) -> Iterator[bytes]:
        """The further elements in what is held."""
        while self._at < len(self._held):
            if self._depth == 0:
                self._pass_blanks()
            elif self._in_text:
                self._at = _WITHIN.match(self._held, self._at).end()  # type: ignore[union-attr]  # it fits anything
                if self._held[self._at : self._at + 1] != b'"':
                    return  # more text, or what follows a backslash, is still to come
                self._in_text = False
                self._at += 1
            elif self._at == self._begin and (match := _FLAT.match(self._held, self._at)) is not None:
                self._begin = self._at = match.end()
                yield match[1]
            elif (match := _BETWEEN.search(self._held, self._at)) is None:
                self._at = len(self._held)
            else:
                mark, self._at = match[0], match.end()
                yield from self._passed(mark)

    def _passed(self, mark: bytes) -> Iterator[bytes]:
        """What follows from a mark outside of text."""
        if mark == b'"':
            self._in_text = True
        elif mark in b"[{":
            self._depth += 1
        elif mark in b"]}":
            self._depth -= 1
            self._is_over = self._depth == 0
        if self._is_over or (mark == b"," and self._depth == 1):
            element = bytes(self._held[self._begin : self._at - 1])
            self._begin = self._at
            if element.strip():
                yield element
            elif not self._is_over or self.number > 1:
                raise Broken(self.number, "nothing is there, where an element of the array would be")

    def _pass_blanks(self) -> None:
        """Before and after the array are blanks alone."""
        match = _BLANKS.match(self._held, self._at)
        self._at = self._begin = len(self._held) if match is None else match.end()
        if self._at == len(self._held):
            return
        if self._is_over:
            raise Broken(self.number, "something follows the array")
        if self._held[self._at : self._at + 1] != b"[":
            raise Broken(self.number, "this is no array")
        self._at = self._begin = self._at + 1
        self._depth = 1

    def end(self) -> Iterator[Element]:
        if not self._is_over:
            raise Broken(self.number, "the array breaks off")
        return iter(())
