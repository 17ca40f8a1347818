"""`kala watch` at work: events come in, and are drawn or written until someone ends it."""

import json
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import trio

from kala.client.board import MANY, Board, Picture
from kala.client.server import Params
from kala.client.stream import Event, Stream
from kala.commands import phrases
from kala.commands.session import Session
from kala.commands.table import clipped, padded
from kala.commands.terminal import Terminal
from kala.commands.watchscreen import screen
from kala.errors import KalaError
from kala.logs import escaped
from kala.states import ENDED, OPEN

TICK = 0.5  # seconds between two drawings when nothing happens: durations grow
LEAST = 0.1  # seconds between two drawings, whatever happens
REREAD = 2.0  # seconds between two looks at what comes next
ROWS = 100  # of what comes next, and of open runs that are read
NAMES = 10_000  # names of jobs that are remembered
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OPEN_STATES = ",".join(sorted(OPEN))
ENDED_STATES = ",".join(sorted(ENDED))


def watched(work: Callable[[], Awaitable[int]]) -> int:
    """Run `work` to its exit code. Errors come out as they were raised."""
    try:
        return trio.run(work)
    except* (KalaError, BrokenPipeError) as group:
        fault = first(group)
    raise fault


def first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first error in a group: a nursery puts them into one, and one into another."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def ended_by_signal(nursery: trio.Nursery, code: list[int], terminal: Terminal | None = None) -> None:
    """End all when a signal asks for it, with 128 and its number; TSTP stops it, with the terminal given back."""
    with trio.open_signal_receiver(*ENDING, signal.SIGTSTP) as arriving:
        async for number in arriving:
            if number != signal.SIGTSTP:
                code[0] = 128 + number
                nursery.cancel_scope.cancel()
                return
            if terminal is not None:
                terminal.give_back()
            os.kill(os.getpid(), signal.SIGSTOP)  # it returns when someone sends CONT
            if terminal is not None:
                terminal.take()


class Lines:
    """Events a line each: for people, or as JSON for programs."""

    def __init__(self, session: Session, filters: Params) -> None:
        self._session, self._server, self._filters = session, session.server, filters
        self._names: OrderedDict[str, str] = OrderedDict()

    async def run(self) -> int:
        code = [0]
        send, receive = trio.open_memory_channel[list[Event]](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ended_by_signal, nursery, code)
            nursery.start_soon(Stream(self._session.url, self._filters, send, self._changed, self._session.access).run)
            async for batch in receive:
                for event in batch:
                    self._write(json.dumps(event) if self._session.as_json else await self._line(event))
                sys.stdout.flush()
        return code[0]

    def _changed(self, why: str) -> None:
        if why:
            self._session.note(f"{datetime.now().astimezone():%H:%M:%S} {why}")

    def _write(self, text: str) -> None:
        sys.stdout.write(text + "\n")

    async def _line(self, event: Event) -> str:
        now = datetime.now(UTC)
        when = phrases.moment(event["at"]) or now
        state = event.get("state", "")
        count = f"× {event['count']:,}" if event.get("count", 1) > 1 else ""
        output = f"{event['size']:,} bytes so far" if "size" in event else ""
        said = [
            state,
            count,
            phrases.length(event.get("duration")),
            event.get("reason", "") or event.get("error", ""),
            output,
        ]
        name = padded(clipped(escaped(await self._name(event)), 30), 30)
        run = event.get("run", "")
        text = " ".join(escaped(one) for one in (*said, run) if one)
        return f"{when:%H:%M:%S.%f}"[:12] + f"  {padded(event['type'], 18)}  {name}  {text}".rstrip()

    async def _name(self, event: Event) -> str:
        """The name of an event's job. Where the event does not tell it, it is asked for once; the id when the job is
        gone, or nobody answers."""
        job = event.get("job", "")
        if name := event.get("job_name"):
            return str(name)
        if job and job not in self._names:
            self._names[job] = await trio.to_thread.run_sync(self._ask, job, abandon_on_cancel=True)
            if len(self._names) > NAMES:
                self._names.popitem(last=False)
        return self._names.get(job, "")

    def _ask(self, job: str) -> str:
        try:
            return str(self._server.job(job)["name"])
        except KalaError:
            return job


