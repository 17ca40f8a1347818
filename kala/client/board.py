"""What `kala watch` knows of a daemon: its picture, kept up to date by events. Pure, without a clock."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kala import events
from kala.client.stream import Event

MANY = 200  # ended runs that are kept: more than a screen has lines
MINUTE = 60


class Going(NamedTuple):
    """A run that is on. Moments as the daemon writes them."""

    job: str
    started: str
    trigger: str
    attempt: int


class Ended(NamedTuple):
    """A run that has ended, or occurrences that did not run."""

    job: str
    state: str
    at: str
    duration: float | None
    reason: str
    times: int


class Coming(NamedTuple):
    job: str
    at: str


class Picture(NamedTuple):
    """What has been read afresh."""

    open: list[Mapping[str, Any]]  # runs
    ended: list[Mapping[str, Any]]  # runs, newest first
    coming: list[Mapping[str, Any]]  # jobs
    paused: str | None  # the reason of a pause


class Minute:
    """What happened in the last minute, by seconds."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, dict[str, int]]] = deque()

    def add(self, kind: str, now: float) -> None:
        second = int(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, {}))
        counts = self._seconds[-1][1]
        counts[kind] = counts.get(kind, 0) + 1

    def count(self, now: float) -> dict[str, int]:
        """How often each kind came in the last minute."""
        while self._seconds and self._seconds[0][0] <= now - MINUTE:
            self._seconds.popleft()
        total: dict[str, int] = {}
        for _, counts in self._seconds:
            for kind, number in counts.items():
                total[kind] = total.get(kind, 0) + number
        return total


def why(run: Mapping[str, Any]) -> str:
    """Why a run is as it is, in a word or two: its reason, or what was wrong with its last attempt."""
    return str(run["reason"] or (run["attempts"][-1]["error"] if run["attempts"] else ""))


class Board:
    """`stale`: all is to be read afresh. `coming_stale`: what comes next is."""

    def __init__(self) -> None:
        self.going: dict[str, Going] = {}  # by run
        self.waiting: dict[str, str] = {}  # the job, by run
        self.ended: dict[str, Ended] = {}  # by run or event, the newest last
        self.coming: list[Coming] = []
        self.names: dict[str, str] = {}  # of jobs
        self.minute = Minute()
        self.paused: str | None = None
        self.store_down = ""
        self.stale = self.coming_stale = True

    def take(self, batch: Iterable[Event], now: float) -> None:
        """Events, as they came; `now` in seconds of any steady clock."""
        for event in batch:
            self._take(event, now)
        while len(self.ended) > MANY:
            del self.ended[next(iter(self.ended))]

    def _take(self, event: Event, now: float) -> None:
        kind, job, run = event["type"], event.get("job", ""), event.get("run", "")
        if name := event.get("job_name"):
            self.names[job] = name
        if kind == events.RELOAD:
            self.stale = True
        elif kind == events.RUN_CLAIMED:
            self.waiting[run] = job
            self.coming_stale = True
        elif kind == events.RUN_STARTED:
            self.waiting.pop(run, None)
            started = self.going[run].started if run in self.going else str(event.get("started", event["at"]))
            self.going[run] = Going(job, started, event.get("trigger", ""), event.get("attempt", 1))
            self.minute.add("started", now)
        elif kind in (events.RUN_FINISHED, events.OCCURRENCE_SKIPPED, events.OCCURRENCE_MISSED):
            self.waiting.pop(run, None)
            self.going.pop(run, None)
            self._end(run or event["id"], event, now)
            self.coming_stale = True
        elif kind in (events.JOB_SAVED, events.JOB_DELETED):
            self.names.pop(job, None)
            self.coming_stale = True
        elif kind == events.DAEMON_PAUSED:
            self.paused = event.get("reason", "")
        elif kind == events.DAEMON_RESUMED:
            self.paused = None
            self.coming_stale = True
        elif kind == events.STORE_DOWN:
            self.store_down = event.get("reason", "") or "the database is away"
        elif kind == events.STORE_UP:
            self.store_down = ""

    def _end(self, key: str, event: Event, now: float) -> None:
        self.ended.pop(key, None)
        state = event.get("state", "")
        self.ended[key] = Ended(
            event.get("job", ""),
            state,
            event["at"],
            event.get("duration"),
            event.get("reason", "") or event.get("error", ""),
            event.get("count", 1),
        )
        self.minute.add(state, now)

    def replace(self, picture: Picture) -> None:
        """What was read afresh, in place of all but the minute's counts. Events that came meanwhile are taken after."""
        self.going, self.waiting = {}, {}
        for run in picture.open:
            self.names[run["job_id"]] = run["job_name"]
            if run["state"] == "running":
                begun = run["started"] or run["created"]
                self.going[run["id"]] = Going(run["job_id"], begun, run["trigger"], max(len(run["attempts"]), 1))
            else:
                self.waiting[run["id"]] = run["job_id"]
        self.ended = {}
        for run in reversed(picture.ended):
            self.names[run["job_id"]] = run["job_name"]
            at = run["ended"] or run["until"] or run["scheduled_for"]
            self.ended[run["id"]] = Ended(run["job_id"], run["state"], at, run["duration"], why(run), run["count"])
        self.set_coming(picture.coming)
        self.paused = picture.paused
        self.stale = False

    def set_coming(self, jobs: Iterable[Mapping[str, Any]]) -> None:
        self.coming = []
        for job in jobs:
            self.names[job["id"]] = job["name"]
            self.coming.append(Coming(job["id"], job["next_run_at"]))
        self.coming_stale = False
