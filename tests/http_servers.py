"""Small real HTTP servers for tests of outgoing calls: each connection is answered by a function, and recorded."""

import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from kala.calls.connections import Connections
from kala.calls.remote import call
from kala.clock import Clock
from kala.job import Attempt, Remote
from kala.tail import Tail
from kala.values import Peers


@dataclass
class Seen:
    """One request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for one, value in self.headers if one.lower() == name.lower()]


Answer = Callable[["Peer", Seen], Awaitable[None]]


@dataclass
class Server:
    """Answers by path; `requests` and `connections` record what came."""

    answers: dict[str, Answer]
    context: ssl.SSLContext | None = None
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.open += 1
        peer = Peer(trio.SSLStream(stream, self.context, server_side=True) if self.context else stream)
        try:
            while (seen := await peer.read()) is not None:
                self.requests.append(seen)
                await self.answers.get(seen.target.partition("?")[0], not_found)(peer, seen)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone, which some tests want
        finally:
            self.open -= 1
            await trio.aclose_forcefully(peer.stream)


@dataclass
class Peer:
    """The server's side of a connection."""

    stream: Any
    buffer: bytes = b""

    async def read(self) -> Seen | None:
        while b"\r\n\r\n" not in self.buffer:
            if not await self.more():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("utf-8").split("\r\n")
        method, target, _ = first.split(" ")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        seen = Seen(method, target, headers, b"")
        length = int((seen.values("content-length") or ["0"])[0])
        while len(self.buffer) < length:
            if not await self.more():
                return None
        seen.body, self.buffer = self.buffer[:length], self.buffer[length:]
        return seen

    async def more(self) -> bool:
        data = await self.stream.receive_some(65536)
        self.buffer += data
        return bool(data)

    async def send(self, status: int, body: bytes = b"", *headers: str) -> None:
        head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
        await self.stream.send_all("\r\n".join(head).encode() + b"\r\n\r\n" + body)


async def not_found(peer: Peer, seen: Seen) -> None:
    await peer.send(404, b"nothing here")


def fixed(status: int, body: bytes = b"", *headers: str) -> Answer:
    """Always the same answer."""

    async def answer(peer: Peer, seen: Seen) -> None:
        await peer.send(status, body, *headers)

    return answer


@asynccontextmanager
async def serving(
    answers: dict[str, Answer], context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Server]:
    server = Server(answers, context)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, host=host), server.handle, port)
        server.port = listener.socket.getsockname()[1]
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()


def certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate authority's certificate, and a server's context for 127.0.0.1 signed by it."""

    def openssl(line: str) -> None:
        subprocess.run(["openssl", *line.split()], cwd=folder, check=True, capture_output=True)

    key = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    openssl(f"{key} -x509 -keyout ca.key -out ca.pem -subj /CN=test-authority -addext keyUsage=critical,keyCertSign")
    openssl(f"{key} -keyout server.key -out server.csr -subj /CN=127.0.0.1")
    (folder / "san").write_text(
        "subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
    )
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", context


@asynccontextmanager
async def connections(
    environment: dict[str, str] | None = None, denied: Sequence[Peers] = ()
) -> AsyncIterator[Connections]:
    made = Connections(environment or {}, denied)
    try:
        yield made
    finally:
        await made.aclose()


async def call_once(made: Connections, url: str, **options: Any) -> tuple[Attempt, bytes]:
    ours = {name: options.pop(name) for name in ("headers_more", "limit", "stop", "seconds") if name in options}
    return await call(
        Remote(url=url, **options),
        number=3,
        clock=Clock(),
        connections=made,
        headers=ours.get("headers_more"),
        timeout=ours.get("seconds"),
        output=Tail(ours.get("limit", 65536)),
        stop=ours.get("stop"),
    )


def called(answers: dict[str, Answer], path: str, **options: Any) -> tuple[Attempt, bytes, Server]:
    """One call to a server of its own."""

    async def main() -> tuple[Attempt, bytes, Server]:
        async with serving(answers) as server, connections() as made:
            attempt, output = await call_once(made, server.url + path, **options)
            return attempt, output, server

    return trio.run(main)


def sockets() -> int:
    """Of this process."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count