class View:
    """The screen."""

    def __init__(self, session: Session, filters: dict[str, Any]) -> None:
        self._session, self._server, self._filters = session, session.server, filters
        self._board, self._connection, self._fault = Board(), "connecting", ""
        self._meanwhile: list[Event] | None = None
        self._happened = trio.Event()
        self._wanted = trio.Event()
        self._allowed: set[str] | None = None  # the jobs that carry the labels asked for

    async def run(self) -> int:
        code = [0]
        send, receive = trio.open_memory_channel[list[Event]](0)
        with Terminal() as terminal:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ended_by_signal, nursery, code, terminal)
                nursery.start_soon(
                    Stream(self._session.url, self._filters, send, self._changed, self._session.access).run
                )
                nursery.start_soon(self._keep_fresh)
                nursery.start_soon(self._resized)
                if terminal.keys is not None:
                    nursery.start_soon(quit_key, terminal.keys, nursery)
                nursery.start_soon(self._draw, terminal)
                async for batch in receive:
                    self._came(batch)
        return code[0]

    def _came(self, batch: list[Event]) -> None:
        if self._meanwhile is not None:
            self._meanwhile += batch
        self._board.take(batch, trio.current_time())
        if self._board.stale or self._board.coming_stale:
            self._wanted.set()
        self._happened.set()

    def _changed(self, why: str) -> None:
        self._connection = why
        self._wanted.set()
        self._happened.set()

    async def _resized(self) -> None:
        with trio.open_signal_receiver(signal.SIGWINCH) as arriving:
            async for _ in arriving:
                self._happened.set()

    async def _draw(self, terminal: Terminal) -> None:
        while True:
            width, height = terminal.size()
            terminal.draw(
                screen(
                    self._board,
                    url=self._server.url,
                    connection=self._connection or self._fault,
                    width=width,
                    height=height,
                    now=datetime.now().astimezone(),
                    steady=trio.current_time(),
                    paint=self._session.paint,
                )
            )
            self._happened = trio.Event()
            await trio.sleep(LEAST)
            with trio.move_on_after(TICK):
                await self._happened.wait()

    async def _keep_fresh(self) -> None:
        """Read afresh what events do not tell. While the daemon is away the screen shows what was known last."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            if self._connection:
                continue  # it is asked for again when there is a connection
            try:
                if self._board.stale:
                    self._meanwhile = []
                    picture = await trio.to_thread.run_sync(self._picture, abandon_on_cancel=True)
                    self._board.replace(picture)
                    self._board.take(self._meanwhile, trio.current_time())
                elif self._board.coming_stale:
                    self._board.set_coming(await trio.to_thread.run_sync(self._coming, abandon_on_cancel=True))
                self._fault = ""
            except KalaError as error:
                self._fault, self._board.stale = str(error), True
                self._wanted.set()
            finally:
                self._meanwhile = None
            self._happened.set()
            await trio.sleep(REREAD)

    def _picture(self) -> Picture:
        """What the daemon says now. In a thread."""
        job = self._filters.get("job")
        if self._filters.get("label"):
            self._allowed = {one["id"] for one in self._server.jobs(label=self._filters["label"])}
        going = self._server.runs_page(1_000, state=OPEN_STATES, job=job).items
        ended = self._server.runs_page(MANY, state=ENDED_STATES, job=job).items
        paused = self._server.ask("GET", "/pause/")
        return Picture(
            [run for run in going if self._allowed is None or run["job_id"] in self._allowed],
            [run for run in ended if self._allowed is None or run["job_id"] in self._allowed],
            self._coming(),
            paused["reason"] if paused["paused"] else None,
        )

    def _coming(self) -> list[Any]:
        if job := self._filters.get("job"):
            one = self._server.job(job)
            return [one] if phrases.moment(one["next_run_at"]) and not (one["disabled"] or one["is_done"]) else []
        label = self._filters.get("label")
        page = self._server.jobs_page(ROWS, sort="next_run_at", disabled=False, done=False, label=label)
        return [job for job in page.items if phrases.moment(job["next_run_at"]) is not None]


async def quit_key(keys: int, nursery: trio.Nursery) -> None:
    """End all when q is pressed, or the terminal is gone."""
    while True:
        await trio.lowlevel.wait_readable(keys)
        try:
            key = os.read(keys, 64)[:1]
        except OSError:  # the terminal has been closed
            key = b""
        if key in (b"q", b"Q", b"\x04", b""):
            nursery.cancel_scope.cancel()
            return
