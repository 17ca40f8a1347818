"""The load of `scripts/soak`: jobs of every kind at some nine runs a second, and people who read and change them."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

from kala.clock import rfc3339

API = "/api/v1"
LATER = "R/2099-01-01T00:00:00Z/P1D"
READS = (
    f"{API}/run/?limit=50",
    f"{API}/run/?state=failed&limit=20",
    f"{API}/job/?brief=true&limit=20&sort=name",
    f"{API}/stats/recent/",
    f"{API}/schedule/next/?limit=10",
    f"{API}/schedule/load/?days=1",
    f"{API}/node/",
    f"{API}/stats/",
    "/openapi.json",
    "/",
)


class Client:
    """Requests on one connection, which is made again when it has ended. `odd` counts answers that were not wanted."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.odd: Counter[str] = Counter()

    def call(self, method: str, path: str, body: object = None, *, want: tuple[int, ...] = (200,)) -> bytes:
        """The answer's body; empty when it is not one of `want`."""
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body))
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as fault:
            self._connection.close()
            self.odd[f"{method} {path.partition('?')[0]}: {type(fault).__name__}"] += 1
            return b""
        if answer.status in want:
            return data
        self.odd[f"{method} {path.partition('?')[0]}: {answer.status}"] += 1
        return b""

    def timed(self, path: str) -> float:
        """Seconds that a GET took."""
        began = time.perf_counter()
        self.call("GET", path)
        return time.perf_counter() - began


class Load:
    """`url` is a server that answers /good with 200, /bad with 500, and takes notifications at /notices."""

    def __init__(self, port: int, url: str, seed: int) -> None:
        self._url, self._random = url, random.Random(seed)
        self.client, self._reader = Client(port), Client(port)
        self.jobs: list[str] = []
        self.made = self.deleted = self.edited = 0
        self._lasting: list[str] = []

    @property
    def odd(self) -> Counter[str]:
        return self.client.odd + self._reader.odd

    def begin(self) -> None:
        """Make the jobs that last."""
        for job in self._definitions():
            self._make(job)
        self._lasting = list(self.jobs)

    def _make(self, job: dict[str, object]) -> str:
        """Its id. Runs by hand put no other off: lateness is the daemon's."""
        data = self.client.call("POST", f"{API}/job/", {"owner": "soak", "overlap": "allow", **job}, want=(201,))
        job_id = str(json.loads(data)["id"]) if data else ""
        if job_id:
            self.jobs.append(job_id)
            self.made += 1
        return job_id

    def _every(self, *seconds: int) -> str:
        start = rfc3339(round((time.time() + self._random.uniform(2, 10)) * 1_000_000))
        return f"R/{start}/PT{self._random.choice(seconds)}S"

    def _definitions(self) -> Iterator[dict[str, object]]:
        for number in range(20):
            command = f"echo {'x' * self._random.randrange(2_000)}; sleep 0.{self._random.randrange(9)}"
            yield {"name": f"local {number}", "command": command, "shell": True, "schedule": self._every(4, 6, 8)}
        for number in range(8):
            remote = {"url": f"{self._url}/good", "method": self._random.choice(["GET", "POST"])}
            yield {"name": f"remote {number}", "type": 1, "remote_properties": remote, "schedule": self._every(4, 5, 6)}
        for number in range(4):
            remote = {"url": f"{self._url}/bad"}
            more = {"type": 1, "remote_properties": remote, "retries": 1, "retry_delay": "PT1S"}
            yield {"name": f"refused {number}", **more, "schedule": self._every(10)}
        for number in range(6):
            more = {"shell": True, "retries": 2, "retry_delay": "PT1S", "schedule": self._every(6)}
            yield {"name": f"second try {number}", "command": 'test "$KALA_ATTEMPT" -ge 2', **more}
        for number in range(4):
            after = self._make({"name": f"after failure {number}", "command": "true", "schedule": LATER})
            notify = [{"url": f"{self._url}/notices", "on": ["failure", "late"], "every": "PT5S"}]
            more = {"command": "false", "on_failure_job": after, "notify": notify}
            yield {"name": f"failing {number}", **more, "schedule": self._every(10)}
        for number in range(4):
            parent = self._make({"name": f"parent {number}", "command": "true", "schedule": self._every(8)})
            for child in range(2):
                yield {"name": f"child {number}.{child}", "command": "true", "parent_jobs": [parent]}
        for number, zone in enumerate(("Europe/Berlin", "Australia/Lord_Howe")):
            yield {"name": f"cron {number}", "command": "true", "schedule": "*/5 * * * * *", "time_zone": zone}
        for number in range(2):
            more = {"timeout": "PT1S", "kill_after": "PT1S", "schedule": self._every(10)}
            yield {"name": f"too long {number}", "command": "sleep 9", **more}

    def change(self, done: threading.Event) -> None:
        """Edit, disable and enable, start by hand, make and delete, until `done`."""
        short: list[str] = []
        number = 0
        while not done.wait(2):
            number += 1
            job = f"{API}/job/{self._random.choice(self._lasting)}/"
            self.client.call("PATCH", job, {"labels": {"round": str(number % 7)}})
            self.edited += 1
            if number % 3 == 0:
                again = self._random.choice(self._lasting)
                self.client.call("POST", f"{API}/job/start/{again}/?wait=false", want=(202,))
            if number % 5 == 0:
                verb = self._random.choice(self._lasting[:20])
                self.client.call("POST", f"{API}/job/disable/{verb}/", want=(204,))
                self.client.call("POST", f"{API}/job/enable/{verb}/", want=(204,))
            if number % 10 == 0:
                short.append(self._make({"name": f"one-off {number}", "command": "true"}))
                if len(short) > 5 and (old := short.pop(0)):
                    self.client.call("DELETE", f"{API}/job/{old}/", want=(204,))
                    self.deleted += 1

    def read(self, done: threading.Event) -> None:
        """What a page and a command line ask for, until `done`."""
        number = 0
        while not done.wait(0.5):
            number += 1
            self._reader.call("GET", READS[number % len(READS)])
            if number % 4 == 0:
                job = self._random.choice(self._lasting)
                self._reader.call("GET", f"{API}/job/{job}/")
                found = json.loads(self._reader.call("GET", f"{API}/run/?job={job}&limit=1") or b"{}")
                for run in found.get("runs", ()):
                    self._reader.call("GET", f"{API}/run/{run['id']}/output/", want=(200, 404))  # it may be pruned
