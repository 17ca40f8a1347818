"""Under a real supervisord, from supervisord.conf.example with places and the port filled in."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from daemon_process import API, ROOT, KalaProcess, wait_for

pytestmark = pytest.mark.slow

SUPERVISOR = """
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
[unix_http_server]
file={folder}/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/socket
"""


class Supervised(KalaProcess):
    """A daemon that supervisord starts; `process` is supervisord."""

    def __init__(self, folder: Path, supervisord: str, supervisorctl: str) -> None:
        self.config, self.control = folder / "supervisord.conf", supervisorctl
        folder.mkdir()
        self.config.write_text(SUPERVISOR.format(folder=folder) + filled_in(folder))
        super().__init__(folder, command=[supervisord, "-c", str(self.config)])

    def launch(self, *flags: str) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return self.process

    def ctl(self, *words: str) -> str:
        result = subprocess.run(
            [self.control, "-c", str(self.config), *words], capture_output=True, text=True, timeout=90, check=False
        )
        return result.stdout + result.stderr

    def wait_started(self, after: int) -> None:
        """Return when the daemon has started once more than `after` times, and is ready."""

        def last_address() -> str:
            found = re.findall(r'listening at (http://[^\s"]+)', self.log())
            return found[-1] if len(found) > after else ""

        self._url = self.wait_for(last_address, "it was not started")

        def ready() -> bool:
            with suppress(OSError):
                return self.get("/readyz").status == 200
            return False

        self.wait_for(ready, "it is not ready")

    @property
    def daemon(self) -> int:
        return int(self.ctl("pid", "kala"))


def filled_in(folder: Path) -> str:
    """The example with this machine's program and folders. Everything else is as it stands there."""
    text = (ROOT / "supervisord.conf.example").read_text()
    for old, new in {
        "/opt/kala/bin/kala serve": f"{sys.executable} -m kala serve",
        "--port 8000": "--port 0",
        "/var/lib/kala": str(folder),
        "/var/log/kala": str(folder),
        "user=kala\n": "",
    }.items():
        assert re.search(f"^[^;].*{re.escape(old)}|^{re.escape(old)}", text, re.MULTILINE), f"{old} is not there"
        text = text.replace(old, new)
    return text


@pytest.fixture
def supervised(tmp_path: Path, program: Callable[[str], str]) -> Iterator[Supervised]:
    kala = Supervised(tmp_path / "kala", program("supervisord"), program("supervisorctl"))
    try:
        kala.launch()
        kala.wait_started(0)
        yield kala
        assert kala.stop() == 0
    finally:
        kala.close()


def test_a_stop_lets_a_run_in_progress_finish(supervised: Supervised) -> None:
    # given a run of 8 seconds that has just begun
    mark = supervised.folder / "began"
    job_id = supervised.create(command=f"bash -c 'touch {mark}; sleep 8; echo finished'")
    assert supervised.post(f"{API}/job/start/{job_id}/?wait=false").status == 202
    wait_for(mark.exists, supervised.log)

    # when supervisord stops the daemon
    began = time.monotonic()
    assert "kala: stopped" in supervised.ctl("stop", "kala")

    # then that has waited for the run, with no need to kill anything
    assert 2 < time.monotonic() - began < 30
    assert "exited: kala" not in (supervised.folder / "supervisord.log").read_text()
    assert "stopped: kala (exit status 0)" in (supervised.folder / "supervisord.log").read_text()

    # and the run is recorded as what it was
    assert "kala: started" in supervised.ctl("start", "kala")
    supervised.wait_started(1)
    job = supervised.job(job_id)
    assert (job["metadata"]["success_count"], job["metadata"]["error_count"]) == (1, 0)
    assert job["stats"][0]["execution_duration"] > 7.9e9


def test_a_killed_daemon_comes_back(supervised: Supervised) -> None:
    # given a job that runs each second, and a long run
    tick = supervised.create(command="true", schedule=each_second())
    long = supervised.create(command="sleep 600")
    supervised.wait_for(lambda: supervised.job(tick)["metadata"]["success_count"])
    assert supervised.post(f"{API}/job/start/{long}/?wait=false").status == 202
    supervised.wait_for(lambda: sleeping(supervised))
    runs = supervised.job(tick)["metadata"]["success_count"]

    # when the daemon is killed, which supervisord's startsecs must have passed for
    supervised.wait_for(lambda: "RUNNING" in supervised.ctl("status", "kala"))
    killed = supervised.daemon
    os.kill(killed, 9)

    # then it is started again, and goes on
    supervised.wait_started(1)
    assert supervised.daemon != killed
    supervised.wait_for(lambda: supervised.job(tick)["metadata"]["success_count"] > runs)

    # and what it had left behind was ended and recorded
    assert not sleeping(supervised)
    assert supervised.job(long)["stats"][-1]["success"] is False


def test_wrong_flags_are_not_tried_for_ever(supervised: Supervised) -> None:
    supervised.ctl("stop", "kala")
    text = supervised.config.read_text()
    supervised.config.write_text(text.replace("--port 0", "--port 99999").replace("startsecs=3", "startsecs=0"))
    supervised.ctl("update")
    supervised.wait_for(lambda: "EXITED" in supervised.ctl("status", "kala"))
    assert "'99999' is not a port" in supervised.log()


def sleeping(kala: KalaProcess) -> list[int]:
    """The processes of runs that sleep for 600 seconds."""
    found = []
    for pid in kala.descendants():
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00600\x00":
                found.append(pid)
    return found


def each_second() -> str:
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))
    return f"R/{start}/PT1S"
