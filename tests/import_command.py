"""`kala import`, called in this process, and what it has left in a database."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from daemon_process import ROOT

from kala.cli import main
from kala.clock import from_datetime
from kala.drivers.sqlite import SqliteDriver
from kala.job import Record, decode_record

RECORDED = ROOT / "tests/data/original_jobs.json"
"""What the original answered to `GET /api/v1/job/`, after some seconds of runs."""
ORIGINAL: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text())["jobs"]
FAR = "R/2100-01-01T00:00:00Z/P1D"


def imported(source: object, *flags: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["import", str(source), *flags], input=stdin)


def into(folder: Path, jobs: dict[str, Any]) -> Result:
    """Imports `jobs`, by id, into the database in `folder`."""
    return imported("-", "--bolt-path", str(folder), stdin=json.dumps({"jobs": jobs}).encode())


def stored(folder: Path) -> dict[str, Record]:
    """What is in the database in `folder`."""
    driver = SqliteDriver(folder / "kala.db")
    driver.open()
    try:
        return {one.key: decode_record(one.value) for one in driver.load("job")}
    finally:
        driver.close()


def moment(text: str) -> int | None:
    """A time of the original, which has nanoseconds; None for one that has not been."""
    read = datetime.fromisoformat(text)
    return from_datetime(read) if read.year > 1 else None


def job(**members: Any) -> dict[str, Any]:
    return {"name": "j", "command": "true", "schedule": FAR, **members}
