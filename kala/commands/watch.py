"""`kala watch`: what a daemon does, as it does it."""

import sys
from typing import Any

import click

from kala.commands.completion import JOB
from kala.commands.exits import USAGE, Stopped
from kala.commands.session import Session, client_command


@client_command(None, "watch")
@click.option("--job", metavar="ID|NAME", shell_complete=JOB, help="Only this job.")
@click.option(
    "--type", "types", metavar="TYPE,…", help="Only events of these types, such as run.finished; a line each."
)
@click.option(
    "--label", multiple=True, metavar="NAME[=VALUE]", help="Only jobs that carry this label; repeatable: all."
)
@click.option("--lines", is_flag=True, help="A line for each event, as it is where there is no terminal.")
def watch(session: Session, job: str | None, types: str | None, label: tuple[str, ...], lines: bool) -> None:
    """Watch what happens.

    On a terminal a screen shows what runs, what comes and what has ended; q ends it. With --json each event is
    written as it came, an object a line. When the connection breaks off, it comes back and goes on where it was.
    """
    try:
        from kala.commands import watching
    except ModuleNotFoundError as error:
        if error.name != "trio_websocket":
            raise
        raise Stopped("kala watch needs trio-websocket: pip install 'kala[watch]'", USAGE) from None

    filters: dict[str, Any] = {"type": types, "label": list(label)}
    if job is not None:
        filters["job"] = session.server.job(job)["id"]
    plain = lines or session.as_json or types is not None or not sys.stdout.isatty()
    shown = watching.Lines(session, filters) if plain else watching.View(session, filters)
    sys.exit(watching.watched(shown.run))
