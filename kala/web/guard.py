"""What keeps the server up whatever its peers send, or do not send.

One connection is one task with a limit on everything: the time for a request's head, the rate of its body, the time in
which a peer must take what it is sent, the time to be idle, and the number of connections. An error in one ends that
one. Written against the insides of hypercorn 0.18 (`hypercorn.trio.tcp_server`), hence its pin.
"""

import logging
import os
from contextlib import suppress
from math import inf
from socket import AF_UNIX, SO_SNDBUF, SOL_SOCKET

import h11
import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11WSConnection
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr
from wsproto.connection import ConnectionState as Shake

from kala.web.http1 import Http1
from kala.web.limits import GuardConfig
from kala.web.problems import error_body
from kala.web.tls import KeptOpen, Talk, secured

log = logging.getLogger(__name__)

REFUSING = 64
"""Connections above the limit that are told so at a time; what comes beyond is closed without a word."""

NEAR = 256 << 10  # bytes that the system may hold of a stream without end; Linux takes it twice

PIECE = 64 << 10  # bytes that are encrypted, and waited for, at a time

LINGER_BYTES = 4 << 20
"""What is read of a request that was answered early, so that its sender gets to read the answer."""


class Connection(TCPServer):
    """One connection."""

    config: GuardConfig
    protocol: Http1  # type: ignore[assignment]  # hypercorn's wrapper would switch to HTTP/2
    stream: "trio.SocketStream | trio.SSLStream[KeptOpen]"  # type: ignore[assignment]

    async def run(self) -> None:
        assert isinstance(self.stream, trio.SocketStream)  # noqa: S101  # hypercorn's listeners are plain
        self.transport = self.stream  # what is below TLS, if there is TLS
        self.socket = self.transport.socket
        self.talk: Talk | None = None  # within TLS
        self.turn = trio.CancelScope()  # one read, and the handling of what it read
        self.sending: trio.CancelScope | None = None
        self.closing = False  # by us
        self._is_patient = False
        self._unsent = b""  # the rest of a piece that was begun
        self.unsent = b""  # of a piece that was begun
        self.phase, self.since, self.received = "new", trio.current_time(), 0
        try:
            if self.config.admit(self):
                if await self._secure():
                    await self._converse()
            else:
                await self._turn_away()
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer went
        except* Exception as group:
            # Whatever a peer sends may find a fault in the layers below; it must cost this connection alone.
            log.warning("a connection failed: %s", "; ".join(repr(error) for error in flat(group)))
            log.debug("a connection failed", exc_info=group)
        finally:
            self.leave()
            self.socket.close()

    async def _secure(self) -> bool:
        """Make the handshake, where there is TLS; False when nothing more is to be said here."""
        context = self.config.tls_context()
        if context is None:
            return True
        made = None
        with trio.CancelScope(deadline=self.since + self.config.limits.head) as self.turn:
            made = await secured(self.transport, context)
        if made is None or self.closing:
            await self._linger()
            return False
        self.stream, self.talk = made
        return True

    async def _converse(self) -> None:
        family = self.socket.family
        client = ("unix", 0) if family == AF_UNIX else parse_socket_addr(family, self.socket.getpeername())
        server = parse_socket_addr(family, self.socket.getsockname())
        with trio.CancelScope() as life:
            async with TaskGroup() as self._task_group:
                self.protocol = Http1(
                    self.app,
                    self.config,
                    self.context,
                    self._task_group,
                    ConnectionState({"connection": self}),
                    self.stream is not self.transport,
                    client,
                    server,
                    self.protocol_send,
                )
                await self._read_data()
                # What still goes on has been told that its client is gone. If that was lost, this ends it
                life.deadline = trio.current_time() + self.config.limits.graceful

    async def _read_data(self) -> None:
        gone = False
        while not self.closing and not gone:
            with trio.CancelScope() as self.turn:
                self._look()
                try:
                    data = await self.receive()
                except (trio.ClosedResourceError, trio.BrokenResourceError):
                    gone = True
                    break
            if self.closing:
                break
            if self.turn.cancelled_caught:
                if trio.current_time() < self._deadline():
                    continue  # it was put off meanwhile
                await self._too_slow()
                break
            with trio.CancelScope() as self.turn:
                self.received += len(data)
                gone = not data
                await self.take(data)
        await self.protocol.handle(Closed())
        if not gone and (self.phase not in ("new", "idle") or self.stream is not self.transport):
            await self._linger()  # where nothing is under way, nothing can be lost, and there may be many of these
        self.socket.close()  # what goes on for this connection has nobody to talk to

    async def receive(self) -> bytes:
        """What comes next; empty: the peer has ended its side."""
        return bytes(await self.stream.receive_some(MAX_RECV))

    async def take(self, data: bytes) -> None:
        """Deal with what was read; empty: the peer has ended its side."""
        await self.protocol.handle(RawData(data))

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self.send(event.data)
            if self.phase == "refused":
                self._look()  # it has just been accepted, perhaps
        elif isinstance(event, Closed):
            self.closing = True
            await self.protocol.handle(Closed())
            self.turn.cancel()
        elif isinstance(event, Updated):
            self._look()

    async def send(self, data: bytes, *, is_sealed: bool = False) -> None:
        """Send all of `data`, or end the connection. Shielded, since half a piece would garble what follows. What is
        sealed already goes below TLS."""
        if not data and not self._unsent:
            return  # h11 has nothing to say at the end of a message of known length
        async with self.send_lock:
            data, self._unsent = self._unsent + data, b""
            whole, stream = memoryview(data), self.transport if is_sealed else self.stream
            with trio.CancelScope(shield=True) as self.sending:
                try:
                    for start in range(0, len(data), PIECE):
                        patience = trio.current_time() + self.config.limits.send
                        self.sending.deadline = min(patience, self.config.stop_at)
                        await stream.send_all(whole[start : start + PIECE])
                    if self.talk is not None:
                        self.talk.is_new = False
                except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                    # Busy: the end is being sent, and nothing may follow it
                    self.sending.cancel()
                    await trio.lowlevel.checkpoint()
        if self.sending.cancelled_caught:
            self.config.slow += trio.current_time() >= self.sending.deadline
            self.closing = True
            self.socket.close()
            await self.protocol.handle(Closed())
            self.turn.cancel()

    def send_nowait(self, data: bytes) -> bool:
        """Send `data`, what does not fit as soon as it does. False: nothing of it was sent, and `send` is to do it."""
        if self.closing or self._unsent or self.send_lock.locked() or self.stream is not self.transport:
            return False
        try:
            sent = os.write(self.socket.fileno(), data)
        except OSError:
            return False  # it takes nothing now, or never again, as `send` will find
        if sent < len(data):
            self._unsent = data[sent:]
            self._task_group.spawn(self.send, b"")
        return True

    def is_socket(self) -> bool:
        """A websocket that is open on both sides: no message may follow a close (RFC 6455, 5.5.1)."""
        return self._phase() == "socket"

    def keep_near(self) -> None:
        """Let the system hold no more than `NEAR` bytes for the peer: who does not read is noticed the sooner."""
        with suppress(OSError):  # the peer went
            self.socket.setsockopt(SOL_SOCKET, SO_SNDBUF, NEAR)

    def be_patient(self, patient: bool) -> None:
        """From now on, or no longer, whoever reads the body says how long its sender may take."""
        self._is_patient = patient
        if patient:
            self._look()

    def busy(self) -> None:
        """A request is being answered: the peer may be silent."""
        self.phase = "answer"
        self.config.idle.pop(self, None)

    def is_last(self) -> bool:
        """No further request is taken on this connection."""
        return self.config.stop_at != inf

    def _look(self) -> None:
        """See which phase the conversation is in, and until when the peer may be silent."""
        phase, now = self._phase(), trio.current_time()
        if phase != self.phase and not (self.phase == "new" and phase == "idle"):
            self.phase, self.since, self.received = phase, now, 0
            self.config.idle.pop(self, None)
            if phase == "idle" and not self.closing:
                self.config.idle[self] = None
        self.turn.deadline = self._deadline()

    def _deadline(self) -> float:
        """Until when the peer may be silent."""
        limits = self.config.limits
        if self.phase == "idle":
            return self.since + limits.idle if self.config.stop_at == inf else -inf
        if self.phase in ("new", "head", "refused"):
            return self.since + limits.head
        if self.phase == "body" and not self._is_patient:
            return self.since + limits.body + self.received / limits.rate
        return -inf if self.phase == "closing" else inf

    def answered_at_once(self) -> None:
        """A request came, and was answered before anything else happened. That the peer may be idle anew is not told to
        the turn, which takes time: its deadline is looked at when it is over."""
        self.phase, self.since, self.received = "idle", trio.current_time(), 0
        self.config.idle.pop(self, None)
        self.config.idle[self] = None

    def _phase(self) -> str:
        connection = self.protocol.connection
        if isinstance(connection, H11WSConnection):
            stream = self.protocol.stream
            if not isinstance(stream, WSStream) or not stream.handshake.accepted:
                return "refused"  # or not accepted yet
            return "socket" if stream.connection.state is Shake.OPEN else "closing"
        if connection.their_state is h11.IDLE:
            return "head" if connection.trailing_data[0] else "idle"
        return "body" if connection.their_state is h11.SEND_BODY else "answer"

    async def _too_slow(self) -> None:
        self.config.slow += self.phase in ("head", "body")
        if self.phase in ("head", "body") and self.protocol.connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self.send(plain_answer(b"408 Request Timeout", "the request came too slowly"))

    async def _linger(self) -> None:
        """Close, but read on a little: bytes that nobody read make the system reset the connection, and a reset may
        overtake the answer."""
        left = LINGER_BYTES
        with trio.move_on_after(self.config.limits.linger):
            try:
                if self.stream is not self.transport:
                    await self.stream.aclose()  # says so to the peer, and no more
                await self.transport.send_eof()
                while left > 0 and (data := await self.transport.receive_some(MAX_RECV)):
                    left -= len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                return

    async def _turn_away(self) -> None:
        self.config.refused += 1
        if self.config.refusing >= REFUSING:
            return
        self.config.refusing += 1
        try:
            with trio.move_on_after(self.config.limits.linger):
                if not await self._secure():
                    return
                text = f"too many connections at once (the limit is {self.config.most})"
                await self.stream.send_all(plain_answer(b"503 Service Unavailable", text, b"Retry-After: 1\r\n"))
                await self._linger()
        finally:
            self.config.refusing -= 1

    def leave(self) -> None:
        """Make room: this connection counts no more, and ends when nothing of it is under way."""
        self.config.connections.discard(self)
        self.config.idle.pop(self, None)
        if self.phase in ("new", "idle"):
            self.closing = True
            self.turn.cancel()

    def stop(self) -> None:
        if self.sending is not None:
            self.sending.deadline = min(self.sending.deadline, self.config.stop_at)
        if self.phase in ("new", "idle"):
            self.leave()


def plain_answer(status: bytes, text: str, headers: bytes = b"") -> bytes:
    """A whole HTTP answer in JSON, after which the connection closes."""
    body = error_body(text)
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s" % (
        status,
        len(body),
        headers,
        body,
    )


def flat(error: BaseException) -> list[BaseException]:
    """The errors within an error, if it is a group of them."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in flat(one)]
    return [error]
