"""`kala runs`: what has run, what is on, and what it printed."""

import sys
from typing import Any
from urllib.parse import quote

import click

from kala.commands.completion import JOB
from kala.commands.session import Session, client_command

LIMIT = 50


@click.group("runs")
def runs() -> None:
    """List, show, cancel runs, and their output."""


@client_command(runs, "list")
@click.option("--job", metavar="ID|NAME", shell_complete=JOB, help="Of this job.")
@click.option("--state", metavar="STATE,…", help="In one of these states: waiting, running, succeeded, failed, …")
@click.option("--since", metavar="TIME", help="Scheduled for this moment or later: RFC 3339, or so long ago (2h, 7d).")
@click.option("--until", metavar="TIME", help="Scheduled for this moment or earlier.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=LIMIT, show_default=True, help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
def list_runs(
    session: Session,
    job: str | None,
    state: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    everything: bool,
) -> None:
    """List runs, newest first, and occurrences that did not run.

    Columns for which a narrow terminal has no room are left out.
    """
    from kala.client.server import Found

    chosen: dict[str, Any] = {"state": state, "since": moment("--since", since), "until": moment("--until", until)}
    if job is not None:
        chosen["job"] = session.server.job(job)["id"]
    server = session.server
    page = Found(list(server.runs(**chosen)), None) if everything else server.runs_page(limit, **chosen)
    if session.as_json:
        session.json({"runs": page.items, "next": page.next})
        return
    from kala.commands.runtext import COLUMNS, STATE, row

    session.table(COLUMNS, [row(run) for run in page.items], state=STATE)
    if page.next is not None:
        session.note(f"There are more than these {limit}: see them with --all or a larger --limit.")


def moment(flag: str, text: str | None) -> str | None:
    from datetime import UTC, datetime

    from kala.commands import phrases

    if text is None:
        return None
    try:
        return phrases.since(text, datetime.now(UTC))
    except (ValueError, OverflowError):
        raise click.UsageError(
            f"{flag}: {text!r} is neither a moment (RFC 3339) nor so long ago (90s, 2h, 7d)"
        ) from None


@client_command(runs, "show")
@click.argument("run", metavar="ID")
def show(session: Session, run: str) -> None:
    """Show a run: why it is as it is, and its attempts."""
    found = session.server.run(run)
    if session.as_json:
        session.json({"run": found})
        return
    from kala.commands.runtext import sentences
    from kala.commands.table import terminal_width

    for line in sentences(found, session.paint, terminal_width()):
        click.echo(line, color=True)


@client_command(runs, "output")
@click.argument("run", metavar="ID")
@click.option("--attempt", type=click.IntRange(1), help="Of this attempt. [the latest]")
@click.option("--follow", "-f", is_flag=True, help="Go on while it runs, through further attempts, to its end.")
def output(session: Session, run: str, attempt: int | None, follow: bool) -> None:
    """Write what a run printed.

    Byte by byte as it was; with --json as text, in which what is not UTF-8 is replaced.
    """
    import io

    from kala.commands.following import copy_output

    params: dict[str, int | str | bool] = {"follow": follow}
    if attempt is not None:
        params["attempt"] = attempt
    if not session.as_json:
        copy_output(session, run, params, sys.stdout.buffer)
        return
    kept = io.BytesIO()
    copy_output(session, run, params, kept)
    session.json({"run": run, "attempt": attempt, "output": kept.getvalue().decode(errors="replace")})


@client_command(runs, "cancel")
@click.argument("run", metavar="ID")
def cancel(session: Session, run: str) -> None:
    """End a run: TERM, later KILL, to its processes."""
    answer = session.server.ask("POST", f"/run/{quote(run, safe='')}/cancel/")
    if session.as_json:
        session.json(answer)
    else:
        session.say(f"{answer['run']['id']} of {answer['run']['job_name']}: {answer['run']['explanation']}")
