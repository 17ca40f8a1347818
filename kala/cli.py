"""The command line. What is heavy is imported within the commands, so that `kala --help` answers at once.

Exit codes: 0 all is well; 1 a bug, or, of `kala run`, the command failed; 2 wrong usage or settings, or the port is in
use; 3 the database refused. The flags of `serve` are made from the table in `settings.py`, which is also read from
variables and files; they are given on as text, and `config.py` reads them all alike.
"""

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from kala import __version__

if TYPE_CHECKING:
    from kala.job import Attempt
    from kala.settings import Setting, Settings

FAILED, USAGE, REFUSED = 1, 2, 3
RUN_OUTPUT = 1 << 24  # bytes that `kala run` shows
SWITCHES = "kala.switches"


class Refusal(click.ClickException):
    """Ends the program with a sentence on standard error."""

    exit_code = USAGE


def flag_name(name: str) -> str:
    """Case, dashes and underscores do not count in long flags: `--boltpath` and `--jobdbTlsCertPath` are known too."""
    return name if len(name) == 1 else re.sub("[-_]", "", name).lower()


class SettingsCommand(click.Command):
    """Flags from the table of settings, under its headings, and in the forms that the original's took:
    `--no-persist=false` for a switch, `-p=8000` for a value. `headings` are those that it has, None all of them."""

    headings: tuple[str, ...] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self._made:  # the table is read when it is needed: it imports what knows durations
            self._made = True
            from kala.settings import TABLE

            self.params += [
                _option(setting)
                for heading, group in TABLE.items()
                for setting in group
                if self.headings is None or heading in self.headings
            ]
        return super().get_params(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        switches = {
            prefix + flag_name(name.lstrip("-")): option.name
            for option in self.get_params(ctx)
            if isinstance(option, click.Option) and option.is_flag
            for name in option.opts
            for prefix in [name[: len(name) - len(name.lstrip("-"))]]
        }
        rest: list[str] = []
        for arg in args:
            name, equals, value = arg.partition("=")
            dashes = name[: len(name) - len(name.lstrip("-"))]
            switch = switches.get(dashes + flag_name(name.lstrip("-"))) if equals else None
            if switch is not None:
                ctx.meta.setdefault(SWITCHES, {})[switch] = value
            elif equals and re.fullmatch("-[a-z]", name):
                rest += [name, value]
            else:
                rest.append(arg)
        return super().parse_args(ctx, rest)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from kala.settings import TABLE

        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        rows = {option.name: option.get_help_record(ctx) for option in options}
        headings = {heading: [setting.name for setting in group] for heading, group in TABLE.items()}
        named = {name for names in headings.values() for name in names}
        headings["Other"] = [name for name in rows if name is not None and name not in named]
        for heading, names in headings.items():
            if found := [row for name in names if (row := rows.get(name)) is not None]:
                with formatter.section(heading):
                    formatter.write_dl(found)


class ImportCommand(SettingsCommand):
    """`kala import` has the flags of `kala serve` that say where the database is."""

    headings = ("Database",)


def _option(setting: "Setting") -> click.Option:
    names = [setting.name, f"--{setting.flag}", *([f"-{setting.short}"] if setting.short else [])]
    if not setting.metavar:
        return click.Option(names, is_flag=True, help=setting.about)
    return click.Option(names, metavar=setting.metavar, multiple=setting.many, help=setting.about)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": flag_name})
@click.version_option(__version__, message="kala %(version)s")
@click.option(
    "--kala", "file", metavar="FILE", help="Settings file (TOML, JSON or YAML). [kala.toml in the home folder]"
)
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

    from kala import words
    from kala.errors import CommandError
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

    from kala import words
    from kala.clock import Clock
    from kala.command import run_command, substitute

    # As the daemon's runs have it: our variables hold its settings, its password among them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALA_")}
    argv = await words.expand(words.parse(command), environment, partial(substitute, environment=environment))
    return await run_command(argv, number=1, environment=environment, clock=Clock(), output_limit=RUN_OUTPUT)


@main.command("import", cls=ImportCommand)
@click.argument("source", metavar="URL|FILE")
@click.option("--to", "target", metavar="URL", help="Import into the daemon that runs there, not into a database.")
@click.option(
    "--kala", "file", metavar="FILE", help="Settings file (TOML, JSON or YAML). [kala.toml in the home folder]"
)
@click.pass_context
def import_(ctx: click.Context, /, source: str, target: str | None, file: str | None, **given: Any) -> None:
    """Take over the jobs of another server, of the original or of this program.

    URL|FILE is the server's address, or a file (- for standard input) that holds what GET /api/v1/job/ answered there.
    Ids, counters, children and parents, and next runs are kept. Jobs go into the database, while no daemon works on
    it, or, with --to, into a daemon that runs. Stop the other server first: both would run the jobs.

    Exit code: 0 when all were taken; 1 when some were not, each of which is named with its fault.
    """
    from kala import config, importing
    from kala.errors import SettingsError, StoreRefused, StoreUnavailable

    flags, fault = _flags(ctx, given), ""
    try:
        if target is not None and flags:
            raise SettingsError(f"--to imports into a daemon, which has its database: leave out {', '.join(flags)}")
        settings = config.load(flags, file=file if file is not None else ctx.obj)
        jobs = importing.read_source(source)
        with importing.progress(jobs) as done:
            if target is not None:
                report = importing.into_daemon(target, jobs, done)
            else:
                report = importing.into_database(settings, jobs, done)
    except SettingsError as error:
        raise Refusal(str(error)) from None
    except importing.ImportStopped as error:
        report, fault = error.report, str(error)
    except (StoreRefused, StoreUnavailable) as error:
        click.echo(f"Error: {error}", err=True)
        ctx.exit(REFUSED)
    for line in importing.refusals(jobs, report):
        click.echo(line, err=True)
    where = target if target is not None else str(settings.database)
    click.echo(f"{len(report.imported):,} of {jobs.count:,} jobs taken into {where}")
    if fault:
        click.echo(f"Error: the import stopped: {fault}", err=True)
    ctx.exit(0 if len(report.imported) == jobs.count else FAILED)


@main.command("serve", cls=SettingsCommand)
@click.option(
    "--kala", "file", metavar="FILE", help="Settings file (TOML, JSON or YAML). [kala.toml in the home folder]"
)
@click.pass_context
def serve(ctx: click.Context, /, file: str | None, **given: Any) -> None:
    """Start the server, and run until interrupted.

    Each setting may also stand in the environment (KALA_JOBDB_ADDRESS for --jobdb-address) or in a settings file
    (jobdb-address). A flag wins over a variable, a variable over the file.

    TERM and INT stop it when runs in progress have ended, a second one at once. HUP opens the log file anew.
    """
    from kala import config
    from kala.errors import SettingsError

    try:
        ctx.exit(_served(config.load(_flags(ctx, given), file=file if file is not None else ctx.obj)))
    except SettingsError as error:
        raise Refusal(str(error)) from None


def _flags(ctx: click.Context, given: dict[str, Any]) -> dict[str, object]:
    """The flags that were given, among all that there are."""
    switches: dict[str, object] = ctx.meta.get(SWITCHES, {})
    return switches | {
        name: value
        for name, value in given.items()
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }


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


if __name__ == "__main__":
    sys.exit(main())
