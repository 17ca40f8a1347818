"""What stands in queries, paths and header fields of requests that are well formed."""

from .shape import API, JOB, Group, Input, get, one, post

JOBS, RUNS, EVENTS = API + b"/job/", API + b"/run/", API + b"/events/"
FINE, BAD, GONE = {200}, {400}, {404}


def queries() -> list[Input]:
    of_jobs = [
        (b"limit=", FINE),
        *(
            (b"limit=" + value, BAD)
            for value in (b"0", b"-1", b"1.5", b"x", b"1e9", b"9" * 5_000, b"%D9%A1", b"%00", b"0x1", b"1%201")
        ),
        *((b"disabled=" + value, BAD) for value in (b"2", b"maybe", b"%ff", b"tru", b"null")),
        *((b"sort=" + value, BAD) for value in (b"x", b"--name", b"-", b"name,owner", b"__class__")),
        *((b"state=" + value, BAD) for value in (b"x", b"active,x", b"ACTIVE", b"%00")),
        (b"state=,,,,", FINE),
        (b"state=" + b"active," * 5_000, FINE),
        (b"after=nope", GONE),
        (b"after=%00", GONE),
        (b"after=" + b"x" * 20_000, GONE),
        (b"id=nope&id=%00", FINE),
        (b"&".join([b"id=x"] * 201), BAD),
        (b"q=%ff%fe", FINE),
        (b"q=" + b"%F0%9F%98%80" * 3_000, FINE),
        (b"q=.*(a+)%2B%24", FINE),
        (b"q='%20OR%201=1%20--", FINE),
        (b"label=" + b"=" * 5_000, FINE),
        (b"&".join([b"label=a"] * 5_000), FINE),
        (b"owner=%C0%AF", FINE),
        (b"&" * 20_000, FINE),
        (b"a=b&" * 10_000, FINE),
        (b"limit=1&limit=x", FINE),
        (b"__proto__[x]=1&limit[]=5&limit[$gt]=1", FINE),
        (b"brief=true&total=x", BAD),
        (b"%6c%69mit=x", BAD),
    ]
    moments = [
        b"x",
        b"2030",
        b"2030-01-01",
        b"2030-13-01T00:00:00Z",
        b"9999-12-31T23:59:59-23:59",
        b"0000-01-01T00:00:00Z",
    ]
    moments += [
        b"2030-01-01T24:00:00Z",
        b"2030-01-01T00:00:60Z",
        b"2030-01-01T00:00:00",
        b"2030-01-01T00:00:00%2B99:99",
        b"9" * 9_000,
    ]
    of_events = [
        (b"type=x", BAD),
        (b"type=run.finished," + b"x," * 5_000, BAD),
        (b"type=%00", BAD),
        (b"type=hello", BAD),
    ]
    return [
        *(one(f"jobs?{q[:40]!r}", get(JOBS + b"?" + q), statuses, "open") for q, statuses in of_jobs),
        *(one(f"runs?since={m[:40]!r}", get(RUNS + b"?since=" + m), {400, 200}, "open") for m in moments),
        *(one(f"due?since={m[:40]!r}", get(API + b"/schedule/due/?since=" + m), BAD, "open") for m in moments),
        *(
            one(f"load?days={d!r}", get(API + b"/schedule/load/?days=" + d), BAD, "open")
            for d in (b"0", b"32", b"x", b"1e3")
        ),
        *(one(f"events?{q[:40]!r}", get(EVENTS + b"?" + q), statuses, "open") for q, statuses in of_events),
    ]


def ids() -> list[Input]:
    odd = [
        b"nope",
        b".",
        b"%20",
        b"%00",
        b"%0a",
        b"%ff",
        b"a%2fb",
        b"%2e%2e%2f",
        b"x" * 20_000,
        b"'%20or%20'1",
        b"%7b%7d",
        b"-1",
        b"null",
    ]
    odd += [
        b"01a228a8-bf05-7f44-9274-b37c138d3cf3",
        b"%E2%80%AE",
        b"%F4%90%80%80",
        b"$(id)",
        b"`id`",
        b"{{7*7}}",
        b"%25n%25n",
    ]
    return [
        *(one(f"job {i[:20]!r}", get(JOBS + i + b"/"), GONE, "open") for i in odd),
        *(one(f"edit of job {i[:20]!r}", post(JOBS + i + b"/", b"{}", method=b"PATCH"), GONE, "open") for i in odd),
        *(one(f"deletion of job {i[:20]!r}", post(JOBS + i + b"/", b"", method=b"DELETE"), GONE, "open") for i in odd),
        *(one(f"start of job {i[:20]!r}", post(JOBS + b"start/" + i + b"/", b""), GONE, "open") for i in odd),
        *(one(f"run {i[:20]!r}", get(RUNS + i + b"/"), GONE, "open") for i in odd),
        *(one(f"cancelling of run {i[:20]!r}", post(RUNS + i + b"/cancel/", b""), GONE, "open") for i in odd),
        *(one(f"output of run {i[:20]!r}", get(RUNS + i + b"/output/"), GONE, "open") for i in odd),
    ]


