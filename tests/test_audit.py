"""The audit log: its file, its memory, and its end when the disk is full."""

import json
import logging
from pathlib import Path

import pytest

from kala import audit
from kala.audit import About, Audit
from kala.clock import Clock
from kala.errors import SettingsError


def note(log: Audit, path: str = "/api/v1/job/", *, who: str = "ci", about: About | None = None) -> None:
    log.note(
        address="127.0.0.1",
        method="POST",
        path=path,
        status=201,
        who=who,
        role="run",
        session=False,
        about=about or About(),
    )


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_for_each(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    log = Audit(Clock(), path)
    note(log, about=About(job="1"))
    note(log, "/x" * 1_000)
    first, second = lines(path)
    assert first | {"at": ""} == {
        "at": "",
        "address": "127.0.0.1",
        "method": "POST",
        "path": "/api/v1/job/",
        "status": 201,
        "who": "ci",
        "role": "run",
        "job": "1",
    }
    assert len(str(second["path"])) == audit.LONGEST
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_start_reads_back_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "KEPT", 3)
    path = tmp_path / "audit"
    log = Audit(Clock(), path)
    for number in range(5):
        note(log, f"/{number}")
    with path.open("ab") as file:
        file.write(b'{"at": "cut o')
    again = Audit(Clock(), path)
    assert [entry.path for entry in again.latest(10)] == ["/4", "/3", "/2"]
    assert [entry.path for entry in again.latest(1)] == ["/4"]


def test_a_file_that_is_full_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit"
    log = Audit(Clock(), path)
    note(log, "/0")
    monkeypatch.setattr(audit, "LARGEST", path.stat().st_size * 2)
    for number in range(1, 5):
        note(log, f"/{number}")
    assert [line["path"] for line in lines(path)] == ["/4"]
    assert [line["path"] for line in lines(tmp_path / "audit.1")] == ["/2", "/3"]


def test_it_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    log = Audit(Clock(), path)
    note(log, "/0")
    path.rename(tmp_path / "moved")
    log.reopen()
    note(log, "/1")
    assert [line["path"] for line in lines(path)] == ["/1"]
    path.unlink()
    path.mkdir()
    log.reopen()  # it goes on where it was
    note(log, "/2")
    assert [entry.path for entry in log.latest(1)] == ["/2"]


def test_a_full_disk_stops_nobody_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = Audit(Clock(), Path("/dev/full"))
    note(log, "/0")
    note(log, "/1")
    assert [entry.path for entry in log.latest(10)] == ["/1", "/0"]
    assert [record.getMessage() for record in caplog.records] == [
        "the audit file cannot be written: No space left on device"
    ]


def test_a_file_that_cannot_be_written_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--audit-file .*: cannot be written"):
        Audit(Clock(), tmp_path / "no" / "audit")


def test_in_memory_alone() -> None:
    log = Audit(Clock(), None)
    note(log, "/0")
    log.reopen()
    log.close()
    assert [entry.path for entry in log.latest(10)] == ["/0"]
