"""`kala export`: the jobs of a daemon as files that `kala apply` takes."""

import re
from typing import Any

import click

from kala.commands.jobs import with_filters
from kala.commands.session import Session, client_command


@client_command(None, "export")
@click.argument("folder", required=False, type=click.Path(file_okay=False))
@with_filters
@click.option("--format", "form", type=click.Choice(["json", "toml"]), default="toml", show_default=True)
def export(session: Session, folder: str | None, form: str, label: tuple[str, ...], **given: Any) -> None:
    """Write jobs as kala apply takes them.

    Into FOLDER, a file for each, or else on standard output. Only what makes a job is written, without what only a
    daemon sets, and without members that have their defaults. Parents and failure jobs stand there by name, where that
    is unique. `kala apply` of it changes nothing.
    """
    from collections import Counter
    from pathlib import Path

    from kala.client import definitions, documents
    from kala.client.links import Names, by_name

    names = Names(session.server.jobs())
    chosen = {**given, "label": list(label)}
    if any(value not in (None, []) for value in chosen.values()):
        wanted = [job for job in session.server.jobs(**chosen) if job["id"] in names.jobs]
    else:
        wanted = [dict(job) for job in names.jobs.values()]
    made = [by_name(definitions.sparse(definitions.of_job(job)), names) for job in wanted]
    for name, count in Counter(job["name"] for job in made).items():
        if count > 1:
            session.note(f"Warning: {count} jobs are called {name!r}: kala apply tells jobs apart by their names")
    text = documents.as_json if session.as_json or form == "json" else documents.as_toml
    if folder is None:
        click.echo(text(made), nl=False)
        return
    suffix = "json" if text is documents.as_json else "toml"
    Path(folder).mkdir(parents=True, exist_ok=True)
    for job, stem in zip(made, stems([job["name"] for job in made]), strict=True):
        (Path(folder) / f"{stem}.{suffix}").write_text(text([job]), encoding="utf-8")
    session.note(f"{len(made):,} jobs written into {folder}")


def stems(names: list[str]) -> list[str]:
    """A file's name for each job's; none twice, also where a file system takes no notice of case."""
    made: list[str] = []
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "job"  # 240 bytes at most
        number, tried = 1, stem
        while tried.casefold() in taken:
            number += 1
            tried = f"{stem}-{number}"
        taken.add(tried.casefold())
        made.append(tried)
    return made
