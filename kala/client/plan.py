"""What `kala apply` would do: from definitions in files and the jobs of a daemon to steps. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kala.client import definitions, links
from kala.client.definitions import NOT_SAID
from kala.client.documents import Document
from kala.client.faults import FilesFaulty
from kala.client.links import Links, Names
from kala.clock import Moment
from kala.wire.checks import Faults

CREATE, CHANGE, UNCHANGED, DELETE = "create", "change", "unchanged", "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """One job. `id` of one that is to be created stands for the id that it will get."""

    kind: str
    name: str
    id: str
    where: str = ""  # the file
    version: int = 0  # of the job on the server
    members: Mapping[str, Any] = field(default_factory=dict)  # all that it is to have, links as ids
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


def planned(
    documents: Sequence[Document],
    jobs: Iterable[Mapping[str, Any]],
    *,
    now: Moment,
    faults: Mapping[str, str] | None = None,
    prune: Sequence[str] | None = None,
) -> list[Step]:
    """The steps, in an order in which they can be taken. `prune` has the labels, each `k` or `k=v`, that mark the jobs
    which go when no file has them; None: none goes. `faults` are those of reading the files.

    Raises `FilesFaulty` with every fault.
    """
    names, wrong = Names(jobs), Faulty(faults or {})
    ids = matched(documents, names, wrong)
    found = Links(documents, ids, names)
    steps = {}
    for document, one in zip(documents, ids, strict=True):
        steps[one] = step_of(document, one, names, found, now, wrong)
    doomed = {job["id"]: job for job in names.jobs.values() if prune and job["id"] not in steps and marked(job, prune)}
    wrong.add_all(links_to_doomed(steps, doomed, names))
    after = {one: job for one, job in names.jobs.items() if one not in doomed}
    after |= {one: step.members for one, step in steps.items()}
    for group in links.cycles(after):
        for one in group:
            if one in steps:
                ring = " → ".join(called(other, names, steps) for other in [*group, group[0]])
                wrong.add(steps[one].where, "parent_jobs", f"the jobs would set each other off: {ring}")
    if wrong.found:
        raise FilesFaulty(wrong.found)
    order = links.in_order({one: step.members for one, step in steps.items()})
    made = [steps[one] for one in order]
    return [
        *(step for step in made if step.kind == CREATE),
        *(step for step in made if step.kind == CHANGE),
        *(step for step in made if step.kind == UNCHANGED),
        *(Step(DELETE, job["name"], one) for one, job in doomed.items()),
    ]


class Faulty:
    """The faults found, each under its file, job and member."""

    def __init__(self, found: Mapping[str, str]) -> None:
        self.found = dict(found)

    def add(self, where: str, member: str, fault: str) -> None:
        self.found.setdefault(f"{where}: {member}" if member else where, fault)

    def add_all(self, more: Iterable[tuple[str, str, str]]) -> None:
        for one in more:
            self.add(*one)


def matched(documents: Sequence[Document], names: Names, faults: Faulty) -> list[str]:
    """The id of each document's job on the server; `new:N` for those that are not there."""
    first: dict[str, str] = {}
    ids = []
    for number, document in enumerate(documents):
        name = document.members.get("name")
        ids.append(f"new:{number}")
        if not isinstance(name, str) or not name:
            continue  # the rules have a fault for it
        if name in first:
            faults.add(document.where, "name", f"is also in {first[name]}: jobs are told apart by their names")
            continue
        first[name] = document.where
        there = names.named.get(name, [])
        if len(there) > 1:
            faults.add(document.where, "name", f"several jobs of the server have it: {', '.join(there)}")
        elif there:
            ids[-1] = there[0]
    return ids


def step_of(document: Document, one: str, names: Names, found: Links, now: Moment, faults: Faulty) -> Step:
    """The step for one document; its faults are added."""
    wrong: Faults = {}
    members = links.resolved(document.members, found.find, wrong)
    there = names.jobs.get(one)
    old = definitions.of_job(there) if there is not None else None
    same_start = old is not None and members.get("schedule", "") == old["schedule"]
    new = definitions.read(members, wrong, None if same_start else now)
    for path, fault in wrong.items():
        faults.add(document.where, path, fault)
    if old is None or there is None:
        return Step(CREATE, new["name"], one, document.where, members=new)
    for member in NOT_SAID:
        if document.members.get(member) is None:
            new[member] = old[member]
    changes = definitions.changes(old, new)
    kind = CHANGE if changes else UNCHANGED
    return Step(kind, new["name"], one, document.where, int(there["version"]), new, changes)


def marked(job: Mapping[str, Any], labels: Sequence[str]) -> bool:
    """Whether a job has all these labels, each `k` or `k=v`."""
    has = job.get("labels") or {}
    parts = [label.partition("=") for label in labels]
    return all(name in has and (not equals or has[name] == value) for name, equals, value in parts)


def links_to_doomed(
    steps: Mapping[str, Step], doomed: Mapping[str, Any], names: Names
) -> Iterable[tuple[str, str, str]]:
    """Faults of what stays and is bound to what goes. A child without another parent would go with it."""
    for step in steps.values():
        for other in [*(step.members["parent_jobs"] or ()), step.members["on_failure_job"]]:
            if other in doomed:
                member = "on_failure_job" if other == step.members["on_failure_job"] else "parent_jobs"
                yield step.where, member, f"{names.called(other)!r} is in no file and would be deleted by --prune"
    for one, job in names.jobs.items():
        parents = job.get("parent_jobs") or ()
        if one not in steps and one not in doomed and parents and all(parent in doomed for parent in parents):
            yield f"job {one}", job["name"], "would be deleted with its parents, and does not carry the label"


def called(one: str, names: Names, steps: Mapping[str, Step]) -> str:
    return steps[one].name if one in steps else names.called(one)
