"""Elements, records and rows as `redis.lua` takes and gives them."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from kala.drivers.contract import Conflict, Element, RunQuery, Stored
from kala.drivers.redis_script import packed, string
from kala.drivers.rows import decoded, run_row
from kala.errors import StoreCorrupt, ValueTooLarge
from kala.job import Output, Run
from kala.states import NOT_RUN, State

ELEMENTS_AT_ONCE = 100  # in one call of the script: some 5 ms
BYTES_AT_ONCE = 1 << 20  # of these, unless it is one element
LARGEST = 500 << 20
"""Bytes of one element with its history: Redis takes 512 MiB in one argument."""

_log = logging.getLogger(__name__)


def portions(batch: Sequence[Element]) -> Iterator[bytes]:
    """The arguments of `commit`, packed: as many elements as go at once in each. Raises `ValueTooLarge`."""
    some: list[msgspec.Raw] = []
    size = 0
    for element in batch:
        one = msgspec.Raw(msgspec.msgpack.encode(_element(element)))
        if len(one) > LARGEST:
            raise ValueTooLarge(f"{element.kind} {element.key} with its history", len(one), LARGEST)
        if some and (len(some) == ELEMENTS_AT_ONCE or size + len(one) > BYTES_AT_ONCE):
            yield packed(some)
            some, size = [], 0
        some.append(one)
        size += len(one)
    yield packed(some)


def _element(element: Element) -> list[object]:
    text = False if element.value is None else string(b"%d:%b" % (element.revision, element.value))
    outputs = [(each.run_id, str(each.attempt), str(each.size), string(each.data)) for each in element.outputs]
    return [element.kind, element.key, str(element.expected), text, [_run(run) for run in element.runs], outputs]


def _run(run: Run) -> tuple[str, ...]:
    row = run_row(run)
    head = f"{row.ran} {row.state} {row.scheduled_for} {row.at} {len(row.job_id.encode())}:{row.job_id}"
    return (row.id, row.job_id, str(row.ran), row.state, str(row.scheduled_for), str(row.at), head + row.run)


def answer(element: Element, given: int | bytes) -> Conflict | None:
    """What `commit` answers for an element: 1, 0, or what is stored instead."""
    if not isinstance(given, bytes):
        return None if given else Conflict(None)
    stored = record(element.kind, element.key.encode(), given)
    # What somebody has written by hand is later than what we know, and no record can be read from it.
    return Conflict(stored or Stored(element.kind, element.key, element.expected + 1, b""))


def record(kind: str, key: bytes, text: bytes | None) -> Stored | None:
    """What is stored under a key, if anything. What cannot be read, as a hand has spoilt it, is logged, and None."""
    if text is None:
        return None
    revision, separator, value = text.partition(b":")
    if separator and _REVISION.fullmatch(revision):
        try:
            return Stored(kind, key.decode(), int(revision), value)
        except UnicodeDecodeError:
            pass  # named below, with the other fault
    _log.error("%s", StoreCorrupt(kind, key.decode(errors="replace"), "it is not a revision, a colon and a value"))
    return None


_REVISION = re.compile(rb"[0-9]{1,18}")


def named(name: bytes) -> tuple[str, str]:
    """Kind and key of a change."""
    kind, _, key = name.decode(errors="replace").partition(":")
    return kind, key


def run_in(run_id: bytes, row: bytes) -> Run | None:
    """The run in a row; one that cannot be read is logged, and None."""
    head, _, rest = row.partition(b":")
    length = head.rpartition(b" ")[2]
    return decoded(run_id.decode(errors="replace"), rest[int(length) :] if _REVISION.fullmatch(length) else row)


def outputs(run_id: str, fields: Sequence[bytes]) -> list[Output]:
    """What a hash of outputs has, by attempt."""
    found = dict(zip(fields[::2], fields[1::2], strict=True))
    attempts = sorted(int(name) for name in found if _REVISION.fullmatch(name))
    return [
        Output(run_id, attempt, found[b"%d" % attempt], int(found.get(b"%d:size" % attempt, b"0")))
        for attempt in attempts
    ]


def conditions(query: RunQuery) -> dict[str, Any]:
    """What a row must have, for the script. Absent: anything."""
    given = {
        "job": query.job_id,
        "states": None if query.states is None else dict.fromkeys(query.states, True),
        "since": None if query.since is None else str(query.since),
        "till": None if query.until is None else str(query.until),
    }
    return {name: value for name, value in given.items() if value is not None}


def arms(query: RunQuery) -> list[str]:
    """The sorted sets, by the order of appending, that together have what matches, and as little else as there is."""
    if query.job_id is not None:
        states = State if query.states is None else query.states
        return [
            f"kala:history:job:{ran}:{query.job_id}" for ran in sorted({int(state not in NOT_RUN) for state in states})
        ]
    if query.states is not None:
        return [f"kala:history:state:{state}" for state in sorted(query.states)]
    return ["kala:history"]
