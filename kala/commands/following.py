"""A run to its end: what it prints, as it prints it."""

from typing import BinaryIO
from urllib.parse import quote

import click

from kala.client.server import Object
from kala.commands import phrases
from kala.commands.exits import FAILED, INTERRUPTED, Stopped
from kala.commands.session import Session
from kala.states import OPEN


def followed(session: Session, run_id: str, out: BinaryIO | None) -> Object:
    """The run when it has ended. What it prints is written to `out`; who reads nothing waits all the same.

    Its end is said on standard error. Raises `Unreachable` when the connection breaks off, and `Stopped` at Ctrl-C: the
    run goes on.
    """
    try:
        last = copy_output(session, run_id, {"follow": True, "attempt": 1}, out)
    except KeyboardInterrupt:
        click.echo(err=True)  # after ^C
        goes_on = f"`kala runs output {run_id} --follow` shows it, `kala runs cancel {run_id}` ends it"
        raise Stopped(f"not waited for any longer, but the run goes on: {goes_on}", INTERRUPTED) from None
    if out is not None and last != b"\n" and out.isatty():
        click.echo(err=True)  # for what follows to have a line of its own
    run = session.server.run(run_id)
    if run["state"] in OPEN:
        raise Stopped(f"the daemon has let go of run {run_id}, which is {run['state']}: {run['explanation']}", FAILED)
    session.note(f"run {run_id}, {phrases.length(run['duration']) or 'never started'}: {run['explanation']}")
    return run


def copy_output(session: Session, run_id: str, params: dict[str, int | str | bool], out: BinaryIO | None) -> bytes:
    """The bytes of a run's output, raw, as they come. The last of them is returned, a line feed where there is none."""
    last = b"\n"
    with session.server.stream(f"/run/{quote(run_id, safe='')}/output/", params) as answer:
        offset, size = answer.headers.get("Kala-Output-Offset", "0"), answer.headers.get("Kala-Output-Size", "?")
        if offset != "0":
            session.note(f"The first {offset} bytes of {size} are not kept.")
        for piece in answer.iter_bytes():
            if out is not None:
                out.write(piece)
                out.flush()
            last = piece[-1:] or last
    return last
