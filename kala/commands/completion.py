"""`kala completion`, and what completes: names of jobs, when a daemon says them quickly."""

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

VARIABLE = "_KALA_COMPLETE"  # by which click's scripts ask
PATIENCE = 1.0  # seconds, for all of it
MOST = 100


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a completion script for SHELL.

    With it, the shell completes commands, flags, and names of jobs.

    \b
    bash:  eval "$(kala completion bash)"
    zsh:   eval "$(kala completion zsh)"
    fish:  kala completion fish | source
    """
    kind: type[ShellComplete] | None = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known")
    root = ctx.find_root()
    click.echo(kind(root.command, {}, "kala", VARIABLE).source())


def names_of_jobs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of jobs that begin so; nothing when no daemon answers in time: a shell cannot be told why."""
    from kala.client.faults import Answered, Unreachable
    from kala.client.server import Server
    from kala.commands.session import URL, access_of
    from kala.errors import SettingsError

    try:
        with Server(ctx.params.get("url") or URL, access_of(ctx.params), seconds=PATIENCE) as server:
            page = server.jobs_page(MOST, q=incomplete or None)
    except (Unreachable, Answered, SettingsError):
        return []
    return [
        CompletionItem(job["name"])
        for job in page.items
        if job["name"].startswith(incomplete) and job["name"].isprintable()
    ]


JOB = names_of_jobs
