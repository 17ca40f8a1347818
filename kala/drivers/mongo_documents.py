"""Elements as documents and documents as what they stand for, for `mongo.py`. Nothing here speaks with a server.

A record's document has the history of its latest write in `settled`, under that write's mark, from where it is copied
to the collections of the history. A record that was deleted stays as a document of revision 0, without a value, and is
found by `gone`, its number.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bson import Binary, Int64
from msgspec import Struct

from kala.drivers.contract import Element, RunQuery, Stored
from kala.drivers.mongo_address import Document
from kala.drivers.rows import position, run_row
from kala.errors import StoreCorrupt
from kala.job import Output
from kala.states import NOT_RUN

INLINE = 16 << 10
"""Bytes of history that go in a record's document, where the next write replaces them; more is written apart before.
While a writer is held up, those of several writes gather in one document, which holds 16 MiB."""
PART = 8 << 20  # bytes of one document of what is written apart, or one output
_ROW = 512  # bytes of a row besides its run or its output, at most

_log = logging.getLogger(__name__)


class Written(Struct, frozen=True, gc=False):
    """An element to be written: `entry` is its history as it goes with the record, `apart` what is written before."""

    element: Element
    id: str
    runs: list[Document]
    outputs: list[Document]
    entry: Document
    apart: list[Document]


def id_of(kind: str, key: str) -> str:
    """Distinct for distinct records, as kinds are words. BSON's strings take any text."""
    return f"{kind}:{key}"


def line_of(job_id: str, ran: int) -> str:
    """What is counted, and pruned, together: a job's runs, or the ranges that did not run."""
    return f"{ran}:{job_id}"


def prepared(batch: Sequence[Element], mark: str, number: int) -> list[Written]:
    """Documents for a commit. `number` is the first that it may use; rows take those after it."""
    all_written = []
    for place, element in enumerate(batch):
        runs, outputs = [], []
        for run in element.runs:
            number += 1
            row = run_row(run)
            runs.append(
                {
                    "_id": row.id,
                    "seq": Int64(number),
                    "job_id": row.job_id,
                    "line": line_of(row.job_id, row.ran),
                    "state": row.state,
                    "scheduled_for": Int64(row.scheduled_for),
                    "at": Int64(row.at),
                    "run": row.run,
                }
            )
        for output in element.outputs:
            number += 1
            outputs.append(
                {
                    "_id": f"{output.attempt}:{output.run_id}",
                    "seq": Int64(number),
                    "run_id": output.run_id,
                    "attempt": output.attempt,
                    "length": len(output.data),
                    "size": Int64(output.size),
                    "data": Binary(output.data),
                }
            )
        entry: Document = {}
        apart: list[Document] = []
        if runs or outputs:
            entry = {"runs": runs, "outputs": outputs}
            if _size(runs) + _size(outputs) > INLINE:
                apart = _parts(runs, outputs, mark, place)
                entry = {"apart": [part["_id"] for part in apart]}
        all_written.append(Written(element, id_of(element.kind, element.key), runs, outputs, entry, apart))
    return all_written


def _size(rows: Sequence[Document]) -> int:
    return sum(len(row.get("run", "")) * 3 + len(row.get("data", b"")) + _ROW for row in rows)


def _parts(runs: list[Document], outputs: list[Document], mark: str, place: int) -> list[Document]:
    parts: list[Document] = []
    size = PART
    for name, rows in (("runs", runs), ("outputs", outputs)):
        for row in rows:
            size += (own := _size([row]))
            if size > PART:
                parts.append({"_id": f"{mark}:{place}:{len(parts)}", "mark": mark, "runs": [], "outputs": []})
                size = own
            parts[-1][name].append(row)
    return parts


def creation(written: Written, mark: str, changed: int) -> Document:
    """The whole document of a record that is not there."""
    return {"_id": written.id, **_fields(written, changed), "settled": {mark: written.entry}}


def change(written: Written, mark: str, changed: int, *, keep: bool) -> Document:
    """The update of one that is. Whether to `keep` the history that is in it, as it may not have been copied."""
    settled: Document = {f"settled.{mark}": written.entry} if keep else {"settled": {mark: written.entry}}
    update: Document = {"$set": {**_fields(written, changed), **settled}}
    if written.element.value is None:
        update["$set"]["gone"] = Int64(changed)
    else:
        update["$unset"] = {"gone": ""}
    return update


def _fields(written: Written, changed: int) -> Document:
    element = written.element
    return {
        "kind": element.kind,
        "key": element.key,
        "revision": Int64(0 if element.value is None else element.revision),
        "changed": Int64(changed),
        "number": Int64(changed),  # the same without an index: what a write asks for leads to the `_id` alone
        "value": None if element.value is None else _value(element.value),
    }


def _value(value: bytes) -> str | Binary:
    """JSON is kept as text, so that MongoDB's shell shows it; other bytes stay binary."""
    if b"\0" not in value:
        with suppress(UnicodeDecodeError):  # then it stays binary
            return value.decode()
    return Binary(value)


def stored(document: Document | None) -> Stored | None:
    """The record in a document, None where it was deleted. One that someone's hand has spoilt is logged, and None."""
    if document is None:
        return None
    kind, key, revision, value = (document.get(name) for name in ("kind", "key", "revision", "value"))
    if value is None and revision == 0:
        return None
    if isinstance(kind, str) and isinstance(key, str) and isinstance(revision, int) and isinstance(value, str | bytes):
        return Stored(kind, key, int(revision), value.encode() if isinstance(value, str) else bytes(value))
    _log.error("%s", StoreCorrupt("record", str(document.get("_id")), "a field is not of its type"))
    return None


def is_deleted(document: Document) -> bool:
    return document.get("value") is None and document.get("revision") == 0


def output_of(document: Document) -> Output:
    return Output(document["run_id"], document["attempt"], bytes(document["data"]), int(document["size"]))


def filter_of(query: RunQuery) -> Document:
    """The rows of a query."""
    wanted: Document = {}
    if query.job_id is not None:
        sides = {0, 1} if query.states is None else {int(state not in NOT_RUN) for state in query.states}
        wanted["line"] = {"$in": [line_of(query.job_id, side) for side in sorted(sides)]}
    if query.states is not None:
        wanted["state"] = {"$in": sorted(state.value for state in query.states)}
    span: dict[str, Any] = {}
    if query.since is not None:
        span["$gte"] = query.since
    if query.until is not None:
        span["$lt"] = query.until
    if span:
        wanted["scheduled_for"] = span
    if query.after is not None:
        wanted["seq"] = {"$lt": position(query.after)}
    return wanted
