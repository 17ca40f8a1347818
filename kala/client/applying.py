"""Taking the steps of a plan (`plan.py`), one request each."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kala.client import definitions
from kala.client.faults import Answered
from kala.client.plan import CHANGE, CREATE, DELETE, Step
from kala.client.server import Server

Warn = Callable[[str], None]
"""Is told what the daemon warns of."""


def take(server: Server, plan: Sequence[Step], warn: Warn) -> Iterator[Step]:
    """Takes the steps, and yields each that is done. Stops with `Answered`, or `Unreachable`: what was done stands.

    A failure job that is made later than the job that names it is set when both are there.
    """
    ids: dict[str, str] = {}
    late: list[Step] = []
    for step in (one for one in plan if one.kind == CREATE):
        members = definitions.sparse(known(step.members, ids))
        if members.get("on_failure_job", "").startswith("new:"):
            late.append(step)
            del members["on_failure_job"]
        answer = server.ask("POST", "/job/", members)
        ids[step.id] = answer["id"]
        for text in answer.get("warnings", ()):
            warn(f"{step.name}: {text}")
        yield step
    for step in late:
        job = known(step.members, ids)
        server.ask("PATCH", f"/job/{ids[step.id]}/", {"on_failure_job": job["on_failure_job"]})
    yield from change(server, [one for one in plan if one.kind == CHANGE], ids, warn)
    for step in (one for one in plan if one.kind == DELETE):
        try:
            server.delete(step.id)
        except Answered as refusal:
            if refusal.status != 404:  # it went with its parents
                raise
        yield step


def change(server: Server, steps: Sequence[Step], ids: dict[str, str], warn: Warn) -> Iterator[Step]:
    """The edits. One that is refused may wait for another, such as where a child and its parent change places."""
    waiting = list(steps)
    while waiting:
        refused: list[tuple[Step, Answered]] = []
        for step in waiting:
            new = known(step.members, ids)
            changes = {name: (old, new[name]) for name, (old, _) in step.changes.items()}
            try:
                answer = server.edit(step.id, definitions.patch_of(changes), step.version)
            except Answered as refusal:
                if refusal.status != 400:
                    raise
                refused.append((step, refusal))
                continue
            for text in answer.get("warnings", ()):
                warn(f"{step.name}: {text}")
            yield step
        if len(refused) == len(waiting):
            raise refused[0][1]
        waiting = [step for step, _ in refused]


def known(members: Any, ids: dict[str, str]) -> dict[str, Any]:
    """`members` with the ids of the jobs that were made meanwhile."""
    made = dict(members)
    if made["parent_jobs"]:
        made["parent_jobs"] = [ids.get(one, one) for one in made["parent_jobs"]]
    made["on_failure_job"] = ids.get(made["on_failure_job"], made["on_failure_job"])
    return made
