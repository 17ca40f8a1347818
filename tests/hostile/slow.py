"""Those who stop in the middle, send a byte now and then, or read nothing of what they asked for."""

from typing import NamedTuple

from .shape import API, HOST, JOB, Group, HangUp, Input, chunked, get, one, post, request
from .talk import SHAKE, masked

CREATE, BATCH, IMPORT = b"POST /api/v1/job/ HTTP/1.1", API + b"/job/batch/", API + b"/job/import/"
TOO_SLOW = {408}


class Drip(NamedTuple):
    """`begin`, and then a byte of `rest` every so many seconds, which begins again at its end, until it is closed."""

    name: str
    begin: bytes
    rest: bytes
    seconds: float
    answers: frozenset[int]


class Deaf(NamedTuple):
    """A request whose answer nobody reads. The connection is kept, and the server must let go of it."""

    name: str
    data: bytes


WHOLE: list[tuple[str, bytes, set[int]]] = [
    ("a GET", get(b"/healthz"), {200}),
    ("a POST", post(API + b"/job/", JOB), {201}),
    ("chunks", chunked(b"%x\r\n%s\r\n" % (len(JOB), JOB), b"0\r\nX: y\r\n\r\n"), {201}),
    ("a batch", post(BATCH, JOB + b"\n" + JOB), {200, 503}),
    ("an import", post(IMPORT, b'{"jobs":{}}'), {200, 503}),
    ("pipelined", get(b"/healthz") + post(API + b"/job/", b"{}") + get(b"/nope"), {200, 400, 404}),
]
STEP = 7
"""Bytes from one cut to the next, so that with all of them each kind of place is met: within a word, at each mark,
between the two bytes of a line's end."""


def halves() -> list[HangUp]:
    """Each request cut off: at every so many bytes, and at each of its last ones."""
    made = []
    for name, data, statuses in WHOLE:
        places = sorted({*range(1, len(data), STEP), *range(len(data) - 4, len(data) + 1)})
        for at in places:
            answers = frozenset(statuses | {400})
            made.append(HangUp(f"{name}, cut at {at}", data[:at], at % 2 == 0, answers))
            if at > len(data) - 4:
                made.append(HangUp(f"{name}, cut at {at}, otherwise", data[:at], at % 2 == 1, answers))
    socket = SHAKE + masked(0x81, b"hello")
    made += [
        HangUp(f"a websocket, cut at {at}", socket[:at], True, frozenset()) for at in range(1, len(socket) + 1, STEP)
    ]
    made += [
        HangUp(f"pages that nobody waits for, {number}", get(b"/?%d" % number) * 200, True, frozenset())
        for number in range(30)
    ]
    return made


def stops() -> list[Input]:
    """What is begun, and does not go on."""
    return [
        one("nothing", b"", (), "closed"),
        one("one byte", b"G", TOO_SLOW, "closed"),
        one("half a line", b"GET /hea", TOO_SLOW, "closed"),
        one("a line", b"GET /healthz HTTP/1.1\r\n", TOO_SLOW, "closed"),
        one("half a field", b"GET /healthz HTTP/1.1\r\nHost: lo", TOO_SLOW, "closed"),
        one("a head without its end", b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n", TOO_SLOW, "closed"),
        one("a preface without its end", b"PRI * HTTP/2.0\r\n\r", TOO_SLOW, "closed"),
        one("half a handshake", SHAKE[:-4], TOO_SLOW, "closed"),
        one("no body", request(CREATE, b"Content-Length: 70"), TOO_SLOW, "closed"),
        one("half a body", request(CREATE, b"Content-Length: 70", body=b"{"), TOO_SLOW, "closed"),
        one("half a long body", request(CREATE, b"Content-Length: 900000", body=b"{" * 5_000), TOO_SLOW, "closed"),
        one("no chunk", chunked(), TOO_SLOW, "closed"),
        one("half a chunk", chunked(b"5\r\nab"), TOO_SLOW, "closed"),
        one("no last chunk", chunked(b"2\r\n{}\r\n"), TOO_SLOW, "closed"),
        one("a chunk of 2^64", chunked(b"ffffffffffffffff\r\n{}"), TOO_SLOW, "closed"),
        one("half a trailer", chunked(b"2\r\n{}\r\n0\r\nX: "), TOO_SLOW, "closed"),
        one(
            "half an import",
            request(b"POST /api/v1/job/import/ HTTP/1.1", b"Content-Length: 99", body=b"{"),
            TOO_SLOW,
            "closed",
        ),
        one("half a batch", request(b"POST /api/v1/job/batch/ HTTP/1.1", b"Content-Length: 99", body=JOB[:9]), 200),
        one(
            "expectation, and no body",
            request(CREATE, b"Content-Length: 9", b"Expect: 100-continue"),
            TOO_SLOW,
            "closed",
        ),
    ]


def drips() -> list[Drip]:
    head = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    slow = frozenset(TOO_SLOW)
    return [
        Drip("a head, byte by byte", b"", head + b"X-A: b\r\n" * 9, 0.3, slow),
        Drip("fields without end", head, b"X-A: b\r\n", 0.1, slow),
        Drip("newlines", b"", b"\r\n", 0.3, frozenset({400})),
        Drip("a body, byte by byte", request(CREATE, b"Content-Length: 1000000"), b" ", 0.2, slow),
        Drip("chunks, byte by byte", chunked(), b"1\r\n \r\n", 0.2, slow),
        Drip("a chunk's extension", chunked(b"1;"), b"x", 0.2, slow),
        Drip("trailers", chunked(b"2\r\n{}\r\n0\r\n"), b"X: y\r\n", 0.2, slow),
    ]


def deaf() -> list[Deaf]:
    lists, events = get(API + b"/job/"), get(API + b"/events/")
    return [
        *(Deaf(f"a list, {number}", lists) for number in range(10)),
        *(Deaf(f"a list in brief, {number}", get(API + b"/job/?brief=true")) for number in range(5)),
        *(Deaf(f"lists in a pipeline, {number}", lists * 20) for number in range(5)),
        *(Deaf(f"events, {number}", events) for number in range(10)),
        *(
            Deaf(f"events for a page, {number}", get(API + b"/events/", b"Accept: text/event-stream"))
            for number in range(5)
        ),
        *(Deaf(f"events on a websocket, {number}", SHAKE) for number in range(10)),
        *(Deaf(f"pings on a websocket, {number}", SHAKE + masked(0x89, b"x" * 125) * 40_000) for number in range(5)),
        *(Deaf(f"the page, {number}", get(b"/") * 200) for number in range(5)),
    ]


HALVES = Group("half requests and hang-ups", [*halves()], 64)
STOPS = Group("senders that stop", [*stops()], 64)
DRIPS = drips()
DEAF = deaf()
