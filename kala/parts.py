"""Parts of a daemon, made as its settings ask for them."""

import logging
import os
import resource
from pathlib import Path

from kala.audit import Audit
from kala.clock import Clock
from kala.drivers import driver_class
from kala.drivers.contract import Driver
from kala.errors import CommandError, SettingsError
from kala.processes.users import Users
from kala.settings import EMBEDDED, Settings
from kala.store.spool import Spool
from kala.tokens import Tokens

log = logging.getLogger(__name__)

FILES_A_RUN, FILES_ELSEWHERE = 4, 512
"""Descriptors: the pipe and handles of a run; connections, the database and the rest."""
MOST_RUNS = 10_000


def new_audit(settings: Settings, clock: Clock, tokens: Tokens) -> Audit | None:
    """Where it is noted who did what; nowhere when nobody is known and nobody asks for it. Raises `SettingsError`."""
    if not settings.audit_file and not tokens.demanded:
        return None
    in_memory = settings.no_persist and not settings.audit_file
    path = Path(settings.audit_file) if settings.audit_file else settings.spool_folder / "audit.jsonl"
    return Audit(clock, None if in_memory else path)


def new_users(settings: Settings) -> Users:
    """As whom commands run. Raises `SettingsError`."""
    try:
        return Users(settings.run_as)
    except CommandError as fault:
        raise SettingsError(f"--run-as: {fault}") from None


def new_spool(settings: Settings, driver: Driver) -> Spool | None:
    """Where results are kept that the database does not take; nowhere when nothing is to be kept."""
    if settings.no_persist:
        return None
    folder = settings.spool_folder.absolute()
    if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        log.warning("%s cannot be written: results would not outlive a stop while the database is away", folder)
    return Spool(settings.spool_folder, f"{driver.name} {driver.place}")


def new_driver(settings: Settings) -> Driver:
    """The driver of the database that the settings name. Raises `SettingsError`."""
    if settings.no_persist:
        return driver_class("memory")()
    if settings.jobdb in EMBEDDED:
        return driver_class("sqlite")(settings.database)  # type: ignore[call-arg]
    return driver_class(settings.jobdb)(settings.server)  # type: ignore[call-arg]


def runs_that_files_allow() -> int:
    """How many runs may be on at once, by the limit on open files, which is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_RUNS * FILES_A_RUN + FILES_ELSEWHERE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MOST_RUNS
    return max(min((soft - FILES_ELSEWHERE) // FILES_A_RUN, MOST_RUNS), 4)
