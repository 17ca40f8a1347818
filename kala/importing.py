"""`kala import`: the jobs of another server, into the database of a daemon that is down, or into one that runs."""

import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import httpx2
import msgspec
import trio
from msgspec import Raw, Struct

from kala.client.access import Access
from kala.client.access import client as client_for
from kala.client.faults import refusal
from kala.client.server import base_of
from kala.clock import Clock
from kala.errors import Invalid, KalaError, SettingsError, StoreRefused, shortened
from kala.hub import Hub
from kala.intake import ImportReport, take_in
from kala.lease import Lease
from kala.logs import escaped
from kala.parts import new_driver
from kala.portions import Portion, portions
from kala.settings import Settings
from kala.store import Store
from kala.wire.jobimport import read_imported

log = logging.getLogger(__name__)
API = "/api/v1/job/"
TIMEOUT = httpx2.Timeout(120.0, connect=10.0)
"""Seconds. The original, with a hundred thousand jobs, thinks for some before the first byte."""

Done = Callable[[int], None]
"""Is told of the number of jobs that have been dealt with since the last time."""


class Listing(Struct):
    """What `GET /api/v1/job/` answers. `next` is ours: more jobs follow on another page."""

    jobs: dict[str, Raw]
    next: str | None = None


class Source(Struct):
    """The jobs of another server, in portions."""

    count: int
    names: dict[str, str]  # by id, as far as they can be read
    portions: list[Portion]


class ImportStopped(KalaError):
    """The import came to an end before all jobs were dealt with. `report` says what became of the others."""

    def __init__(self, report: ImportReport, fault: str) -> None:
        self.report = report
        super().__init__(fault)


def read_source(source: str) -> Source:
    """The jobs of a server (its URL), or of a file that holds what `GET /api/v1/job/` answered (`-`: standard input).

    Raises `SettingsError` when they cannot be had.
    """
    data = _fetched(source) if re.match("https?://", source, re.IGNORECASE) else _read(source)
    return source_in(data, source)


def source_in(data: bytes, source: str) -> Source:
    """The jobs in what was read from `source`. Raises `SettingsError` when any of it is not what it should be, so that
    no import ends in the middle for that."""
    try:
        listing = msgspec.json.decode(data, type=Listing)
        names = {job_id: _name(raw) for job_id, raw in listing.jobs.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{source} does not hold what GET {API} answers: {_fault_of(data, error)}") from None
    if listing.next is not None:
        raise SettingsError(f"{source} holds one page of a list: take the whole one, without limit and after")
    return Source(count=len(listing.jobs), names=names, portions=list(portions(listing.jobs)))


def _fault_of(data: bytes, error: Exception) -> str:
    try:
        read_imported(data)
    except Invalid as fault:
        return str(fault)
    return str(error)


def _name(raw: Raw) -> str:
    """A job's name; empty where it has none. Decodes all of it: what is passed over as `Raw` need not be JSON."""
    job = msgspec.json.decode(raw)
    name = job.get("name") if isinstance(job, dict) else None
    return name if isinstance(name, str) else ""


def _read(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise SettingsError(f"there is no file {source}; the address of a server begins with http://") from None
    except OSError as error:
        raise SettingsError(f"{source} cannot be read: {error.strerror}") from None


def _fetched(url: str) -> bytes:
    address = base_of(url) + API
    try:
        answer = httpx2.get(address, timeout=TIMEOUT, follow_redirects=True)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise SettingsError(f"{address} cannot be read: {error or type(error).__name__}") from None
    if answer.status_code != httpx2.codes.OK:
        raise SettingsError(f"{address} answered {answer.status_code}: {shortened(answer.text)}")
    return answer.content


def into_daemon(url: str, source: Source, done: Done, access: Access) -> ImportReport:
    """Hand all jobs to a daemon that runs. Raises `ImportStopped`."""
    report = ImportReport([], {})
    opened, base = client_for(base_of(url), access, TIMEOUT, flag="--to")
    address = f"{base}{API}import/"
    with opened as client:
        for portion in source.portions:
            try:
                answer = client.post(address, content=portion.data, headers={"Content-Type": "application/json"})
                if answer.status_code != httpx2.codes.OK:
                    said = refusal(answer.status_code, answer.content)
                    raise ImportStopped(report, f"{address} answered {answer.status_code}: {said}")
                add(report, msgspec.json.decode(answer.content, type=ImportReport))
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise ImportStopped(report, f"{address}: {error or type(error).__name__}") from None
            except msgspec.DecodeError:
                raise ImportStopped(report, f"{address} does not answer as a daemon of this program") from None
            done(portion.jobs)
    return report


@contextmanager
def progress(source: Source) -> Iterator[Done]:
    """A bar on the terminal, where there is one."""
    if not sys.stderr.isatty():
        yield lambda jobs: None
        return
    with click.progressbar(length=source.count, label="Importing", file=sys.stderr) as bar:
        yield bar.update


def refusals(source: Source, report: ImportReport) -> Iterator[str]:
    """A line for each job that was not taken. What another server has called it cannot forge one."""
    for job_id, faults in report.refused.items():
        name = source.names.get(job_id, "")
        reasons = "; ".join(f"{path}: {fault}" if path else fault for path, fault in faults.items())
        yield escaped(f"not taken: {job_id}{f' ({shortened(name)})' if name else ''}: {reasons}")


def add(report: ImportReport, more: ImportReport) -> None:
    """Add a portion's report to that of the whole."""
    report.imported.extend(more.imported)
    report.refused.update(more.refused)


def into_database(settings: Settings, source: Source, done: Done) -> ImportReport:
    """Write all jobs to the database that the settings name, which is made when it is not there.

    Raises `SettingsError`; `StoreRefused`, also when a daemon works on it; `StoreUnavailable`; `ImportStopped`.
    """
    if settings.no_persist:
        raise SettingsError("--no-persist: without a database there is nothing to import into")
    driver = new_driver(settings)
    lease = Lease(driver, settings.node)
    try:
        return trio.run(_into_database, Store(driver, Clock(), Hub()), lease, settings.shared, source.portions, done)
    finally:
        driver.close()


def _give_back(lease: Lease) -> None:
    try:
        lease.give_back()
    except KalaError as fault:  # the report is worth more; a daemon that starts here sees that this process is gone
        log.warning("the lease could not be given back: %s", fault)


async def _into_database(store: Store, lease: Lease, shared: bool, todo: Sequence[Portion], done: Done) -> ImportReport:
    await store.load()
    try:
        await trio.to_thread.run_sync(lambda: lease.take(shared=shared))
    except StoreRefused as error:
        raise StoreRefused(f"{error}; or import into it while it runs, with --to") from None
    lease.start()
    report, fault = ImportReport([], {}), None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.write)
            try:
                for portion in todo:
                    add(report, await take_in(store, Clock(), read_imported(portion.data)))
                    done(portion.jobs)
            except KalaError as error:  # raised below: a nursery would make a group of it
                fault = error
            store.close()
    finally:
        await trio.to_thread.run_sync(_give_back, lease)
    if fault is not None:
        raise ImportStopped(report, str(fault))
    return report
