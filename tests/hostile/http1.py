"""HTTP/1.1 with something wrong, or just allowed, in each of its parts (RFC 9110, 9112)."""

from .shape import API, HOST, JOB, Group, Input, chunk, chunked, get, one, post, request, several, table

BAD, FINE = {400}, {200}
LARGE = 70_000  # bytes: more than a head may have
CREATE = b"POST /api/v1/job/ HTTP/1.1"
HIDDEN = b"GET /api/v1/hidden/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A request that must not be seen where it stands within another's body."""


def request_lines() -> list[Input]:
    bad = [
        b"",
        b" ",
        b"GET",
        b"GET ",
        b"GET /",
        b"GET / ",
        b"GET  /healthz HTTP/1.1",
        b"GET /healthz  HTTP/1.1",
        b"GET\t/healthz\tHTTP/1.1",
        b"GET /healthz HTTP/1.1 ",
        b"GET /healthz HTTP/1.1 x",
        b" GET /healthz HTTP/1.1",
        b"GET /heal thz HTTP/1.1",
        b"G\0T /healthz HTTP/1.1",
        b"GET /heal\0thz HTTP/1.1",
        b"GET /healthz\rX HTTP/1.1",
        b"GET /healthz HTTP/1.1\rX: y",
        b"G(T /healthz HTTP/1.1",
        b"GET: /healthz HTTP/1.1",
        b"\xefGET /healthz HTTP/1.1",
        b"\xef\xbb\xbfGET /healthz HTTP/1.1",
        b"GET /\xe4 HTTP/1.1",
        b"GET /\xc3\xa4 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\x1b[2J HTTP/1.1",
        b"HTTP/1.1 200 OK",
        b"GET /healthz HTTP",
        b"GET /healthz HTTP/",
        b"GET /healthz HTTP/1",
        b"GET /healthz HTTP/1.",
        b"GET /healthz HTTP/.1",
        b"GET /healthz HTTP/1.1.1",
        b"GET /healthz HTTP/11.1",
        b"GET /healthz HTTP/1.10",
        b"GET /healthz HTTP/-1.1",
        b"GET /healthz HTTP/a.b",
        b"GET /healthz http/1.1",
        b"GET /healthz HTTPS/1.1",
        b"GET /healthz RTSP/1.0",
        b"GET /healthz HTTP 1.1",
        b"GET /healthz HTTP/1,1",
        b"GET /healthz HTTP/\xd9\xa1.\xd9\xa1",
        b"SSH-2.0-OpenSSH_9.2",
        b"EHLO localhost",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"{}",
    ]
    other = [b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/9.9", b"HTTP/1.2", b"HTTP/0.0", b"HTTP/2.1"]
    lines = [one(f"line: {line!r}", request(line), BAD, "closed") for line in bad]
    lines += [one(f"version: {one_!r}", request(b"GET /healthz " + one_), 505, "closed") for one_ in other]
    return [
        *lines,
        one("version 1.0", request(b"GET /healthz HTTP/1.0"), FINE, "closed"),
        one("version 1.0, kept alive", request(b"GET /healthz HTTP/1.0", b"Connection: keep-alive"), FINE),
        one("HTTP/0.9's line", b"GET /healthz\r\n\r\n", BAD, "closed"),
        one("newlines before", b"\r\n\r\n" + get(b"/healthz"), {200, 400}),
        one("many newlines before", b"\r\n" * 40_000, {400, 431}, "closed"),
        one("bare newlines", b"GET /healthz HTTP/1.1\nHost: localhost\n\n", {200, 400}),
        one("bare returns", b"GET /healthz HTTP/1.1\rHost: localhost\r\r" + b"\r\n\r\n", BAD, "closed"),
        one("zeros", b"\0" * 4_000, BAD, "closed"),
        one("high bytes", b"\xff" * 4_000 + b"\r\n\r\n", BAD, "closed"),
    ]


def methods() -> list[Input]:
    return [
        *table(
            lambda method: request(method + b" /api/v1/job/ HTTP/1.1"),
            [
                (b"TRACE", {405}, "either"),
                (b"TRACK", {405}, "either"),
                (b"PROPFIND", {405}, "either"),
                (b"get", {200}, "open"),
                (b"Get", {200}, "open"),
                (b"PUT", {405}, "either"),
                (b"DELETE", {405}, "either"),
                (b"QUERY", {405}, "either"),
                (b"X" * 1_000, {405}, "either"),
                (b"X" * LARGE, {431}, "closed"),
                (b"!#$%&'*+-.^_`|~09", {405}, "either"),
                (b"OPTIONS", {204}, "open"),
                (b"PRI", {405, 505}, "either"),
            ],
            "method",
        ),
        one("HEAD", request(b"HEAD /api/v1/job/ HTTP/1.1"), FINE, "open", is_head=True),
        one("HEAD of nothing", request(b"HEAD /nope HTTP/1.1"), 404, "open", is_head=True),
        one("HEAD of events", request(b"HEAD /api/v1/events/ HTTP/1.1"), FINE, is_head=True),
        one("GET with a body", request(b"GET /healthz HTTP/1.1", b"Content-Length: 5", body=b"GET /"), FINE, "open"),
        one("DELETE with a body", post(API + b"/job/nope/", HIDDEN, method=b"DELETE"), 404, "open"),
        one("CONNECT", request(b"CONNECT example.org:443 HTTP/1.1"), 404, "open"),
        one("CONNECT without a name", request(b"CONNECT / HTTP/1.1"), 405, "open"),
        several(
            "CONNECT and what it would tunnel", request(b"CONNECT localhost:1 HTTP/1.1") + HIDDEN, (404, 404), "open"
        ),
        one("a batch by two slashes", post(b"//api/v1/job/batch/", b"[]"), 404, "open"),
        one(
            "a batch in small letters",
            request(b"post /api/v1/job/batch/ HTTP/1.1", b"Content-Length: 2", body=b"[]"),
            200,
        ),
        one("X-HTTP-Method-Override", post(API + b"/job/all/", b"", b"X-HTTP-Method-Override: DELETE"), 405, "open"),
    ]


def targets() -> list[Input]:
    return table(
        lambda target: request(b"GET " + target + b" HTTP/1.1"),
        [
            (b"*", {404}, "open"),
            (b"?", {404}, "open"),
            (b"#", {404}, "open"),
            (b"healthz", {404}, "open"),
            (b"//healthz", {404}, "open"),
            (b"//localhost/healthz", {404}, "open"),
            (b"//api/v1/job/batch/", {404}, "open"),
            (b"http://localhost//api/v1/job/batch/", {404}, "open"),
            (b"/%2fapi/v1/job/", {404}, "open"),
            (b"/healthz//", {200}, "open"),
            (b"/healthz#fragment", {404}, "open"),
            (b"/healthz?", {200}, "open"),
            (b"/healthz??&&==", {200}, "open"),
            (b"/healthz?%", {200}, "open"),
            (b"/healthz?%zz=%f", {200}, "open"),
            (b"/healthz/../healthz", {404}, "open"),
            (b"/../../../../etc/passwd", {404}, "open"),
            (b"/webui/static/../../../../../etc/passwd", {404}, "open"),
            (b"/webui/static/..%2f..%2f..%2fetc%2fpasswd", {404}, "open"),
            (b"/webui/static/%2e%2e/%2e%2e/etc/passwd", {404}, "open"),
            (b"/webui/static/..\\..\\etc\\passwd", {404}, "open"),
            (b"/webui/static/....//....//etc/passwd", {404}, "open"),
            (b"/webui/static/%252e%252e%252fetc", {404}, "open"),
            (b"/webui/static//etc/passwd", {404}, "open"),
            (b"/webui/static/app.js%00.png", {404}, "open"),
            (b"/%", {404}, "open"),
            (b"/%0", {404}, "open"),
            (b"/%zz", {404}, "open"),
            (b"/%00", {404}, "open"),
            (b"/%0d%0aX:%20y", {404}, "open"),
            (b"/%c0%ae%c0%ae/", {404}, "open"),
            (b"/%c0%af", {404}, "open"),
            (b"/%e0%80%af", {404}, "open"),
            (b"/%f0%80%80%af", {404}, "open"),
            (b"/%ed%a0%80", {404}, "open"),
            (b"/%f4%90%80%80", {404}, "open"),
            (b"/%ff%fe", {404}, "open"),
            (b"/%u0041", {404}, "open"),
            (b"/api/v1/job/%2e%2e/", {404}, "open"),
            (b"/api%2fv1%2fjob%2f", {200}, "open"),
            (b"/api/v1/job/%2f/", {404}, "open"),
            (b"/api/v1/job/a;b=c/", {404}, "open"),
            (b"/api/v1/job/" + b"a" * 40_000 + b"/", {404}, "open"),
            (b"/" + b"a/" * 20_000, {404}, "open"),
            (b"/" + b"%2f" * 15_000, {404}, "open"),
            (b"/" + b"a" * LARGE, {431}, "closed"),
            (b"http://localhost/healthz", {200}, "open"),
            (b"HTTP://localhost/healthz", {200}, "open"),
            (b"http://evil.example/healthz", {200}, "open"),
            (b"http://localhost", {404, 200, 302}, "open"),
            (b"http://", {404}, "open"),
            (b"http://[", {404}, "open"),
            (b"http://[::1/healthz", {404}, "open"),
            (b"http://a@b:c@localhost:99999/healthz", {200, 404}, "open"),
            (b"ftp://localhost/healthz", {404}, "open"),
            (b"file:///etc/passwd", {404}, "open"),
            (b"javascript:alert(1)", {404}, "open"),
            (b"localhost:80", {404}, "open"),
            (b"<script>alert(1)</script>", {404}, "open"),
        ],
        "target",
    )


def hosts() -> list[Input]:
    rows = table(
        lambda host: request(b"GET /api/v1/stats/ HTTP/1.1", host=host),
        [
            (b"Host:", {400}, "either"),
            (b"Host:   ", {400}, "either"),
            (b"X: y", {400}, "either"),
            (b"Host: evil.example", {403}, "open"),
            (b"Host: localhost.evil.example", {403}, "open"),
            (b"Host: evil.example:8000", {403}, "open"),
            (b"Host: localhost@evil.example", {400}, "open"),
            (b"Host: localhost/x", {400}, "open"),
            (b"Host: local host", {400}, "open"),
            (b"Host: localhost:", {400}, "open"),
            (b"Host: localhost:x", {400}, "open"),
            (b"Host: localhost:999999", {400}, "open"),
            (b"Host: [::1", {400}, "open"),
            (b"Host: [::1%25lo]", {400}, "open"),
            (b"Host: [::ffff:127.0.0.1]", {200}, "open"),
            (b"Host: [1.2.3.4]", {200}, "open"),
            (b"Host: 0x7f000001", {403}, "open"),
            (b"Host: 2130706433", {403}, "open"),
            (b"Host: \xe4\xf6", {400}, "open"),
            (b"Host: " + b"a" * 10_000, {403}, "open"),
            (b"Host: " + b"." * 300, {403}, "open"),
            (b"Host: LOCALHOST.", {200}, "open"),
            (b"Host: localhost\r\nHost: localhost", {400}, "either"),
            (b"Host: localhost\r\nHost: evil.example", {400}, "either"),
            (b"Host: localhost\r\nX-Forwarded-Host: evil.example", {200}, "open"),
            (b"Host: localhost\r\nForwarded: host=evil.example;proto=https", {200}, "open"),
        ],
        "host",
    )
    origins = [
        b"null",
        b"http://evil.example",
        b"http://localhost.evil.example",
        b"http://localhost:1",
        b"x",
        b"http://[",
    ]
    origins += [b"file://", b"http://localhost@evil.example", b"http://localhost:99999", b"\xff"]
    create = [one(f"origin: {o!r}", post(API + b"/job/", JOB, b"Origin: " + o), 403, "open") for o in origins]
    sites = [b"cross-site", b"same-site", b"x", b"SAME-ORIGIN"]
    return rows + create + [one(f"site: {s!r}", post(API + b"/job/", JOB, b"Sec-Fetch-Site: " + s), 403) for s in sites]


def fields() -> list[Input]:
    many = [b"X-%d: y" % number for number in range(3_000)]
    return [
        *table(
            lambda field: get(b"/healthz", field),
            [
                (b"nonsense", BAD, "closed"),
                (b": y", BAD, "closed"),
                (b"X : y", BAD, "closed"),
                (b"X\t: y", BAD, "closed"),
                (b" X: y", {200, 400}, "either"),
                (b"X: a\r\n b", {200, 400}, "either"),
                (b"X: a\r\n\tb", {200, 400}, "either"),
                (b"X: a\r\n  \r\n b", {200, 400}, "either"),
                (b"X Y: z", BAD, "closed"),
                (b"X(: y", BAD, "closed"),
                (b"X\0: y", BAD, "closed"),
                (b"X: a\0b", BAD, "closed"),
                (b"X: a\rb", BAD, "closed"),
                (b"X: a\nY: b", {200, 400}, "either"),
                (b"X: a\x01b", {200}, "open"),
                (b"X: a\x7fb", {200}, "open"),
                (b"X: \x1b[31m", {200}, "open"),
                (b"\xe4: y", BAD, "closed"),
                (b"X: \xe4", {200}, "open"),
                (b"X:", {200}, "open"),
                (b"X:\t \t", {200}, "open"),
                (b"X" * 20_000 + b": y", {200}, "open"),
                (b"X: " + b"y" * 40_000, {200}, "open"),
                (b"X: " + b"y" * LARGE, {431}, "closed"),
                (b"X" * LARGE + b": y", {431}, "closed"),
                (b"\r\n".join(many[:500]), {200}, "open"),
                (b"\r\n".join([b"X: y"] * 2_000), {200}, "open"),
                (b"\r\n".join(many * 4), {431}, "closed"),
                (b"__proto__: x", {200}, "open"),
                (b"Connection: close", {200}, "closed"),
                (b"Connection: close, keep-alive", {200}, "closed"),
                (b"Connection: \xff", {200}, "open"),
                (b"Connection: Host, Content-Length", {200}, "open"),
                (b"Proxy-Connection: close", {200}, "open"),
                (b"Keep-Alive: timeout=99999999, max=99999999", {200}, "open"),
                (b"TE: trailers, deflate;q=0.5", {200}, "open"),
                (b"Trailer: Host", {200}, "open"),
                (b"Range: bytes=0-,-1,0-0,0-0", {200}, "open"),
                (b"Range: bytes=" + b"0-1," * 5_000, {200}, "open"),
                (b"Accept: " + b"*/*;q=0.1," * 4_000, {200}, "open"),
                (b"Accept: ;;;,,,q=q=", {200}, "open"),
                (b"Accept-Encoding: gzip;q=9e999, *;q=-1, ;q=", {200}, "open"),
                (b"Accept-Language: " + b"en," * 10_000, {200}, "open"),
                (b"If-Modified-Since: Thu, 99 Xxx 99999 99:99:99 GMT", {200}, "open"),
                (b"User-Agent: () { :; }; echo x", {200}, "open"),
                (b"User-Agent: ${jndi:ldap://x/a}", {200}, "open"),
                (b"X-Forwarded-For: " + b"1.1.1.1," * 4_000, {200}, "open"),
                (b"Via: 1.1 a", {200}, "open"),
                (b"Max-Forwards: 0", {200}, "open"),
                (b"Content-Type: multipart/form-data; boundary=" + b"x" * 1_000, {200}, "open"),
                (b"Content-Type: text/html; charset=\xff", {200}, "open"),
            ],
            "field",
        )
    ]


def lengths() -> list[Input]:
    rows = table(
        lambda value: request(CREATE, b"Content-Length: " + value, body=b"{}"),
        [
            (b"", BAD, "closed"),
            (b"x", BAD, "closed"),
            (b"-1", BAD, "closed"),
            (b"+2", BAD, "closed"),
            (b"2.0", BAD, "closed"),
            (b"2e0", BAD, "closed"),
            (b"0x2", BAD, "closed"),
            (b"2 ", {400}, "open"),  # blanks after a value do not belong to it; the body is a job without a name
            (b"2 2", BAD, "closed"),
            (b"2;2", BAD, "closed"),
            (b"2,3", BAD, "closed"),
            (b"1_0", BAD, "closed"),
            (b"\xb2", BAD, "closed"),
            (b"\xd9\xa2", BAD, "closed"),
            (b"9" * 20, BAD | {413}, "closed"),
            (b"9" * 19, BAD | {413}, "closed"),
            (b"9" * 4_999, BAD, "closed"),
            (b"18446744073709551616", BAD | {413}, "closed"),
            (b"18446744073709551618", BAD | {413}, "closed"),
            (b"9223372036854775808", BAD | {413}, "closed"),
            (b"4294967298", {413}, "closed"),
            (b"1048577", {413}, "closed"),
            (b"99999999999", {413}, "closed"),
            (b"2\r\nContent-Length: 3", BAD, "closed"),
            (b"2\r\nContent-Length: 0", BAD, "closed"),
            (b"2\r\nContent-Length: x", BAD, "closed"),
            (b"2\r\nContent-Length : 0", BAD, "closed"),
        ],
        "length",
    )
    same = b"Content-Length: 2\r\nContent-Length: 2"
    return [
        *rows,
        one("length: twice the same", request(CREATE, same, body=b"{}"), BAD, "either"),
        one("length: twice in one field", request(CREATE, b"Content-Length: 2, 2", body=b"{}"), BAD, "either"),
        one("length: none", request(CREATE), BAD, "open"),
        one("length: leading zeros", request(CREATE, b"Content-Length: 0000000002", body=b"{}"), BAD, "open"),
        several(
            "length: too short, and the rest", request(CREATE, b"Content-Length: 2", body=b"{}x\r\n\r\n"), (400, 400)
        ),
        one("length of a GET: too large", request(b"GET /healthz HTTP/1.1", b"Content-Length: 9999999"), 413, "closed"),
    ]


def smuggling() -> list[Input]:
    """Two framings at once: whichever is believed, a request within the body must not be answered."""
    chunks = chunk(HIDDEN) + b"0\r\n\r\n"
    inner = b"0\r\n\r\n" + HIDDEN
    encodings = [
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: CHUNKED",
        b"Transfer-Encoding:\tchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked;x=y",
        b'Transfer-Encoding: "chunked"',
        b"Transfer-Encoding: ",
        b"Transfer-Encoding: chunked\x0b",
        b"Transfer-Encoding: \x00chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b"Transfer-Encoding: x\r\n chunked",
        b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: \xc4hunked",
        b"X: y\rTransfer-Encoding: chunked",
    ]
    refused = {400, 501}
    both = [
        *(
            one(
                f"length and {shown}",
                request(CREATE, b"Content-Length: %d" % len(inner), coding, body=inner),
                refused,
                "closed",
            )
            for coding, shown in ((coding, repr(coding)) for coding in encodings)
        ),
        *(
            one(
                f"short length and {coding!r}",
                request(CREATE, b"Content-Length: 4", coding, body=chunks),
                refused,
                "closed",
            )
            for coding in encodings
        ),
    ]
    alone = [
        one(f"coding: {coding!r}", request(CREATE, coding, body=chunks), refused, "either" if n < 3 else "closed")
        for n, coding in enumerate(encodings)
    ]
    return [
        *both,
        *alone,
        one("chunks in 1.0", request(b"POST /api/v1/job/ HTTP/1.0", encodings[0], body=chunks), refused, "closed"),
        one("chunks after a bare newline", CREATE + b"\n" + HOST + b"\n" + encodings[0] + b"\n\n" + chunks, refused),
        one("a field within a chunk's end", chunked(b"2\r\n{}\r\n0\r\nContent-Length: 99\r\n\r\n"), 400, "open"),
    ]


def chunks() -> list[Input]:
    whole = chunk(b"{}")
    bad = [
        b"\r\n{}\r\n0\r\n\r\n",
        b"x\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"+2\r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"2 2\r\n{}\r\n0\r\n\r\n",
        b"2\0\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}0\r\n\r\n",
        b"2\r\n{}XX0\r\n\r\n",
        b"1\r\n{}\r\n0\r\n\r\n",
        b"\xb2\r\n{}\r\n0\r\n\r\n",
        b"f" * 100 + b"\r\n",
        b"1_0\r\n{}\r\n",
        b" 2\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nX\r\n\r\n",
        b"2\r\n{}\r\n0\r\nX : y\r\n\r\n",
        b"2\r\n{}\r\n0\r\n: y\r\n\r\n",
        b"2;" + b"x" * LARGE,
        b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 15_000,
        b"2\r\n{}\r\n0\r\nX: " + b"y" * LARGE,
        b"7fffffffffffffff\r\n" + b"x" * 1_100_000,
    ]
    fine = [
        (b"2;a=b\r\n{}\r\n0\r\n\r\n", "extension"),
        (b'2;a="b;c"\r\n{}\r\n0\r\n\r\n', "quoted extension"),
        (b"2;\r\n{}\r\n0\r\n\r\n", "empty extension"),
        (b"00000002\r\n{}\r\n0\r\n\r\n", "leading zeros"),
        (b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "single bytes"),
        (whole + b"000\r\n\r\n", "several zeros"),
        (whole + b"0\r\nX: y\r\nHost: evil.example\r\n\r\n", "trailers"),
    ]
    small = b"".join(chunk(b"%c" % byte) for byte in JOB)
    return [
        *(
            one(f"chunk: {shown_!r}", chunked(data), {400, 413, 431}, "closed")
            for data, shown_ in ((b, b[:20]) for b in bad)
        ),
        *(one(f"chunk: {name}", chunked(data), 400, "open") for data, name in fine),
        one("a chunk for each byte", chunked(small, b"0\r\n\r\n"), 201, "open"),
        one("no chunk", chunked(b"0\r\n\r\n"), 400, "open"),
        one("fifty thousand chunks", chunked(b"1\r\n \r\n" * 50_000, b"0\r\n\r\n"), 400, "open"),
        one("a body that goes on", chunked(chunk(b"x" * 65_536) * 40), 413, "closed"),
        one("a chunk size in two packets", [chunked(), b"1", b"0\r\n" + b" " * 16 + b"\r\n0\r\n\r\n"], 400, "open"),
    ]


def pipelines() -> list[Input]:
    fine, missing = get(b"/healthz"), get(b"/nope")
    return [
        several("pipeline of two", fine + missing, (200, 404), "open"),
        several("pipeline of a hundred", (fine + missing) * 50, (200, 404) * 50, "open"),
        several("pipeline and garbage", fine + b"\0\0\r\n\r\n", (200, 400), "closed"),
        several("pipeline and a bad version", fine + request(b"GET / HTTP/3.0"), (200, 505), "closed"),
        several("pipeline after a close", get(b"/healthz", b"Connection: close") + missing, (200,), "closed"),
        several("pipeline after 1.0", request(b"GET /healthz HTTP/1.0") + missing, (200,), "closed"),
        several(
            "pipeline after a close, and more",
            [get(b"/healthz", b"Connection: close") + b"\0" * 9_000, b"x" * 9_000],
            (200,),
        ),
        several("pipeline of bodies", post(API + b"/job/", b"{}") * 5 + fine, (400,) * 5 + (200,), "open"),
        several("pipeline of chunks", chunked(chunk(b"{}"), b"0\r\n\r\n") * 5 + missing, (400,) * 5 + (404,), "open"),
        several("pipeline with newlines between", fine + b"\r\n\r\n" + missing, (200, 400), "closed"),
        several(
            "pipeline over packets", [fine + missing[:9], missing[9:30], missing[30:] + fine], (200, 404, 200), "open"
        ),
        several("pipeline behind a refusal", post(b"/nope", b"x" * 100) + fine, (404, 200), "open"),
        several(
            "pipeline behind an early answer", request(CREATE, b"Content-Length: 9999999") + fine, (413,), "closed"
        ),
        several(
            "pipeline behind an upgrade to nothing",
            get(b"/healthz", b"Connection: upgrade", b"Upgrade: x") + missing,
            (200, 404),
        ),
    ]


def expectations() -> list[Input]:
    expecting = (b"Content-Length: 2",)
    return [
        one("expectation", [request(CREATE, *expecting, b"Expect: 100-continue"), b"{}"], 400, "open"),
        one("expectation, body at once", request(CREATE, *expecting, b"Expect: 100-continue", body=b"{}"), 400, "open"),
        one(
            "expectation in 1.0",
            request(b"POST /api/v1/job/ HTTP/1.0", *expecting, b"Expect: 100-continue", body=b"{}"),
            400,
        ),
        one("unknown expectation", request(CREATE, *expecting, b"Expect: 200-ok", body=b"{}"), {400, 417}),
        one("expectation twice", request(CREATE, *expecting, *[b"Expect: 100-continue"] * 2, body=b"{}"), 400),
        one(
            "expectation of too much",
            request(CREATE, b"Content-Length: 9999999", b"Expect: 100-continue"),
            413,
            "closed",
        ),
        one("expectation without a body", get(b"/healthz", b"Expect: 100-continue"), 200),
    ]


def upgrades() -> list[Input]:
    return table(
        lambda kind: get(b"/healthz", b"Connection: Upgrade", b"Upgrade: " + kind),
        [
            (b"TLS/1.0", {200}, "either"),
            (b"h2c", {200}, "either"),
            (b"HTTP/2.0", {200}, "either"),
            (b"websocket, h2c", {200, 400, 404}, "either"),
            (b"\xff", {200}, "either"),
            (b"x" * 10_000, {200}, "either"),
        ],
        "upgrade",
    )


GROUPS = [
    Group("HTTP/1.1 request lines", [*request_lines(), *methods()]),
    Group("HTTP/1.1 targets", [*targets()]),
    Group("HTTP/1.1 hosts and origins", [*hosts()]),
    Group("HTTP/1.1 fields", [*fields(), *upgrades()]),
    Group("HTTP/1.1 framing", [*lengths(), *chunks()]),
    Group("HTTP/1.1 smuggling", [*smuggling()]),
    Group("HTTP/1.1 pipelines, Expect", [*pipelines(), *expectations()]),
]
