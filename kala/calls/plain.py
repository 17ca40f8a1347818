"""Plain HTTP/1.1, written and read as one piece: what most requests and answers are.

Whatever is not plain is left to h11, which takes ten times as long, and comes to the same about what is plain.
"""

import re

Headers = list[tuple[bytes, bytes]]

NAME = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
VALUE = rb"(?:[!-~\x80-\xff]+(?:[ \t]+[!-~\x80-\xff]+)*)?"
# A connection that is to end or to become another, and the length of a body, which is ours to say.
SPECIAL = rb"(?i:host|content-length|transfer-encoding|connection|upgrade|expect|trailer)"
HEADER = rb"(?!%b:)%b: %b\r\n" % (SPECIAL, NAME, VALUE)
REQUEST = re.compile(rb"(?!CONNECT )%b [!-~]+ HTTP/1\.1\r\nHost: %b\r\n(?:%b)*" % (NAME, VALUE, HEADER))
TEXT = rb"[\t -~\x80-\xff]*"
ANSWER = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: %b)?\r\n((?:%b:%b\r\n)*)\r\n" % (TEXT, NAME, TEXT))
DECIDING = frozenset({b"content-length", b"transfer-encoding", b"connection", b"upgrade"})
DIGITS = re.compile(rb"[0-9]{1,18}")


def request(method: bytes, path: bytes, host: bytes, headers: Headers, body: bytes) -> bytes | None:
    """A request; None when it is not a plain one."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    head = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b" % (method, path, host, lines)
    if REQUEST.fullmatch(head) is None or head.count(b"\n") != len(headers) + 2:
        return None
    if has_length(method, body):
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    return head + b"\r\n"


def has_length(method: bytes, body: bytes) -> bool:
    """Whether a request says how long its body is: RFC 9110, 8.6."""
    return bool(body) or method in {b"POST", b"PUT", b"PATCH"}


def answer(data: bytes) -> tuple[int, Headers, bytes] | None:
    """Status, headers with names in lower case, and body of an answer to another request than HEAD or CONNECT that
    came in one piece, after which the connection goes on; None when it is not such a one."""
    if (match := ANSWER.match(data)) is None:
        return None
    status, headers, length = int(match[1]), [], -1
    for line in match[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in DECIDING:
            if name == b"content-length" and length < 0 and DIGITS.fullmatch(value):
                length = int(value)
            elif name != b"connection" or value.lower() != b"keep-alive":
                return None
        headers.append((name, value))
    if status in {204, 304} or length < 0 or match.end() + length != len(data):
        return None
    return status, headers, data[match.end() :]
