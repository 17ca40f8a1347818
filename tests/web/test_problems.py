"""The table from errors to statuses, and what is packed for whom."""

import gzip
import json

import pytest
import trio
from werkzeug.exceptions import MethodNotAllowed, NotFound

from kala import errors
from kala.web import problems
from kala.web.compress import gzipped, gzipped_chunks, wants_gzip
from kala.web.problems import Refused, problem_of

TABLE = [
    (errors.Invalid({"name": "is needed"}), 400),
    (errors.ScheduleError("x", "is none"), 400),
    (errors.CommandError("an unclosed quote"), 400),
    (errors.TemplateFault("no such field"), 400),
    (errors.NotJson("is none"), 400),
    (errors.ZoneError("x", "there is none"), 400),
    (errors.JobNotFound("a"), 404),
    (errors.RunNotFound("a"), 404),
    (errors.RunEnded("a", "succeeded"), 409),
    (errors.Paused(), 409),
    (errors.KeyUsed("it has made another job"), 409),
    (errors.JobDisabled("a"), 409),
    (errors.JobExists("a"), 409),
    (errors.VersionChanged("a", "1", 2), 412),
    (errors.ValueTooLarge("a", 2, 1), 413),
    (errors.Stopping(), 503),
    (errors.StoreUnavailable("away"), 503),
    (errors.StoreRefused("password"), 503),
    (Refused(403, "no"), 403),
    (NotFound(), 404),
    (MethodNotAllowed(["GET"]), 405),
    (errors.StoreCorrupt("job", "a", "secret inside"), 500),
    (errors.SettingsError("secret inside"), 500),
    (RuntimeError("secret inside"), 500),
    (ExceptionGroup("secret", [ValueError("inside")]), 500),
]


@pytest.mark.parametrize(("error", "status"), TABLE, ids=[type(error).__name__ for error, _ in TABLE])
def test_every_error_has_its_status(error: Exception, status: int, caplog: pytest.LogCaptureFixture) -> None:
    problem = problem_of(error, "GET /x")
    assert problem.status == status
    text = json.loads(problem.body)["error"]
    assert text
    # what nobody foresaw is in the log with the request, and not in the answer
    assert ("GET /x failed" in caplog.text) == (status == 500)
    assert "inside" not in text
    assert ("Retry-After" in problem.headers) == (status == 503)


def test_fields_are_told() -> None:
    problem = problem_of(errors.Invalid({"name": "is needed", "retries": "must be a number"}), "")
    assert json.loads(problem.body)["fields"] == {"name": "is needed", "retries": "must be a number"}


def test_the_state_of_a_run_is_told() -> None:
    body = json.loads(problem_of(errors.RunEnded("r", "failed"), "").body)
    assert body == {"error": "run r has ended: failed", "state": "failed"}


def test_what_has_no_utf_8_is_told_without_it() -> None:
    body = json.loads(problem_of(errors.Invalid({"name": "is needed", "": "bad \ud800"}), "").body)
    assert body == {"error": "name: is needed; bad ?", "fields": {"name": "is needed", "": "bad ?"}}


def test_no_error_that_a_client_can_cause_is_missing_from_the_table() -> None:
    inside = {"Stale", "Kept", "StoreCorrupt", "SettingsError", "KalaError"}
    all_errors = {
        name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.KalaError)
    }
    assert {kind.__name__ for kind in problems.STATUSES} == all_errors - inside


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, False),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.001", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("notgzip", False),
        ("gzipped", False),
    ],
)
def test_who_wants_gzip(header: str | None, wanted: bool) -> None:
    assert wants_gzip(header) == wanted


def test_packing_keeps_everything() -> None:
    parts = [b"a" * 100_000, b"", b"b", b"c" * 50]

    async def packed() -> bytes:
        async def stream():  # type: ignore[no-untyped-def]
            for part in parts:
                yield part

        return b"".join([piece async for piece in gzipped_chunks(stream())])

    assert gzip.decompress(trio.run(packed)) == b"".join(parts) == gzip.decompress(gzipped(b"".join(parts)))
