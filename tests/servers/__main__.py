"""`python -m servers start|stop|status [NAME…]`: servers that go on running, for developers (`scripts/services`)."""

import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from .registry import SERVICES
from .service import DEADLINE, flags_of

FOLDER = Path(__file__).resolve().parents[2] / ".services"
"""Where they keep what they have, each in a folder of its name."""


class Running(Struct):
    """A server that was started, as it is noted beside its folder."""

    pid: int
    born: str  # the start time of the process, for the pid may be another's by now
    version: str
    flags: list[str]

    def is_alive(self) -> bool:
        return born(self.pid) == self.born

    def __str__(self) -> str:
        return f"{self.version}, process {self.pid}\n  kala serve {shlex.join(self.flags)}"


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    verb, *names = arguments or ("",)
    strange = [name for name in names if name not in SERVICES]
    if verb not in ("start", "stop", "status") or strange:
        print(f"start, stop or status, and any of: {', '.join(SERVICES)}", file=sys.stderr)
        return 2
    if verb == "start":
        return start(names)
    for name in names or SERVICES:
        noted = noted_of(name)
        if verb == "stop":
            stop(name, noted)
        elif noted is not None:
            print(f"{name}: {noted if noted.is_alive() else 'it has ended, and was not stopped'}")
    return 0


def start(names: Sequence[str]) -> int:
    code = 0
    for name in names or SERVICES:
        kind, noted = SERVICES[name], noted_of(name)
        if noted is not None and noted.is_alive():
            print(f"{name}: {noted}")
            continue
        if lacking := kind.missing():
            print(f"{name}: {lacking} is missing: scripts/services install", file=sys.stderr)
            code = 1 if names or os.environ.get("CI") == "true" else code
            continue
        stop(name, noted)
        service = kind(FOLDER / name)
        try:
            service.start()
            flags = flags_of(kind.engine, service.fresh())
            assert service.process is not None
            pid = service.process.pid
            noted = Running(pid, born(pid), service.version(), flags)
            note_of(name).write_text(json.dumps({field: getattr(noted, field) for field in noted.__struct_fields__}))
        except BaseException:
            service.kill()
            raise
        print(f"{name}: {noted}", flush=True)
    return code


def stop(name: str, noted: Running | None) -> None:
    """End it, if it runs, and remove what it holds."""
    if noted is not None and noted.is_alive():
        deadline = time.monotonic() + DEADLINE
        os.kill(noted.pid, SERVICES[name].stop_signal)
        while noted.is_alive():
            if time.monotonic() > deadline:
                os.killpg(noted.pid, signal.SIGKILL)
            time.sleep(0.05)
        print(f"{name}: stopped")
    note_of(name).unlink(missing_ok=True)
    if (FOLDER / name).exists():
        shutil.rmtree(FOLDER / name)


def note_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def noted_of(name: str) -> Running | None:
    try:
        return Running(**json.loads(note_of(name).read_text()))
    except FileNotFoundError:
        return None


def born(pid: int) -> str:
    """When a process was started, in ticks since the machine was; empty when it is gone."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else rest[18]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
