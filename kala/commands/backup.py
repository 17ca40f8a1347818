"""`kala backup` and `kala restore`: a database into a file, while daemons work on it, and back."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kala.commands.exits import FAILED, INTERRUPTED, REFUSED, USAGE, Stopped
from kala.commands.moving import Progress, moved
from kala.commands.settingsflags import SETTINGS_FILE, SettingsCommand, given_flags

if TYPE_CHECKING:
    from kala.backup.file import Manifest
    from kala.drivers.contract import Driver


class DatabaseCommand(SettingsCommand):
    """It has the flags of `kala serve` that say where the database is."""

    headings = ("Database",)


@click.command("backup", cls=DatabaseCommand)
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Only read FILE, and compare it with what was written.")
@click.option("--kala", "file", metavar="FILE", help=SETTINGS_FILE)
@click.pass_context
def backup(ctx: click.Context, /, path: Path, only_check: bool, file: str | None, **given: Any) -> None:
    """Write all jobs, their state and the history into FILE, as they are at one moment, and check it.

    Daemons may work on the database meanwhile, and are not held up. Which database is said as for `kala serve`: by
    flags, variables and the settings file. FILE must not be there yet. Only its owner can read it: commands may hold
    secrets.

    Exit code: 0 when all is there; 1 when FILE is damaged, or something in the database could not be read, which is
    named; 3 when the database refused, or is away, or FILE cannot be written.
    """
    if only_check:
        if given_flags(ctx, given):
            raise click.UsageError("--check looks at FILE alone: leave out the flags of the database")
        ctx.exit(checked(path))
    ctx.exit(backed_up(chosen(ctx, file, given), path))


@click.command("restore", cls=DatabaseCommand)
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--kala", "file", metavar="FILE", help=SETTINGS_FILE)
@click.pass_context
def restore(ctx: click.Context, /, path: Path, file: str | None, **given: Any) -> None:
    """Bring a backup into an empty database, of any kind, and prove that all is there.

    FILE is read through first. No daemon may work on the database, and none starts on it until all is there; when it
    was cut off, the same command goes on with it. The next start of a daemon decides about the runs that were on when
    the backup was made, as after a crash.

    Exit code: 0 when all is there; 1 when FILE is damaged; 3 when the database is not empty, refused, or is away.
    """
    from kala.backup.file import BackupFile

    target = chosen(ctx, file, given)
    code = checked(path)
    ctx.exit(code or moved(BackupFile(path), target))


def chosen(ctx: click.Context, file: str | None, given: dict[str, Any]) -> "Driver":
    """The driver of the database that the settings name, not open yet."""
    from kala import config
    from kala.errors import SettingsError
    from kala.parts import new_driver

    try:
        settings = config.load(given_flags(ctx, given), file=file if file is not None else ctx.obj)
        if settings.no_persist:
            raise SettingsError("with --no-persist there is no database")
        return new_driver(settings)
    except SettingsError as error:
        raise Stopped(str(error), USAGE) from None


def backed_up(source: "Driver", path: Path) -> int:
    """Back up, and tell of it. The exit code."""
    from kala.backup import take
    from kala.backup.file import Damaged
    from kala.errors import SettingsError, StoreRefused, StoreUnavailable, ValueTooLarge
    from kala.moving.reading import Unreadable
    from kala.places import refuse_missing

    progress = Progress(sys.stderr)
    unreadable = Unreadable(lambda text: progress.note(f"Warning: {text}"))
    manifest, fault, code = None, "", 0
    logging.getLogger("kala").addHandler(unreadable)
    try:
        refuse_missing(source)
        manifest = take(source, path, progress)
    except SettingsError as error:  # found out when a driver opens: files of TLS
        fault, code = str(error), USAGE
    except Damaged as error:
        fault, code = str(error), FAILED
    except (StoreRefused, StoreUnavailable, ValueTooLarge) as error:
        fault, code = str(error), REFUSED
    except KeyboardInterrupt:
        fault, code = "interrupted", INTERRUPTED
    finally:
        logging.getLogger("kala").removeHandler(unreadable)
        progress.end()
        source.close()
    for text in unreadable.found.values():
        progress.note(f"not backed up: {text}")
    if manifest is None:
        progress.note(f"Error: {fault}. Nothing was written")
        return code
    tell(manifest, path)
    return FAILED if unreadable.found else 0


def checked(path: Path) -> int:
    """Read through a backup, and tell of it. The exit code."""
    from kala.backup.file import Damaged, check
    from kala.errors import StoreRefused, StoreUnavailable

    progress = Progress(sys.stderr)
    try:
        manifest = check(path, progress)
    except (Damaged, StoreRefused, StoreUnavailable) as error:
        progress.end()
        progress.note(f"Error: {error}")
        return FAILED if isinstance(error, Damaged) else REFUSED
    progress.end()
    tell(manifest, path)
    return 0


def tell(manifest: "Manifest", path: Path) -> None:
    """What is in a backup."""
    from kala.backup.file import TITLES
    from kala.clock import rfc3339
    from kala.commands.table import Column, Paint, table
    from kala.logs import escaped

    columns = (Column("WHAT"), Column("NUMBER", right=True), Column("CHECKSUM"))
    rows = [
        (title, f"{one.count:,}", one.checksum[:16])
        for name, title in TITLES.items()
        if (one := manifest.content.get(name)) is not None
    ]
    for text in table(columns, rows, width=None, paint=Paint()):
        click.echo(text)
    size = f"{path.stat().st_size:,} bytes"
    click.echo(f"{escaped(str(path))} ({size}) has all of {escaped(manifest.place)} as of {rfc3339(manifest.taken)}.")
