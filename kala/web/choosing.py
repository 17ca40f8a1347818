"""Which jobs are asked for: filters, order, pages, and how many there are on all of them."""

from collections.abc import Callable, Sequence
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from kala.clock import Moment
from kala.errors import JobNotFound
from kala.job import Record, last_state
from kala.states import State
from kala.web import parameters
from kala.web.parameters import has_labels
from kala.wire.jobjson import next_run_at

if TYPE_CHECKING:
    from kala.service import Service

LOOKED_AT = 1_000
"""Jobs that are filtered and sorted at a time: a few milliseconds of the loop's time."""
MOST_IDS = 200

Key = Callable[[Record], tuple[Any, ...]]
Wanted = Callable[[Record], bool]


def _placed(record: Record) -> tuple[Any, ...]:
    return record.created, record.id


KEYS: dict[str, Key] = {
    "created": _placed,
    "name": lambda record: (record.job.name.casefold(), record.job.name, *_placed(record)),
    "owner": lambda record: (record.job.owner.casefold(), record.job.owner, *_placed(record)),
    "next_run_at": lambda record: (*_or_last(next_run_at(record)), *_placed(record)),
    "last_attempted_run": lambda record: (*_or_last(record.last_attempted), *_placed(record)),
}
"""What jobs are sorted by."""
MOMENTS = frozenset({"next_run_at", "last_attempted_run"})
"""What has no such moment comes last, backwards as well."""


def _is_failing(record: Record) -> bool:
    return last_state(record.results) not in (None, State.SUCCEEDED)


STATES: dict[str, Wanted] = {
    "active": lambda record: not record.disabled and not record.is_over,
    "disabled": lambda record: record.disabled,
    "done": lambda record: not record.disabled and record.is_over,
    "failing": _is_failing,
    "running": lambda record: any(run.state is not State.WAITING for run in record.open),
}

PARAMETERS = (
    parameters.whole("limit", "The most jobs that are answered.", 1, 99_999_999),
    parameters.text("after", "The `next` of the page before: go on after this job."),
    parameters.text("id", "Only these; one that is not there is left out.", several=True, most=MOST_IDS),
    parameters.text("q", "Part of the id, the name, the command or the owner, in any case."),
    parameters.labels("`name`, or `name=value`; repeated, all must hold."),
    parameters.text("owner", "The owner."),
    parameters.flag("disabled", "Whether it is disabled."),
    parameters.flag("done", "Whether nothing more is to come of it."),
    parameters.words(
        "state",
        "Any of these. Each job is one of `active`, `disabled` and `done`; `failing`: its last result is no success; "
        "`running`: a run of it is on.",
        STATES,
    ),
    parameters.choice("sort", "The order; with `-` before it, reversed.", [*KEYS, *(f"-{key}" for key in KEYS)]),
)


class Chosen(NamedTuple):
    """The ids of a page, in order. `next` is what to go on after, None when that was all; `total` is there when it was
    asked for: how many jobs there are on all pages."""

    ids: list[str]
    next: str | None
    total: int | None


async def choose(service: "Service", given: dict[str, Any], *, total: bool) -> Chosen:
    """What the values of `PARAMETERS` ask for. Raises `JobNotFound` for an `after` that is not known."""
    limit: int | None = given["limit"]
    ids, count = await _Choice(service, given, total).made(None if limit is None else limit + 1)
    following = limit is not None and len(ids) > limit
    return Chosen(ids[:limit], ids[limit - 1] if following and limit else None, count if total else None)


