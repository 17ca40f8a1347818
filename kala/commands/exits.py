"""What the program ends with, and how it says why: one table for all commands.

| code | |
|---|---|
| 0 | all is well |
| 1 | what was asked for failed: a run did, some of several were refused; a bug |
| 2 | wrong usage, settings or definitions; of `kala serve` also: its port is in use |
| 3 | the server cannot be reached, or its database is away; of `serve` and what takes a database: it refused |
| 4 | there is no such job or run |
| 5 | not in this state: it is disabled, has ended, is paused, or was changed meanwhile |
| 6 | not allowed: a token is needed, is not known, or its role may not do this |
| 130 | Ctrl-C: a run that was waited for goes on; `kala move` or `restore`, given again, goes on |
"""

from collections.abc import Mapping
from typing import IO, Any

import click

FAILED, USAGE, REFUSED, NOT_FOUND, CONFLICT, DENIED = 1, 2, 3, 4, 5, 6
INTERRUPTED = 130
AWAY = REFUSED
"""A server, and its database, are nothing that the command line can have any better."""

BY_STATUS = (
    dict.fromkeys((400, 413), USAGE)
    | dict.fromkeys((401, 403, 429), DENIED)
    | {404: NOT_FOUND}
    | dict.fromkeys((409, 412), CONFLICT)
    | dict.fromkeys((502, 503, 504), AWAY)
)
"""By the status of an answer; all others are `FAILED`."""


class Stopped(click.ClickException):
    """Ends the program with a sentence on standard error, below it a line for each of `fields`."""

    def __init__(self, text: str, code: int, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.exit_code = code  # type: ignore[misc]  # click gives each class one, but reads that of the instance
        self.fields = dict(fields or {})

    def show(self, file: IO[Any] | None = None) -> None:
        from kala.logs import escaped

        click.echo(f"Error: {escaped(self.message)}", file=file, err=file is None)
        for path, fault in self.fields.items():
            click.echo(
                f"  {escaped(path)}: {escaped(fault)}" if path else f"  {escaped(fault)}", file=file, err=file is None
            )
