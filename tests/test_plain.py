"""What is written and read as one piece is what h11 makes of it."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.calls import plain
from kala.calls.http1 import Request
from kala.calls.target import Refused, Target, parsed, whole

METHODS = st.sampled_from([b"GET", b"POST", b"DELETE", b"PATCH", b"FOO", b"G T", b"CONNECT", b""])
NAMES = st.sampled_from(
    [b"X-A", b"accept", b"Connection", b"EXPECT", b"upgrade", b"Content-Length", b"a b", b"", b"a:"]
)
VALUES = st.text(" \t\r\n\0\x01azAZ,:;=\x7f\xe4", max_size=6).map(lambda text: text.encode("latin-1"))
REQUESTS = st.builds(
    Request,
    METHODS,
    st.sampled_from([b"/", b"/a?b", b"http://h/x", b"/ x", b"/\xe4", b""]),
    st.sampled_from([b"h", b"127.0.0.1:80", b"[::1]:8", b"h\r\nX: y"]),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.sampled_from([b"", b"{}"]),
)


@given(REQUESTS)
def test_a_plain_request_is_what_h11_would_send(request: Request) -> None:
    if (data := plain.request(*request)) is not None:
        assert data == request.by(h11.Connection(h11.CLIENT))


def test_usual_requests_are_plain() -> None:
    headers = [(b"Accept", b"*/*"), (b"X-A", b"a b\xe4"), (b"X-Empty", b"")]
    sent = b"POST /a?b HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nX-A: a b\xe4\r\nX-Empty: \r\nContent-Length: 2\r\n\r\n{}"
    assert plain.request(b"POST", b"/a?b", b"h", headers, b"{}") == sent


PIECES = st.sampled_from(
    [
        *(b"Content-Length: 2\r\n", b"content-length:2 \r\n", b"Content-Length: 3\r\n", b"Content-Length: 2, 2\r\n"),
        *(b"Connection: keep-alive\r\n", b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n", b"X:  y \r\n"),
        *(b"Location: /x\r\n", b"X:\r\n", b" folded\r\n", b"X : y\r\n", b"X: \x01\r\n", b"X: y\n", b"\xe4: x\r\n"),
    ]
)
STATUS_LINES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302\r\n", b"HTTP/1.1 500 \r\n", b"HTTP/1.0 200 OK\r\n"),
        *(
            b"HTTP/1.1 204 X\r\n",
            b"HTTP/1.1 304 X\r\n",
            b"HTTP/1.1 100 X\r\n",
            b"HTTP/1.1 99 X\r\n",
            b"HTTP/1.1 200 OK\n",
        ),
    ]
)
BODIES = st.sampled_from([b"ok", b"", b"o", b"okHTTP/1.1 200 OK\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n"])


@given(STATUS_LINES, st.lists(PIECES, max_size=4), BODIES)
def test_a_plain_answer_is_what_h11_would_read(line: bytes, pieces: list[bytes], body: bytes) -> None:
    data = line + b"".join(pieces) + b"\r\n" + body
    if (answer := plain.answer(data)) is None:
        return
    machine = h11.Connection(h11.CLIENT)
    Request(b"GET", b"/", b"h", []).by(machine)
    machine.receive_data(data)
    head, read = machine.next_event(), b""
    assert isinstance(head, h11.Response)
    while isinstance(event := machine.next_event(), h11.Data):
        read += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert (machine.our_state, machine.their_state, machine.trailing_data) == (h11.DONE, h11.DONE, (b"", False))
    assert answer == (head.status_code, list(head.headers), read)


def test_usual_answers_are_plain() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    headers = [(b"content-type", b"a/b"), (b"connection", b"keep-alive"), (b"content-length", b"2")]
    assert plain.answer(data) == (200, headers, b"ok")


def outcome(text: str, how: object) -> object:
    try:
        target = how(text)  # type: ignore[operator]
    except Refused as refused:
        return str(refused)
    assert isinstance(target, Target)
    return target.origin, target.host, target.path, target.credentials, target.place


@given(
    st.sampled_from(
        ["h", "127.0.0.1:99", "[::1]:8", "A.b:080", "x:y", "h:99999", "xn--a", "xn--.", ":80", "u:p@h", "h:"]
    ),
    st.lists(st.sampled_from(["/", "..", ".", "a", "?", "x=1", "&", "@", ":", "%41", "%", "~", "é", "#", " ", "\\"])),
)
def test_a_url_that_is_read_quickly_is_read_as_any_other(authority: str, rest: list[str]) -> None:
    text = f"http://{authority}{''.join(rest)}"
    assert outcome(text, parsed) == outcome(text, whole)


@pytest.mark.parametrize("text", ["http://h:8/a/b?c=/d", "https://[::1]/", "http://1.2.3.4/..a/b."])
def test_usual_urls_are_read_quickly(text: str) -> None:
    whole.cache_clear()
    target = parsed(text)
    assert parsed(text + "x").origin == target.origin
    assert whole.cache_info().misses == 1  # of the origin
