"""A client that sends any bytes, and takes its answers apart: on Trio, so that hundreds are on at once."""

import contextlib
import itertools
import json
import struct
from collections import Counter
from socket import SO_LINGER, SOL_SOCKET

import trio

from kala.web.guard import flat

from .shape import API, Frames, HangUp, Input, get

DEADLINE = 40.0
"""Seconds for any input: a body that comes too slowly has 20, and an answer that nobody reads as many."""
RESET = struct.pack("ii", 1, 0)
SHAKE = get(
    API + b"/events/",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    b"Sec-WebSocket-Version: 13",
)
_numbers = itertools.count(1)


class Wrong(Exception):
    """What came of an input is not what is right."""


class BreaksOff(Wrong):
    """An answer ended before its end."""


class Answer:
    """One answer."""

    def __init__(self, status: int, fields: dict[bytes, bytes], body: bytes) -> None:
        self.status, self.fields, self.body = status, fields, body

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:200]!r}"


class Peer:
    """One connection of the client's."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._held = b""
        self.is_reset = False  # by the server; or it ended in the middle of an answer

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # it has closed already: what it said is still to be read
            await self.stream.send_all(data)

    async def _more(self) -> bool:
        try:
            data = await self.stream.receive_some(1 << 16)
        except trio.BrokenResourceError:
            self.is_reset = True
            return False
        self._held += data
        return bool(data)

    async def until(self, mark: bytes) -> bytes | None:
        """What comes up to `mark`, and with it; None when it ends before."""
        while mark not in self._held:
            if not await self._more():
                return None
        part, _, self._held = self._held.partition(mark)
        return part + mark

    async def exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            if not await self._more():
                raise BreaksOff(f"an answer breaks off: {self._held[:200]!r}")
        data, self._held = self._held[:size], self._held[size:]
        return data

    async def answer(self, *, is_head: bool = False) -> Answer | None:
        """The next answer that is not a provisional one; None at the end."""
        head = await self.until(b"\r\n\r\n")
        if head is None:
            if self._held:
                raise BreaksOff(f"an answer breaks off: {self._held[:200]!r}")
            return None
        line, *lines = head[:-4].split(b"\r\n")
        if not line.startswith(b"HTTP/1.1 "):
            raise Wrong(f"this is no answer: {head[:200]!r}")
        status = int(line[9:12])
        fields = {name.lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)}
        if status < 200 and status != 101:
            return await self.answer(is_head=is_head)
        body = b""
        if not is_head and status not in (101, 204, 304):
            if fields.get(b"transfer-encoding") == b"chunked":
                while size := int(await self.until(b"\r\n") or b"0", 16):
                    body += await self.exactly(size)
                    await self.exactly(2)
                await self.exactly(2)
            elif b"content-length" in fields:
                body = await self.exactly(int(fields[b"content-length"]))
            else:
                while await self._more():
                    pass
                body, self._held = self._held, b""
        return Answer(status, fields, body)

    async def frame(self) -> tuple[int, bytes] | None:
        """The next frame on a websocket: its opcode and what is in it. None at the end."""
        if len(self._held) < 2 and not await self._more():
            return None
        first, second = await self.exactly(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self.exactly(2 if size == 126 else 8), "big")
        return first & 0x0F, await self.exactly(size)


class Tally:
    """What came of the inputs of a group. `wrong` is what was not right."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs = 0
        self.statuses: Counter[int] = Counter()
        self.closes = 0  # connections that the server ended
        self.deaths = 0
        self.wrong: list[str] = []

    async def take(self, address: tuple[str, int], case: Input | Frames | HangUp) -> None:
        """Try one input. Never raises."""
        self.inputs += 1
        try:
            with trio.fail_after(DEADLINE):
                async with await trio.open_tcp_stream(*address) as stream:
                    peer = Peer(stream)
                    if isinstance(case, Input):
                        await self._ask(peer, case)
                    elif isinstance(case, Frames):
                        await self._talk(peer, case)
                    else:
                        await self._hang_up(peer, case)
        except* (Wrong, OSError, trio.TooSlowError) as group:
            faults = "; ".join(repr(fault) for fault in flat(group))
            self.wrong.append(f"{self.name}: {case.name}: {faults}")

    async def _ask(self, peer: Peer, case: Input) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, peer, case.packets)
            answers = await self._answers(peer, case)
            nursery.cancel_scope.cancel()
        for answer, expected in zip(answers, case.answers, strict=False):
            if answer is None or answer.status not in expected:
                raise Wrong(f"{answer}, and not {sorted(expected)}")
            self.count(answer, is_head=case.is_head)
        if answers and answers[-1] is not None and answers[-1].status == 101:
            return  # a websocket, which goes on
        is_open = case.end != "closed" and await self._goes_on(peer)
        if case.end == "open" and not is_open:
            raise Wrong("it was closed")
        if not is_open and (further := await peer.answer()) is not None:
            raise Wrong(f"a further answer: {further}")
        self.closes += not is_open

    async def _answers(self, peer: Peer, case: Input) -> list[Answer | None]:
        """As many as are expected, up to the end."""
        answers: list[Answer | None] = []
        while len(answers) < len(case.answers) and answers[-1:] != [None]:
            answers.append(await peer.answer(is_head=case.is_head))
        return answers

    async def _send(self, peer: Peer, packets: tuple[bytes, ...]) -> None:
        for packet in packets:
            await peer.send(packet)

    async def _goes_on(self, peer: Peer) -> bool:
        """Whether one more request is answered: that one, and none before it that nobody has sent."""
        name = f"probe-{next(_numbers)}"
        await peer.send(get(b"%s/job/%s/" % (API, name.encode())))
        answer = await peer.answer()
        if answer is None:
            return False
        if answer.status != 404 or name.encode() not in answer.body:
            raise Wrong(f"an answer to nothing that was asked: {answer}")
        return True

    async def _talk(self, peer: Peer, case: Frames) -> None:
        await peer.send(SHAKE)
        answer = await peer.answer()
        if answer is None or answer.status != 101:
            raise Wrong(f"no websocket: {answer}")
        self.count(answer)
        await peer.frame()  # hello
        async with trio.open_nursery() as nursery:
            mark = b"%d" % next(_numbers)
            nursery.start_soon(self._send, peer, case.packets if case.codes else (*case.packets, masked(0x89, mark)))
            await self._frames(peer, case, mark)
            nursery.cancel_scope.cancel()

    async def _frames(self, peer: Peer, case: Frames, mark: bytes) -> None:
        """That it stays open, as the answer to a last ping shows, or closes as it should."""
        if not case.codes:
            while (frame := await peer.frame()) != (0xA, mark):
                if frame is None or frame[0] == 8:
                    raise Wrong(f"it was closed: {frame}")
            return
        code = 0
        try:
            while (frame := await peer.frame()) is not None:
                if frame[0] == 8:
                    code = int.from_bytes(frame[1][:2], "big") or 1005
                    break
        except Wrong:
            pass  # it ended in the middle of a frame
        if code not in case.codes:
            raise Wrong(f"closed with {code}, and not with one of {sorted(case.codes)}")
        self.closes += 1

    async def _hang_up(self, peer: Peer, case: HangUp) -> None:
        await peer.send(case.data)
        if case.resets:
            peer.stream.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            return
        with contextlib.suppress(trio.BrokenResourceError):
            await peer.stream.send_eof()
        with contextlib.suppress(BreaksOff):  # who ends its side is not waited for
            while (answer := await peer.answer()) is not None:
                if answer.status not in case.answers:
                    raise Wrong(f"{answer}, and not {sorted(case.answers)}")
                self.count(answer)
        self.closes += 1

    def count(self, answer: Answer, *, is_head: bool = False) -> None:
        """Count an answer; what says no says why."""
        self.statuses[answer.status] += 1
        if answer.status >= 400 and not is_head:
            try:
                text = json.loads(answer.body)["error"]
            except (ValueError, KeyError, TypeError):
                raise Wrong(f"it does not say why: {answer}") from None
            if "internal error" in text:
                raise Wrong(f"an error that nobody foresaw: {answer}")


def masked(first: int, data: bytes, mask: bytes = b"\0\0\0\0") -> bytes:
    """A frame of a client's (RFC 6455, 5.2)."""
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return (
        bytes([first]) + length + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        if any(mask)
        else (bytes([first]) + length + mask + data)
    )


async def run_group(address: tuple[str, int], tally: Tally, cases: list[Input | Frames | HangUp], at_once: int) -> None:
    limit = trio.CapacityLimiter(at_once)

    async def take(case: Input | Frames | HangUp) -> None:
        async with limit:
            await tally.take(address, case)

    async with trio.open_nursery() as nursery:
        for case in cases:
            nursery.start_soon(take, case)
