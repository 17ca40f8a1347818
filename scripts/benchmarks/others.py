"""The peers: the original, Dkron, and APScheduler."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.peers import Body, Contender, Kala, Web
from benchmarks.tools import HERE, Answers, Tools, environment, free_port, rfc3339


class Original(Kala):
    title = "the original"
    steps = Kala.steps - {"batch", "secure"}

    def __init__(self, tools: Tools, folder: Path, program: str) -> None:
        super().__init__(tools, folder, [program, "serve", "-p", "{port}", "--jobdb=boltdb", "--bolt-path={dir}"])

    def make_batch(self, count: int) -> None:
        """It takes one at a time."""
        self.make_far(count)


class Dkron(Web):
    """A single server, whose commands are run by its shell executor, without a shell."""

    create_path = "/v1/jobs"
    list_path = "/v1/jobs"
    one_path = "/v1/jobs/{}"
    id_member = "name"
    stats_path = ""  # it does not count
    title = "Dkron"
    makes = 250
    steps = frozenset({"create", "read", "list", "due", "sparse", "rate", "grid", "size"})

    def __init__(self, tools: Tools, folder: Path, program: str) -> None:
        command = [program, "agent", "--server", "--bootstrap-expect=1", "--node-name=bench", "--log-level=error"]
        command += ["--data-dir={dir}/data", "--http-addr=127.0.0.1:{port}"]
        gossip, rpc = f"127.0.0.1:{free_port()}", free_port()
        command += [f"--bind-addr={gossip}", f"--advertise-addr={gossip}"]
        command += [f"--rpc-port={rpc}", f"--advertise-rpc-port={rpc}"]
        super().__init__(tools, folder, command)

    def job(self, name: str, run: str, schedule: str) -> Body:
        executor = {"executor": "shell", "executor_config": {"command": run, "shell": "false"}}
        return {"name": name, "schedule": schedule, **executor}

    def once(self, when: float) -> str:
        return f"@at {rfc3339(when)}"

    def every_second(self, first: float) -> str:
        return "@every 1s"

    def jobs(self) -> int:
        if self.call("GET", "/v1/leader")[0] != 200:
            return -1
        answer, _ = self.answer("GET", "/v1/jobs?_start=0&_end=1")
        return int(answer.headers.get("X-Total-Count") or 0) if answer.status == 200 else -1


class Apscheduler(Contender):
    """Driven by lines on its standard input, each answered with one; jobs are kept in SQLite."""

    title = "APScheduler 3"
    steps = frozenset({"create", "due", "sparse", "rate", "grid", "size"})

    def start(self, jobs: int = 0, seconds: float = 400) -> float:
        began = time.monotonic()
        command = [sys.executable, HERE / "peer_apscheduler.py", self.folder]
        self.spawn(command, environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self.wait_until(lambda: int(self.ask("count")) >= jobs, began, seconds)

    def ask(self, line: str) -> str:
        if self.process.stdin is None or self.process.stdout is None:
            raise SystemExit("the peer has no pipes")
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        if not (answer := self.process.stdout.readline()):
            raise SystemExit(f"APScheduler has ended:\n{(self.folder / 'log').read_text()[-2000:]}")
        return str(answer)

    def make_far(self, count: int) -> Answers:
        began = time.monotonic()
        times = [float(took) for took in self.ask(f"far {count}").split()]
        tenth = max(count // 10, 1)
        took = time.monotonic() - began
        return Answers(count, took, 0, 0, times[tenth - 1], times[-1] - times[-tenth - 1 if tenth < count else 0])

    def make_due(self, count: int, run: str, when: float) -> None:
        self.ask(f"due {count} {when} 0 {run}")

    def make_sparse(self, count: int, run: str, first: float, gap: float) -> None:
        self.ask(f"due {count} {first} {gap} {run}")

    def make_each(self, count: int, run: str, first: float) -> None:
        self.ask(f"each {count} {first} {run}")
