"""Events on the wire: JSON objects, and the ids by which a client says what it has heard. Nothing else knows it."""

import re

from msgspec import Struct

from kala.clock import SECOND, rfc3339, rfc3339_or_none
from kala.events import Event
from kala.wire.jobjson import encode

_ID = re.compile(r"([0-9a-f]{8})-(0|[1-9][0-9]{0,17})")


class EventObject(Struct, omit_defaults=True, gc=False):
    """An event as clients see it: what does not apply is left out. Moments in RFC 3339, in UTC."""

    id: str
    at: str
    type: str
    job: str = ""
    job_name: str = ""
    run: str = ""
    state: str = ""
    reason: str = ""
    scheduled_for: str | None = None
    trigger: str = ""
    started: str | None = None
    duration: float | None = None  # seconds
    attempt: int = 0
    until: str | None = None
    count: int = 1
    added: int = 1
    size: int = 0  # bytes
    version: int = 0
    error: str = ""


def event_id(start: str, number: int) -> str:
    """`start` is the daemon's start, in 8 hexadecimal digits; `number` counts its events, from 1."""
    return f"{start}-{number}"


def number_in(identifier: str, start: str) -> int | None:
    """The number in an id of this start; None when it is another's, or no id."""
    match = _ID.fullmatch(identifier)
    return int(match[2]) if match is not None and match[1] == start else None


def event_object(identifier: str, event: Event) -> EventObject:
    return EventObject(
        identifier,
        rfc3339(event.at),
        event.type,
        event.job,
        event.job_name,
        event.run,
        event.state,
        event.reason,
        rfc3339_or_none(event.scheduled_for),
        event.trigger,
        rfc3339_or_none(event.started),
        None if event.duration is None else event.duration / SECOND,
        event.attempt,
        rfc3339_or_none(event.until),
        event.count,
        event.added,
        event.size,
        event.version,
        event.error,
    )


def event_json(identifier: str, event: Event) -> bytes:
    """One line."""
    return encode(event_object(identifier, event))
