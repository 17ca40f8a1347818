"""A commit of `mongo.py`: without transactions, so that one server alone will do.

An element is one write of one document: the record, with the history that goes with it in `settled`. What is there is
copied to the collections of the history before the commit answers, and before a reader is given the record; copying
again changes nothing. It stays until the next write of the record, which replaces it when it has been copied for
certain: its commit, and all that began before that, are not in flight any more (`mongo_database.py`).
"""

import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple

from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError

from kala.drivers.contract import TIMEOUT, Conflict, Element, is_done
from kala.drivers.mongo_address import Document
from kala.drivers.mongo_database import Meta, MongoDatabase, Rows
from kala.drivers.mongo_documents import Written, change, creation, is_deleted, prepared, stored
from kala.drivers.mongo_faults import DUPLICATE
from kala.errors import StoreUnavailable

AT_ONCE = 10_000  # rows in one command
FEW = 20  # updates in one command where writers take turns: at a hundred FerretDB 1 waits for itself without end


def commit(database: MongoDatabase, batch: Sequence[Element]) -> list[Conflict | None]:
    """See the contract. Raises pymongo's errors, beside the store's own."""
    if database.atomic:
        return _commit(database, batch)
    with database.turn("commit"):
        return _commit(database, batch)


def _commit(database: MongoDatabase, batch: Sequence[Element]) -> list[Conflict | None]:
    mark = secrets.token_hex(8)
    changed, copied = database.begin(mark, 1 + sum(len(each.runs) + len(each.outputs) for each in batch))
    all_written = prepared(batch, mark, changed)
    apart = [part for each in all_written for part in each.apart]
    if apart:  # nobody sees it until a record names it
        insert(database.apart, apart)
    unsure = _write(database, all_written, Numbers(mark, changed, copied))
    answers: list[Conflict | None] = [None] * len(batch)
    others = _outcomes(database, {place: all_written[place] for place in unsure}, mark)
    for place, answer in others.items():
        answers[place] = answer
    done = [each for place, each in enumerate(all_written) if answers[place] is None]
    append(database, [row for each in done for row in each.runs], [row for each in done for row in each.outputs])
    if apart:
        database.apart.delete_many({"mark": mark})
    database.end(mark)
    return answers


class Numbers(NamedTuple):
    """A commit's mark and number, and up to which number the history of records is copied."""

    mark: str
    changed: int
    copied: int


def _write(database: MongoDatabase, all_written: Sequence[Written], numbers: Numbers) -> set[int]:
    """Write what can be written. Returns the places of which it is not known whether they were."""
    mark, changed, copied = numbers
    fresh = [place for place, each in enumerate(all_written) if not each.element.expected]
    created = [place for place in fresh if all_written[place].element.value is not None]
    taken = insert(database.records, [creation(all_written[place], mark, changed) for place in created])
    unsure = {place for place in fresh if all_written[place].element.value is None}
    # A record that was deleted is a document of revision 0.
    changing = [created[number] for number in taken]
    changing += [place for place, each in enumerate(all_written) if each.element.expected]
    if not database.atomic:
        return unsure | _write_in_turn(database, {place: all_written[place] for place in changing}, numbers)
    operations = []
    for each in [all_written[place] for place in changing]:
        at = {"_id": each.id, "revision": each.element.expected}
        known, fresher = {**at, "number": {"$lte": copied}}, {**at, "number": {"$gt": copied}}
        operations.append(UpdateOne(known, change(each, mark, changed, keep=False)))
        if copied < changed - 1:  # others are in flight
            operations.append(UpdateOne(fresher, change(each, mark, changed, keep=True)))
    if operations and database.records.bulk_write(operations, ordered=False).matched_count < len(changing):
        unsure.update(changing)  # it is not told which
    return unsure


def _write_in_turn(database: MongoDatabase, changing: dict[int, Written], numbers: Numbers) -> set[int]:
    """Look, and then write: nobody else does in between. Returns the places of what was not written."""
    mark, changed, copied = numbers
    operations = []
    refused = set()
    for place, each in changing.items():
        found = database.records.find_one({"_id": each.id}, {"revision": 1, "changed": 1})
        if found is None or found.get("revision") != each.element.expected:
            refused.add(place)
            continue
        operations.append(UpdateOne({"_id": each.id}, change(each, mark, changed, keep=_changed(found) > copied)))
    for start in range(0, len(operations), FEW):
        database.records.bulk_write(operations[start : start + FEW], ordered=False)
    return refused


