"""TLS: what is no handshake, or stops in one. Each is closed without an answer of HTTP."""

from typing import NamedTuple

from .shape import get
from .sockets import shake

HELLO = bytes.fromhex(
    "16030100f8010000f40303000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "20e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff0008130213031301"
)
"""The beginning of a ClientHello that is longer."""


class Raw(NamedTuple):
    """Bytes on a connection where TLS is spoken."""

    name: str
    data: bytes


def record(kind: int, data: bytes, version: bytes = b"\3\3", size: int | None = None) -> bytes:
    """A record; `size` is a length that is not that of its data."""
    return bytes([kind]) + version + (len(data) if size is None else size).to_bytes(2, "big") + data


ALERT, HANDSHAKE, DATA, CHANGE, HEARTBEAT = 21, 22, 23, 20, 24
INPUTS = [
    Raw("nothing", b""),
    Raw("a byte", b"\x16"),
    Raw("a record's head", HELLO[:5]),
    Raw("half a hello", HELLO),
    *(Raw(f"a hello, cut at {at}", HELLO[:at]) for at in (1, 3, 4, 6, 9, 11, 43, 60)),
    Raw("plain HTTP", get(b"/healthz")),
    Raw("a plain handshake of a websocket", shake()),
    Raw("a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Raw("zeros", b"\0" * 2_000),
    Raw("high bytes", b"\xff" * 2_000),
    Raw("SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\1" * 40),
    Raw("SSL 3", record(HANDSHAKE, b"\1\0\0\x26\3\0" + b"\0" * 36, b"\3\0")),
    Raw("an empty record", record(HANDSHAKE, b"")),
    Raw("a flood of empty records", record(HANDSHAKE, b"") * 20_000),
    Raw("a record of 64 KB", record(HANDSHAKE, b"\1" * 65_535)),
    Raw("a record that is longer than it says", record(HANDSHAKE, HELLO, size=9)),
    Raw("a hello of 16 MB", record(HANDSHAKE, b"\1\xff\xff\xff" + b"x" * 16_000) * 60),
    Raw("a hello of nothing", record(HANDSHAKE, b"\1\0\0\0")),
    Raw("a hello by bytes", b"".join(record(HANDSHAKE, bytes([byte])) for byte in HELLO[5:])),
    Raw("a hello of the server's", record(HANDSHAKE, b"\2\0\0\x46" + b"\0" * 70)),
    Raw("the end of a handshake first", record(HANDSHAKE, b"\x14\0\0\x0c" + b"\0" * 12)),
    Raw("an alert", record(ALERT, b"\2\x28")),
    Raw("a flood of warnings", record(ALERT, b"\1\0") * 5_000),
    Raw("a change of ciphers", record(CHANGE, b"\1")),
    Raw("data first", record(DATA, b"x" * 1_000)),
    Raw("a heartbeat", record(HEARTBEAT, b"\1\x40\0x")),
    Raw("a record of no kind", record(99, b"x")),
]
