"""Databases of every layout that there has been, of earlier programs and of later ones.

`data/layouts/sqlite-N.db.gz` are files that a daemon of the last program with layout 1, and of the first with layout 2,
has written and left by `kill -9`, with a run on; only the name of its host was taken out, and its lease. The other
engines have had one layout each, and their own tests refuse a later one.
"""

import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from daemon_process import API, KalaProcess

from kala.cli import main
from kala.drivers.consul_lane import SCHEMA as CONSUL
from kala.drivers.contract import RunQuery
from kala.drivers.mongo_database import SCHEMA as MONGO
from kala.drivers.mysql_schema import MIGRATIONS as MYSQL
from kala.drivers.postgres_schema import MIGRATIONS as POSTGRES
from kala.drivers.sqlite import SqliteDriver
from kala.drivers.sqlite_file import MIGRATIONS
from kala.errors import StoreRefused
from kala.job import decode_record, decode_run
from kala.states import State

LAYOUTS = Path(__file__).parent / "data" / "layouts"
NAMES = {"ticks", "fails", "once", "child", "remote", "disabled", "deleted", "idle", "on"}


def laid(folder: Path, layout: int) -> Path:
    """A database of a layout."""
    folder.mkdir(exist_ok=True)
    path = folder / "kala.db"
    path.write_bytes(gzip.decompress((LAYOUTS / f"sqlite-{layout}.db.gz").read_bytes()))
    assert layout_of(path) == layout
    return path


def layout_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    version: int = connection.execute("pragma user_version").fetchone()[0]
    connection.close()
    return version


def test_there_is_a_file_of_every_layout() -> None:
    found = {int(path.name.split("-")[1].split(".")[0]) for path in LAYOUTS.iterdir()}
    assert found == set(range(1, len(MIGRATIONS) + 1)), "a new layout: keep a file that its first program has written"
    assert (len(POSTGRES), len(MYSQL), MONGO, CONSUL) == (1, 1, 1, 1)


@pytest.mark.parametrize("layout", range(1, len(MIGRATIONS) + 1))
def test_a_file_of_an_earlier_layout_is_brought_up_to_date(tmp_path: Path, layout: int) -> None:
    driver = SqliteDriver(laid(tmp_path, layout))
    driver.open()
    try:
        records = {record.job.name: record for one in driver.load("job") for record in [decode_record(one.value)]}
        rows = driver.runs(RunQuery(limit=100)).runs
        assert records.keys() == NAMES
        assert (records["ticks"].successes, records["fails"].errors, records["fails"].finished) == (3, 6, 3)
        assert records["deleted"].deleted is not None
        assert records["disabled"].disabled
        assert records["child"].job.parent_jobs == [records["ticks"].id]
        assert records["idle"].job.epsilon == "PT5M"
        [on] = records["on"].open
        assert on.state in (State.CLAIMED, State.RUNNING)
        assert len(rows) == 11
        printed = [driver.output(row.id)[0].data for row in rows if row.job_id == records["ticks"].id]
        assert printed == [b"tick\n"] * 3
        total = sum(len(one.data) for row in rows for one in driver.output(row.id))
        assert driver.trim_outputs(0) == total > 0  # layout 1 did not count them
    finally:
        driver.close()
    assert layout_of(tmp_path / "kala.db") == len(MIGRATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("layout", range(1, len(MIGRATIONS) + 1))
def test_a_daemon_goes_on_with_an_earlier_layout(
    start_kala: Callable[..., KalaProcess], tmp_path: Path, layout: int
) -> None:
    kala = start_kala(folder=laid(tmp_path / "kala", layout).parent)
    jobs = {job["name"]: job for job in kala.jobs().values()}
    assert jobs.keys() == NAMES - {"deleted"}
    assert jobs["fails"]["metadata"]["error_count"] == 6

    # what was on when it was killed is decided, and shown with the rest of the history
    kala.wait_for(lambda: kala.get(f"{API}/run/?state=lost").json["runs"])
    [lost] = kala.get(f"{API}/run/?state=lost").json["runs"]
    assert lost["job_id"] == jobs["on"]["id"]
    failed = kala.get(f"{API}/run/?job={jobs['fails']['id']}").json["runs"]
    assert [run["state"] for run in failed] == ["failed"] * 3
    assert kala.request("GET", f"{API}/run/{failed[0]['id']}/output/")[1] == b"broken\n"

    # and it can be worked with
    assert kala.post(f"{API}/job/start/{jobs['idle']['id']}/").status == 204
    kala.wait_for(lambda: kala.job(jobs["idle"]["id"])["metadata"]["success_count"] == 1)


@pytest.mark.usefixtures("no_settings")
def test_a_backup_of_an_earlier_layout_is_of_todays(tmp_path: Path) -> None:
    laid(tmp_path / "old", 1)
    flags = ["--bolt-path", str(tmp_path / "old")]
    result = CliRunner().invoke(main, ["backup", str(tmp_path / "kala.backup"), *flags])
    assert result.exit_code == 0, result.output
    assert layout_of(tmp_path / "kala.backup") == len(MIGRATIONS)
    assert layout_of(tmp_path / "old" / "kala.db") == 1  # the program that works on it may be an earlier one


def test_a_file_of_a_later_layout_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = laid(tmp_path, len(MIGRATIONS))
    later = len(MIGRATIONS) + 1
    connection = sqlite3.connect(path)
    connection.execute(f"pragma user_version = {later}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(
        StoreRefused, match=f"its schema is version {later}, .* install the newer program that wrote it"
    ):
        SqliteDriver(path).open()
    assert path.read_bytes() == before


def test_members_of_a_later_program_are_passed_over(tmp_path: Path) -> None:
    driver = SqliteDriver(laid(tmp_path, len(MIGRATIONS)))
    driver.open()
    try:
        for stored in driver.load("job"):
            text: dict[str, Any] = json.loads(stored.value)
            text |= {"later": {"deep": [1, {}]}, "job": text["job"] | {"also_later": "x"}}
            text["open"] = [run | {"and_this": None} for run in text.get("open", [])]
            assert decode_record(json.dumps(text).encode()) == decode_record(stored.value)
        for run in driver.runs(RunQuery(limit=100)).runs:
            attempts = [{"number": 1, "started": 1, "ended": 2, "state": "failed", "new": 3}]
            text = {
                "id": run.id,
                "job_id": "j",
                "scheduled_for": 1,
                "trigger": "manual",
                "state": "failed",
                "created": 1,
            }
            assert decode_run(json.dumps(text | {"attempts": attempts, "new": {}})).attempts[0].state is State.FAILED
    finally:
        driver.close()
