"""`kala import`: the jobs of another server, or of a crontab."""

import sys
from pathlib import Path
from typing import Any

import click

from kala.commands.exits import FAILED, REFUSED, USAGE, Stopped
from kala.commands.session import URL, Session, access_of, ending
from kala.commands.settingsflags import SETTINGS_FILE, SettingsCommand, given_flags


class ImportCommand(SettingsCommand):
    """`kala import` has the flags of `kala serve` that say where the database is."""

    headings = ("Database",)


@click.command("import", cls=ImportCommand)
@click.argument("source", metavar="URL|FILE", required=False)
@click.option("--to", "target", metavar="URL", help="Import into the daemon that runs there, not into a database.")
@click.option(
    "--crontab", metavar="FILE", help="Take the jobs of a crontab (- is standard input), into the daemon at --to."
)
@click.option(
    "--system", is_flag=True, help="The crontab is the system's: its lines name a user, who becomes the owner."
)
@click.option("--time-zone", metavar="ZONE", help="Of the crontab's times, such as Europe/Berlin.")
@click.option("--dry-run", is_flag=True, help="Of a crontab: only show the jobs.")
@click.option("--kala", "file", metavar="FILE", help=SETTINGS_FILE)
@click.pass_context
def import_(
    ctx: click.Context,
    /,
    source: str | None,
    target: str | None,
    crontab: str | None,
    system: bool,
    time_zone: str | None,
    dry_run: bool,
    file: str | None,
    **given: Any,
) -> None:
    """Take over jobs of a server or a crontab.

    URL|FILE is the address of a server, of the original or of this program, or a file (- for standard input) that holds
    what GET /api/v1/job/ answered there. Ids, counters, children and parents, and next runs are kept. Jobs go into the
    database, while no daemon works on it, or, with --to, into a daemon that runs. Stop the other server first: both
    would run the jobs.

    With --crontab the jobs go into the daemon at --to, or else where KALA_URL says.

    Exit code: 0 when all were taken; 1 when some were not, each of which is named with its fault.
    """
    if crontab is not None:
        if source is not None or given_flags(ctx, given):
            raise click.UsageError("--crontab goes without URL|FILE, and without flags of the database: see --to")
        with ending():
            ctx.exit(from_crontab(crontab, target, system=system, zone=time_zone or "", dry_run=dry_run))
    if source is None:
        raise click.UsageError("Missing argument 'URL|FILE'.")
    if system or time_zone or dry_run:
        raise click.UsageError("--system, --time-zone and --dry-run go with --crontab only")
    from kala import config, importing
    from kala.errors import SettingsError, StoreRefused, StoreUnavailable
    from kala.parts import new_driver

    flags, fault = given_flags(ctx, given), ""
    try:
        if target is not None and flags:
            raise SettingsError(f"--to imports into a daemon, which has its database: leave out {', '.join(flags)}")
        settings = config.load(flags, file=file if file is not None else ctx.obj)
        jobs = importing.read_source(source)
        with importing.progress(jobs) as done:
            if target is not None:
                report = importing.into_daemon(target, jobs, done, access_of({}))
            else:
                report = importing.into_database(settings, jobs, done)
    except SettingsError as error:
        raise Stopped(str(error), USAGE) from None
    except importing.ImportStopped as error:
        report, fault = error.report, str(error)
    except (StoreRefused, StoreUnavailable) as error:
        click.echo(f"Error: {error}", err=True)
        ctx.exit(REFUSED)
    for line in importing.refusals(jobs, report):
        click.echo(line, err=True)
    where = target if target is not None else new_driver(settings).place
    click.echo(f"{len(report.imported):,} of {jobs.count:,} jobs taken into {where}")
    if fault:
        click.echo(f"Error: the import stopped: {fault}", err=True)
    ctx.exit(0 if len(report.imported) == jobs.count else FAILED)


def from_crontab(path: str, target: str | None, *, system: bool, zone: str, dry_run: bool) -> int:
    """Make a job of each line of a crontab, in a daemon. The exit code: 1 when some could not be made."""
    import os

    from kala import crontab
    from kala.client import documents
    from kala.client.faults import Answered
    from kala.errors import SettingsError

    try:
        text = (sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()).decode()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not in UTF-8: {error.reason} at byte {error.start:,}") from None
    session = Session(target or os.environ.get("KALA_URL") or URL, False, "never")
    made, refused = [], 0
    for entry in crontab.read(text, system, zone):
        place = f"line {entry.line}"
        session.warn(f"{place}: {warning}" for warning in entry.warnings)
        if entry.members is None:
            refused += 1
            session.note(f"not taken: {place}: {entry.fault}")
            continue
        if not dry_run:
            try:
                session.server.ask("POST", "/job/", entry.members)
            except Answered as error:
                if error.status != 400:
                    raise
                refused += 1
                reasons = "; ".join(f"{member}: {fault}" for member, fault in error.fields.items()) or str(error)
                session.note(f"not taken: {place} ({entry.name}): {reasons}")
                continue
        made.append(entry.members)
    session.close()
    if dry_run:
        click.echo(documents.as_toml(made), nl=False)
    else:
        session.say(f"{len(made):,} of {len(made) + refused:,} jobs taken into {session.url}")
    return FAILED if refused else 0
