"""What is being printed, handed over from the thread that reads it to Trio's, as it comes and without a lock."""

from kala.masking import Mask

CHUNK = 65_536
"""Bytes: what a pipe holds on Linux. Also what is read at a time, and may lie about before the front is dropped."""


class Tail:
    """The last `limit` bytes of what is printed, of `size` in all; or the first, of what comes by `add_first`.

    One thread adds, others read. That is safe because `kept`, the bytes and where the first of them stands, is
    replaced as a whole when the front is dropped: whoever holds it can go on copying from it.

    With a `mask` what comes passes through it, and only what it gives counts. Set it before anything comes, and
    `finish` at the end.
    """

    __slots__ = ("kept", "limit", "mask", "room", "size", "told")

    def __init__(self, limit: int, mask: Mask | None = None) -> None:
        self.limit, self.mask = limit, mask
        self.room = 0  # bytes that are held in any case, while somebody reads along
        self.size = 0
        self.kept: tuple[int, bytearray] = (0, bytearray())
        self.told = False  # `grown` is to be called, or nobody wants it yet

    def add(self, piece: bytes | bytearray) -> bool:
        """Append. True when `grown` is to be called in Trio's thread."""
        return self._append(piece if self.mask is None else self.mask.feed(piece))

    def _append(self, piece: bytes | bytearray) -> bool:
        start, data = self.kept
        data += piece
        self.size += len(piece)
        hold = self.limit if self.limit > self.room else self.room
        if len(data) > 2 * hold + CHUNK:  # seldom enough that moving the rest costs nothing
            drop = len(data) - hold
            self.kept = (start + drop, data[drop:])
        return self._tells()

    def add_first(self, piece: bytes | bytearray) -> bool:
        """Append, when the first `limit` bytes are what is kept. True as for `add`."""
        return self._append_first(piece if self.mask is None else self.mask.feed(piece))

    def _append_first(self, piece: bytes | bytearray) -> bool:
        data = self.kept[1]
        if len(data) < self.limit:
            data += piece[: self.limit - len(data)]
        self.size += len(piece)
        return self._tells()

    def finish(self, *, first: bool = False) -> None:
        """All has come: append what the mask holds back; `first` when it came by `add_first`."""
        if self.mask is not None and (rest := self.mask.feed(b"", last=True)):
            (self._append_first if first else self._append)(rest)

    def _tells(self) -> bool:
        if self.told or not self.is_wanted():
            return False
        self.told = True
        return True

    def is_wanted(self) -> bool:
        """Somebody wants to know of growth. Called in the thread that adds."""
        return False

    def grown(self) -> None:
        """It has grown. Called in Trio's thread; must not raise."""

    @property
    def end(self) -> int:
        """Up to where it can be read."""
        start, data = self.kept
        return start + len(data)

    def read(self, offset: int, most: int = CHUNK) -> tuple[int, bytes]:
        """At most `most` bytes from `offset` on, or from where what is held begins; and where they begin."""
        start, data = self.kept
        begin = max(offset, start)
        # No memoryview: while there is one, the thread that adds could not.
        return begin, bytes(data[begin - start : begin - start + most])

    def last(self) -> tuple[int, bytes]:
        """The `limit` bytes that are kept, and where they begin."""
        start, data = self.kept
        end = len(data)  # once: it may grow meanwhile
        begin = max(end - self.limit, 0)
        return start + begin, bytes(data[begin:end])
