"""HTTP/2, which is not spoken here: whatever its client sends is refused at once, and costs nothing (RFC 9113)."""

from .shape import API, JOB, Group, Input, get, one, post, request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
BLOCK = b"\x82\x84\x86\x41\x09localhost"
"""GET / by HPACK's static table."""


def frame(kind: int, flags: int = 0, stream: int = 0, data: bytes = b"", size: int | None = None) -> bytes:
    """A frame; `size` is a length that is not that of its data."""
    length = len(data) if size is None else size
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + data


FRAMES: list[tuple[str, bytes]] = [
    ("the preface alone", b""),
    ("settings", frame(SETTINGS)),
    ("settings acknowledged", frame(SETTINGS, 1)),
    ("settings that are too long", frame(SETTINGS, 0, 0, b"\0\3" + b"\xff" * 4 + b"x")),
    ("settings on a stream", frame(SETTINGS, 0, 1)),
    ("a flood of settings", frame(SETTINGS, 0, 0, b"\0\1\0\0\x10\0") * 5_000),
    ("a flood of pings", frame(PING, 0, 0, b"12345678") * 5_000),
    ("a flood of priorities", frame(PRIORITY, 0, 1, b"\0\0\0\0\1") * 5_000),
    ("a flood of window updates", frame(WINDOW, 0, 0, b"\0\0\0\1") * 5_000),
    ("a flood of empty data", frame(SETTINGS) + frame(DATA, 0, 1) * 5_000),
    ("a flood of empty headers", frame(SETTINGS) + frame(HEADERS, 0, 1) * 5_000),
    (
        "rapid reset",
        b"".join(frame(HEADERS, 5, n, BLOCK) + frame(RESET, 0, n, b"\0\0\0\x08") for n in range(1, 4_001, 2)),
    ),
    ("continuations without end", frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, 0, 1, b"x" * 100) * 1_000),
    ("a continuation of nothing", frame(CONTINUATION, 4, 1, BLOCK)),
    ("a request", frame(SETTINGS) + frame(HEADERS, 5, 1, BLOCK)),
    ("a request on stream 0", frame(SETTINGS) + frame(HEADERS, 5, 0, BLOCK)),
    ("a request on an even stream", frame(SETTINGS) + frame(HEADERS, 5, 2, BLOCK)),
    ("a request with padding that is too long", frame(HEADERS, 13, 1, b"\xff" + BLOCK)),
    ("HPACK that refers to nothing", frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\x0f")),
    ("a table of HPACK that grows", frame(HEADERS, 5, 1, b"\x3f\xe1\xff\xff\xff\x07")),
    ("a bomb of HPACK", frame(HEADERS, 5, 1, b"\x40\x01a\x7f\x80\x1f" + b"a" * 4_000 + b"\xbe" * 8_000)),
    ("an endless Huffman code", frame(HEADERS, 5, 1, b"\x00\x81\xff\x81\xff")),
    ("a push", frame(PUSH, 4, 1, b"\0\0\0\2" + BLOCK)),
    ("goaway", frame(GOAWAY, 0, 0, b"\0" * 8)),
    ("a reset of stream 0", frame(RESET, 0, 0, b"\0" * 4)),
    ("a window that overflows", frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2),
    ("a window of nothing", frame(WINDOW, 0, 0, b"\0" * 4)),
    ("a frame of 16 MB", frame(DATA, 0, 1, b"x" * 1_000, size=(1 << 24) - 1)),
    ("a frame of an unknown kind", frame(0xEE, 0xFF, 0x7FFFFFFF, b"x" * 100)),
    ("a frame that breaks off", b"\0\0\xff\x04"),
    ("data on a stream that is none", frame(DATA, 1, 99, b"x")),
    ("a flood of streams", b"".join(frame(HEADERS, 4, n, BLOCK) for n in range(1, 4_001, 2))),
    ("bytes that are no frames", bytes(range(256)) * 20),
    ("HTTP/1.1", get(b"/healthz")),
    ("the preface again", PREFACE * 100),
]


def upgrade(settings: bytes, *further: bytes) -> tuple[bytes, ...]:
    return (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: " + settings, *further)


def upgrades() -> list[Input]:
    known = [b"AAMAAABkAAQAAP__", b"", b"!!!", b"A", b"x" * 10_000, b"AAMAAABk\r\nHTTP2-Settings: AAMAAABk", b"\xff"]
    after = [
        ("settings", frame(SETTINGS)),
        ("a request", frame(HEADERS, 5, 3, BLOCK)),
        ("a flood", frame(PING) * 1_000),
    ]
    return [
        *(one(f"h2c by {settings[:20]!r}", get(b"/healthz", *upgrade(settings)), 200) for settings in known),
        one("h2c with a body", post(API + b"/job/", JOB, *upgrade(known[0])), 201),
        one("h2c and a bad body", post(API + b"/job/", b"{}", *upgrade(known[0])), 400),
        one("h2c by OPTIONS *", request(b"OPTIONS * HTTP/1.1", *upgrade(known[0])), 404),
        *(
            Input(
                f"h2c, then {name}",
                (get(b"/healthz", *upgrade(known[0])), PREFACE + data),
                (frozenset({200}), frozenset({505})),
                "closed",
            )
            for name, data in after
        ),
        *(
            Input(
                f"h2c and {name} at once",
                (get(b"/healthz", *upgrade(known[0])) + PREFACE + data,),
                (frozenset({200}), frozenset({505})),
                "closed",
            )
            for name, data in after
        ),
    ]


def prefaces() -> list[Input]:
    cut = [
        one(f"the preface in two packets, at {at}", [PREFACE[:at], PREFACE[at:]], 505, "closed")
        for at in (1, 3, 10, 18, 20)
    ]
    odd = [b"PRI * HTTP/2.0\r\n\r\n", b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0\r\nHost: localhost\r\n\r\n"]
    return [
        *(one(f"preface, then {name}", PREFACE + data, 505, "closed") for name, data in FRAMES),
        *(one(f"preface, and later {name}", [PREFACE, data], 505, "closed") for name, data in FRAMES if data),
        *(one(f"a preface that is {data!r}", data, 505, "closed") for data in odd),
        *cut,
        *(one(f"{name}, without a preface", data + b"\r\n\r\n", 400, "closed") for name, data in FRAMES[1:24]),
    ]


GROUPS = [Group("HTTP/2", [*prefaces(), *upgrades()])]