class _Choice:
    """One search. `total`: all is counted; else the counts mean nothing."""

    def __init__(self, service: "Service", given: dict[str, Any], total: bool) -> None:
        self._service, self._total = service, total
        order = given["sort"] or "created"
        self._turned = order.startswith("-")
        self._key = _turned_round(KEYS[order[1:]]) if self._turned and order[1:] in MOMENTS else KEYS[order.lstrip("-")]
        self._ids = list(dict.fromkeys(given["id"]))
        self._wanted = filter_of(given)
        self._after = None if given["after"] is None else service.remembered(given["after"])
        if self._after is None and given["after"] is not None:
            raise JobNotFound(given["after"])

    async def made(self, most: int | None) -> tuple[list[str], int]:
        if self._ids:
            self._service.demand_loaded()
            return await self._sorted(self._ids, most)
        ids = self._service.job_ids()
        if self._key is not _placed:
            return await self._sorted(ids, most)
        if self._turned:
            ids.reverse()
        begin = self._begin(ids)
        if self._wanted is None:
            return ids[begin:][:most], len(ids)
        if not self._total:
            return await self._picked(ids[begin:], self._wanted, most), 0
        before = await self._picked(ids[:begin], self._wanted, None)
        found = await self._picked(ids[begin:], self._wanted, None)
        return found[:most], len(before) + len(found)

    def _begin(self, ids: Sequence[str]) -> int:
        """Where in all jobs, in the order of their creation, those begin that follow `after`, which may have gone."""
        if (after := self._after) is None:
            return 0
        if after.deleted is None:
            return ids.index(after.id) + 1
        records = ((place, self._service.peek(job_id)) for place, job_id in enumerate(ids))
        following = (
            place
            for place, one in records
            if one is not None and (one.created <= after.created if self._turned else one.created > after.created)
        )
        return next(following, len(ids))

    async def _picked(self, ids: Sequence[str], wanted: Wanted, most: int | None) -> list[str]:
        found: list[str] = []
        for first in range(0, len(ids), LOOKED_AT):
            await trio.lowlevel.checkpoint()
            records = map(self._service.peek, ids[first : first + LOOKED_AT])
            found += [one.id for one in records if one is not None and wanted(one)]
            if most is not None and len(found) >= most:
                return found[:most]
        return found

    async def _sorted(self, ids: Sequence[str], most: int | None) -> tuple[list[str], int]:
        key, turned, wanted = self._key, self._turned, self._wanted
        runs: list[list[tuple[Any, ...]]] = []
        place, count = None if self._after is None else key(self._after), 0
        for first in range(0, len(ids), LOOKED_AT):
            await trio.lowlevel.checkpoint()
            records = map(self._service.peek, ids[first : first + LOOKED_AT])
            keys = [key(one) for one in records if one is not None and (wanted is None or wanted(one))]
            count += len(keys)
            if place is not None:
                keys = [one for one in keys if (one < place if turned else one > place)]
            runs.append(sorted(keys, reverse=turned)[:most])
        found: list[str] = []
        in_order = merge(*runs, reverse=turned)
        while (most is None or len(found) < most) and (several := list(islice(in_order, LOOKED_AT))):
            await trio.lowlevel.checkpoint()
            found += [one[-1] for one in several]
        return found[:most], count


def filter_of(given: dict[str, Any]) -> Wanted | None:
    """Whether a job is one that is asked for, whatever its id; None when all are."""
    q = (given["q"] or "").casefold()
    labels, owner, disabled, done = given["label"], given["owner"], given["disabled"], given["done"]
    states = [STATES[word] for words in given["state"] for word in words]
    if not (q or labels or states) and owner is None and disabled is None and done is None:
        return None

    def is_wanted(record: Record) -> bool:
        job = record.job
        return (
            (disabled is None or record.disabled is disabled)
            and (owner is None or job.owner == owner)
            and (done is None or record.is_done is done)
            and (not states or any(is_so(record) for is_so in states))
            and (not labels or has_labels(job.labels or {}, labels))
            and (not q or any(q in text.casefold() for text in (job.name, record.id, job.owner, job.command)))
        )

    return is_wanted


def _turned_round(key: Key) -> Key:
    """The key by which what has no moment comes last backwards."""

    def turned(record: Record) -> tuple[Any, ...]:
        lacks, *others = key(record)
        return not lacks, *others

    return turned


def _or_last(moment: Moment | None) -> tuple[bool, Moment]:
    return moment is None, moment or 0
