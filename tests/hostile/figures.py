"""What a process holds, by /proc."""

import os
from pathlib import Path
from typing import NamedTuple


class Figures(NamedTuple):
    """Open descriptors, threads, and resident memory in megabytes."""

    descriptors: int
    threads: int
    megabytes: float

    def __str__(self) -> str:
        return f"{self.descriptors} descriptors, {self.threads} threads, {self.megabytes:.0f} MB"


def figures(pid: int) -> Figures:
    status = Path(f"/proc/{pid}/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines())
    megabytes = int(values["VmRSS"].split()[0]) / 1024
    return Figures(len(os.listdir(f"/proc/{pid}/fd")), int(values["Threads"]), megabytes)
