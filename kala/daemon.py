"""The daemon's life: what is started, in which order, and how it stops. Read this first.

    root nursery
      web        hypercorn, from the first moment: it says 503 until the jobs are loaded
      signals    TERM, INT: stop; a second one hurries. HUP: open the log anew, read tokens and certificates anew
      then, when the database is there:
      store      the writer
      scheduler  timers, runs
      lease      renewed in a thread of its own
      upkeep     housekeeping, other daemons' changes, what dead ones left (`upkeep.py`)

Whatever leaves the root nursery that is not foreseen is a bug: it ends the process, with exit code 1, and the
supervisor starts it again. What was on then is decided by the next start.
"""

import gc
import logging
import math
import os
import signal
from collections.abc import AsyncIterator
from functools import partial

import trio

from kala import __version__, logs, threads
from kala.calls.connections import Connections
from kala.clock import Clock
from kala.errors import KalaError, SettingsError, StoreRefused, StoreUnavailable
from kala.housekeeping import Housekeeping
from kala.hub import Hub
from kala.job import COLLECTION
from kala.lease import Lease
from kala.logs import fields
from kala.notices import poster
from kala.parts import new_audit, new_driver, new_spool, new_users, runs_that_files_allow
from kala.processes import spawn
from kala.processes.hidden import hide
from kala.processes.launch import allow_children
from kala.runner import Runner
from kala.scheduler import Scheduler
from kala.secrets import Secrets
from kala.service import Service
from kala.settings import Settings
from kala.store import RETRY_FIRST, RETRY_LAST, Store
from kala.systemd import Systemd
from kala.tokens import Tokens
from kala.upkeep import Upkeep
from kala.web.app import create_app
from kala.web.door import Door
from kala.web.serve import serve
from kala.web.tls import ServerTls

log = logging.getLogger(__name__)

KILL_AFTER = 10.0
"""Seconds from TERM to KILL for runs that outlast the drain, and again until they are given up."""
DATABASE_ALONE = 5.0
"""Seconds for which a stop waits for a database that is away, when nothing else is waited for."""


def run(settings: Settings) -> int:
    """Live until told to stop; return the exit code. Raises `SettingsError`, `StoreRefused`; all else is a bug."""
    allow_children()
    hide()
    gc.set_threshold(*COLLECTION)
    try:
        trio.run(Daemon(settings).live)
    except BaseExceptionGroup as group:
        foreseen, others = group.split((SettingsError, StoreRefused))
        if foreseen is not None and others is None:
            raise _first(foreseen) from None
        raise
    return 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


