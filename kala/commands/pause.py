"""`kala pause` and `kala resume`."""

from typing import TYPE_CHECKING, Any

import click

from kala.commands.session import Session, client_command

if TYPE_CHECKING:
    from kala.client.server import Object


@client_command(None, "pause")
@click.option("--reason", metavar="TEXT", help="Why, for others.")
def pause(session: Session, reason: str | None) -> None:
    """Let nothing start until `kala resume`.

    What is on goes on to its end.
    """
    said: dict[str, Any] = {} if reason is None else {"reason": reason}
    told(session, session.server.ask("POST", "/pause/", said))


@client_command(None, "resume")
def resume(session: Session) -> None:
    """Let things start again."""
    told(session, session.server.ask("POST", "/resume/", {}))


def told(session: Session, answer: "Object") -> None:
    from kala.commands import phrases

    if session.as_json:
        session.json(answer)
    elif answer["paused"]:
        because = f": {answer['reason']}" if answer["reason"] else ""
        session.say(f"paused since {phrases.local(answer['since'])}{because}")
    else:
        session.say("not paused")
