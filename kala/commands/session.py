"""What all commands that talk to a daemon have in common: their flags, and what their errors end in."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any

import click

from kala.commands.exits import AWAY, BY_STATUS, CONFLICT, FAILED, NOT_FOUND, USAGE, Stopped

if TYPE_CHECKING:
    from kala.client.access import Access
    from kala.client.server import Server
    from kala.commands.table import Column, Paint

URL = "http://127.0.0.1:8000"
TOKEN, TOKEN_FILE = "KALA_TOKEN", "KALA_TOKEN_FILE"
"""A token is taken from these alone: other users can read a command's arguments."""
ACCESS = {
    "token_file": f"File that holds the token to show to it; the variable {TOKEN} may hold it, too.",
    "ca": "CA certificates (PEM) that vouch for the daemon.",
    "cert": "Certificate (PEM) to show to it.",
    "key": "Key of that certificate, if it is not in its file.",
}


class Session:
    """One command's connection and its way of printing."""

    def __init__(self, url: str, as_json: bool, colour: str, given: Mapping[str, Any] | None = None) -> None:
        self.url, self.as_json, self.colour, self._given = url, as_json, colour, given

    @cached_property
    def access(self) -> "Access":
        return access_of(self._given or {})

    @cached_property
    def server(self) -> "Server":
        from kala.client.server import Server

        return Server(self.url, self.access)

    @cached_property
    def paint(self) -> "Paint":
        from kala.commands.table import Paint

        return Paint(self.colour)

    def close(self) -> None:
        if "server" in self.__dict__:
            self.server.close()

    def table(self, columns: "Sequence[Column]", rows: Sequence[Sequence[str]], *, state: int | None = None) -> None:
        """Print a table, cut to the terminal's width; `state` is the column that has a run's state."""
        from kala.commands.table import table, terminal_width

        for one in table(columns, rows, width=terminal_width(), paint=self.paint, state=state):
            click.echo(one, color=True)

    def json(self, value: object) -> None:
        click.echo(as_json(value))

    def say(self, text: str) -> None:
        """A line for people on standard output."""
        from kala.logs import escaped

        click.echo(escaped(text))

    def note(self, text: str) -> None:
        """A line beside the answer: on standard error."""
        from kala.logs import escaped

        click.echo(escaped(text), err=True)

    def warn(self, warnings: Iterable[str]) -> None:
        for one in warnings:
            self.note(f"Warning: {one}")


def as_json(value: object) -> str:
    """JSON for programs, and readable. Hidden characters that JSON leaves alone are escaped: it may be a terminal."""
    from kala.logs import escaped

    return "\n".join(map(escaped, json.dumps(value, ensure_ascii=False, indent=2).split("\n")))


def client_command(group: click.Group | None, name: str) -> Callable[[Callable[..., None]], click.Command]:
    """A command whose function takes a `Session` first. Adds `--url`, `--json`, `--color` and what access needs; errors
    end it with the exit code and sentence that are theirs."""

    def made(function: Callable[..., None]) -> click.Command:
        @wraps(function)
        def call(url: str, as_json: bool, colour: str, **given: Any) -> None:
            session = Session(url or URL, as_json, colour, {name: given.pop(name) for name in ACCESS})
            try:
                with ending():
                    function(session, **given)
            finally:
                session.close()

        command = click.command(name)(call)
        command.params += common()
        if group is not None:
            group.add_command(command)
        return command

    return made


def access_of(given: Mapping[str, Any]) -> "Access":
    """How to get to the daemon, from flags, and else from the variables beside which they stand in the help."""
    from kala.client.access import Access, one_word, token_in

    files: dict[str, Any] = {name: given.get(name) or os.environ.get(f"KALA_{name.upper()}", "") for name in ACCESS}
    path, token = files.pop("token_file"), os.environ.get(TOKEN, "").strip()
    if path and (given.get("token_file") or not token):
        token = token_in(path)
    elif token:
        token = one_word(token, TOKEN)
    return Access(**files, headers={"Authorization": f"Bearer {token}"} if token else {})


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def common() -> list[click.Parameter]:
    """The flags that all these commands have. They stand last in the help."""
    return [
        click.Option(
            ["--url"],
            envvar="KALA_URL",
            default=URL,
            metavar="URL",
            show_default=True,
            show_envvar=True,
            help="The daemon, also as unix:/path.",
        ),
        *(
            click.Option([flag_of(name)], envvar=f"KALA_{name.upper()}", metavar="FILE", show_envvar=True, help=text)
            for name, text in ACCESS.items()
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="JSON, for programs."),
        click.Option(
            ["--color", "colour"],
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            help="Colours; auto: on a terminal, unless NO_COLOR is set.",
        ),
    ]


@contextmanager
def ending() -> Iterator[None]:
    """Errors that are foreseen end the program with a sentence."""
    from kala.client.faults import Ambiguous, Answered, FilesFaulty, NoSuchJob, Unreachable
    from kala.errors import Invalid, SettingsError

    try:
        yield
    except Unreachable as error:
        raise Stopped(str(error), AWAY) from None
    except Answered as error:
        text = "this cannot be taken" if error.fields else str(error)
        if error.status == 401 and not os.environ.keys() & {TOKEN, TOKEN_FILE}:
            text += f" ({TOKEN}, or --token-file)"
        raise Stopped(text, BY_STATUS.get(error.status, FAILED), error.fields) from None
    except NoSuchJob as error:
        raise Stopped(str(error), NOT_FOUND) from None
    except Ambiguous as error:
        raise Stopped(str(error), CONFLICT) from None
    except FilesFaulty as error:
        raise Stopped(str(error), USAGE, error.faults) from None
    except Invalid as error:
        raise Stopped("this cannot be taken", USAGE, error.fields) from None
    except SettingsError as error:
        raise Stopped(str(error), USAGE) from None


def on_terminal() -> bool:
    """Whether somebody is there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
