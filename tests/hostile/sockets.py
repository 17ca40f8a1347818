"""Websockets: handshakes that are wrong, and frames that are wrong on one that is open (RFC 6455)."""

import struct

from .shape import API, Frames, Group, Input, get, one, post, request
from .talk import masked

KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
VERSION = b"Sec-WebSocket-Version: 13"
UPGRADE = (b"Upgrade: websocket", b"Connection: Upgrade")
EVENTS = API + b"/events/"
PROTOCOL, INVALID, TOO_BIG, ORDERLY = 1002, 1007, 1009, 1000
CUT = 0  # ended without a close
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
BLANK = b"\0\0\0\0"


def shake(*fields: bytes, path: bytes = EVENTS) -> bytes:
    return get(path, *UPGRADE, *fields)


def handshakes() -> list[Input]:
    whole = (KEY, VERSION)
    early = {
        "text": masked(TEXT, b"hello"),
        "a close": masked(CLOSE, b"\x03\xe8"),
        "pings": masked(PING, b"") * 500,
        "garbage": b"\xff" * 200,
        "a request": get(b"/healthz"),
    }
    keys = [b"", b"x", b"!!!!", b"A" * 10_000, b"AAAAAAAAAAAAAAAAAAAAAA", b"AAAA", b"\xff\xfe"]
    versions = [b"", b"0", b"7", b"8", b"12", b"14", b"255", b"-13", b"13, 13", b"x", b"13.0", b"9" * 5_000]
    return [
        one("no key", shake(VERSION), 400),
        one("no version", shake(KEY), {400, 426}),
        one("two keys", shake(KEY, *whole), {400, 101}),
        *(one(f"key {key[:24]!r}", shake(b"Sec-WebSocket-Key: " + key, VERSION), {101, 400}) for key in keys),
        *(one(f"version {v[:20]!r}", shake(KEY, b"Sec-WebSocket-Version: " + v), {400, 426}) for v in versions),
        *(one(f"handshake, and {name} at once", shake(*whole) + data, 400, "closed") for name, data in early.items()),
        one("by POST", post(EVENTS, b"", *UPGRADE, *whole), {400, 405}),
        one("by HEAD", request(b"HEAD /api/v1/events/ HTTP/1.1", *UPGRADE, *whole), {200, 400}, is_head=True),
        one("in 1.0", request(b"GET /api/v1/events/ HTTP/1.0", *UPGRADE, *whole), {400}),
        one("with a body", get(EVENTS, *UPGRADE, *whole, b"Content-Length: 5") + b"hello", {400}),
        one("with chunks", get(EVENTS, *UPGRADE, *whole, b"Transfer-Encoding: chunked") + b"0\r\n\r\n", {400}),
        one("at nothing", shake(*whole, path=b"/nope"), 404),
        one("at a plain route", shake(*whole, path=API + b"/job/"), 405),
        one("at the page", shake(*whole, path=b"/"), 400),
        one("from another origin", shake(*whole, b"Origin: http://evil.example"), 403),
        one("from no origin", shake(*whole, b"Origin: null"), 403),
        one("across sites", shake(*whole, b"Sec-Fetch-Site: cross-site"), 403),
        one("under another name", shake(*whole).replace(b"Host: localhost", b"Host: evil.example"), 403),
        one("wrong filters", shake(*whole, path=EVENTS + b"?type=nothing"), 400),
        one("upgrade without connection", get(EVENTS + b"?type=x", b"Upgrade: websocket", *whole), 400),
        one("connection without upgrade", get(EVENTS + b"?type=x", b"Connection: Upgrade", *whole), 400),
    ]


