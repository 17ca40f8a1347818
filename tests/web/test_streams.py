"""Events in an answer without end: as lines of JSON, and as server-sent events."""

import json
import threading
from collections.abc import Callable

import pytest

from kala.events import JOB_SAVED, TYPES, Event
from kala.hub import RING
from kala.web import streams
from kala.web.limits import Limits

from .listeners import Client, Stream
from .server import Server, connections, until


@pytest.mark.parametrize("accept", ["", "*/*", "application/x-ndjson", "text/html,*/*;q=0.1"])
def test_by_default_there_is_a_line_for_each_event(server: Server, accept: str) -> None:
    # given a listener
    stream = Stream(server, Accept=accept, Accept_Encoding="gzip")
    assert stream.status == 200
    assert stream.headers["content-type"] == "application/x-ndjson"
    assert "content-encoding" not in stream.headers
    hello = stream.event()
    assert (hello.keys(), hello["type"]) == ({"id", "at", "type"}, "hello")
    # when a job is created and run
    job = server.create()
    server.ask("POST", f"/api/v1/job/start/{job}/")
    # then it is told so, and of the end
    kinds = [stream.event()["type"] for _ in range(4)]
    assert kinds == ["job.saved", "run.claimed", "run.started", "run.finished"]
    server.stop()
    assert list(stream.coming) == []
    stream.close()


def test_browsers_get_events_that_they_can_go_on_from(server: Server) -> None:
    # given a browser that heard of one job, and lost the connection
    stream = Stream(server, Accept="text/event-stream")
    assert stream.headers["content-type"].startswith("text/event-stream")
    word = server.hub.start
    hello = stream.sent_event()
    assert (hello["retry"], hello["id"], hello["event"]) == ("2000", f"{word}-0", "hello")
    jobs = [server.create()]
    told = stream.sent_event()
    assert (told["id"], told["event"]) == (f"{word}-1", "job.saved")
    assert json.loads(told["data"])["job"] == jobs[0]
    stream.close()
    jobs += [server.create(), server.create()]
    # when it comes back as browsers do
    stream = Stream(server, Accept="text/event-stream", Last_Event_ID=told["id"])
    # then it is told what it missed
    assert [stream.sent_event()["event"] for _ in range(3)] == ["hello", "job.saved", "job.saved"]
    stream.close()
    # and after a restart, to read afresh
    stream = Stream(server, Accept="text/event-stream", Last_Event_ID="01234567-1")
    again = stream.sent_event()
    assert (again["event"], again["id"]) == ("reload", f"{word}-3")
    stream.close()


def test_the_address_has_precedence_over_the_browser(server: Server) -> None:
    server.create()
    word = server.hub.start
    stream = Stream(server, f"?after={word}-0", Last_Event_ID=f"{word}-1")
    assert [stream.event()["id"] for _ in range(2)] == [f"{word}-0", f"{word}-1"]
    stream.close()


def test_in_silence_something_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "QUIET", 0.05)
    stream = Stream(server)
    assert stream.event()["type"] == "hello"
    assert [next(stream.coming) for _ in range(2)] == ["", ""]
    stream.close()
    # to a browser with the id, which moves on though nothing that it wants happens
    stream = Stream(server, "?type=run.finished", Accept="text/event-stream")
    assert stream.sent_event()["event"] == "hello"
    server.create()
    fields = stream.sent_event()
    while fields["id"] != f"{server.hub.start}-1":
        fields = stream.sent_event()
    assert fields == {"": "", "id": f"{server.hub.start}-1"}
    stream.close()


FILTERS: list[tuple[str, list[str]]] = [
    ("?type=job.saved", ["a saved", "b saved", "c saved"]),
    ("?type=job.saved,job.deleted&job={b}", ["b saved", "b deleted"]),
    ("?type=job.saved&type=job.deleted&job={b}&job={c}", ["b saved", "c saved", "b deleted"]),
    ("?label=team", ["a saved", "b saved", "b deleted"]),
    ("?label=team=x&label=tier=1", ["a saved"]),
    ("?label=team=", []),
    ("?job=nobody", []),
    ("?type=&job=&label=", ["a saved", "b saved", "c saved", "b deleted"]),
]


