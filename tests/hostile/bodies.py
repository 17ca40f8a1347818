"""Bodies of JSON that are no job, or nearly one; batches, imports, and bodies that are packed."""

import gzip
import json
import zlib
from typing import Any

from .shape import API, JOB, Group, Input, chunk, chunked, one, post, request

CREATE, BATCH, IMPORT, PREVIEW = (
    API + path for path in (b"/job/", b"/job/batch/", b"/job/import/", b"/schedule/preview/")
)
NDJSON = b"Content-Type: application/x-ndjson"
PLAIN: dict[str, Any] = json.loads(JOB)
MILLION = 1_000_000


def made(**members: Any) -> bytes:
    """A job with these members besides."""
    return json.dumps(PLAIN | members).encode()


def raw(text: bytes) -> bytes:
    """A job with a member that is written so."""
    return JOB[:-1] + b"," + text + b"}"


BROKEN: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("a blank", b" "),
    ("a NUL", b"\0"),
    ("a byte order mark", b"\xef\xbb\xbf" + JOB),
    ("UTF-16", JOB.decode().encode("utf-16")),
    ("UTF-32", JOB.decode().encode("utf-32")),
    ("Latin-1", '{"name":"ä"}'.encode("latin-1")),
    ("an open object", b"{"),
    ("an open text", b'{"name":"x'),
    ("an object without its end", JOB[:-1]),
    ("more after its end", JOB + b"x"),
    ("two jobs", JOB + JOB),
    ("a comma too many", JOB[:-1] + b",}"),
    ("a comma at the start", b"{," + JOB[1:]),
    ("no colon", b'{"name" "x"}'),
    ("no quotes", b"{name:1}"),
    ("single quotes", b"{'name':'x'}"),
    ("a comment", b"/* x */" + JOB),
    ("NaN", raw(b'"retries":NaN')),
    ("Infinity", raw(b'"retries":Infinity')),
    ("a plus", raw(b'"retries":+1')),
    ("a leading zero", raw(b'"retries":01')),
    ("a dot at the end", raw(b'"retries":1.')),
    ("an exponent without digits", raw(b'"retries":1e')),
    ("a number that is too large", raw(b'"retry_backoff":1e999')),
    ("a million digits", raw(b'"retries":' + b"9" * 900_000)),
    ("a fraction of a million digits", raw(b'"retry_backoff":1.' + b"1" * 900_000 + b"x")),
    ("hexadecimal", raw(b'"retries":0x1')),
    ("a bad escape", raw(b'"owner":"\\x"')),
    ("half an escape", raw(b'"owner":"\\u12"')),
    ("a newline in a text", raw(b'"owner":"a\nb"')),
    ("a control character", raw(b'"owner":"\x01"')),
    ("high bytes", raw(b'"owner":"\xff\xfe"')),
    ("overlong UTF-8", raw(b'"owner":"\xc0\xaf"')),
    ("half of a pair in UTF-8", raw(b'"owner":"\xed\xa0\x80"')),
    ("half of a pair", raw(b'"owner":"\\ud800"')),
    ("the halves of a pair turned round", raw(b'"owner":"\\udc00\\ud800"')),
    ("True", raw(b'"shell":True')),
    ("nested arrays", b"[" * 100_000),
    ("nested objects", b'{"a":' * 100_000),
    ("nested arrays with their ends", raw(b'"x":' + b"[" * 200_000 + b"]" * 200_000)),
    ("nested in labels", raw(b'"labels":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000)),
    ("nested at a job's depth", b'{"jobs":' * 20_000),
    ("XML", b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>"),
    ("a form", b"name=x&command=true"),
    ("YAML", b"name: x\ncommand: !!python/object/apply:os.system [true]\n"),
    ("pickle", b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    ("MessagePack", b"\x82\xa4name\xa1x\xa7command\xa4true"),
    ("an array", b"[]"),
    ("an array of a job", b"[" + JOB + b"]"),
    ("a text", b'"x"'),
    ("a number", b"1"),
    ("null", b"null"),
    ("true", b"true"),
]

WRONG: dict[str, list[Any]] = {
    "name": ["", None, 1, [], {}, "x" * 1_025, "\0", True],
    "command": ["", " ", None, 0, [], "'", "`", "\\", "x" * 131_072, "a\0b", "$(", "\n"][:9] + ["\n"],
    "owner": [1, [], "x" * 2_000, "\0"],
    "schedule": [
        "x",
        "R",
        "R/",
        "R//",
        "R/x/P1D",
        "R-1/2099-01-01T00:00:00Z/P1D",
        "R99999999999999999999/2099-01-01T00:00:00Z/P1D",
    ]
    + ["R/2099-02-30T00:00:00Z/P1D", "R/2099-01-01T00:00:00Z/PT0S", "R/2099-01-01T00:00:00Z/P" + "9" * 500 + "D"]
    + [
        "R/0000-01-01T00:00:00Z/P1D",
        "R/99999-01-01T00:00:00Z/P1D",
        "R/1999-01-01T00:00:00Z/P1D",
        "* * * *",
        "60 * * * *",
    ]
    + ["0 0 30 2 *", "*/0 * * * *", "1-0 * * * *", "@never", "@reboot", "x" * 5_000, 1, [], {}, "٠ ٠ * * *", "\ud7ff"]
    + ["R/2099-01-01T00:00:00[Nowhere/Here]/P1D", "R/2099-01-01T00:00:00+99:99/P1D", "0 " * 5_000],
    "retries": [-1, 1.5, "1", 1_001, 2**63, 2**64, -(2**65), True, [], {}, 1e300],
    "epsilon": ["x", "P", "PT", "-PT1S", "P1", 1, [], "P" + "1D" * 500],
    "parent_jobs": ["x", 1, {}, [1], [None], [""], ["nope"], [[]], ["x" * 2_000], ["a"] * 1_001],
    "on_failure_job": [1, [], "nope", "x" * 2_000],
    "TemplateDelimiters": ["{{", "{{ }} ]]", "a  b", 1, [], " "],
    "resume_at_next_scheduled_time": [1, "true", []],
    "type": [2, -1, 1.0, "0", 2**63, 2**64, [], True],
    "remote_properties": [1, "x", [], {"url": 1}, {"url": []}, {"timeout": -1}, {"timeout": 1e9}, {"headers": []}]
    + [
        {"headers": {"a": 1}},
        {"headers": {"a": [1]}},
        {"expected_response_codes": [0]},
        {"expected_response_codes": "200"},
    ]
    + [{"method": "x" * 33}, {"body": 1}, {"headers": {str(n): [] for n in range(101)}}],
    "shell": [1, "yes", []],
    "overlap": ["x", 1, "QUEUE", []],
    "catch_up": ["x", 0, True],
    "catch_up_limit": [0, -1, 10_001, "1"],
    "catch_up_window": ["x", 1],
    "timeout": ["PT0S", "x", 5, "P-1D"],
    "kill_after": ["x", 5],
    "on_lost": ["x", 1],
    "retry_delay": ["x", 1],
    "retry_backoff": [0, 0.5, 101, "2", True, -1e308],
    "retry_max_delay": ["x"],
    "jitter": ["x", 1],
    "time_zone": ["Nowhere/Here", "../../etc/passwd", "/etc/passwd", "Europe/Berlin\0", 1, "x" * 2_000, "."],
    "dst_gap": ["x"],
    "dst_fold": ["x"],
    "parents_mode": ["x"],
    "environment": ["x", [], {"A": 1}, {"A=B": "x"}, {"": "x"}, {"KALA_X": "x"}, {"A": "\0"}, {"Ä": "x"}]
    + [{f"A{n}": "x" for n in range(201)}, {"A": "x" * 20_000}],
    "directory": ["x", "../x", 1, "/\0", "/" + "x" * 20_000],
    "output_limit": [-1, 2**24 + 1, 1.5],
    "labels": [
        "x",
        [],
        {"a b": "x"},
        {"": "x"},
        {"a": 1},
        {"x" * 64: "x"},
        {"a": "x" * 256},
        {f"a{n}": "" for n in range(51)},
    ],
    "notify": ["x", 1, [1], [{}], [{"url": 1}], [{"url": "http://x/", "on": []}], [{"url": "http://x/", "on": ["x"]}]]
    + [[{"url": "ftp://x/"}], [{"url": "http://x/"}] * 2, [{"url": f"http://x/{n}"} for n in range(11)]],
    "disabled": [1, "true", []],
}
"""For each member of a job, what it must not be."""


def odd_urls() -> list[bytes]:
    urls = [
        "",
        "x",
        "//x",
        "ftp://x/",
        "file:///etc/passwd",
        "gopher://x/",
        "http://",
        "http://[",
        "http:///x",
        "javascript:1",
    ]
    urls += [
        "http://x y/",
        "http://x:99999/",
        "http://x:-1/",
        "http://\r\nX: y/",
        "http://x/\r\nX: y",
        "http://\0/",
        "http://a@:80",
    ]
    return [made(type=1, command="", remote_properties={"url": url}) for url in urls]


def jobs() -> list[Input]:
    members = [
        one(f"{name}: {json.dumps(value)[:30]}", post(CREATE, made(**{name: value})), 400, "open")
        for name, values in WRONG.items()
        for value in values
    ]
    again = [
        one(f"edit {name}", post(API + b"/job/nope/", json.dumps({name: 1}).encode(), method=b"PATCH"), 404, "open")
        for name in ("name", "x")
    ]
    fine = [
        ("members that are not known", made(x=[{}] * 1_000, __proto__={"a": 1}, constructor=None)),
        ("a name that is given a thousand times", b"{" + b'"name":"a",' * 1_000 + JOB[1:]),
        ("names in other letters", JOB.replace(b'"name"', b'"NAME"').replace(b'"command"', b'"Command"')),
        ("what only the server sets", made(id="../x", version=-1, metadata="x", next_run_at=[], stats={}, is_done=7)),
        ("depth in what is not known", raw(b'"x":' + b"[" * 500 + b"]" * 500)),
        ("a long text in what is not known", made(x="x" * 900_000)),
        ("controls in a name", made(name="\x1b[2J\r\n<script>alert(1)</script>\u202e")),
        ("a command with controls", made(command="echo '\x1b[31m'")),
        ("all of Unicode's odd ones", made(owner="\ufeff\u200b\u2028\uffff\U0010ffff")),
    ]
    return [
        *(one(f"not JSON: {name}", post(CREATE, data), 400, "open") for name, data in BROKEN),
        *members,
        *again,
        *(one(f"url {number}", post(CREATE, data), 400, "open") for number, data in enumerate(odd_urls())),
        *(one(f"taken: {name}", post(CREATE, data), 201, "open") for name, data in fine),
        one("as large as may be", post(CREATE, JOB[:-1] + b" " * ((1 << 20) - len(JOB)) + b"}"), 201, "open"),
        one("a byte larger", post(CREATE, JOB[:-1] + b" " * ((1 << 20) - len(JOB) + 1) + b"}"), 413, "closed"),
        one("a body for a start", post(API + b"/job/start/nope/", b"[" * 10_000), 404, "open"),
        one("a preview of nothing", post(PREVIEW, b"{"), {400, 404, 405}, "open"),
    ]


def batches() -> list[Input]:
    job_line = JOB + b"\n"
    broken = [
        ("nothing", b""),
        ("blanks", b" \n\t\r\n" * 1_000),
        ("a megabyte of blanks", b" " * (MILLION + 100_000)),
        ("newlines", b"\n" * 100_000),
        ("an array without its end", b"[" + JOB),
        ("an array of nothing between commas", b"[,,,]"),
        ("an array and more", b"[" + JOB + b"]x"),
        ("two arrays", b"[][]"),
        ("nested arrays", b"[" * 100_000),
        ("a text", b'"' + b"x" * 100_000),
        ("an element that is too large", b"[" + b'"' + b"x" * (MILLION + 100_000) + b'"]'),
        ("a line that is too large", b'{"name":"' + b"x" * (MILLION + 100_000)),
        ("zeros", b"\0" * 10_000),
        ("high bytes", b"\xff" * 10_000),
        ("backslashes", b'["' + b"\\" * 99_999),
        ("a job without its end", JOB[:-1]),
        ("lines, the middle one broken", job_line + b"{broken\n" + job_line),
        ("lines of other things", b'1\nnull\n[]\n"x"\ntrue\n{}\n'),
        ("a line that is nested", b'{"a":' * 50_000 + b"\n" + job_line),
        ("lines with returns", job_line.replace(b"\n", b"\r\n") * 3),
        ("ten thousand lines that are none", b"x\n" * 10_000),
        ("closing brackets", b"[" + b"]" * 1_000),
        ("an array that begins late", b" " * 500_000 + b"[]"),
        ("a byte order mark", b"\xef\xbb\xbf" + job_line),
        ("UTF-16", (job_line * 3).decode().encode("utf-16-le")),
    ]
    return [
        *(one(f"batch: {name}", post(BATCH, data), 200) for name, data in broken),
        *(one(f"batch of lines: {name}", post(BATCH, data, NDJSON), 200) for name, data in broken[:6]),
        one(
            "batch in chunks of a byte",
            chunked(*(chunk(b"%c" % byte) for byte in job_line), b"0\r\n\r\n", path=BATCH),
            200,
        ),
        *(
            one(
                f"batch packed by {coding!r}",
                post(BATCH, packed(coding, job_line * 10), b"Content-Encoding: " + coding),
                415,
            )
            for coding in (b"gzip", b"deflate", b"br", b"zstd", b"x-gzip", b"gzip, gzip", b"compress")
        ),
    ]


def imports() -> list[Input]:
    def listing(jobs: Any) -> bytes:
        return json.dumps({"jobs": jobs}).encode()

    cycle = {
        str(n): PLAIN | {"parent_jobs": [str((n + 1) % 50)], "dependent_jobs": [str((n - 1) % 50)]} for n in range(50)
    }
    wrong = {
        str(n): PLAIN | {name: values[-1]} for n, (name, values) in enumerate(WRONG.items()) if values[-1] is not True
    }
    counters: list[Any] = [1, [], "x", {"success_count": -1}, {"success_count": 2**64}, {"last_success": "x"}]
    counters += [{"last_success": "9999-12-31T23:59:59.999999999-23:59"}, {"error_count": 1.5}]
    moments: list[Any] = [
        "x",
        1,
        "2026-13-01T00:00:00Z",
        "2026-01-01",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-01:00",
    ]
    taken = [
        ("nobody", {}),
        ("parents in a circle", cycle),
        ("a parent of itself", {"a": PLAIN | {"parent_jobs": ["a"]}}),
        ("a failure job of itself", {"a": PLAIN | {"on_failure_job": "a"}}),
        ("failure jobs in a circle", {"a": PLAIN | {"on_failure_job": "b"}, "b": PLAIN | {"on_failure_job": "a"}}),
        (
            "children that contradict each other",
            {
                "p": PLAIN | {"dependent_jobs": ["a", "b", "a"]},
                "q": PLAIN | {"dependent_jobs": ["b", "a"]},
                "a": PLAIN,
                "b": PLAIN,
            },
        ),
        ("a long line of parents", {f"l{n}": PLAIN | {"parent_jobs": [f"l{n + 1}"]} for n in range(2_000)}),
        (
            "a circle of three thousand",
            {f"r{n}": PLAIN | {"parent_jobs": [f"r{(n + 1) % 3_000}"]} for n in range(3_000)},
        ),
        (
            "a parent of three thousand",
            {"q0": PLAIN, **{f"q{n}": PLAIN | {"parent_jobs": ["q0"]} for n in range(1, 3_000)}},
        ),
        ("a line of failure jobs", {f"f{n}": PLAIN | {"on_failure_job": f"f{n + 1}"} for n in range(2_000)}),
        ("every member wrong", wrong),
        ("jobs that are none", dict(enumerate([1, "x", None, [], {}, True, 1.5]))),
        (
            "ids that are none",
            {"": PLAIN, "all": PLAIN, "a/b": PLAIN, "../x": PLAIN, "x" * 2_000: PLAIN, "\0": PLAIN, "%00": PLAIN},
        ),
        ("counters that are none", {f"c{n}": PLAIN | {"metadata": one_} for n, one_ in enumerate(counters)}),
        ("moments that are none", {f"m{n}": PLAIN | {"next_run_at": one_} for n, one_ in enumerate(moments)}),
        ("one with all children that there may be", {"w": PLAIN | {"dependent_jobs": [str(n) for n in range(50_000)]}}),
    ]
    bad = [
        ("jobs that are a list", listing([])),
        ("no jobs", b"{}"),
        ("jobs that break off", listing({"a": PLAIN})[:-2]),
        ("a member that is no JSON", b'{"jobs":{"a":{"x":"\xff"}}}'),
        ("nested jobs", b'{"jobs":' * 50_000),
        ("a job that is nested", b'{"jobs":{"a":' + b'{"b":' * 100_000 + b"1" + b"}" * 100_002),
        *BROKEN[:8],
    ]
    return [
        *(one(f"import: {name}", post(IMPORT, listing(jobs)), 200, "open") for name, jobs in taken),
        *(one(f"import: {name}", post(IMPORT, data), 400, "open") for name, data in bad),
        one(
            "import: a hundred thousand that are none",
            post(IMPORT, listing({f"h{n}": n for n in range(100_000)})),
            200,
            "open",
        ),
        one(
            "import: more than may be",
            request(b"POST /api/v1/job/import/ HTTP/1.1", b"Content-Length: 999999999"),
            413,
            "closed",
        ),
    ]


def packed(coding: bytes, data: bytes) -> bytes:
    if b"gzip" in coding:
        return gzip.compress(data, 9, mtime=0)
    return zlib.compress(data, 9) if coding == b"deflate" else data


def bombs() -> list[Input]:
    """What would be much when unpacked: nothing here unpacks what comes, so it is no JSON."""
    zeros = bytes(50 * MILLION)
    small, twice = gzip.compress(zeros, 9, mtime=0), gzip.compress(gzip.compress(zeros, 9, mtime=0), 9, mtime=0)
    deflated = zlib.compress(zeros, 9)
    job = gzip.compress(JOB, mtime=0)
    rows = [
        (b"gzip", small),
        (b"x-gzip", small),
        (b"gzip, gzip", twice),
        (b"deflate", deflated),
        (b"br", b"\xcf\xff\xff\x7f" * 99),
    ]
    rows += [
        (b"zstd", b"(\xb5/\xfd" + b"\xff" * 99),
        (b"gzip", job),
        (b"gzip", job[:-9]),
        (b"deflate", zlib.compress(JOB)),
    ]
    return [
        *(
            one(f"bomb {n}: {coding!r}", post(CREATE, data, b"Content-Encoding: " + coding), {400, 415}, "open")
            for n, (coding, data) in enumerate(rows)
        ),
        *(
            one(f"bomb {n} for an import", post(IMPORT, data, b"Content-Encoding: " + coding), {400, 415}, "open")
            for n, (coding, data) in enumerate(rows)
        ),
        one("plain, and called packed", post(CREATE, JOB, b"Content-Encoding: gzip"), {201, 415}, "open"),
        one(
            "a bomb in chunks",
            chunked(chunk(small), b"0\r\n\r\n", fields=(b"Content-Encoding: gzip",)),
            {400, 415},
            "open",
        ),
    ]


GROUPS = [
    Group("JSON: jobs", [*jobs()], 16),
    Group("JSON: batches", [*batches()], 1),
    Group(
        "JSON: a batch that breaks off",  # by itself: the next one has to wait for its end
        [one("batch in a bad chunk", chunked(chunk(JOB + b"\n"), b"zz\r\n", path=BATCH), {200, 400}, "closed")],
    ),
    Group("JSON: imports", [*imports()], 1),
    Group("compression bombs", [*bombs()], 1),
]
