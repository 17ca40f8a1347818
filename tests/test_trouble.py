"""docs/trouble.md: each line that it has is produced here by a real daemon, and looked for as it stands there."""

import json
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_process import Cli
from daemon_process import API, ROOT, KalaProcess, until_there
from missing import missing
from moved import fill
from servers.certificates import certificates
from servers.service import Service, flags_of
from small_disk import filled, small_disk

from kala.clock import SECOND, rfc3339
from kala.drivers.sqlite import SqliteDriver

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "trouble.md").read_text()
LINES = {
    title: block.strip().splitlines()
    for title, block in re.findall(r"^### (.+?)\n.*?^```\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
}
"""What is documented, by the heading above it."""


def shown(title: str, text: str) -> None:
    """Every line that is documented there is in `text`."""
    for line in LINES[title]:
        pattern = ".*".join(map(re.escape, line.split("…")))
        pattern += "" if line.endswith("…") else "$"
        assert re.search(pattern, text, re.MULTILINE), f"not there: {line}\n{text[-8_000:]}"


def refused(folder: Path, *flags: str, code: int) -> str:
    """The log of a daemon that does not start."""
    kala = KalaProcess(folder)
    kala.launch(*flags)
    try:
        assert kala.wait() == code, kala.log()
        assert "Traceback" not in kala.log()
        return kala.log()
    finally:
        kala.close()


def database(path: Path) -> Path:
    driver = SqliteDriver(path)
    driver.open()
    fill(driver, jobs=60, rows=300)
    driver.close()
    return path


def changed(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for one in statements:
        connection.execute(one)
    connection.commit()
    connection.close()


def test_every_line_is_produced() -> None:
    source = Path(__file__).read_text()
    assert set(LINES) == set(re.findall(r'^ +shown\(\s*"(.+?)",', source, re.MULTILINE))
    assert len(re.findall("^### ", DOCUMENT, re.MULTILINE)) == len(LINES) >= 20


def test_the_port_is_taken(kala: KalaProcess, tmp_path: Path) -> None:
    port = kala.url.rpartition(":")[2]
    shown("The port is taken", refused(tmp_path / "other", "--port", port, code=2))


def test_settings(tmp_path: Path) -> None:
    shown("A setting is wrong", refused(tmp_path, "--port", "99999", code=2))
    shown("It will not listen for other machines", refused(tmp_path, "--interface", "0.0.0.0", code=2))
    shown("The log file cannot be opened", refused(tmp_path, "--log-file", "/no/such/folder/log", code=2))


def test_tokens(kala: KalaProcess, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    assert (
        Cli("").process("token", "new", "--name", "ci", "--role", "run", "--tokens-file", str(tokens)).returncode == 0
    )
    tokens.chmod(0o644)
    log = refused(tmp_path / "other", "--tokens-file", str(tokens), code=2)
    shown("The tokens file is open to others", log)
    tokens.chmod(0o600)
    kala.restart("--tokens-file", str(tokens))
    assert kala.get(f"{API}/job/", Authorization="Bearer kala_wrong").status == 401
    shown("A wrong token is shown", kala.log())
    tokens.chmod(0o644)
    assert kala.process is not None
    kala.process.send_signal(signal.SIGHUP)
    kala.wait_log("the tokens stay as they were: --tokens-file ")


def test_certificates(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    flags = ["--tls-cert", made.server, "--tls-key", made.client_key]
    shown("The TLS certificate and its key do not fit", refused(tmp_path, *flags, code=2))


def test_databases_that_are_refused(kala: KalaProcess, tmp_path: Path) -> None:
    shown("Another daemon works on the database", refused(tmp_path / "other", "--bolt-path", str(kala.folder), code=3))
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "kala.db").write_text("no database\n" * 1_000)
    shown("The file is no database, or another program's", refused(folder, code=3))

    path = database(tmp_path / "damaged" / "kala.db")
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    shown("The database is damaged", refused(path.parent, code=3))

    path = database(tmp_path / "newer" / "kala.db")
    changed(path, "pragma user_version = 99")
    shown("The database is of a newer program", refused(path.parent, code=3))

    path = database(tmp_path / "half" / "kala.db")
    changed(path, "insert into kala_records values ('setting', 'move', 1, 1, '{}')")
    shown("A move or a restore was cut off", refused(path.parent, code=3))

    changed(path, "update kala_records set key = 'backup' where key = 'move'")
    shown("A backup was put in the place of the database", refused(path.parent, code=3))


def test_folders_that_cannot_be_written(kala: KalaProcess, tmp_path: Path) -> None:
    with small_disk(tmp_path / "closed", "1m", "ro"):
        log = refused(tmp_path / "other", "--bolt-path", str(tmp_path / "closed"), code=3)
        shown("The folder cannot be written", log)
        kala.restart("--state-folder", str(tmp_path / "closed"))
        shown("Results would not outlive a stop", kala.log())
        assert kala.stop() == 0


def test_a_wrong_password(started: Callable[[str], Service], tmp_path: Path) -> None:
    service = started("postgres")
    server = service.fresh()
    flags = [one for one in flags_of(service.engine, server) if "password" not in one]
    log = refused(tmp_path, *flags, "--jobdb-password", "wrong", code=3)
    shown("The database's server does not know the password", log)


def test_a_server_that_is_not_there_and_goes_away(started: Callable[[str], Service], tmp_path: Path) -> None:
    service = type(started("redis"))(tmp_path / "redis")
    flags = flags_of(service.engine, service.start().fresh())
    kala = KalaProcess(tmp_path / "kala", *flags, "--drain", "1")
    service.stop()
    kala.start(ready=False)
    try:
        kala.wait_log("waiting for the database: ")
        shown("It starts, and is not ready", kala.log())
        service.start()
        kala.wait_for(lambda: kala.get("/readyz").status == 200)

        # it goes, and comes back
        job_id = kala.create(command="sleep 0.1")
        service.kill()
        assert kala.post(f"{API}/job/", {"name": "n", "command": "true"}).status == 503
        kala.wait_log("the database is away: ")
        service.start()
        kala.wait_log("the database is back")
        shown("The database is away", kala.log())

        # it is away at the end
        kala.create(command="sleep 1.5", name="long")
        job_id = kala.create(command=until_there(tmp_path / "go"))
        kala.post(f"{API}/job/start/{job_id}/?wait=false")
        kala.wait_for(kala.descendants)
        service.kill()
        (tmp_path / "go").touch()
        kala.wait_for(lambda: not kala.descendants())
        kala.wait_log("the database is away: ")
        assert kala.stop() == 0
        service.start()
        kala.start()
        kala.wait_log("results of an earlier start have been recorded")
        shown("It was stopped while the database was away", kala.log(all_starts=True))
        assert kala.job(job_id)["metadata"]["success_count"] == 1
        assert kala.stop() == 0
    finally:
        kala.close()
        service.kill()


def test_full_disks(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    large = {"name": "n", "command": "true" + "x" * 9000}
    with small_disk(disk, "3m"):
        kala = KalaProcess(tmp_path).start("--bolt-path", str(disk))
        with filled(disk):
            kala.wait_for(lambda: kala.post(f"{API}/job/", large).status == 503)
            shown("The disk is full", kala.log())
        kala.wait_log("the database is back")
        assert kala.stop() == 0


def test_logs_on_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "1m"):
        flags = ("--log-file", str(disk / "kala.log"), "--audit-file", str(tmp_path / "audit" / "audit.jsonl"))
        (tmp_path / "audit").mkdir()
        kala = KalaProcess(tmp_path / "kala", *flags)
        kala.log_file = disk / "kala.log"
        kala.start()
        job_id = kala.create(command="bash -c 'printf %900s; exit 1'")
        with filled(disk):
            for _ in range(10):  # what is left of the last page is soon full
                assert kala.post(f"{API}/job/start/{job_id}/").status == 204
            kala.wait_for(lambda: kala.job(job_id)["metadata"]["number_of_finished_runs"] == 10)
        assert kala.post(f"{API}/job/start/{job_id}/").status == 204
        kala.wait_log("log lines were lost")
        shown("Lines of the log are missing", kala.log())
        assert kala.stop() == 0


def test_the_audit_file_on_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "1m"):
        kala = KalaProcess(tmp_path / "kala", "--audit-file", str(disk / "audit.jsonl")).start()
        job_id = kala.create()
        with filled(disk):
            kala.wait_for(
                lambda: (
                    kala.post(f"{API}/job/disable/{job_id}/").status == 204
                    and "the audit file cannot be written" in kala.log()
                )
            )
        assert kala.post(f"{API}/job/enable/{job_id}/").status == 204
        shown("The audit file cannot be written", kala.log())
        assert kala.stop() == 0


def test_a_file_that_was_replaced(tmp_path: Path) -> None:
    kala = KalaProcess(tmp_path).start()
    (tmp_path / "kala.db").rename(tmp_path / "aside.db")
    kala.wait_for(lambda: kala.post(f"{API}/job/", {"name": "n", "command": "true"}).status == 503)
    shown("The database file was removed or replaced under it", kala.log())
    kala.stop()
    kala.close()


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    database(tmp_path / "kala.db")
    with KalaProcess(tmp_path) as kala:
        shown("A record cannot be read", kala.log())
        assert len(kala.jobs()) > 20


def test_runs_that_fail_and_notifications(kala: KalaProcess) -> None:
    notify = [{"url": "http://127.0.0.1:1/hook", "on": ["failure"]}]
    job_id = kala.create(command="no-such-program", notify=notify)
    kala.post(f"{API}/job/start/{job_id}/")
    kala.wait_log("notification not taken yet")
    shown("A command fails, or is not there", kala.log())
    shown("A notification does not get through", kala.log())
    assert 'error="no such program: no-such-program"' in kala.log()


def test_no_descriptors(tmp_path: Path) -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90)); from kala.cli import main; main()"
    kala = KalaProcess(tmp_path, "--max-runs", "500", command=(sys.executable, "-c", code, "serve")).start()
    due = rfc3339(round(time.time() + 10) * SECOND)
    job = json.dumps({"name": "n", "command": "sleep 600", "schedule": f"R0/{due}/PT1S"})
    assert kala.request("POST", f"{API}/job/batch/", "\n".join([job] * 100).encode())[0].status == 200
    kala.wait_log("no file descriptor is left")
    shown("There are no file descriptors left", kala.log())
    kala.kill()
    kala.close()


