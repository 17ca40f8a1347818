"""Reading what runs printed, wherever it is: live (`outputs.py`), or in the history.

Bytes are given as they were printed. Where some are missing in between (a follower was slower than the printer, or the
history holds the end alone) a line says how many: `[kala: 12,345 bytes were passed over]`.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from msgspec import Struct

from kala.errors import Invalid, RunNotFound
from kala.job import Attempt, Run, replace
from kala.outputs import Live, Outputs
from kala.states import OPEN
from kala.store import Store


class Piece(Struct, frozen=True):
    """What is kept of the output of attempt `number` (0: there has been none yet), from `offset` on, of `size` bytes
    in all so far. `live` has what comes after it."""

    run_id: str
    number: int
    offset: int
    size: int
    data: bytes
    live: Live | None = None

    @property
    def end(self) -> int:
        return self.offset + len(self.data)

    def beyond(self, offset: int) -> "Piece":
        """What of it is at `offset` and after."""
        begin = min(max(offset, self.offset), self.end)
        return replace(self, offset=begin, data=self.data[begin - self.offset :])


async def kept(store: Store, run_id: str, number: int | None, *, coming: bool = False) -> Piece:
    """The output of attempt `number`; without one, of the attempt that is on, or else of the last. With `coming` it may
    be the next one, of which there is nothing yet: the piece ends where that begins.

    Raises `RunNotFound`, `Invalid` when there is no such attempt, `StoreUnavailable`.
    """
    live = store.outputs.get(run_id)
    if live is not None and number in (None, live.number):
        return piece_of(live)
    run = await _run(store, run_id)
    if run is None:
        raise RunNotFound(run_id)
    if number is None:
        return await _stored(store, run, len(run.attempts)) if run.attempts else Piece(run_id, 0, 0, 0, b"")
    if number > len(run.attempts):
        begun = len(run.attempts) if live is None else live.number
        if coming and number == begun + 1:
            return Piece(run_id, begun, 0, 0, b"")
        raise Invalid({"attempt": f"attempts so far: {begun}"})
    return await _stored(store, run, number)


async def follow(store: Store, piece: Piece) -> AsyncIterator[bytes]:
    """`piece`, what comes after it while its attempt is on, and the further attempts of its run, until that has ended,
    or the daemon stops. Raises `StoreUnavailable`."""
    following: Piece | None = piece
    offset = piece.offset
    while following is not None:
        if following.offset > offset:
            yield passed_over(following.offset - offset)
        if following.data:
            yield following.data
        offset = following.end
        if following.live is not None:
            async with aclosing(_rest(following.live, offset)) as rest:
                async for data in rest:
                    yield data
        elif following.size > offset:
            yield passed_over(following.size - offset)
        following, offset = await _next(store, piece.run_id, following.number + 1), 0


async def follow_alone(piece: Piece) -> AsyncIterator[bytes]:
    """`piece`, and what comes after it while its attempt is on, each byte as it was printed. Ends early where some
    would be passed over."""
    if piece.data:
        yield piece.data
    if piece.live is not None:
        async with aclosing(_rest(piece.live, piece.end, marks=False)) as rest:
            async for data in rest:
                yield data


def passed_over(size: int) -> bytes:
    return b"\n[kala: %s bytes were passed over]\n" % f"{size:,}".encode()


def piece_of(live: Live) -> Piece:
    size = live.size  # before the bytes: it may grow meanwhile
    offset, data = live.last()
    return Piece(live.run_id, live.number, offset, max(size, offset + len(data)), data, live)


async def _rest(live: Live, offset: int, *, marks: bool = True) -> AsyncGenerator[bytes, None]:
    """What an attempt prints, from `offset` on, until it has ended; without `marks`, until bytes are missing."""
    live.join()
    try:
        while True:
            over = live.ended  # looked at first: what is read after that is all
            begin, data = live.read(offset)
            if begin > offset:
                if not marks:
                    break
                yield passed_over(begin - offset)
            if data:
                yield data
                offset = begin + len(data)
            elif over:
                break
            else:
                await live.wait_beyond(offset)
    finally:
        live.leave()
    if marks and live.size > offset:
        yield passed_over(live.size - offset)


async def _next(store: Store, run_id: str, number: int) -> Piece | None:
    """Attempt `number`, when it is on or has ended; None when the run has ended without it, or the daemon stops."""
    outputs: Outputs = store.outputs
    while not outputs.closed:
        live = outputs.get(run_id)
        if live is not None and live.number == number:
            return Piece(run_id, number, 0, 0, b"", live)
        found = store.roster.run(run_id)
        if found is None:
            run = await store.run(run_id)
            if run is None or len(run.attempts) < number:
                return None
        else:
            run = found[1]
        if len(run.attempts) >= number:
            return await _stored(store, run, number)
        if run.state not in OPEN:
            return None
        await outputs.wait_changed(run_id)
    return None


async def _run(store: Store, run_id: str) -> Run | None:
    found = store.roster.run(run_id)
    return found[1] if found is not None else await store.run(run_id)


async def _stored(store: Store, run: Run, number: int) -> Piece:
    attempt: Attempt = run.attempts[number - 1]
    data = next((output.data for output in await store.output(run.id) if output.attempt == number), b"")
    # Of an HTTP answer the beginning is kept, of what a process printed the end.
    offset = 0 if data and attempt.status is not None else attempt.output_size - len(data)
    return Piece(run.id, number, offset, attempt.output_size, data)