def _outcomes(database: MongoDatabase, unsure: dict[int, Written], mark: str) -> dict[int, Conflict | None]:
    """Answers for those that were not written: done before, or a conflict. Who finds its mark has written it: nobody
    takes it away while it is in flight.

    They are told as a majority of the servers has them, which may be a moment behind the one that refused.
    """
    answers: dict[int, Conflict | None] = {}
    deadline = time.monotonic() + TIMEOUT / 2
    while unsure:
        ids = [each.id for each in unsure.values()]
        found = {each["_id"]: each for each in database.durable_records.find(among(ids))}
        copy_of(database, list(found.values()))
        for place, each in list(unsure.items()):
            document = found.get(each.id)
            element, current = each.element, stored(document)
            if document is not None and mark in (document.get("settled") or ()):
                pass
            elif is_done(element, current):
                answers[place] = None
            elif (document is None or is_deleted(document) or current is not None) and element.expected == (
                0 if current is None else current.revision
            ):
                continue
            else:
                answers[place] = Conflict(current)
            del unsure[place]
        if unsure:
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"{database.place}: a majority of its servers is behind for {TIMEOUT / 2:g} s")
            time.sleep(0.02)
    return answers


def insert(rows: Rows, documents: Sequence[Document]) -> list[int]:
    """Insert what is not there already, by `_id`; the places of those that are. In their order."""
    taken: list[int] = []
    for start in range(0, len(documents), AT_ONCE):
        try:
            rows.bulk_write([InsertOne(each) for each in documents[start : start + AT_ONCE]], ordered=False)
        except BulkWriteError as error:
            faulty = error.details["writeErrors"] if error.details else []
            concern = error.details["writeConcernErrors"] if error.details else []
            if concern or any(each["code"] != DUPLICATE for each in faulty):
                raise
            taken += [start + int(each["index"]) for each in faulty]
    return taken


def append(database: MongoDatabase, runs: Sequence[Document], outputs: Sequence[Document]) -> None:
    """To the history. What has a known id is left as it is. Outputs first: who sees a run finds what it printed."""
    insert(database.outputs, outputs)
    insert(database.history, runs)


def copy_of(database: MongoDatabase, documents: Sequence[Document]) -> None:
    """Before these records are given to anybody: copy to the history what came with them, where it may be missing."""
    for refresh in False, True:
        copied = database.copied(refresh=refresh)
        documents = [each for each in documents if _changed(each) > copied]
        if not documents:
            return
    _copy(database, list(database.records.find(among([each["_id"] for each in documents]), {"settled": 1})))


def _changed(document: Document) -> int:
    changed = document.get("changed")
    return changed if isinstance(changed, int) else 0


def _copy(database: MongoDatabase, documents: Sequence[Document]) -> None:
    settled = [document.get("settled") for document in documents]
    entries = [
        entry for each in settled if isinstance(each, dict) for entry in each.values() if isinstance(entry, dict)
    ]
    for name in [name for entry in entries for name in entry.get("apart", ())]:
        part = database.apart.find_one({"_id": name})  # one after another: each may be of megabytes
        if part is not None:
            append(database, part["runs"], part["outputs"])
    append(
        database,
        [row for entry in entries for row in entry.get("runs", ())],
        [row for entry in entries for row in entry.get("outputs", ())],
    )


def among(ids: Sequence[str]) -> Document:
    """What finds these. Of one it says no more than that, as FerretDB 1 looks up nothing else."""
    return {"_id": ids[0] if len(ids) == 1 else {"$in": ids}}


def finish(database: MongoDatabase, meta: Meta, marks: set[str], *, dead: bool) -> None:
    """Copy what commits with these marks have left. Those that are `dead` are in flight no more."""
    for mark in marks:
        left = {"changed": {"$gt": meta.flying[mark]}, f"settled.{mark}": {"$exists": True}}
        _copy(database, list(database.records.find(left, {"settled": 1})))
        if dead:
            database.apart.delete_many({"mark": mark})
            database.end(mark)
