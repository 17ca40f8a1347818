"""A TCP proxy before a server, which does to the connections through it what a network may do."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class Pair:
    """A client's connection and the one to the server that goes with it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.asked = False  # the client has sent something since the server last did

    def cut(self) -> None:
        for one in self.client, self.server:
            with suppress(OSError):  # it is cut already
                one.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Passes bytes between clients of `127.0.0.1:port` and the server at `target`, until it is told otherwise.

        with Proxy(service.port) as proxy:
            driver = RedisDriver(Server(f"127.0.0.1:{proxy.port}"))
            proxy.lose_answer()
            driver.commit(batch)  # raises: it was done, and nobody heard of it

    What it does is undone by `heal`. A cut connection is cut on both sides.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._change = threading.Condition()
        self._pairs: set[Pair] = set()
        self._threads: list[threading.Thread] = []
        self._silent = self._refusing = self._closed = False
        self._answers: int | None = None  # that pass before one is lost
        self._bytes: int | None = None  # of clients that pass before the cut
        self.sent = 0  # bytes that clients have sent
        self.answered = 0  # how often a server has answered what a client had sent
        self.fired = False  # what `lose_answer` or `cut_after` announced has come
        self._start(self._accept)

    # What it does to connections.

    def cut(self) -> None:
        """Cut all connections now. New ones are taken."""
        with self._change:
            for pair in self._pairs:
                pair.cut()

    def refuse(self) -> None:
        """Cut all connections, and every new one at once."""
        with self._change:
            self._refusing = True
        self.cut()

    def silence(self) -> None:
        """Take connections, and pass nothing on. What is held back goes its way at `heal`, late."""
        with self._change:
            self._silent = True

    def lose_answer(self, after: int = 0) -> None:
        """Pass requests on, and `after` answers; then cut all connections in place of the next answer."""
        with self._change:
            self._answers, self.fired = after, False
            for pair in self._pairs:
                pair.asked = False

    def cut_after(self, number: int) -> None:
        """Pass on so many bytes of clients, and cut all connections then."""
        with self._change:
            self._bytes, self.fired = number, False

    def heal(self) -> None:
        """Pass everything on again."""
        with self._change:
            self._silent = self._refusing = False
            self._answers = self._bytes = None
            self._change.notify_all()

    # Its life.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._change:
            self._closed = True
        self.heal()
        with suppress(OSError):  # Linux ends the accept by it, and says that nobody was connected
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            with self._change:
                refusing = self._refusing or self._closed
            if refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # the server is away
                client.close()
                continue
            for one in client, server:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = Pair(client, server)
            with self._change:
                self._pairs.add(pair)
            self._start(self._serve, pair)

    def _serve(self, pair: Pair) -> None:
        back = threading.Thread(target=self._pass, args=(pair, pair.server, pair.client), daemon=True)
        back.start()
        self._pass(pair, pair.client, pair.server)
        back.join()
        with self._change:
            self._pairs.discard(pair)
        pair.client.close()
        pair.server.close()

    def _pass(self, pair: Pair, source: socket.socket, target: socket.socket) -> None:
        cut = False
        try:
            while not cut and (data := source.recv(65_536)):
                with self._change:
                    while self._silent:
                        self._change.wait()
                    if source is pair.client:
                        data, cut = self._of_client(pair, data)
                    elif cut := self._is_lost(pair):
                        break
                target.sendall(data)
        except OSError:  # a side is gone: so goes the other
            pass
        if cut:
            self.cut()
        # The other way goes on until it has ended as well, unless the connection is cut.
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _of_client(self, pair: Pair, data: bytes) -> tuple[bytes, bool]:
        """What of it is passed on, and whether the cut follows."""
        pair.asked = True
        self.sent += len(data)
        if self._bytes is None or len(data) < self._bytes:
            self._bytes = None if self._bytes is None else self._bytes - len(data)
            return data, False
        data, self._bytes, self.fired = data[: self._bytes], None, True
        return data, True

    def _is_lost(self, pair: Pair) -> bool:
        """Whether what comes from the server now is the answer to be lost."""
        if not pair.asked:
            return False
        pair.asked = False
        self.answered += 1
        if self._answers is None:
            return False
        if self._answers > 0:
            self._answers -= 1
            return False
        self._answers, self.fired = None, True
        return True
