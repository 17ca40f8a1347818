"""What may take the short way: never anything that h11 would refuse, or read otherwise."""

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.web.shortway import head_of

from .server import request
from .test_guard import JOB, PACKETS

PLAIN = [
    request(),
    request(b"GET /api/v1/job/?limit=5&after=%41 HTTP/1.1", b"Accept: */*", b"User-Agent: curl/8 (x; y)"),
    request(b"POST /api/v1/job/ HTTP/1.1", b"Content-Length: %d" % len(JOB), body=JOB),
    request(b"POST /api/v1/job/ HTTP/1.1", b"Content-Length: 0", b"Connection: keep-alive"),
    request(b"DELETE /api/v1/job/x/ HTTP/1.1", b"X:", b"Y: \t a\tb  c \t"),
    request(b"PATCH /x HTTP/1.1", b'If-Match: "1"', b"content-length:2", body=b"{}"),
]
ODD = [
    request(b"HEAD / HTTP/1.1"),
    request(b"GET / HTTP/1.0"),
    request(b"GET http://localhost/ HTTP/1.1"),
    request(b"GET / HTTP/1.1", b"Connection: close"),
    request(b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket"),
    request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked"),
    request(b"POST / HTTP/1.1", b"Expect: 100-continue"),
    request(b"POST / HTTP/1.1", b"Content-Length: 1", b"Content-Length: 1"),
    request(b"POST / HTTP/1.1", b"Content-Length: +1"),
    request(b"POST / HTTP/1.1", b"Content-Length: 1, 1"),
    request(b"POST / HTTP/1.1", b"Content-Length : 1"),
    request(b"GET / HTTP/1.1", b"Host: twice"),
    request(b"GET / HTTP/1.1", b"X: \xe4"),
    request(b"GET / HTTP/1.1", b"X: a", b" folded"),
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n",
]


def by_h11(data: bytes) -> tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]:
    """The first request in `data`, which must be whole. Raises `h11.RemoteProtocolError`."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    head, body = connection.next_event(), b""
    assert isinstance(head, h11.Request)
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return head.method, head.target, list(head.headers), body


def agrees(data: bytes) -> None:
    head = head_of(data)
    if head is None or len(data) < head.end:
        return
    method, target, headers, body = by_h11(data)
    assert (head.method.encode(), head.target, head.headers) == (method, target, headers)
    assert data[head.start : head.end] == body


@pytest.mark.parametrize("data", PLAIN)
def test_plain_requests_take_it(data: bytes) -> None:
    head = head_of(data)
    assert head is not None
    assert head.end == len(data)
    agrees(data)


@pytest.mark.parametrize("data", ODD)
def test_others_do_not(data: bytes) -> None:
    assert head_of(data) is None


@pytest.mark.parametrize("packets", [case[1] for case in PACKETS], ids=[case[0] for case in PACKETS])
def test_what_takes_it_is_what_h11_reads(packets: list[bytes]) -> None:
    agrees(b"".join(packets))


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(PLAIN),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.sampled_from(b"\r\n\t :;,x/0\0\xff%G")), max_size=4),
)
def test_however_a_plain_one_is_bent(data: bytes, changes: list[tuple[int, int, int]]) -> None:
    for at, removed, added in changes:
        data = data[:at] + bytes([added]) + data[at + removed :]
    agrees(data)
