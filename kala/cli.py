"""The command line. What is heavy is imported within the commands, so that `kala --help` answers at once.

What starts or serves nothing but talks to a daemon is in `commands/`, and `commands/exits.py` has all exit codes.
"""

import sys
from typing import TYPE_CHECKING, Any

import click

from kala import __version__
from kala.commands import COMMANDS
from kala.commands.exits import FAILED, REFUSED, USAGE, Stopped
from kala.commands.settingsflags import SETTINGS_FILE, SettingsCommand, flag_name, given_flags

if TYPE_CHECKING:
    from kala.job import Attempt
    from kala.settings import Settings

RUN_OUTPUT = 1 << 24  # bytes that `kala run` shows


@click.group(context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": flag_name})
@click.version_option(__version__, message="kala %(version)s")
@click.option("--kala", "file", metavar="FILE", help=SETTINGS_FILE)
@click.pass_context
def main(ctx: click.Context, file: str | None) -> None:
    """Kala runs jobs, local commands and HTTP calls, on schedules."""
    ctx.obj = file


@main.command("version")
def version() -> None:
    """Print the version."""
    click.echo(f"kala {__version__}")


@main.command("run")
@click.argument("command")
def run(command: str) -> None:
    """Run COMMAND (in quotes: it is one argument) as the daemon would, and print its output.

    It is split into words as a job's command is, and not given to a shell.
    """
    import trio

    from kala.errors import CommandError
    from kala.processes import words
    from kala.states import State

    try:
        for warning in words.check(command):
            click.echo(f"Warning: {warning}", err=True)
        attempt, output = trio.run(_ran, command)
    except CommandError as error:
        click.echo(f"Command Failed with err: {error}", err=True)
        sys.exit(FAILED)
    if attempt.output_size > len(output):
        click.echo(f"The last {len(output):,} bytes of {attempt.output_size:,} follow.", err=True)
    if attempt.state is not State.SUCCEEDED:
        fault = attempt.error.encode(errors="replace")
        printed = b"" if output == fault else b": " + output.strip()  # without a process, its output is the reason
        click.echo(b"Command Failed with err: " + fault + printed, err=True)
        sys.exit(FAILED)
    click.echo("Command Succeeded!")
    click.echo(b"Output:  " + output.strip())


async def _ran(command: str) -> "tuple[Attempt, bytes]":
    """The attempt and its output. Raises `CommandError` when the command has no words."""
    import os
    from functools import partial

    from kala.clock import Clock
    from kala.processes import words
    from kala.processes.command import run_command, substitute
    from kala.tail import Tail

    # As the daemon's runs have it: our variables hold its settings, its password among them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALA_")}
    argv = await words.expand(words.parse(command), environment, partial(substitute, environment=environment))
    return await run_command(argv, number=1, environment=environment, clock=Clock(), output=Tail(RUN_OUTPUT))


@main.command("serve", cls=SettingsCommand)
@click.option("--kala", "file", metavar="FILE", help=SETTINGS_FILE)
@click.pass_context
def serve(ctx: click.Context, /, file: str | None, **given: Any) -> None:
    """Start the server, and run until interrupted.

    Each setting may also stand in the environment (KALA_JOBDB_ADDRESS for --jobdb-address) or in a settings file
    (jobdb-address). A flag wins over a variable, a variable over the file.

    TERM and INT stop it when runs in progress have ended, a second one at once. HUP opens the
    log anew, and reads tokens and certificates anew.
    """
    from kala import config
    from kala.errors import SettingsError

    try:
        ctx.exit(_served(config.load(given_flags(ctx, given), file=file if file is not None else ctx.obj)))
    except SettingsError as error:
        raise Stopped(str(error), USAGE) from None


def _served(settings: "Settings") -> int:
    """Run the daemon, with the log set up, to its exit code."""
    import cProfile
    import logging

    from kala import logs
    from kala.errors import SettingsError, StoreRefused

    logs.setup(verbose=settings.verbose, log_format=settings.log_format, path=settings.log_file)
    log = logging.getLogger(__name__)
    for note in settings.notes:
        log.log(logging.WARNING if note.level == "warning" else logging.INFO, note.text)
    from kala import daemon

    try:
        if not settings.profile:
            return daemon.run(settings)
        profile = cProfile.Profile()
        try:
            return profile.runcall(daemon.run, settings)
        finally:
            try:
                profile.dump_stats(settings.profile_file)
            except OSError as error:
                log.error("the profile cannot be written: %s", error)
    except SettingsError as error:  # such as a port in use
        log.error(str(error))
        return USAGE
    except StoreRefused as error:
        log.error(str(error))
        return REFUSED
    except Exception:  # a bug: its traceback belongs into the log, wherever that is, before the end
        log.critical("a bug ends the daemon", exc_info=True)
        return FAILED


for command in COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main())
