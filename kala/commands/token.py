"""`kala token`: who may come in."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kala.commands.exits import CONFLICT, NOT_FOUND, USAGE, Stopped

if TYPE_CHECKING:
    from kala.tokens import Token

ROLES = ("read", "run", "admin")
FILE = click.option(
    "--tokens-file",
    "file",
    envvar="KALA_TOKENS_FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    show_envvar=True,
    help="The daemon's tokens file. It reads it at its start, and anew at SIGHUP.",
)


@click.group()
def token() -> None:
    """Who may come in: a daemon's tokens.

    A token has a role. `read` sees everything; `run` starts, cancels, enables, disables, pauses and resumes besides;
    `admin` also says what runs, and sees who did what.
    """


@token.command("new")
@click.option("--name", required=True, metavar="NAME", help="Whose it is: the audit log has it.")
@click.option("--role", required=True, type=click.Choice(ROLES))
@click.option("--for", "lasts", metavar="DURATION", help="When it ends, from now on (ISO 8601), such as P90D. [never]")
@FILE
def new(name: str, role: str, lasts: str | None, file: Path | None) -> None:
    """Make a token, and print it: now, and never again.

    Kept is its hash: in the tokens file, or, without one, in the line on standard error, which is for the file or the
    variable KALA_TOKENS of the daemon.
    """
    from kala import schedule, tokens
    from kala.clock import SECOND
    from kala.errors import ScheduleError, SettingsError
    from kala.roles import Role

    try:
        until = None
        if lasts is not None:
            until = (int(time.time()) + schedule.duration(lasts) // SECOND) * SECOND
        secret, made = tokens.new_token(name, Role(role), until)
        if file is not None:
            tokens.change_file(file, add=[made])
    except ScheduleError as error:
        raise Stopped(f"--for {error}", USAGE) from None
    except ValueError as error:
        raise Stopped(f"--name: {error}", USAGE) from None
    except tokens.TokenExists as error:
        raise Stopped(str(error), CONFLICT) from None
    except SettingsError as error:
        raise Stopped(str(error), USAGE) from None
    click.echo(secret)
    if file is None:
        click.echo(made.line(), err=True)
    else:
        click.echo(f"{name} is in {file}: a daemon that runs takes it at SIGHUP.", err=True)


@token.command("list")
@FILE
def list_(file: Path | None) -> None:
    """List the tokens in the file: names, roles, and when they end."""
    from kala import clock
    from kala.commands.table import Column, Paint, table, terminal_width

    rows = [
        (one.name, str(one.role), "never" if one.until is None else clock.rfc3339(one.until))
        for one in known(given(file))
    ]
    for line in table(
        [Column("NAME"), Column("ROLE"), Column("UNTIL")], rows, width=terminal_width(), paint=Paint("auto")
    ):
        click.echo(line)


@token.command("revoke")
@click.argument("name")
@FILE
def revoke(name: str, file: Path | None) -> None:
    """Take the token NAME out of the file. At SIGHUP the daemon shows out whoever came in with it."""
    from kala import tokens
    from kala.errors import SettingsError

    path = given(file)
    if name not in {one.name for one in known(path)}:
        raise Stopped(f"there is no token {name} in {path}", NOT_FOUND)
    try:
        tokens.change_file(path, remove=[name])
    except SettingsError as error:
        raise Stopped(str(error), USAGE) from None
    click.echo(f"{name} is out of {path}: a daemon that runs knows it until SIGHUP.")


def given(file: Path | None) -> Path:
    if file is None:
        raise Stopped("which file? --tokens-file, or the variable KALA_TOKENS_FILE", USAGE)
    return file


def known(path: Path) -> "list[Token]":
    from kala import tokens
    from kala.errors import SettingsError

    try:
        return tokens.read_file(path)
    except SettingsError as error:
        raise Stopped(str(error), USAGE) from None
