"""`kala apply`: the jobs of a daemon made to be as files say."""

import json
from typing import TYPE_CHECKING, Any

import click

from kala.commands.session import Session, client_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kala.client.plan import Step


@client_command(None, "apply")
@click.argument("paths", metavar="FOLDER|FILE…", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--prune", is_flag=True, help="Delete the jobs that carry --label and are in no file.")
@click.option("--label", "labels", multiple=True, metavar="NAME[=VALUE]", help="For --prune; repeatable: all.")
def apply(session: Session, paths: tuple[str, ...], dry_run: bool, prune: bool, labels: tuple[str, ...]) -> None:
    """Make jobs as files say; a second time changes nothing.

    A file is JSON or TOML and holds one job, or several under `jobs` ([[jobs]] in TOML). Of a folder, all such files
    are read. Jobs are told apart by their names, and parents and failure jobs may be given by theirs. Members that a
    file does not give have their defaults; but owner and disabled are left as they are.

    Nothing is changed when any file has a fault: all faults are named first.
    """
    if prune != bool(labels):
        raise click.UsageError("--prune and --label go together: only jobs that carry the label are deleted")
    from kala.client import documents, plan
    from kala.client.applying import take
    from kala.client.faults import Answered, Unreachable
    from kala.clock import Clock

    read, faults = documents.read_files(paths)
    steps = plan.planned(read, session.server.jobs(), now=Clock().now(), faults=faults, prune=labels or None)
    names = {step.id: step.name for step in steps}
    todo = [step for step in steps if step.kind != plan.UNCHANGED]
    if not session.as_json:
        for step in todo:
            show(session, step, names)
        click.echo(summary(steps, dry_run))
    done: list[Step] = []
    if not dry_run:
        try:
            for step in take(session.server, todo, lambda text: session.warn([text])):
                done.append(step)
        except (Answered, Unreachable):
            session.note(f"{len(done):,} of {len(todo):,} jobs were dealt with, then:")
            raise
    if session.as_json:
        session.json({"dry_run": dry_run, "jobs": [as_object(step) for step in steps]})


def show(session: Session, step: "Step", names: "Mapping[str, str]") -> None:
    """One step: a heading, and a line for each member that is new or other."""
    from kala.client import definitions, plan
    from kala.logs import escaped

    sign, colour = {plan.CREATE: ("+", "green"), plan.CHANGE: ("~", "yellow"), plan.DELETE: ("-", "red")}[step.kind]
    where = f"  ({step.where})" if step.where else f"  ({step.id})"
    click.echo(session.paint(escaped(f"{sign} {step.kind} {step.name}"), colour) + escaped(where), color=True)
    if step.kind == plan.CREATE:
        for name, value in definitions.sparse(step.members).items():
            if name != "name":
                click.echo(session.paint(escaped(f"    {name}: {said(value, names)}"), "green"), color=True)
    for name, (old, new) in step.changes.items():
        before, after = escaped(said(old, names)), escaped(said(new, names))
        click.echo(
            f"    {name}: {session.paint(before, 'red')} → {session.paint(after, 'green')}",
            color=True,
        )


def said(value: object, names: "Mapping[str, str]") -> str:
    """A member's value in one line, jobs that the files have by their names."""
    if isinstance(value, list):
        value = [names.get(one, one) if isinstance(one, str) else one for one in value]
    elif isinstance(value, str):
        value = names.get(value, value)
    return json.dumps(value, ensure_ascii=False)


def summary(steps: "Sequence[Step]", dry_run: bool) -> str:
    counts: dict[str, int] = {"create": 0, "change": 0, "delete": 0, "unchanged": 0}
    for step in steps:
        counts[step.kind] += 1
    text = ", ".join(f"{count:,} {f'to {kind}' if kind != 'unchanged' else kind}" for kind, count in counts.items())
    return f"{text}{' (a dry run: nothing is done)' if dry_run else ''}"


def as_object(step: "Step") -> dict[str, Any]:
    return {
        "name": step.name,
        "id": None if step.id.startswith("new:") else step.id,
        "does": step.kind,
        "file": step.where or None,
        "changes": {name: {"old": old, "new": new} for name, (old, new) in step.changes.items()},
    }
