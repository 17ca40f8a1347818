"""Clients that listen to events: a websocket, and an answer without end."""

import json
import socket
from collections.abc import Iterator
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Message, Pong, Request, TextMessage

from .server import DEADLINE, Server


class Client:
    """A websocket client that blocks."""

    def __init__(self, server: Server, path: str = "/api/v1/events/", **headers: str) -> None:
        self.socket = socket.create_connection(server.address, timeout=DEADLINE)
        self.protocol = WSConnection(ConnectionType.CLIENT)
        host = headers.pop("Host", f"localhost:{server.address[1]}")
        further = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.send(Request(host=host, target=path, extra_headers=further))
        self.coming = self._events()
        self.opening = next(self.coming)

    def send(self, event: Any) -> None:
        self.socket.sendall(self.protocol.send(event))

    def _events(self) -> Iterator[Any]:
        while data := self.socket.recv(65_536):
            self.protocol.receive_data(data)
            yield from self.protocol.events()

    def batch(self) -> list[dict[str, Any]]:
        """The events of the next frame that has any."""
        text = ""
        for event in self.coming:
            if isinstance(event, Pong):
                continue
            assert isinstance(event, TextMessage), event
            text += event.data
            if event.message_finished:
                events = json.loads(text)["events"]
                if events:
                    return list(events)
                text = ""
        raise AssertionError("the connection ended")

    def wait_close(self) -> CloseConnection:
        for event in self.coming:
            if isinstance(event, CloseConnection):
                return event
            assert isinstance(event, Message | Pong), event
        raise AssertionError("the connection ended without a close")


class Stream:
    """The answer to GET: its head, and then its lines as they come, without the framing of the chunks."""

    def __init__(self, server: Server, query: str = "", buffer: int = 0, **headers: str) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE)
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect(server.address)
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(f"GET /api/v1/events/{query} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = dict(self._fields())
        self.coming = self._lines()

    def _fields(self) -> Iterator[tuple[str, str]]:
        while (line := self._file.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            yield name.lower(), value.strip()

    def _lines(self) -> Iterator[str]:
        """Ends with the answer; fails when the connection breaks off before."""
        rest = b""
        while size := int(self._file.readline(), 16):
            rest += self._file.read(size)
            assert self._file.readline() == b"\r\n"
            *whole, rest = rest.split(b"\n")
            yield from (line.decode() for line in whole)
        assert not rest

    def event(self) -> dict[str, Any]:
        """The next event of NDJSON."""
        while not (line := next(self.coming)):
            pass
        return dict(json.loads(line))

    def sent_event(self) -> dict[str, str]:
        """The fields of the next server-sent event, or of a comment."""
        fields: dict[str, str] = {}
        while line := next(self.coming):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        return fields

    def close(self) -> None:
        self._file.close()
        self.socket.close()