def fields() -> list[Input]:
    matches = [
        b"",
        b"x",
        b'"',
        b'W/"1"',
        b'"1", "2"',
        b"*, *",
        b"-1",
        b"9" * 9_000,
        b"\xff",
        b'"\xe4"',
        b"\t*",
        b"W/" * 999,
    ]
    keys = [b"x" * 256, b"x" * 20_000, b"\xff", b"a\tb", b"\xe4"]
    events = [
        b"x",
        b"-1",
        b"00000000-1",
        b"ffffffff-" + b"9" * 18,
        b"9" * 20_000,
        b"00000000-01",
        b"\xff",
        b"\xc2\xb2",
        b"', '",
    ]
    bearers = [
        b"Bearer",
        b"Bearer ",
        b"Bearer  x",
        b"bearer x",
        b"Bearer " + b"x" * 40_000,
        b"Bearer \xff",
        b"Bearer a b",
        b"Basic",
    ]
    bearers += [
        b"Basic eDp5",
        b"Basic !!!",
        b"Basic " + b"A" * 20_000,
        b"Digest username=x",
        b"Negotiate x",
        b"x",
        b"\xff",
        b"Bearer null",
    ]
    bearers += [b"Bearer x, Bearer y", b'Bearer "x"', b"AWS4-HMAC-SHA256 Credential=x", b"Bearer ' OR 1=1 --"]
    cookies = [
        b"",
        b"=",
        b";",
        b"a",
        b"a=b;" * 9_000,
        b"kala_session=",
        b"kala_session=x",
        b"kala_session=" + b"x" * 40_000,
        b"\xff",
    ]
    cookies += [
        b"kala_session=x; kala_session=y",
        b'kala_session="',
        b"__Host-kala_session=x",
        b"kala_session=x" + b";" * 20_000,
    ]
    cookies += [b"%00=%00", b"$Version=1; kala_session=x", b"kala_session=..", b"kala_session=\xe4"]
    many = [b"Cookie: a=b"] * 3_000
    encodings = [
        b"gzip",
        b"gzip;q=x",
        b"*",
        b"gzip;" * 5_000,
        b",,,,",
        b"gzip;q=" + b"0" * 9_000,
        b"br;q=1.0, gzip;q=0",
        b"\xff",
    ]
    return [
        *(
            one(f"If-Match {m[:20]!r}", post(JOBS + b"nope/", b"{}", b"If-Match: " + m, method=b"PATCH"), GONE, "open")
            for m in matches
        ),
        *(one(f"Idempotency-Key {k[:20]!r}", post(JOBS, JOB, b"Idempotency-Key: " + k), BAD, "open") for k in keys),
        one("Idempotency-Key of two jobs", [post(JOBS, JOB, b"Idempotency-Key: h"), b""], {201, 409}, "open"),
        *(
            one(f"Last-Event-ID {e[:20]!r}", get(EVENTS + b"?type=x", b"Last-Event-ID: " + e), BAD, "open")
            for e in events
        ),
        *(
            one(f"Authorization {b[:20]!r}", get(API + b"/stats/", b"Authorization: " + b), FINE, "open")
            for b in bearers
        ),
        one(
            "Authorization twice",
            get(API + b"/stats/", b"Authorization: Bearer x", b"Authorization: Bearer y"),
            FINE,
            "open",
        ),
        *(one(f"Cookie {c[:20]!r}", get(API + b"/stats/", b"Cookie: " + c), FINE, "open") for c in cookies),
        one("three thousand cookies", get(API + b"/stats/", *many), FINE, "open"),
        one("more cookies than may be", get(API + b"/stats/", *many, *many), {431}, "closed"),
        *(one(f"Accept-Encoding {e[:20]!r}", get(JOBS, b"Accept-Encoding: " + e), FINE, "open") for e in encodings),
    ]


GROUPS = [Group("queries", [*queries()]), Group("ids", [*ids()]), Group("header values", [*fields()])]
