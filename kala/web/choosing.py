"""Which jobs are asked for: filters, order, pages, and how many there are on all of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kala.errors import JobNotFound
from kala.finding import Found
from kala.finding.conditions import (
    STATES,
    Condition,
    has_owner,
    has_text,
    in_state,
    is_disabled,
    is_done,
    is_labelled,
)
from kala.finding.orders import CREATED, KEYS, Order
from kala.web import parameters

if TYPE_CHECKING:
    from kala.service import Service

MOST_IDS = 200

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
    """What the values of `PARAMETERS` ask for. Raises `JobNotFound` for an `after` that is not known, and
    `StoreUnavailable` before the jobs are loaded."""
    service.demand_loaded()
    limit, after = given["limit"], given["after"]
    order = given["sort"] or CREATED
    sort, backwards = order.removeprefix("-"), order.startswith("-")
    conditions, most = conditions_of(given), None if limit is None else limit + 1
    if given["id"]:
        found = _among(service, given["id"], conditions, sort, backwards, after)
    elif conditions or most or after is not None or order != CREATED:
        found = await service.finder.find(conditions, sort, backwards=backwards, after=after, most=most)
    else:
        ids = service.job_ids()
        found = Found(ids, len(ids))
    following = limit is not None and len(found.ids) > limit
    return Chosen(
        found.ids[:limit], found.ids[limit - 1] if following and limit else None, found.total if total else None
    )


def _among(
    service: "Service",
    ids: Sequence[str],
    conditions: Sequence[Condition],
    sort: str,
    backwards: bool,
    after: str | None,
) -> Found:
    """Of some jobs, at most `MOST_IDS`, those that are asked for; one that is not there is left out."""
    records = [
        one
        for one in map(service.peek, dict.fromkeys(ids))
        if one is not None and all(condition.holds(one) for condition in conditions)
    ]
    order = Order(sort)
    order.fill([one.id for one in records], {one.id: one for one in records})
    place = None if after is None else service.remembered(after)
    if place is None and after is not None:
        raise JobNotFound(after)
    found = order.walk(None if place is None else KEYS[sort](place), backwards)
    return Found([records[entry[-1]].id for entries in found for entry in entries], len(records))


def conditions_of(given: dict[str, Any]) -> list[Condition]:
    """What a job must meet, whatever its id."""
    found = []
    if given["disabled"] is not None:
        found.append(is_disabled(given["disabled"]))
    if given["done"] is not None:
        found.append(is_done(given["done"]))
    if states := [word for words in given["state"] for word in words]:
        found.append(in_state(states))
    if given["owner"] is not None:
        found.append(has_owner(given["owner"]))
    if given["label"]:
        found.append(is_labelled(tuple(given["label"])))
    if given["q"]:
        found.append(has_text(given["q"]))
    return found
