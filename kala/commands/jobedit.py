"""`kala jobs create` and `kala jobs edit`: a job from flags, from a file, or from both."""

from typing import Any

import click

from kala.commands.completion import JOB
from kala.commands.jobs import jobs
from kala.commands.memberflags import cleared, member_flags, members_of
from kala.commands.session import Session, client_command

FILE_HELP = "Members from a JSON or TOML file (- is standard input); flags go before them."


@client_command(jobs, "create")
@member_flags
@click.option("--file", "file", metavar="FILE|-", help=FILE_HELP)
def create(session: Session, file: str | None, **given: Any) -> None:
    """Create a job, and print its id.

    Lengths of time are ISO 8601 durations: PT30S, PT5M, P1D. Members that are not given have their defaults.
    """
    members = linked(session, over(in_file(file), members_of(given)))
    if "remote_properties" in members and "type" not in members:
        members["type"] = 1
    answer = session.server.ask("POST", "/job/", members)
    session.warn(answer.get("warnings", ()))
    if session.as_json:
        session.json(answer)
    else:
        session.say(answer["id"])


@client_command(jobs, "edit")
@click.argument("job", metavar="ID|NAME", shell_complete=JOB)
@member_flags
@click.option("--file", "file", metavar="FILE|-", help=FILE_HELP)
@click.option("--unset", multiple=True, metavar="MEMBER", help="Back to its default; of a label: labels.NAME.")
def edit(session: Session, job: str, file: str | None, unset: tuple[str, ...], **given: Any) -> None:
    """Change a job: what is given replaces what was.

    Labels and variables are added to those that the job has. A job that someone else changes at the same time is
    left as it is, with exit code 5.
    """
    from kala.wire.jobmembers import MEMBERS

    patch = over(in_file(file), members_of(given))
    found = session.server.job(job)
    patch = over(linked(session, patch), cleared(unset, MEMBERS))
    if not patch:
        raise click.UsageError("nothing is to be changed: say what, by flags or --file")
    answer = session.server.edit(found["id"], patch, found["version"])
    session.warn(answer.get("warnings", ()))
    if session.as_json:
        session.json(answer)
    else:
        session.say(f"edited {found['id']} ({answer['job']['name']}), now version {answer['job']['version']}")


def in_file(file: str | None) -> dict[str, Any]:
    """The members of the one job in a file; none without a file."""
    from kala.client.documents import read_files
    from kala.client.faults import FilesFaulty

    if file is None:
        return {}
    found, faults = read_files([file])
    if faults:
        raise FilesFaulty(faults)
    if len(found) != 1:
        raise click.UsageError(f"--file {file}: holds {len(found)} jobs, and one is wanted here: see kala apply")
    return found[0].members


def over(members: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`members` with `more` in place of its own; of members that hold several, each by itself."""
    made = dict(members)
    for name, value in more.items():
        held = made.get(name)
        made[name] = {**held, **value} if isinstance(held, dict) and isinstance(value, dict) else value
    return made


def linked(session: Session, members: dict[str, Any]) -> dict[str, Any]:
    """`members` with the ids of the jobs that are named as parents and failure job."""
    made = dict(members)
    if isinstance(members.get("parent_jobs"), list):
        made["parent_jobs"] = [session.server.job(str(one))["id"] for one in members["parent_jobs"]]
    if members.get("on_failure_job"):
        made["on_failure_job"] = session.server.job(str(members["on_failure_job"]))["id"]
    return made
