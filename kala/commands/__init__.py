"""The commands that are more than a daemon's own (`cli.py`)."""

import click

from kala.commands import jobedit  # noqa: F401  # it adds to the group of `jobs`
from kala.commands.apply import apply
from kala.commands.backup import backup, restore
from kala.commands.completion import completion
from kala.commands.export import export
from kala.commands.importing import import_
from kala.commands.jobs import jobs
from kala.commands.moving import move
from kala.commands.pause import pause, resume
from kala.commands.runs import runs
from kala.commands.simulate import simulate
from kala.commands.token import token
from kala.commands.watch import watch

COMMANDS: tuple[click.Command, ...] = (
    jobs,
    runs,
    watch,
    apply,
    export,
    simulate,
    pause,
    resume,
    import_,
    move,
    backup,
    restore,
    token,
    completion,
)
