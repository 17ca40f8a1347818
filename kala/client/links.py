"""Parents and failure jobs by name: from what files say to ids, and from ids to names. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from kala.client.documents import Document
from kala.errors import shortened
from kala.portions import families
from kala.wire.checks import Faults

Job = Mapping[str, Any]


class Names:
    """The jobs of a daemon by id and by name."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs = {job["id"]: job for job in jobs}
        self.named: dict[str, list[str]] = {}
        for job in self.jobs.values():
            self.named.setdefault(job["name"], []).append(job["id"])

    def called(self, job_id: str) -> str:
        """The name of a job when only it has that, and no job has it for an id; else its id."""
        name = self.jobs[job_id]["name"] if job_id in self.jobs else ""
        return name if name and len(self.named[name]) == 1 and name not in self.jobs else job_id

    def find(self, wanted: str) -> str:
        """The id of a job by its id or name. Raises `ValueError`."""
        if wanted in self.jobs:
            return wanted
        ids = self.named.get(wanted, [])
        if len(ids) > 1:
            raise ValueError(f"{shortened(wanted)!r} is the name of several jobs: {', '.join(ids)}")
        if not ids:
            raise ValueError(f"there is no job {shortened(wanted)!r}")
        return ids[0]


class Links:
    """What links in files mean: a name in the files goes before an id there, an id on the server, a name there."""

    def __init__(self, documents: Sequence[Document], ids: Sequence[str], names: Names) -> None:
        """`ids` are those of the documents' jobs, or stand for them."""
        self._here = {document.id: one for document, one in zip(documents, ids, strict=True) if document.id}
        for document, one in zip(documents, ids, strict=True):
            self._here[str(document.members.get("name"))] = one
        self._names = names

    def find(self, wanted: str) -> str:
        return self._here[wanted] if wanted in self._here else self._names.find(wanted)


def resolved(members: Mapping[str, Any], find: Callable[[str], str], faults: Faults) -> dict[str, Any]:
    """`members` with ids for all that its links name. What is of a wrong type is left for the rules to find."""
    made = dict(members)
    parents = members.get("parent_jobs")
    if isinstance(parents, list):
        made["parent_jobs"] = [_found(one, find, f"parent_jobs[{n}]", faults) for n, one in enumerate(parents)]
    if members.get("on_failure_job"):
        made["on_failure_job"] = _found(members["on_failure_job"], find, "on_failure_job", faults)
    return made


def _found(wanted: object, find: Callable[[str], str], path: str, faults: Faults) -> object:
    if not isinstance(wanted, str) or not wanted:
        return wanted
    try:
        return find(wanted)
    except ValueError as fault:
        faults[path] = str(fault)
        return wanted


def by_name(members: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """`members` with names for the ids in its links, where they are unique."""
    made = dict(members)
    if members.get("parent_jobs"):
        made["parent_jobs"] = [names.called(one) for one in members["parent_jobs"]]
    if members.get("on_failure_job"):
        made["on_failure_job"] = names.called(members["on_failure_job"])
    return made


def in_order(wanted: Mapping[str, Job]) -> list[str]:
    """The ids of definitions so that each comes after its parents, and after its failure job where that can be."""
    order: list[str] = []
    for family in families({one: [*_parents(job), *_failure(job)] for one, job in known(wanted).items()}):
        members = set(family)
        within = {one: [parent for parent in _parents(wanted[one]) if parent in members] for one in family}
        order += [one for group in families(within) for one in group]
    return order


def known(jobs: Mapping[str, Job]) -> dict[str, Job]:
    """The jobs with those links only that lead to one of them."""
    return {
        one: {
            "parent_jobs": [parent for parent in _parents(job) if parent in jobs],
            "on_failure_job": next((other for other in _failure(job) if other in jobs), ""),
        }
        for one, job in jobs.items()
    }


def cycles(jobs: Mapping[str, Job]) -> Iterator[list[str]]:
    """Each group of jobs that would set each other off, as parents and failure jobs."""
    leads: dict[str, list[str]] = {one: [] for one in jobs}
    for one, job in known(jobs).items():
        leads[one] += _failure(job)
        for parent in _parents(job):
            leads[parent].append(one)
    for family in families(leads):
        if len(family) > 1 or family[0] in leads[family[0]]:
            yield family


def _parents(job: Job) -> list[str]:
    return list(job.get("parent_jobs") or ())


def _failure(job: Job) -> list[str]:
    return [job["on_failure_job"]] if job.get("on_failure_job") else []
