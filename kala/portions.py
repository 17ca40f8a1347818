"""An import cut into portions, so that it shows how far it is, and none is larger than a daemon takes.

Pure. What belongs together stays together: parents and children, whose order counts, and jobs that would set each
other off. A job's failure job comes before it, in the same portion or an earlier one.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from kala.wire.jobjson import encode

JOBS, BYTES = 500, 4 << 20
"""A portion is full when it has so many jobs or bytes. One that cannot be cut may have more."""


class Portion(NamedTuple):
    """Some jobs, as `{"jobs": {id: job}}`."""

    jobs: int
    data: bytes


class Links(Struct):
    """The members of a job that say with which others it goes."""

    parent_jobs: list[str] | None = None
    dependent_jobs: list[str] | None = None
    on_failure_job: str | None = None


def portions(jobs: Mapping[str, Raw], *, most: int = JOBS, most_bytes: int = BYTES) -> Iterator[Portion]:
    """All `jobs`, by id, in an order in which they can be taken one portion after the other."""
    waiting: list[bytes] = []
    size = 0
    for family in families(linked(jobs)):
        members = [b"%s:%s" % (encode(one), bytes(jobs[one])) for one in family]
        weight = sum(map(len, members))
        if waiting and (len(waiting) + len(members) > most or size + weight > most_bytes):
            yield _portion(waiting)
            waiting, size = [], 0
        waiting += members
        size += weight
    if waiting:
        yield _portion(waiting)


def _portion(members: list[bytes]) -> Portion:
    return Portion(len(members), b'{"jobs":{%s}}' % b",".join(members))


def linked(jobs: Mapping[str, Raw]) -> dict[str, list[str]]:
    """For each job those that may not come after it: its parents, its children, its failure job."""
    found: dict[str, list[str]] = {one: [] for one in jobs}
    for one, raw in jobs.items():
        try:
            links = msgspec.json.decode(raw, type=Links)
        except msgspec.DecodeError:
            continue  # members of wrong types: it is refused, wherever it stands
        for other in {*(links.parent_jobs or ()), *(links.dependent_jobs or ())} & jobs.keys():
            found[one].append(other)
            found[other].append(one)
        if links.on_failure_job and links.on_failure_job in jobs:
            found[one].append(links.on_failure_job)
    return found


def families(links: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """The strongly connected components, each after those to which its links lead (Tarjan's algorithm, as a loop)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: dict[str, None] = {}  # jobs whose component is not known yet, in order of discovery
    for root in links:
        way = [(root, iter(links[root]))] if root not in number else []
        while way:
            one, following = way[-1]
            if one not in number:
                number[one] = low[one] = len(number)
                open_[one] = None
            for other in following:
                if other not in number:
                    way.append((other, iter(links[other])))
                    break
                if other in open_:
                    low[one] = min(low[one], number[other])
            else:
                way.pop()
                if way:
                    low[way[-1][0]] = min(low[way[-1][0]], low[one])
                if low[one] == number[one]:
                    family: list[str] = []
                    while not family or family[-1] != one:
                        family.append(open_.popitem()[0])
                    yield family[::-1]
