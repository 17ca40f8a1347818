"""The real logrotate, by the lines of docs/operating.md, on a daemon that writes: no line is lost."""

import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon_process import API, DEADLINE, ROOT, KalaProcess

pytestmark = pytest.mark.slow

ROTATIONS = 12


def documented() -> str:
    """The configuration in the document."""
    found = re.search(r"```\n(/var/log/kala/kala\.log .*?)```", (ROOT / "docs/operating.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def filled_in(folder: Path, kala: KalaProcess) -> str:
    """It with this machine's folder, and with a signal where systemd would send one; all else is as it stands there."""
    text = documented()
    for old, new in {
        "/var/log/kala": str(folder),
        "systemctl reload kala": f"kill -HUP {kala.pid}",
        "rotate 14": "rotate 1000",
    }.items():
        assert old in text, f"{old} is not there"
        text = text.replace(old, new)
    return text


def test_no_line_is_lost(tmp_path: Path, program: Callable[[str], str]) -> None:
    # given a daemon that writes a line, and an audit line, for every job that is run and fails
    folder = tmp_path / "log"
    folder.mkdir()
    audit = ("--audit-file", str(folder / "audit.jsonl"))
    kala = KalaProcess(tmp_path / "kala", "--log-file", str(folder / "kala.log"), *audit, "--keep-runs", "100000")
    kala.log_file = folder / "kala.log"  # where it says at which address it listens
    with kala:
        under_logrotate(kala, folder, program("logrotate"))


def under_logrotate(kala: KalaProcess, folder: Path, logrotate: str) -> None:
    job_id = kala.create(command="false", overlap="allow")
    done, sent = threading.Event(), [0, 0, 0]

    def send(place: int) -> None:
        while not done.is_set():
            assert kala.post(f"{API}/job/start/{job_id}/").status == 204
            sent[place] += 1

    threads = [threading.Thread(target=send, args=(place,)) for place in range(len(sent))]
    for one in threads:
        one.start()

    # when logrotate moves its files away, again and again
    try:
        config = folder.parent / "logrotate.conf"
        config.write_text(filled_in(folder, kala))
        config.chmod(0o644)
        rotate = [logrotate, "--force", "--state", str(folder.parent / "state"), str(config)]
        for number in range(1, ROTATIONS + 1):
            before = sum(sent)
            result = subprocess.run(rotate, capture_output=True, text=True, timeout=DEADLINE)
            assert (result.returncode, result.stderr) == (0, "")
            assert len(list(folder.glob("kala.log.*"))) == number
            kala.wait_for((folder / "kala.log").exists)  # the signal has been heeded
            kala.wait_for(lambda before=before: sum(sent) > before + 20)  # type: ignore[misc]
    finally:
        done.set()
        for one in threads:
            one.join()

    # then every run's line is in one of the files
    count = kala.wait_for(
        lambda: (made := kala.job(job_id)["metadata"]["number_of_finished_runs"]) == sum(sent) and made
    )
    assert count > 20 * ROTATIONS
    lines = [line for file in folder.glob("kala.log*") for line in unpacked(file).splitlines()]
    runs = [found[1] for line in lines if 'msg="attempt failed"' in line and (found := re.search(r" run=(\S+)", line))]
    assert len(runs) == len(set(runs)) == count
    assert all(line.startswith("time=") for line in lines)
    assert sum("the log was reopened" in line for line in lines) == ROTATIONS

    # and every request's line of the audit file in one of those
    asked = [line for file in folder.glob("audit.jsonl*") for line in unpacked(file).splitlines() if job_id in line]
    assert len([line for line in asked if "start" in line]) == count
    assert (folder / "kala.log").exists()


def unpacked(file: Path) -> str:
    if file.suffix == ".gz":
        return subprocess.run(["gzip", "-dc", str(file)], capture_output=True, check=True, text=True).stdout
    return file.read_text()
