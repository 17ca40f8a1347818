"""What an input is: the bytes, and what is right to come of them."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

End = Literal["open", "closed", "either"]
API = b"/api/v1"
HOST = b"Host: localhost"
JOB = b'{"name":"hostile","command":"true","schedule":"R/9000-01-01T00:00:00Z/P1D"}'


class Input(NamedTuple):
    """`packets` are sent one after another. Of `answers` each is the statuses that the answer in its place may have,
    and there must be no more and no less. `end`: whether the connection must take a further request then, or must have
    been closed. `is_head`: answers have no body."""

    name: str
    packets: tuple[bytes, ...]
    answers: tuple[frozenset[int], ...]
    end: End = "either"
    is_head: bool = False


class Frames(NamedTuple):
    """What is sent on a websocket that is open. `codes` are those with which the server may close, 0: it ends without
    one; when there are none, it must stay open."""

    name: str
    packets: tuple[bytes, ...]
    codes: frozenset[int]


class HangUp(NamedTuple):
    """Bytes after which the peer goes: it ends its side, and reads what comes until the end; or it resets."""

    name: str
    data: bytes
    resets: bool
    answers: frozenset[int]  # those that may come before the end, beside none at all


class Group(NamedTuple):
    """Inputs of one kind, of which so many are on at once."""

    name: str
    inputs: list[Input | Frames | HangUp]
    at_once: int = 32


def one(
    name: str,
    data: bytes | Iterable[bytes],
    statuses: int | Iterable[int],
    end: End = "either",
    *,
    is_head: bool = False,
) -> Input:
    """An input that has one answer; with no statuses, it is closed without one."""
    expected = {statuses} if isinstance(statuses, int) else set(statuses)
    packets = (data,) if isinstance(data, bytes) else tuple(data)
    return Input(name, packets, (frozenset(expected),) if expected else (), end, is_head)


def several(name: str, data: bytes | Iterable[bytes], statuses: Iterable[int], end: End = "either") -> Input:
    """An input that has an answer for each of the statuses, in their order."""
    packets = (data,) if isinstance(data, bytes) else tuple(data)
    return Input(name, packets, tuple(frozenset({status}) for status in statuses), end)


def request(line: bytes = b"GET /healthz HTTP/1.1", *fields: bytes, body: bytes = b"", host: bytes = HOST) -> bytes:
    """A request of these lines."""
    return b"\r\n".join([line, host, *fields, b"", body])


def get(path: bytes, *fields: bytes) -> bytes:
    return request(b"GET %s HTTP/1.1" % path, *fields)


def post(path: bytes, body: bytes, *fields: bytes, method: bytes = b"POST") -> bytes:
    """A request with a body of known length."""
    return request(b"%s %s HTTP/1.1" % (method, path), b"Content-Length: %d" % len(body), *fields, body=body)


def chunked(*chunks: bytes, path: bytes = API + b"/job/", fields: tuple[bytes, ...] = ()) -> bytes:
    """A request whose body comes in these, as they are."""
    line = b"POST %s HTTP/1.1" % path
    return request(line, b"Transfer-Encoding: chunked", *fields, body=b"".join(chunks))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def shown(data: bytes) -> str:
    """Bytes for a name."""
    return repr(data)[2:-1][:40]


def table(make: Callable[[bytes], bytes], rows: Iterable[tuple[bytes, int | set[int], End]], what: str) -> list[Input]:
    """An input for each row: what is put into `make`, and what comes of it."""
    return [one(f"{what}: {shown(part)}", make(part), statuses, end) for part, statuses, end in rows]
