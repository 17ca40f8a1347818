"""Jobs as clients send them, as they are kept, and as other servers list them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fuzzing.target import Target, must

from kala.errors import Invalid, SettingsError
from kala.importing import source_in
from kala.job import Job, Record, decode_record, encode
from kala.schedule.durations import EARLIEST
from kala.web.lists import pieces
from kala.web.problems import problem_of
from kala.wire import jobjson
from kala.wire.jobimport import Imported, read_imported
from kala.wire.jobmembers import MEMBERS
from kala.wire.jobread import NewJob, definition, read_job, read_patch

DATA = Path(__file__).resolve().parent.parent.parent / "tests" / "data"
REMOTE = {"url": "http://example.org/", "method": "PUT", "body": "x", "headers": {"A": ["b"]}, "timeout": 5}
PLAIN = {"name": "job", "command": "true", "schedule": "R/2030-01-31T08:00:00Z/P1D"}
FULL: dict[str, Any] = {
    **PLAIN,
    "owner": "owner@example.org",
    "retries": 3,
    "epsilon": "PT5M",
    "parent_jobs": ["a", "b"],
    "on_failure_job": "c",
    "overlap": "replace",
    "catch_up": "all",
    "catch_up_limit": 7,
    "timeout": "PT1H",
    "retry_backoff": 1.5,
    "retry_delay": "PT1S",
    "jitter": "PT1M",
    "time_zone": "Europe/Berlin",
    "environment": {"A": "b"},
    "directory": "/tmp",
    "labels": {"team": "x"},
    "notify": [{"url": "http://example.org/", "on": ["failed"], "every": "PT1H", "headers": {"X": ["y"]}}],
}
NESTED = b'{"name":' + b'[{"a":' * 600


def try_job(data: bytes) -> None:
    """A body of POST /job/, and of PATCH."""
    new = read(data)
    if new is not None:
        same(new)
    for old in OLD:
        try:
            edited = read_patch(data, old, False, now=EARLIEST)
        except Invalid as error:
            told(error)
        else:
            same(edited)


def read(data: bytes) -> NewJob | None:
    try:
        return read_job(data, now=EARLIEST)
    except Invalid as error:
        told(error)
        return None


def told(error: Invalid) -> None:
    """The answer to it can be written, and read."""
    problem = problem_of(error, "")
    must(problem.status == 400 and bool(json.loads(problem.body)["error"]), "an answer", problem)


def same(new: NewJob) -> None:
    """What was taken is the same after it was written: as a definition, as a job that is answered, as a record."""
    written = jobjson.encode(definition(new.job, new.disabled))
    again = read_job(written, now=EARLIEST)
    must(again == new, "as a definition", written, again, new)
    record = Record("id", new.job, EARLIEST, disabled=new.disabled)
    must(decode_record(encode(record)) == record, "as a record", record)
    answered = jobjson.encode(jobjson.job_object(record, None, None))
    must(read_job(answered, now=EARLIEST) == new, "as an answer", answered)


def try_members(data: bytes) -> None:
    """A job whose members are chosen, and hold what may be expected of some member."""
    source = iter(data)
    made: dict[str, Any] = dict(PLAIN)
    names = list(MEMBERS)
    for chosen in source:
        name = names[chosen % len(names)]
        made[name if chosen < 128 else name.upper()] = value(source)
    try_job(json.dumps(made).encode())


def value(source: Any, depth: int = 0) -> Any:
    """What stands in a member, made of the bytes that follow."""
    kind = next(source, 0)
    if kind >= 64:
        return VALUES[kind % len(VALUES)]
    if kind < 8 and depth < 3:
        return [value(source, depth + 1) for _ in range(kind)]
    if kind < 16 and depth < 3:
        return {KEYS[next(source, 0) % len(KEYS)]: value(source, depth + 1) for _ in range(kind - 8)}
    return bytes(next(source, 65) for _ in range(kind - 16)).decode("latin-1")


def try_import(data: bytes) -> None:
    """A body of POST /job/import/: whole, and in pieces; and what `kala import` cuts it into."""
    whole, apart, cut = imported([data]), imported(pieces(data)), None
    try:
        source = source_in(data, "this")
    except SettingsError:
        pass
    else:
        cut = [one.id for portion in source.portions for one in read_imported(portion.data)]
    if whole is None:
        return  # in pieces it may have been read: nobody looks at what stands beside the jobs
    must(apart is not None and by_id(apart) == by_id(whole), "in pieces", whole, apart)
    must(cut is None or sorted(cut) == sorted(by_id(whole)), "in portions", whole, cut)
    for one in whole:
        must((one.job is None) == bool(one.faults), "neither taken nor refused", one)
        if one.job is not None:
            same(NewJob(one.job, one.disabled, one.warnings))
            counters, due = one.standing.metadata, one.standing.next_run_at
            for moment in (due, counters.last_success, counters.last_error, counters.last_attempted_run):
                jobjson.go_time(moment)


def imported(bodies: Iterable[bytes]) -> list[Imported] | None:
    try:
        return [one for body in bodies for one in read_imported(body)]
    except Invalid as error:
        told(error)
        return None


def by_id(imported: list[Imported]) -> dict[str, Imported]:
    return {one.id: one for one in imported}


OLD = (
    Job("old", "true", schedule="R/2030-01-31T08:00:00Z/P1D"),
    read_job(json.dumps(PLAIN | {"type": 1, "remote_properties": REMOTE}).encode(), now=EARLIEST).job,
)
KEYS = (
    "url",
    "on",
    "headers",
    "every",
    "A",
    "KALA_X",
    "a b",
    "",
    "method",
    "body",
    "timeout",
    "URL",
    "ſ",
    "late_after",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.0, 1.5, 2**63, -(2**63), 2**64, 1e308, 599, 1_000, "", " ", "x", "PT1S", "P1M"),
    *("PT0S", "P1Y2M", "queue", "skip", "all", "record", "both", "any", "http://example.org/", "ftp://x", "http://["),
    *("/tmp", "{{ }}", "{{.Name}}", "$A `b`", "'", "0 8 * * *", "@daily", "R/2030-01-31T08:00:00Z/P1M", "R0/x/"),
    *("Europe/Berlin", "Nowhere/Here", "R/2024-03-31T02:30:00[Europe/Berlin]/P1D", "\ud800", "\0", "ſ", "x" * 1_025),
    *([], ["a"], ["a", "a"], [None], {}, {"A": "b"}, {"A": None}, {"A": ["b"]}, REMOTE, FULL["notify"], [REMOTE]),
)
JOBS = [PLAIN, FULL, PLAIN | {"type": 1, "command": "", "remote_properties": REMOTE}, {"name": "x", "shell": True}]
ORIGINAL = json.loads((DATA / "original_jobs.json").read_text())["jobs"]
LISTED = [json.dumps({"jobs": {key: job}}).encode() for key, job in ORIGINAL.items()]
LINKED = {key: PLAIN | {"parent_jobs": [other], "dependent_jobs": [other]} for key, other in ("ab", "bc", "ca", "dd")}
NAMES = [f'"{name}":' for name in MEMBERS]

TARGETS = (
    Target("job", try_job, [*(json.dumps(job).encode() for job in JOBS), NESTED, b"[]", b'{"a":1e999}'], NAMES, 4096),
    Target("members", try_members, [bytes([number, 64 + number % 190, 3]) for number in range(0, 250, 5)], (), 64),
    Target(
        "import",
        try_import,
        [*LISTED, json.dumps({"jobs": LINKED}).encode(), b'{"jobs":{"a":{},"a":{}}}', b'{"jobs":[]}'],
        [*NAMES, '"jobs":', '"metadata":', '"next_run_at":', '"is_done":', '"dependent_jobs":', '"last_success":'],
        8192,
    ),
)
