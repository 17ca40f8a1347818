"""Backups of real daemons under load, on every database: restored into another one, nothing is missing or twice."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_process import PROGRAM, environment
from daemon_process import API, KalaProcess
from servers.registry import SERVICES
from servers.service import Service, flags_of

from kala.clock import SECOND, rfc3339
from kala.drivers.contract import Driver, RunQuery
from kala.drivers.sqlite import SqliteDriver
from kala.job import Record, Run, decode_record
from kala.states import NOT_RUN, Trigger

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_settings")]

JOBS, BUSY = 2_000, 100
"""How many there are, and how many of them run every second."""
APART = SECOND // BUSY
"""Between two of these: whenever the backup is made, some are about to start, and some to end."""
SLOW = frozenset({"ferretdb", "secantusdb"})
"""What takes some writes a second: there are fewer."""


def command(*words: str) -> str:
    """What `kala` printed, in a process of its own; it must end with 0."""
    done = subprocess.run([*PROGRAM, *words], capture_output=True, timeout=120, env=environment(""), check=False)
    assert done.returncode == 0, (words, done.returncode, done.stderr.decode())
    return done.stdout.decode()


def fill(kala: KalaProcess, jobs: int, busy: int) -> int:
    """Jobs of which some run every second. The first moment at which they do."""
    start = (int(time.time()) + 6) * SECOND
    lines = [
        {
            "name": f"busy {n}",
            "command": "echo $KALA_RUN_ID",
            "shell": True,
            "schedule": f"R/{rfc3339(start + n * APART)}/PT1S",
        }
        | ({"overlap": "allow", "catch_up": "all", "catch_up_limit": 1_000} if n % 2 else {})
        for n in range(busy)
    ]
    lines += [
        {"name": f"idle {n}", "command": "true", "schedule": "R/9000-01-01T00:00:00Z/P1D"} for n in range(jobs - busy)
    ]
    made = kala.request("POST", f"{API}/job/batch/", "\n".join(map(json.dumps, lines)).encode())
    assert made[0].status == 200
    assert made[1].count(b'"id"') == jobs
    return start


def held(driver: Driver) -> tuple[dict[str, Record], dict[str, list[Run]]]:
    """All records, and the rows of each job, the oldest first."""
    records = {one.key: decode_record(one.value) for one in driver.load("job")}
    rows: dict[str, list[Run]] = {job: [] for job in records}
    after = None
    while True:
        page = driver.runs(RunQuery(after=after, limit=1_000))
        for run in page.runs:
            rows[run.job_id].insert(0, run)
        if (after := page.next) is None:
            return records, rows


def account(records: dict[str, Record], rows: dict[str, list[Run]], start: int) -> tuple[int, int]:
    """Every occurrence up to the cursor is in exactly one place, and every counter fits the rows. How many occurrences
    there are, and how many runs have ended."""
    occurrences = ended = 0
    for job, record in records.items():
        ran = [row for row in rows[job] if row.state not in NOT_RUN]
        assert len(ran) == record.finished, record.job.name
        ended += len(ran)
        if not record.job.name.startswith("busy"):
            continue
        seen: Counter[int] = Counter()
        gap = [record.gap] if record.gap is not None else []
        for row in [*rows[job], *record.open, *gap]:
            if row.trigger in (Trigger.SCHEDULE, Trigger.CATCH_UP):
                last = row.scheduled_for if row.until is None else row.until
                seen.update(range(row.scheduled_for, last + 1, SECOND))
        assert record.cursor is not None
        first = start + int(record.job.name.split()[1]) * APART
        assert seen == Counter(range(first, record.cursor, SECOND)), record.job.name
        occurrences += len(seen)
    return occurrences, ended


def backed_up_under_load(kala: KalaProcess, file: Path, flags: list[str], jobs: int, busy: int) -> int:
    """Fill a daemon, back it up while its jobs run, and kill it. The first moment at which they ran."""
    start = fill(kala, jobs, busy)
    kala.wait_for(lambda: kala.get(f"{API}/stats/").json["Stats"]["success_count"] > 3 * busy, seconds=90)
    before = kala.get(f"{API}/stats/").json["Stats"]["success_count"]
    assert "has all of" in command("backup", str(file), *flags)
    kala.wait_for(lambda: kala.get(f"{API}/stats/").json["Stats"]["success_count"] > before + busy, seconds=60)
    kala.kill()
    return start


def opened(path: Path) -> Driver:
    driver = SqliteDriver(path)
    driver.open()
    return driver


def restored(file: Path, kala: KalaProcess, flags: list[str], start: int, jobs: int, tmp_path: Path) -> None:
    """Restore a backup into the empty database of a daemon that has not been started; look into it, and start that."""
    printed = command("restore", str(file), *flags)
    assert printed.count("on both sides") == 4
    copy = tmp_path / "looked-into.db"
    command("backup", str(copy), *flags)
    driver = opened_backup(copy)
    records, rows = held(driver)
    driver.close()
    assert len(records) == jobs
    occurrences, ended = account(records, rows, start)
    assert occurrences >= ended > 0

    # the next start goes on, and decides about what was on
    on = {run.id for record in records.values() for run in record.open}
    kala.start()
    before = kala.get(f"{API}/stats/").json["Stats"]
    assert len(kala.jobs()) == jobs
    kala.wait_for(lambda: kala.get(f"{API}/stats/").json["Stats"]["success_count"] > before["success_count"] + 10)
    assert kala.stop() == 0
    again = tmp_path / "later.db"
    command("backup", str(again), *flags)
    driver = opened_backup(again)
    records, later = held(driver)
    driver.close()
    account(records, later, start)
    for job, some in rows.items():
        assert [run.id for run in later[job]][: len(some)] == [run.id for run in some]
    assert on <= {run.id for some in later.values() for run in some}


def opened_backup(path: Path) -> Driver:
    from kala.backup.file import BackupFile

    driver = BackupFile(path)
    driver.open()
    return driver


KEEP = ["--keep-runs=100000", "--drain=5"]


@pytest.mark.parametrize("name", ["sqlite", *SERVICES])
def test_under_load(name: str, started: Callable[[str], Service], tmp_path: Path) -> None:
    jobs, busy = (60, 3) if name in SLOW else (JOBS, BUSY)
    file = tmp_path / "kala.backup"
    source, target = tmp_path / "source", tmp_path / "target"
    flags = [f"--bolt-path={source}"]
    if name != "sqlite":
        service = started(name)
        flags = flags_of(service.engine, service.fresh())
    kala = KalaProcess(source, *KEEP, *([] if name == "sqlite" else flags)).start()
    try:
        start = backed_up_under_load(kala, file, flags, jobs, busy)
    finally:
        kala.close()

    into, there = [f"--bolt-path={target}"], KalaProcess(target, *KEEP)
    if name == "sqlite":  # to a server, and the others to a file
        service = started("postgres")
        into = flags_of(service.engine, service.fresh())
        there = KalaProcess(target, *KEEP, *into)
    try:
        restored(file, there, into, start, jobs, tmp_path)
    finally:
        there.close()
