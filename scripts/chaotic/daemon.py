"""A daemon that is killed and started again on one folder."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path


class Daemon:
    """A `kala serve` with the flags of a database; what it keeps, and its log, is in `folder`."""

    def __init__(self, folder: Path, flags: list[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one:
            self.port = one.getsockname()[1]
        self.folder, self.flags = folder, flags
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        command = [sys.executable, "-m", "kala", "serve", f"--port={self.port}", f"--bolt-path={self.folder}"]
        command += ["--keep-runs=1000000", "--drain=10", *self.flags]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=env)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else {}
        finally:
            connection.close()

    def create(self, job: dict[str, object]) -> str | None:
        """The new job's id, when it was answered with 201."""
        try:
            status, answer = self.call("POST", "/api/v1/job/", job)
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return str(answer["id"]) if status == 201 else None

    def wait_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            if self.process.poll() is not None:
                log = (self.folder / "log").read_text()
                sys.exit(f"the daemon ended with {self.process.returncode}:\n{log[-3000:]}")
            time.sleep(0.02)
        sys.exit("the daemon does not become ready")

    def alive(self) -> int:
        """Processes that it has started and that are there."""
        path = Path(f"/proc/{self.process.pid}/task")
        found = 0
        for task in path.iterdir():
            found += len((task / "children").read_text().split())
        return found
