"""What stands in requests: heads, the parameters for events, and streams of jobs that come in pieces."""

import json
from collections.abc import Mapping
from typing import Any, cast

import h11
from fuzzing.target import Finding, Target, must
from werkzeug.datastructures import Headers
from werkzeug.sansio.request import Request

from kala.errors import Invalid, shortened
from kala.events import TYPES, Event
from kala.frames import Frame
from kala.hub import Hub
from kala.schedule.durations import EARLIEST
from kala.web.elements import Broken, Cutter, Items, Lines
from kala.web.gate import Gate
from kala.web.listening import asked, first_of
from kala.web.live import whole
from kala.web.problems import problem_of
from kala.web.shortway import head_of
from kala.web.streams import NDJSON, SSE
from kala.web.whole import path_of

# Events.


class Labels:
    """As much of a service as the filters ask for."""

    def labels(self, job_id: str) -> Mapping[str, str]:
        return {"team": job_id, "a": ""} if job_id else {}


def try_events(data: bytes) -> None:
    """A line with a query, one with a Last-Event-ID, and what is in the events."""
    query, came, *texts = [*data.split(b"\n"), b"", b""]
    if not query.isascii() or not query.decode().isprintable() or b" " in query or b"\r" in came:
        return  # no request
    request = Request("GET", "http", ("localhost", 80), "", "/", query, Headers(), None)
    try:
        what = asked(cast(Any, Labels()), request.args, Headers({"Last-Event-ID": came.strip().decode("latin-1")}))
    except Invalid as error:
        problem = problem_of(error, "")
        must(problem.status == 400 and bool(json.loads(problem.body)["fields"]), "an answer", problem)
        return
    hub = Hub("00000000")
    hub.publish_nowait(list(map(event, texts)))
    with hub.listen(**what) as listener:
        written(first_of(listener, EARLIEST), 1)
        must(listener.reload or what["after"] in ("", listener.id), "another place", what["after"], listener.id)
        hub.publish_nowait(events := list(map(event, texts)))
        frame = hub.after(hub.last - len(events))
        if frame is None:
            raise Finding("no frame")
        chosen = frame if what["wanted"] is None else frame.only(what["wanted"])
        if chosen is not None:
            must(what["wanted"] is None or all(map(what["wanted"], chosen.events)), "not asked for", chosen.events)
            written(chosen, len(chosen.events))


def event(text: bytes) -> Event:
    kinds = sorted(TYPES)
    job = text[1:].decode("utf-8", "replace")
    return Event(kinds[(text[0] if text else 0) % len(kinds)], EARLIEST, job=job, error=job, job_name=job)


def written(frame: Frame, count: int) -> None:
    """In each form it is as many events, each whole."""
    lines = frame.form(NDJSON.written).splitlines()
    must(len(lines) == count, "lines", lines)
    message = frame.form(whole)
    begin = {126: 4, 127: 10}.get(message[1], 2)
    must(json.loads(message[begin:])["events"] == list(map(json.loads, lines)), "a message", message)
    parts = frame.form(SSE.written).decode().removesuffix("\n\n").split("\n\n")
    datas = [part.split("\n")[2].removeprefix("data: ") for part in parts]
    must([json.loads(one) for one in datas] == list(map(json.loads, lines)), "server-sent", parts)


# Streams of jobs.


def try_elements(data: bytes) -> None:
    """However a stream is cut, its elements are the same; of JSON they are what JSON says."""
    size, body = (data[0] % 7 + 1 if data else 1), data[1:]
    for cutter in (Lines, Items):
        at_once, fault = elements(cutter(), [body])
        in_pieces, other = elements(cutter(), [body[at : at + size] for at in range(0, len(body), size)])
        must((at_once, fault) == (in_pieces, other), "otherwise in pieces", cutter.__name__, body, at_once, in_pieces)
        must(all(len(one) <= len(body) for _, one in at_once), "more than came", body)
        if cutter is Items:
            try:
                meant = json.loads(body.decode())  # of bytes it would take UTF-16 as well
            except (ValueError, RecursionError):
                continue
            if isinstance(meant, list):
                must(not fault, "JSON is refused", body, fault)
                must([number for number, _ in at_once] == list(range(1, len(meant) + 1)), "numbers", at_once)
                must(all(one.strip() for _, one in at_once), "empty", at_once)


def elements(cutter: Cutter, stream: list[bytes]) -> tuple[list[tuple[int, bytes]], str]:
    found: list[tuple[int, bytes]] = []
    try:
        for piece in stream:
            found += cutter.feed(piece)
        found += cutter.end()
    except Broken as broken:
        return found, f"{broken.number}: {broken.fault}"
    return found, ""


# Heads.


def try_head(data: bytes) -> None:
    """What goes the short way is HTTP for h11, too, and means the same."""
    head = head_of(data)
    if head is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data[: head.end])
    request = connection.next_event()  # raises when it is no HTTP
    if not isinstance(request, h11.Request):
        raise Finding(f"not whole: {request!r}")
    must((head.method.encode(), head.target) == (request.method, request.target), "the line", head, request)
    must(head.headers == list(request.headers), "the fields", head, request)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    must(body == data[head.start : head.end], "the body", head, body)
    must(len(data) < head.end or isinstance(event, h11.EndOfMessage), "the end", head, event)
    scope = {"type": "http", "method": head.method, "headers": head.headers, "path": path_of(head.target.decode())}
    if (refusal := GATE.refusal(scope)) is not None:
        must(refusal.status in (400, 403), "a refusal", refusal)
        must(len(str(refusal)) < 1000, "a long refusal", shortened(str(refusal)))


GATE = Gate("127.0.0.1", ["kala.example.org"])
START = b"GET /api/v1/job/?limit=5 HTTP/1.1\r\nHost: localhost:8000\r\n"
HEADS = (
    START + b"\r\n",
    START + b"Origin: http://localhost:8000\r\nSec-Fetch-Site: same-origin\r\nAccept:  */* \r\n\r\n",
    b"POST /api/v1/job/ HTTP/1.1\r\nhost:[::1]\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
    b"DELETE /api/v1/job/all/ HTTP/1.1\r\nHost: kala.example.org\r\nOrigin: https://x:99999\r\nX:\r\n\r\n",
)
STREAMS = (
    b'\x01[{"name":"a\\"]"}, [1,2,{"b":[]}] ,"x", 5 ]  ',
    b'\x02{"name":"a"}\n\n \r\n{"name":"b"}\r\n[1]',
    b'\x03[[[["\\\\"]]],{}]x',
    b"\x04[]",
    b"\x05[1,,2]",
)
QUERIES = (
    b"type=run.finished,run.started&job=x&label=team=x\n00000000-1\n\x01x\n\x02y",
    b"after=00000000-0&label=a&label=team\n\n\x03x\n\x03z\n",
    b"job=x&job=%C3%A9&type=\nffffffff-999999999999999999\n\x05x",
    b"type=nothing&x=%00\n\n",
)

TARGETS = (
    Target("events", try_events, QUERIES, (*TYPES, "after=", "label=", "job=", "type=", "00000000-", "%2C"), 512),
    Target("elements", try_elements, STREAMS, ("[", "]", "{", "}", '"', "\\", ",", "\n"), 256),
    Target(
        "head",
        try_head,
        HEADS,
        (
            "\r\n",
            "Host: ",
            "Content-Length: ",
            "Transfer-Encoding: chunked",
            "Origin: ",
            "Connection: ",
            "\t",
            "HTTP/1.1",
        ),
        512,
    ),
)