@pytest.mark.parametrize(("query", "heard"), FILTERS)
def test_who_wants_some_gets_these(server: Server, query: str, heard: list[str]) -> None:
    # given three jobs, of which one was deleted
    labels = {"a": {"team": "x", "tier": "1"}, "b": {"team": "x"}, "c": None}
    jobs = {name: server.create(name=name, labels=given) for name, given in labels.items()}
    server.ask("DELETE", f"/api/v1/job/{jobs['b']}/")
    # when somebody asks for some events from the beginning on
    stream = Stream(server, query.format(**jobs) + f"&after={server.hub.start}-0")
    assert stream.event()["type"] == "hello"
    server.call(server.hub.close)
    # then it gets these
    names = {job: name for name, job in jobs.items()}
    told = [json.loads(line) for line in stream.coming]
    assert [f"{names[event['job']]} {event['type'].removeprefix('job.')}" for event in told] == heard
    stream.close()


@pytest.mark.parametrize("kind", ["run.ended", "hello"])
def test_an_unknown_type_is_named_and_so_are_the_others(server: Server, kind: str) -> None:
    answer = server.ask("GET", f"/api/v1/events/?type=job.saved,{kind}")
    assert answer.status == 400
    assert kind in answer.json["fields"]["type"]
    assert all(known in answer.json["fields"]["type"] for known in TYPES)


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
def test_head_ends(server: Server, accept: str) -> None:
    answer = server.ask("HEAD", "/api/v1/events/", Accept=accept)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/event-stream" if accept != "*/*" else "application/x-ndjson")
    until(lambda: server.hub.listeners == 0)


def test_who_hangs_up_is_forgotten(server: Server) -> None:
    streams = [Stream(server), Stream(server, Accept="text/event-stream")]
    until(lambda: server.hub.listeners == 2)
    for stream in streams:
        stream.close()
    until(lambda: server.hub.listeners == 0 and not connections(server))


def test_a_stream_outlasts_every_limit(running: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "QUIET", 0.5)
    server = running(Limits(head=1, idle=1, body=1, send=1, linger=1))
    stream = Stream(server)
    assert stream.event()["type"] == "hello"
    assert [next(stream.coming) for _ in range(5)] == [""] * 5
    stream.close()


def flood(server: Server, events: int = 3 * RING) -> None:
    """More than a listener may be behind, and than its connection holds."""
    batch = [Event(JOB_SAVED, 0, job="x" * 400)] * 500
    for _ in range(events // len(batch)):
        server.call(server.hub.publish_nowait, batch)


@pytest.mark.parametrize(
    ("accept", "last"),
    [
        ("*/*", ['{"error":"too far behind: events were lost"}']),
        ("text/event-stream", ["event: lagged", 'data: {"error":"too far behind: events were lost"}', ""]),
    ],
)
def test_who_lags_is_told_so_at_the_end(running: Callable[..., Server], accept: str, last: list[str]) -> None:
    server = running(Limits(send=10, graceful=0.5))
    stream = Stream(server, Accept=accept)
    until(lambda: server.hub.listeners == 1)
    flood(server)
    assert list(stream.coming)[-len(last) :] == last
    until(lambda: server.hub.listeners == 0)
    stream.close()


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_who_reads_nothing_is_cut_off(running: Callable[..., Server], accept: str) -> None:
    server = running(Limits(send=0.3, graceful=0.5, linger=0.2))
    stream = Stream(server, buffer=4096, Accept=accept)
    until(lambda: server.hub.listeners == 1)
    flood(server, 4_000)
    until(lambda: server.hub.listeners == 0 and not connections(server))
    stream.close()


def test_who_comes_back_under_load_loses_and_doubles_nothing(server: Server) -> None:
    # given a server on which much happens
    ended = threading.Event()

    def publish() -> None:
        try:
            for number in range(3_000):
                server.call(server.hub.publish_nowait, [Event(JOB_SAVED, number)] * (1 + number % 5))
        finally:
            ended.set()

    publisher = threading.Thread(target=publish)
    heard: list[str] = []
    after = f"{server.hub.start}-0"
    publisher.start()
    # when a client comes back again and again, by turns in the one way and the other
    turn = 0
    while not ended.is_set() or heard[-1] != f"{server.hub.start}-{server.hub.last}":
        turn += 1
        if turn % 2:
            stream = Stream(server, f"?after={after}")
            first = stream.event()
            got = [stream.event()["id"] for _ in range(min(turn * 10, server.hub.last - len(heard)))]
            stream.close()
        else:
            client = Client(server, path=f"/api/v1/events/?after={after}")
            first, *more = client.batch()
            got = [event["id"] for event in more]
            while len(got) < min(turn * 10, server.hub.last - len(heard)):
                got += [event["id"] for event in client.batch()]
            client.socket.close()
        assert (first["type"], first["id"]) == ("hello", after)
        heard += got
        after = heard[-1] if heard else after
    publisher.join()
    # then it has heard everything once, in order
    assert turn > 5
    assert heard == [f"{server.hub.start}-{number}" for number in range(1, server.hub.last + 1)]
