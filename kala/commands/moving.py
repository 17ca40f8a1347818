"""`kala move`: the jobs and the history of one database into another."""

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, TextIO

import click

from kala.commands.exits import FAILED, INTERRUPTED, REFUSED, USAGE, Stopped

if TYPE_CHECKING:
    from kala.drivers.contract import Driver
    from kala.moving import Report

FROM_PASSWORD, TO_PASSWORD = "KALA_MOVE_FROM_PASSWORD", "KALA_MOVE_TO_PASSWORD"
CELLS = 30  # of a bar
AGAIN, LINES_AGAIN = 0.1, 10.0
"""Seconds between two drawings of a bar, and between two lines where there is no terminal."""


@click.command("move")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.pass_context
def move(ctx: click.Context, source: str, target: str) -> None:
    """Copy all jobs, their state, and the history from one database to another, and prove that they are there.

    FROM and TO are databases: a file, or a folder with kala.db, also as sqlite:PATH; a URL such as
    postgresql://kala@db.example/kala, mysql://, mariadb://, redis://, rediss://, mongodb://, mongodb+srv://, consul://;
    or the settings file of a daemon (TOML, JSON or YAML), which has files for TLS as well.

    No daemon may work on either of them. FROM stays as it is. TO must be empty; until all is there, no daemon starts on
    it, and when the move was cut off, the same command goes on with it. At the end both are read again and compared.

    Other users see arguments, and the passwords in them: give these as KALA_MOVE_FROM_PASSWORD and
    KALA_MOVE_TO_PASSWORD.

    Exit code: 0 when all is there; 1 when FROM has changed meanwhile, or what is in it could not be read; 3 when a
    database refused, or went away.
    """
    from kala.errors import SettingsError
    from kala.places import driver_of, shows_password

    sides = ((source, FROM_PASSWORD), (target, TO_PASSWORD))
    for place, variable in sides:
        if shows_password(place):
            click.echo(f"Warning: other users see the password in a command: set {variable} instead", err=True)
    try:
        here, there = (driver_of(place, os.environ.get(variable, "")) for place, variable in sides)
        ctx.exit(moved(here, there))
    except SettingsError as error:  # some are found out when a driver opens: files of TLS
        raise Stopped(str(error), USAGE) from None


def moved(source: "Driver", target: "Driver") -> int:
    """Move, and tell of it. The exit code."""
    from kala.errors import StoreRefused, StoreUnavailable, ValueTooLarge
    from kala.moving import Move, MoveFailed
    from kala.moving.reading import Unreadable
    from kala.places import refuse_missing

    progress = Progress(sys.stderr)
    unreadable = Unreadable(lambda text: progress.note(f"Warning: {text}"))
    move = Move(source, target, progress)
    report, code = None, 0
    logging.getLogger("kala").addHandler(unreadable)
    try:
        refuse_missing(source)
        report = move.run()
    except MoveFailed as error:
        fault, code = str(error), FAILED
    except (StoreRefused, StoreUnavailable, ValueTooLarge, KeyboardInterrupt) as error:
        fault, code = (str(error), REFUSED) if str(error) else ("interrupted", INTERRUPTED)
        fault += (
            f". {target.place} has only a part of it, and no daemon starts on it: the same command again goes on"
            if move.is_begun
            else ". Nothing was written"
        )
    finally:
        logging.getLogger("kala").removeHandler(unreadable)
        progress.end()
        for driver in (source, target):
            driver.close()
    for text in unreadable.found.values():
        progress.note(f"not moved: {text}")
    if report is None:
        progress.note(f"Error: {fault}")
        return code
    tell(report, source, target, whole=not unreadable.found)
    return FAILED if unreadable.found else 0


def tell(report: "Report", source: "Driver", target: "Driver", *, whole: bool) -> None:
    """What was moved, and that it is the same on both sides."""
    from kala.commands.table import Column, Paint, table

    columns = (Column("WHAT"), Column("SOURCE", right=True), Column("TARGET", right=True), Column("CHECKSUM"))
    rows = [
        (what, f"{one.count:,}", f"{other.count:,}", f"{one.checksum[:16]} on both sides")
        for what, one, other in report.lines
    ]
    for text in table(columns, rows, width=None, paint=Paint()):
        click.echo(text)
    if report.cut:
        click.echo(f"{report.cut:,} outputs were cut: {target.name} takes {target.max_output:,} bytes of each")
    click.echo(f"All {'' if whole else 'that can be read '}of {source.place} is in {target.place}.")


class Progress:
    """A bar on a terminal; elsewhere a line for each stage, and now and then one that says how far it is."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._drawn = file, file.isatty()
        self._title, self._total, self._done, self._last = "", 0, 0, 0.0

    def stage(self, title: str, total: int | None = None) -> None:
        self.end()
        self._title, self._total, self._done = title, total or 0, 0
        self._show()

    def advance(self, number: int) -> None:
        self._done += number
        if time.monotonic() - self._last >= (AGAIN if self._drawn else LINES_AGAIN):
            self._show()

    def note(self, text: str) -> None:
        """A line beside it."""
        from kala.logs import escaped

        if self._drawn and self._title:
            self._file.write("\r\x1b[K")
        self._file.write(f"{escaped(text)}\n")
        self._file.flush()

    def end(self) -> None:
        """The stage is over."""
        if self._title and self._drawn:
            self._show()
            self._file.write("\n")
        self._title = ""

    def _show(self) -> None:
        self._last = time.monotonic()
        text = f"{self._title}: {self._done:,}"
        if self._total:
            part = min(self._done / self._total, 1.0)
            bar = "#" * int(part * CELLS)
            text += f" of {self._total:,}"
            text = f"{text}  [{bar:-<{CELLS}}] {part:4.0%}" if self._drawn else f"{text} ({part:.0%})"
        self._file.write(f"\r\x1b[K{text}" if self._drawn else f"{text}\n")
        self._file.flush()
