"""A run to its end: what it prints, as it prints it."""

from typing import BinaryIO
from urllib.parse import quote

from kala.client.server import Object
from kala.commands import phrases
from kala.commands.exits import FAILED, Stopped
from kala.commands.session import Session
from kala.states import OPEN


def followed(session: Session, run_id: str, out: BinaryIO | None) -> Object:
    """The run when it has ended. What it prints is written to `out`; who reads nothing waits all the same.

    Its end is said on standard error. Raises `Unreachable` when the connection breaks off: the run goes on.
    """
    copy_output(session, run_id, {"follow": True, "attempt": 1}, out)
    run = session.server.run(run_id)
    if run["state"] in OPEN:
        raise Stopped(f"the daemon has let go of run {run_id}, which is {run['state']}: {run['explanation']}", FAILED)
    session.note(f"run {run_id}, {phrases.length(run['duration']) or 'never started'}: {run['explanation']}")
    return run


def copy_output(session: Session, run_id: str, params: dict[str, int | str | bool], out: BinaryIO | None) -> None:
    """The bytes of a run's output, raw, as they come."""
    with session.server.stream(f"/run/{quote(run_id, safe='')}/output/", params) as answer:
        offset, size = answer.headers.get("Kala-Output-Offset", "0"), answer.headers.get("Kala-Output-Size", "?")
        if offset != "0":
            session.note(f"The first {offset} bytes of {size} are not kept.")
        for piece in answer.iter_bytes():
            if out is not None:
                out.write(piece)
                out.flush()