def frames() -> list[Frames]:
    wrong: list[tuple[str, bytes | tuple[bytes, ...], set[int]]] = [
        ("no mask", b"\x81\x05hello", {PROTOCOL, CUT}),
        ("an empty frame without a mask", b"\x81\x00", {PROTOCOL, CUT}),
        *(
            (f"reserved bit {bit:#x}", masked(TEXT | bit, b"hello"), {PROTOCOL, CUT})
            for bit in (0x40, 0x20, 0x10, 0x70)
        ),
        *(
            (f"opcode {code:#x}", masked(0x80 | code, b"hello"), {PROTOCOL, CUT})
            for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        ),
        ("a ping in parts", masked(0x09, b"x"), {PROTOCOL, CUT}),
        ("a close in parts", masked(0x08, b"\x03\xe8"), {PROTOCOL, CUT}),
        ("a pong in parts", masked(0x0A, b"x"), {PROTOCOL, CUT}),
        ("a ping of 126 bytes", masked(PING, b"x" * 126), {PROTOCOL, CUT}),
        ("a close of 126 bytes", masked(CLOSE, b"\x03\xe8" + b"x" * 124), {PROTOCOL, CUT}),
        ("a pong of 64 KB", masked(PONG, b"x" * 65_536), {PROTOCOL, CUT}),
        ("a continuation of nothing", masked(0x80, b"x"), {PROTOCOL, CUT}),
        ("a message within another", masked(0x01, b"a") + masked(TEXT, b"b"), {PROTOCOL, CUT}),
        ("a length in more bytes than it needs", b"\x81\xfe\x00\x05" + BLANK + b"hello", {PROTOCOL, CUT}),
        ("a length in eight bytes for five", b"\x81\xff" + b"\0" * 7 + b"\x05" + BLANK + b"hello", {PROTOCOL, CUT}),
        ("a length of 2^63", b"\x82\xff" + b"\xff" * 8 + BLANK, {PROTOCOL, TOO_BIG, CUT}),
        ("text that is not UTF-8", masked(TEXT, b"\xff\xfe"), {INVALID, CUT}),
        ("text with half of a pair", masked(TEXT, b"\xed\xa0\x80"), {INVALID, CUT}),
        ("text that is overlong", masked(TEXT, b"\xc0\xaf"), {INVALID, CUT}),
        ("text that breaks off", masked(TEXT, b"\xe2\x82"), {INVALID, CUT}),
        ("text above all", masked(TEXT, b"\xf4\x90\x80\x80"), {INVALID, CUT}),
        ("text whose parts are not UTF-8", masked(0x01, b"\xe2\x82") + masked(0x80, b"\xff"), {INVALID, CUT}),
        ("a close of one byte", masked(CLOSE, b"\x03"), {PROTOCOL, CUT}),
        ("a close that says no UTF-8", masked(CLOSE, b"\x03\xe8\xff"), {INVALID, CUT}),
        *(
            (f"a close with code {code}", masked(CLOSE, struct.pack(">H", code)), {PROTOCOL, CUT})
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        ),
        ("a message that is too long", masked(BINARY, b"x" * 65_535) * 3, {TOO_BIG}),
        ("a message that is too long, of parts", masked(0x02, b"x" * 900) + masked(0, b"x" * 900) * 100, {TOO_BIG}),
        ("a text that is too long", masked(TEXT, "ä".encode() * 40_000), {TOO_BIG}),
        ("HTTP", get(b"/healthz"), {PROTOCOL, CUT}),
        ("zeros", b"\0" * 1_000, {PROTOCOL, CUT}),
        ("high bytes", b"\xff" * 1_000, {PROTOCOL, CUT}),
    ]
    right: list[tuple[str, bytes | tuple[bytes, ...], set[int]]] = [
        *(
            (f"a close with code {code}", masked(CLOSE, struct.pack(">H", code)), {code})
            for code in (1000, 1001, 1003, 3000, 4999)
        ),
        ("a close without a code", masked(CLOSE, b""), {1005, ORDERLY}),
        ("text after a close", masked(CLOSE, b"\x03\xe8") + masked(TEXT, b"hello"), {ORDERLY}),
        ("a flood of closes", masked(CLOSE, b"\x03\xe8") * 2_000, {ORDERLY}),
        ("text", masked(TEXT, b'{"type":"subscribe"}'), set()),
        ("an empty text", masked(TEXT, b""), set()),
        ("binary", masked(BINARY, bytes(range(256))), set()),
        ("text by a mask", masked(TEXT, b"hello", b"\x01\xff\x80\x7f"), set()),
        (
            "text in parts, with pings between",
            masked(1, b"a") + masked(PING, b"x") + masked(0, b"b") + masked(0x80, b""),
            set(),
        ),
        ("a thousand empty parts", masked(1, b"") + masked(0, b"") * 1_000 + masked(0x80, b""), set()),
        ("a thousand texts", masked(TEXT, b"x") * 1_000, set()),
        ("a flood of pings", masked(PING, b"x" * 125) * 3_000, set()),
        ("a flood of pongs that nobody asked for", masked(PONG, b"x" * 125) * 3_000, set()),
        ("a text byte by byte", tuple(bytes([byte]) for byte in masked(TEXT, b"hello")), set()),
        ("a character over two parts", masked(1, b"\xe2\x82") + masked(0x80, b"\xac"), set()),
    ]
    return [
        Frames(name, (data,) if isinstance(data, bytes) else data, frozenset(codes))
        for name, data, codes in wrong + right
    ]


HANDSHAKES = Group("websocket handshakes", [*handshakes()], 64)
"""Those that are refused keep their connection for the time of a head."""
GROUPS = [Group("websocket frames", [*frames()])]