def test_a_clock_that_was_set(tmp_path: Path) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        missing("libfaketime is not installed: scripts/services installs it")
    ahead = tmp_path / "ahead"
    ahead.write_text("+0")
    given = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(ahead)}
    given |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    with KalaProcess(tmp_path / "kala", environment=given) as kala:
        (tmp_path / "new").write_text("+3600")
        (tmp_path / "new").rename(ahead)
        kala.wait_log("the clock was set")
        shown("The clock was set", kala.log())


def test_a_lease_that_another_has_ended(tmp_path: Path) -> None:
    """Another daemon marks the record of one that does not renew it; what that writes is written here."""
    with KalaProcess(tmp_path, "--shared") as kala:
        connection = sqlite3.connect(tmp_path / "kala.db", timeout=10)
        connection.execute("begin immediate")  # a renewal in between would go by a revision that is its own
        ((key, revision, value),) = connection.execute(
            "select key, revision, value from kala_records where kind = 'instance'"
        )
        ended = json.dumps(json.loads(value) | {"ended": True})
        connection.execute(
            "update kala_records set value = ?, revision = ? where kind = 'instance' and key = ?",
            (ended, revision + 1, key),
        )
        connection.commit()
        connection.close()
        kala.wait_log("was taken for dead")
        shown("The lease was lost", kala.log())
        job_id = kala.create()
        kala.post(f"{API}/job/start/{job_id}/")
        kala.wait_for(lambda: kala.job(job_id)["metadata"]["success_count"] == 1)


def test_a_crash_and_a_long_run_at_a_stop(tmp_path: Path) -> None:
    kala = KalaProcess(tmp_path, "--drain", "0.2").start()
    job_id = kala.create(command="sleep 600")
    kala.post(f"{API}/job/start/{job_id}/?wait=false")
    kala.wait_for(kala.descendants)
    kala.kill()
    kala.start()
    shown("The daemon was killed", kala.log())
    kala.post(f"{API}/job/start/{job_id}/?wait=false")
    kala.wait_for(kala.descendants)
    assert kala.stop() == 0
    shown("Runs were ended at a stop", kala.log())
    kala.close()


def test_nobody_is_there() -> None:
    done = Cli("http://127.0.0.1:1").process("jobs", "list")
    assert done.returncode == 3
    shown("A client says that nobody is there", done.stderr.decode())
