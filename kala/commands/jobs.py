"""`kala jobs`: listing, showing, starting, and all but making them (`jobedit.py`)."""

import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from kala.commands.completion import JOB
from kala.commands.exits import FAILED, USAGE, Stopped
from kala.commands.session import Session, client_command, on_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from kala.client.server import Object

LIMIT = 50
filters = [
    click.option("--q", "q", metavar="TEXT", help="Part of the id, name, command or owner, in any case."),
    click.option("--label", "label", multiple=True, metavar="NAME[=VALUE]", help="Has this label; repeatable: all."),
    click.option("--owner", metavar="TEXT", help="Whose they are."),
    click.option("--disabled/--enabled", "disabled", default=None, help="Only disabled ones, or only others."),
    click.option("--done/--not-done", "done", default=None, help="Only those of which nothing is to come, or others."),
]


def with_filters(function: "Callable[..., None]") -> "Callable[..., None]":
    for one in reversed(filters):
        function = one(function)
    return function


@click.group("jobs")
def jobs() -> None:
    """List, show, make, start, delete jobs."""


def job_command(name: str) -> "Callable[[Callable[..., None]], click.Command]":
    return client_command(jobs, name)


@job_command("list")
@with_filters
@click.option(
    "--sort", metavar="KEY", help="created, name, owner, next_run_at, last_attempted_run; - before it turns it round."
)
@click.option("--limit", type=click.IntRange(1, 1_000), default=LIMIT, show_default=True, help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
def list_jobs(session: Session, limit: int, everything: bool, label: tuple[str, ...], **given: Any) -> None:
    """List jobs.

    Columns for which a narrow terminal has no room are left out.
    """
    from kala.client.server import Found

    chosen = {**given, "label": list(label)}
    server = session.server
    page = Found(list(server.jobs(**chosen)), None) if everything else server.jobs_page(limit, **chosen)
    if session.as_json:
        session.json({"jobs": {job["id"]: job for job in page.items}, "next": page.next})
        return
    from kala.commands.jobtext import COLUMNS, STATE, row

    session.table(COLUMNS, [row(job) for job in page.items], state=STATE)
    if page.next is not None:
        session.note(f"There are more than these {limit}: see them with --all or a larger --limit.")


@job_command("show")
@click.argument("job", metavar="ID|NAME", shell_complete=JOB)
def show(session: Session, job: str) -> None:
    """Show a job: its definition, what has become of it and what comes."""
    found = session.server.job(job)
    if session.as_json:
        session.json({"job": found})
        return
    from kala.commands.jobtext import sentences

    coming = session.server.ask("GET", f"/job/{quote(found['id'], safe='')}/next/", params={"count": 1})
    for line in sentences(found, coming["words"], session.paint):
        click.echo(line, color=True)


@job_command("start")
@click.argument("job", metavar="ID|NAME", shell_complete=JOB)
@click.option("--wait", is_flag=True, help="Show what it prints, wait for its end, and exit by its outcome.")
def start(session: Session, job: str, wait: bool) -> None:
    """Start a job now, and print the id of the run.

    With --wait, its output is what this prints, and the exit code is 0 when it has succeeded and 1 when it has not.
    """
    found = session.server.job(job)
    answer = session.server.ask("POST", f"/job/start/{quote(found['id'], safe='')}/", params={"wait": False})
    if not wait:
        session.json(answer) if session.as_json else session.say(answer["id"])
        return
    from kala.commands.following import followed

    run = followed(session, answer["id"], out=None if session.as_json else sys.stdout.buffer)
    if session.as_json:
        session.json({"run": run})
    if run["state"] != "succeeded":
        sys.exit(FAILED)


@job_command("enable")
@click.argument("job", metavar="ID|NAME", shell_complete=JOB)
def enable(session: Session, job: str) -> None:
    """Enable a job."""
    switch(session, job, "enable")


@job_command("disable")
@click.argument("job", metavar="ID|NAME", shell_complete=JOB)
def disable(session: Session, job: str) -> None:
    """Disable a job: nothing more of it starts, what is on goes on."""
    switch(session, job, "disable")


def switch(session: Session, job: str, verb: str) -> None:
    found = session.server.job(job)
    session.server.ask("POST", f"/job/{verb}/{quote(found['id'], safe='')}/")
    acted(session, found, f"{verb}d")


def acted(session: Session, job: "Object", verb: str) -> None:
    """Says what has been done to a job."""
    if session.as_json:
        session.json({"id": job["id"], "name": job["name"], "done": verb})
    else:
        session.say(f"{verb} {job['id']} ({job['name']})")


@job_command("delete")
@click.argument("job", metavar="ID|NAME", shell_complete=JOB)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(session: Session, job: str, yes: bool) -> None:
    """Delete a job, and its children that have no other parent. Asks before, on a terminal."""
    from kala.logs import escaped

    if not yes and not on_terminal():
        raise Stopped("nobody can be asked here: say --yes to delete", USAGE)
    found = session.server.job(job)
    children = len(found["dependent_jobs"] or ())
    with_them = f", and those of its {children} children that have no other parent" if children else ""
    if not yes and not click.confirm(escaped(f"Delete {found['name']} ({found['id']}){with_them}?"), err=True):
        raise Stopped("nothing was deleted", FAILED)
    session.server.delete(found["id"])
    acted(session, found, "deleted")


@job_command("next")
@click.argument("job", metavar="ID|NAME", shell_complete=JOB)
@click.option("--count", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many.")
def next_(session: Session, job: str, count: int) -> None:
    """Show the moments for which a job is scheduled next."""
    from kala.commands import phrases
    from kala.commands.table import Column

    found = session.server.job(job)
    answer = session.server.ask("GET", f"/job/{quote(found['id'], safe='')}/next/", params={"count": count})
    if session.as_json:
        session.json(answer)
        return
    session.note(answer["words"])
    rows = [[phrases.local(one["at"]), one["local"], one["note"]] for one in answer["next"]]
    if rows:
        session.table([Column("AT"), Column("BY THE JOB'S CLOCK"), Column("NOTE", cut=True)], rows)
    if answer["explanation"]:
        session.note(answer["explanation"])