class Daemon:
    """One start of the daemon: its parts, and their life."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.clock, self.hub = settings, Clock(), Hub()
        tokens = Tokens(settings.tokens_file, settings.tokens)
        self.door = Door(self.clock, tokens, new_audit(settings, self.clock, tokens))
        self.tls = ServerTls(settings)
        self.systemd = Systemd(os.environ, self._status)  # before the runner copies these: not all are for jobs
        self.driver = new_driver(settings)
        self.store = Store(self.driver, self.clock, self.hub, spool=new_spool(settings, self.driver))
        self.lease = Lease(self.driver, settings.node)
        self.connections = Connections(denied=settings.remote_deny)
        secrets = Secrets(settings.secrets_folder, os.environ)
        runner = Runner(
            self.clock,
            node=settings.node,
            environment=os.environ,
            output_limit=settings.output_limit,
            most_output=lambda: self.driver.max_output,
            outputs=self.store.outputs,
            connections=self.connections,
            children=self.store.roster.children,
            secrets=secrets,
            users=new_users(settings),
        )
        allowed = runs_that_files_allow()  # asked in any case: it raises the limit on open files
        self.max_runs = settings.max_runs or allowed
        self.scheduler = Scheduler(
            self.store,
            self.clock,
            self.hub,
            self.lease,
            runner.attempt,
            max_runs=self.max_runs,
            limits=settings.limit_runs,
            room=spawn.wait_room,
            post=poster(self.connections, secrets),
        )
        self.service = Service(
            self.store,
            self.scheduler,
            self.lease,
            self.clock,
            self.hub,
            default_owner=settings.default_owner,
            keep_runs=settings.keep_runs,
            secrets=secrets,
        )
        self.housekeeping = Housekeeping(
            self.store,
            self.clock,
            keep=settings.keep_runs,
            history_age=settings.history_age,
            output_total=settings.output_total,
            done_ttl=settings.done_ttl,
        )
        self._stop, self._hurry, self._drained = trio.Event(), trio.Event(), trio.Event()
        self.upkeep = Upkeep(
            self.store, self.lease, self.clock, self.scheduler.pause, shared=settings.shared, stop=self._stop
        )

    async def live(self) -> None:
        """From start to stop. Raises `SettingsError`, `StoreRefused`, in groups."""
        log.info(
            "kala %s starts",
            __version__,
            extra=fields(pid=os.getpid(), database=self.driver.name, place=self.driver.place, max_runs=self.max_runs),
        )
        stop_web = trio.Event()
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as root:
                root.start_soon(self._heed, signals)
                root.start_soon(self.systemd.keep_telling)
                root.start_soon(self.connections.tend)
                root.start_soon(self.hub.run)
                root.start_soon(self.service.metrics.pulse.run)
                root.start_soon(self.service.finder.run)
                root.start_soon(self.store.outputs.run)
                app = create_app(self.service, self.settings, self.door)
                web = partial(serve, app, self.settings, tls=self.tls, stop=stop_web)
                async with trio.open_nursery() as serving:
                    urls = await serving.start(web)
                    log.info("listening at %s", " and ".join(urls))
                    if await self._opened():
                        await self._work()
                    self.store.outputs.close()
                    self.hub.close()
                    stop_web.set()
                await self.connections.aclose()
                root.cancel_scope.cancel()
        log.info("stopped")
        self.systemd.close()

    async def _heed(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                self.systemd.reloading()
                self._reload()
                self.systemd.reloaded()
            elif not self._stop.is_set():
                log.info("%s: stopping", signal.Signals(number).name, extra=fields(runs=self.scheduler.running))
                self._stop.set()
                self.systemd.stopping()
            else:
                log.warning("%s again: not waiting any longer", signal.Signals(number).name)
                self._hurry.set()

    def _reload(self) -> None:
        """Open anew and read anew what may have changed. What is wrong with it is told, and leaves all as it was."""
        logs.reopen()
        log.info("the log was reopened")
        if self.door.audit is not None:
            self.door.audit.reopen()
        self.tls.reload()
        try:
            self.door.tokens.reload()
        except SettingsError as fault:
            log.error("the tokens stay as they were: %s", fault)
        else:
            self.door.look_again()

    async def _opened(self) -> bool:
        """Open the database and load all jobs, however long it is away; False when told to stop meanwhile."""
        delay = RETRY_FIRST
        while not self._stop.is_set():
            try:
                await self.store.load()
                await self.scheduler.pause.load()
                await threads.in_thread(partial(self.lease.take, shared=self.settings.shared))
            except StoreUnavailable as fault:
                log.log(logging.ERROR if delay == RETRY_FIRST else logging.DEBUG, "waiting for the database: %s", fault)
                self.store.not_yet(fault)
                with trio.move_on_after(delay):
                    await self._stop.wait()
                delay = min(delay * 2, RETRY_LAST)
            else:
                log.info("jobs loaded", extra=fields(jobs=len(self.store.roster.jobs), instance=self.lease.id))
                return True
        return False

    async def _work(self) -> None:
        """Run jobs until told to stop; then stop in order. Nothing is lost by a bug here that a kill would not lose."""
        async with trio.open_nursery() as writing:
            writing.start_soon(self.store.write)
            self.lease.start()
            if await self.upkeep.take_over():
                async with trio.open_nursery() as nursery:
                    await nursery.start(self._schedule)
                    self.systemd.ready()
                    nursery.start_soon(self.housekeeping.run)
                    nursery.start_soon(self.upkeep.run)
                    await self._stop.wait()
                    await self._drain()
                    nursery.cancel_scope.cancel()
            self.store.close()
        await self.store.keep_rest()
        await threads.in_thread(self._leave)

    def _status(self) -> str:
        """What the daemon does, in one line."""
        fault, running = self.store.fault, f"{self.scheduler.running:,} running"
        if self._stop.is_set():
            return f"stopping: {running}"
        if fault is not None:
            return f"without its database: {fault}; {running}"
        return f"{len(self.store.roster.jobs):,} jobs, {running}"

    async def _schedule(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self.scheduler.run(task_status=task_status)
        self._drained.set()

    async def _drain(self) -> None:
        """Nothing starts any more; what is on may finish, is ended, is killed; its records are written in any case."""
        self.scheduler.stop_starting()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._mind_the_database)
            if not await self._drained_within(self.settings.drain):
                log.warning("ending runs", extra=fields(runs=self.scheduler.running))
                self.scheduler.end_runs(hurry=self._hurry.is_set())
            if not await self._drained_within(KILL_AFTER):
                self.scheduler.end_runs(hurry=True)
            self._hurry = trio.Event()
            if not await self._drained_within(KILL_AFTER) and self.store.fault is not None:
                self.store.close()  # it cannot be written: the store says what is kept, and what is lost
                await self._drained.wait()
            nursery.cancel_scope.cancel()

    async def _mind_the_database(self) -> None:
        """Close the store when nothing but a database that is away is waited for; after a second signal at once."""
        since, hasty = math.inf, False
        while trio.current_time() - since < DATABASE_ALONE:
            await trio.sleep(0.1)
            hasty |= self._hurry.is_set()
            if self.scheduler.running or self.store.fault is None:
                since = math.inf
            elif hasty:
                break
            else:
                since = min(since, trio.current_time())
        self.store.close(hasty=hasty)

    async def _drained_within(self, seconds: float) -> bool:
        """Whether all runs have ended; a signal cuts the waiting short."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:

                async def until(event: trio.Event) -> None:
                    await event.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until, self._drained)
                nursery.start_soon(until, self._hurry)
        return self._drained.is_set()

    def _leave(self) -> None:
        try:
            if self.store.fault is None:
                self.lease.give_back()
            else:
                self.lease.let_go()
        except KalaError as fault:
            log.warning("the lease could not be given back: %s", fault)
        self.driver.close()
