"""Events over a websocket."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Message,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from kala.events import Event
from kala.web import live
from kala.web.limits import Limits

from .server import DEADLINE, Server, connections, until


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


def test_what_happens_is_told_after_it_is_so(server: Server) -> None:
    # given two listeners
    clients = [Client(server), Client(server, path="/api/v1/events")]
    assert all(isinstance(client.opening, AcceptConnection) for client in clients)
    until(lambda: server.hub.listeners == 2)
    # when a job is created and run
    job = server.create()
    server.ask("POST", f"/api/v1/job/start/{job}/")
    for client in clients:
        # then both hear of it, in order
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["type"] != "run.finished":
            heard += client.batch()
        assert [one["id"] for one in heard] == list(range(1, len(heard) + 1))
        assert heard[0].keys() == {"id", "at", "type", "job", "run", "state", "reason"}
        assert (heard[0]["type"], heard[0]["job"], heard[0]["at"][-1]) == ("job.saved", job, "Z")
        assert (heard[-1]["state"], heard[-1]["job"]) == ("succeeded", job)
        client.socket.close()
    # and when they have gone, nothing is kept of them
    until(lambda: server.hub.listeners == 0 and not connections(server))


def test_when_the_daemon_stops_listeners_are_told(server: Server) -> None:
    client = Client(server)
    until(lambda: server.hub.listeners == 1)
    server.stop()
    close = client.wait_close()
    assert (close.code, close.reason) == (1001, "the daemon is stopping")


def test_a_listener_that_lags_is_told_to_come_back(running: Callable[..., Server]) -> None:
    # given a listener that reads nothing
    server = running(Limits(send=10, graceful=0.5))
    client = Client(server)
    until(lambda: server.hub.listeners == 1)
    # when far more happens than is kept for it
    event = Event("job.saved", 0, job="x" * 4000)
    while server.hub.listeners:
        server.call(server.hub.publish_nowait, [event] * 20)
    # then it is cut off, and told so when it reads
    close = client.wait_close()
    assert close.code == 1013


def test_a_listener_that_reads_nothing_at_all_ends(running: Callable[..., Server]) -> None:
    server = running(Limits(send=0.3, graceful=0.5, linger=0.2))
    client = Client(server)
    until(lambda: server.hub.listeners == 1)
    event = Event("job.saved", 0, job="x" * 4000)
    while server.hub.listeners:
        server.call(server.hub.publish_nowait, [event] * 20)
    until(lambda: not connections(server))
    client.socket.close()


def test_clients_may_talk_and_are_not_heard(server: Server) -> None:
    # given a client that sends more messages than any queue holds, and a ping
    client = Client(server)
    for number in range(200):
        client.send(TextMessage(data=f"hello {number}"))
    client.send(Ping(payload=b"p"))
    # then it is answered, and still hears
    assert isinstance(next(client.coming), Pong)
    until(lambda: server.hub.listeners == 1)
    server.create()
    assert client.batch()[0]["type"] == "job.saved"
    # and its close is answered
    client.send(CloseConnection(code=1000))
    assert client.wait_close().code == 1000
    client.socket.close()


def test_in_silence_an_empty_batch_shows_that_it_lives(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "QUIET", 0.05)
    client = Client(server)
    assert [json.loads(next(client.coming).data) for _ in range(3)] == [{"events": []}] * 3
    client.socket.close()


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_pages_of_other_origins_hear_nothing(server: Server, headers: dict[str, str]) -> None:
    client = Client(server, **headers)
    assert isinstance(client.opening, RejectConnection)
    assert client.opening.status_code == 403
    body = next(client.coming)
    assert isinstance(body, RejectData)
    assert b'{"error":' in body.data
    assert server.hub.listeners == 0
    client.socket.close()


def test_the_own_page_hears(server: Server) -> None:
    client = Client(server, Origin=f"http://localhost:{server.address[1]}")
    assert isinstance(client.opening, AcceptConnection)
    client.socket.close()
