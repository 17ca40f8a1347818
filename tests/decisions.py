"""Decisions for the store to take, as tests need them."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from world import START

from kala import events, register
from kala.events import Event
from kala.job import Job, Record, replace
from kala.ledger import Change
from kala.store.draft import Draft


def new(job_id: str, **members: Any) -> Callable[[Draft], list[Change]]:
    job = Job(name=job_id, command="true", schedule="R/2031-01-01T00:00:00Z/P1D", **members)
    return lambda draft: [register.create(job, draft, job_id=job_id, now=START, disabled=False)]


def owned(record: Record, owner: str) -> Change:
    changed = replace(record, job=replace(record.job, owner=owner))
    return Change(changed, events=(Event(events.JOB_SAVED, START, record.id, reason=owner),))


def counted(record: Record) -> Change:
    """One more; of which no two are the same write."""
    change = owned(record, str(int(record.job.owner or 0) + 1))
    return replace(change, record=replace(change.record, job=replace(change.record.job, command=str(uuid4()))))
