"""`kala backup`: all of a database in one file, as it was at one moment, while daemons work on it.

An embedded database is copied by SQLite, which sees it as it is at one moment. One on a server is read while it is
written (`live.py`). The copy is made in a folder beside the file that is wanted, read through and compared with what
was written, and only then given its name.

`kala restore` is `kala move` from that file: into an empty database, and compared at the end.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from kala import __version__
from kala.backup.file import FORMAT, Manifest, check, disk_faults, publish, refuse_existing, seal, snapshot, summed
from kala.backup.live import Live
from kala.clock import Clock, Moment
from kala.drivers.contract import Driver, Element
from kala.drivers.sqlite import SqliteDriver
from kala.drivers.unfinished import BACKUP, refuse_unfinished
from kala.errors import StoreRefused, StoreUnavailable
from kala.moving import Watcher


def take(source: Driver, path: Path, watcher: Watcher) -> Manifest:
    """Back up `source`, which is not open, into `path`. What it holds. Whoever made the driver closes it.

    Raises `StoreRefused`, `StoreUnavailable`, `Damaged`; then there is no such file.
    """
    refuse_existing(path)
    with disk_faults(path.parent), TemporaryDirectory(prefix=".kala-backup-", dir=path.parent) as folder:
        made = Path(folder).absolute() / path.name
        try:
            manifest = copied_and_checked(source, made, watcher)
        except (StoreRefused, StoreUnavailable) as fault:
            raise type(fault)(str(fault).replace(str(made), f"the copy of {source.place}")) from fault
        publish(made, path)
    return manifest


def copied_and_checked(source: Driver, made: Path, watcher: Watcher) -> Manifest:
    """A sealed copy of `source` at `made`, which has been read through."""
    if isinstance(source, SqliteDriver):
        watcher.stage("copying")
        taken = Clock().now()
        snapshot(source.path, made)
        server = source.server
    else:
        source.open()
        refuse_unfinished(source)
        taken, server = copied(source, made, watcher), source.server
    note(made, Manifest(FORMAT, __version__, source.name, server, source.place, taken, {}), watcher)
    seal(made)
    return check(made, watcher)


def copied(source: Driver, made: Path, watcher: Watcher) -> Moment:
    """Copy what is on a server. The moment that it is of."""
    target = SqliteDriver(made)
    target.open()
    try:
        return Live(source, target, watcher).run()
    finally:
        target.close()


def note(made: Path, manifest: Manifest, watcher: Watcher) -> None:
    """Write into a copy what it holds: from then on no daemon starts on it."""
    driver = SqliteDriver(made)
    driver.open()
    try:
        refuse_unfinished(driver)
        watcher.stage("summing up")
        whole = msgspec.structs.replace(manifest, content=dict(summed(driver, watcher)))
        driver.commit([Element(*BACKUP, 0, 1, msgspec.json.encode(whole))])
    finally:
        driver.close()
