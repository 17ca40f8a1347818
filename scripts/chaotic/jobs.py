"""The jobs of `scripts/chaos`: seeded, with every policy among them."""

import http.client
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from chaotic.daemon import Daemon

from kala.clock import rfc3339

WORKER = """\
import os, sys, time, zlib
e = os.environ
names = ["RUN_ID", "ATTEMPT", "JOB_ID", "SCHEDULED_FOR", "TRIGGER"]
words = [*(e["KALA_" + name] for name in names), repr(time.time())]
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
os.write(fd, (" ".join(words) + "\\n").encode())
os.fsync(fd)
chance = zlib.crc32((words[0] + words[1]).encode())
print("printed by", words[0], flush=True)
time.sleep(chance % 3000 / 1000)
os.write(fd, f"over {words[0]} {words[1]} {time.time()!r}\\n".encode())
sys.exit(chance // 3000 % 100 < int(sys.argv[2]))
"""

POLICIES: dict[str, dict[str, object]] = {
    "defaults": {},
    "overlap: skip": {"overlap": "skip"},
    "overlap: allow": {"overlap": "allow"},
    "overlap: replace": {"overlap": "replace"},
    "catch_up: none": {"catch_up": "none"},
    "catch_up: all": {"catch_up": "all", "catch_up_limit": 5},
    "catch_up_window": {"catch_up_window": "PT30S"},
    "retry_delay": {"retries": 2, "retry_delay": "PT1S", "retry_backoff": 2},
    "epsilon": {"retries": 2, "retry_delay": "PT2S", "epsilon": "PT3S"},
    "timeout": {"timeout": "PT2S", "kill_after": "PT1S"},
    "jitter": {"jitter": "PT2S"},
    "on_lost: rerun": {"on_lost": "rerun"},
    "cron": {"schedule": "*/3 * * * * *"},
    "cron, zone": {"schedule": "*/4 * * * * *", "time_zone": "Australia/Lord_Howe", "dst_fold": "both"},
    "zone": {"time_zone": "Europe/Berlin", "dst_gap": "skip"},
    "environment": {"environment": {"LANG": "C"}, "directory": "/", "output_limit": 8},
}


LOAD = "load"
"""What stands for a policy with the jobs of `Jobs.load`."""


class Jobs:
    """Makes jobs and, while the daemon lives and dies, more of them. What was answered with 201 is in `promised`;
    `notify` is where failures are posted."""

    def __init__(self, daemon: Daemon, seed: int, ledger: Path, worker: Path, notify: str) -> None:
        self.daemon, self.random, self.notify = daemon, random.Random(seed), notify
        self.ledger, self.folder = ledger, worker.parent
        self.command = f"{sys.executable} -S -E {worker} {ledger}"
        self.promised: list[str] = []
        self.cancelled: set[str] = set()  # runs whose cancelling was answered with 202

    def job(self, name: str, policy: str, **more: object) -> dict[str, object]:
        fails = self.random.choice([0, 0, 20, 60])
        retries = self.random.choice([0, 0, 1, 2])
        job = {"name": name, "command": f"{self.command} {fails}", "retries": retries, "labels": {"policy": policy}}
        return {**job, **more, **POLICIES.get(policy, {})}

    def family(self, number: int) -> None:
        """A job with a schedule and a policy, perhaps with a failure job, children and a grandchild; or a child of two
        that waits for both."""
        policy = list(POLICIES)[number % len(POLICIES)]
        more: dict[str, object] = {"schedule": self.schedule()}
        if self.random.random() < 0.5:
            later = "R/2099-01-01T00:00:00Z/P1D"
            more["on_failure_job"] = self.keep(self.job(f"failure {number}", "failure job", schedule=later))
        if more.get("on_failure_job", "") is None:
            return
        if self.random.random() < 0.5:
            more["notify"] = [{"url": self.notify, "on": ["failure"], "every": "PT0S"}]
        parent = self.keep(self.job(f"family {number}", policy, **more))
        for one in range(self.random.choice([0, 0, 1, 2])):
            if parent is not None:
                child = self.keep(self.job(f"child {number}.{one}", "child", parent_jobs=[parent]))
                if child is not None and self.random.random() < 0.3:
                    self.keep(self.job(f"grandchild {number}.{one}", "child", parent_jobs=[child]))
        if parent is not None and self.random.random() < 0.3:
            other = self.keep(self.job(f"other parent {number}", "defaults", schedule=self.schedule()))
            if other is not None:
                both: dict[str, object] = {"parent_jobs": [parent, other], "parents_mode": "all"}
                self.keep(self.job(f"child of both {number}", "parents_mode: all", **both))

    def load(self, rate: int) -> None:
        """So many jobs that run every second, spread over it, each of a small program. Raises `Died`."""
        stamp = self.folder / "stamp"
        source = Path(__file__).with_name("stamp.c")
        subprocess.run(["cc", "-O2", "-static", "-o", str(stamp), str(source)], check=True)
        first = round((time.time() + 5) * 1_000_000)
        command, labels = f"{stamp} {self.ledger}", {"policy": LOAD}
        jobs: list[dict[str, object]] = [
            {
                "name": f"load {number}",
                "command": command,
                "schedule": f"R/{rfc3339(first + number * 1_000_000 // rate)}/PT1S",
                "labels": labels,
            }
            for number in range(rate)
        ]
        self.promised += self.daemon.create_many(jobs)

    def schedule(self) -> str:
        start = rfc3339(round((time.time() + self.random.uniform(1, 4)) * 1_000_000))
        return f"R/{start}/PT{self.random.choice([2, 3, 4, 5])}S"

    def keep(self, job: dict[str, object]) -> str | None:
        job_id = self.daemon.create(job)
        if job_id is not None:
            self.promised.append(job_id)
        return job_id

    def go_on(self, done: threading.Event) -> None:
        """Make one-off jobs all the time, and cancel a run now and then, whatever becomes of the daemon."""
        number = 0
        while not done.wait(0.1):
            number += 1
            self.keep(self.job(f"one-off {number}", "one-off"))
            if number % 10 == 0:
                self.cancel_one()

    def cancel_one(self) -> None:
        try:
            _, answer = self.daemon.call("GET", "/api/v1/run/?state=running&limit=5")
            runs = answer.get("runs")
            if isinstance(runs, list) and runs:
                run_id = self.random.choice(runs)["id"]
                status, _ = self.daemon.call("POST", f"/api/v1/run/{run_id}/cancel/")
                if status == 202:
                    self.cancelled.add(run_id)
        except (OSError, http.client.HTTPException, ValueError):
            return  # it has just been killed
