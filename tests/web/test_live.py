"""Events over a websocket."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    TextMessage,
)

from kala.events import Event
from kala.hub import AT_ONCE, RING
from kala.web import live
from kala.web.limits import Limits

from .listeners import Client
from .server import Server, connections, until


def test_what_happens_is_told_after_it_is_so(server: Server) -> None:
    # given two listeners
    clients = [Client(server), Client(server, path="/api/v1/events")]
    assert all(isinstance(client.opening, AcceptConnection) for client in clients)
    until(lambda: server.hub.listeners == 2)
    # when a job is created and run
    job = server.create(name="a name")
    server.ask("POST", f"/api/v1/job/start/{job}/")
    for client in clients:
        # then both hear of it, in order
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["type"] != "run.finished":
            heard += client.batch()
        assert [one["id"] for one in heard] == [f"{server.hub.start}-{number}" for number in range(len(heard))]
        assert heard[0].keys() == {"id", "at", "type"}
        assert (heard[0]["type"], heard[0]["at"][-1]) == ("hello", "Z")
        assert (heard[1]["type"], heard[1]["job"]) == ("job.saved", job)
        assert (heard[-1]["state"], heard[-1]["job"]) == ("succeeded", job)
        # and what is about runs names their job
        named = {one["type"]: one.get("job_name") for one in heard[1:]}
        assert named == {"job.saved": None, "run.claimed": "a name", "run.started": "a name", "run.finished": "a name"}
        client.socket.close()
    # and when they have gone, nothing is kept of them
    until(lambda: server.hub.listeners == 0 and not connections(server))


def test_when_the_daemon_stops_listeners_are_told(server: Server) -> None:
    client = Client(server)
    until(lambda: server.hub.listeners == 1)
    server.stop()
    close = client.wait_close()
    assert (close.code, close.reason) == (1001, "the daemon is stopping")


def flood(server: Server, events: int = 3 * RING) -> None:
    """More than a listener may be behind, and than its connection holds."""
    event = Event("job.saved", 0, job="x" * 400)
    for _ in range(events // AT_ONCE):
        server.call(server.hub.publish_nowait, [event] * AT_ONCE)


def test_a_listener_that_lags_is_told_to_come_back(running: Callable[..., Server]) -> None:
    # given a listener that reads nothing, and one that does
    server = running(Limits(send=10, graceful=0.5))
    client = Client(server)
    until(lambda: server.hub.listeners == 1)
    # when far more happens than is kept for it, and it reads again
    flood(server)
    close = client.wait_close()
    # then it is told why it gets no more
    assert (close.code, close.reason) == (1013, "too far behind: events were lost")
    until(lambda: server.hub.listeners == 0)
    client.socket.close()


def test_a_listener_that_reads_nothing_at_all_ends(running: Callable[..., Server]) -> None:
    server = running(Limits(send=0.3, graceful=0.5, linger=0.2))
    client = Client(server)
    until(lambda: server.hub.listeners == 1)
    flood(server, 4 * AT_ONCE)
    until(lambda: server.hub.listeners == 0 and not connections(server))
    client.socket.close()


@pytest.mark.parametrize("sizes", [[1], [100, 60_000, 1, 200_000], [4_000_000, 5]])
def test_messages_of_all_sizes_come_whole_to_a_slow_reader(server: Server, sizes: list[int]) -> None:
    """Those that do not fit into the connection at once are finished later, and nothing comes between."""
    client = Client(server)
    assert [event["type"] for event in client.batch()] == ["hello"]
    until(lambda: server.call(lambda: all(one.waits for one in server.hub._listeners)))
    for size in sizes:
        server.call(server.hub.publish_nowait, [Event("job.saved", 0, job="x" * size)])
        client.send(Ping(payload=b"p"))
    heard: list[int] = []
    while len(heard) < len(sizes):
        heard += [len(event["job"]) for event in client.batch()]
    assert heard == sizes
    client.socket.close()


def test_clients_may_talk_and_are_not_heard(server: Server) -> None:
    # given a client that sends more messages than any queue holds, and a ping
    client = Client(server)
    assert client.batch()[0]["type"] == "hello"
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


def test_in_silence_an_empty_batch_shows_that_it_lives(
    running: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client need not say anything: the time for a request's head is over with the handshake."""
    monkeypatch.setattr(live, "QUIET", 0.3)
    client = Client(running(Limits(head=1)))
    assert client.batch()[0]["type"] == "hello"
    assert [json.loads(next(client.coming).data) for _ in range(6)] == [{"events": []}] * 6
    client.socket.close()


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_pages_of_other_origins_hear_nothing(server: Server, headers: dict[str, str]) -> None:
    client = Client(server, **headers)
    assert isinstance(client.opening, RejectConnection)
    assert client.opening.status_code == 403
    body = next(client.coming)
    assert isinstance(body, RejectData)
    assert b'{"error":' in body.data
    until(lambda: server.hub.listeners == 0)
    client.socket.close()


def test_the_own_page_hears(server: Server) -> None:
    client = Client(server, Origin=f"http://localhost:{server.address[1]}")
    assert isinstance(client.opening, AcceptConnection)
    client.socket.close()


@pytest.mark.parametrize("query", ["?type=run.ended", "?type=job.saved,x"])
def test_a_wrong_question_is_answered_with_400(server: Server, query: str) -> None:
    client = Client(server, path=f"/api/v1/events/{query}")
    assert isinstance(client.opening, RejectConnection)
    assert client.opening.status_code == 400
    client.socket.close()


def test_a_listener_comes_back_and_hears_what_it_missed(server: Server) -> None:
    # given a listener that heard of a job, and went
    client = Client(server)
    job = server.create()
    heard = client.batch() + client.batch()
    client.socket.close()
    # when more happens, and it comes back
    server.ask("POST", f"/api/v1/job/start/{job}/")
    client = Client(server, path=f"/api/v1/events/?after={heard[-1]['id']}&type=run.claimed,run.finished&job={job}")
    # then it goes on where it was, with what it asked for
    again = client.batch()
    while again[-1]["type"] != "run.finished":
        again += client.batch()
    assert [event["type"] for event in again] == ["hello", "run.claimed", "run.finished"]
    assert again[0]["id"] == heard[-1]["id"]
    client.socket.close()
    # and who comes from an earlier start is told to read afresh
    client = Client(server, path="/api/v1/events/?after=00000000-1")
    (first,) = client.batch()
    assert (first["type"], first["id"]) == ("reload", again[-1]["id"])
    client.socket.close()
