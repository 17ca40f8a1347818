"""Pages of the history, and removing from it, for `mongo.py`. Only one daemon removes at a time (`turn`).

How many bytes of outputs are kept is counted when somebody asks: `outputs` in `kala_meta` is the sum up to the number
`counted`, and what is removed of these is taken off first. A process counts all once, whatever stands there: one that
died in between took too much off.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from kala.drivers.contract import RunPage, RunQuery
from kala.drivers.mongo_address import Document
from kala.drivers.mongo_commit import finish
from kala.drivers.mongo_database import Meta, MongoDatabase
from kala.drivers.mongo_documents import filter_of, line_of
from kala.drivers.rows import decoded

KEPT_DELETIONS = 10_000
"""Deleted records that `changes` still tells of after `prune`. Above `max_batch`, which may share one number."""
REMOVED_AT_ONCE = 200  # rows in one command, beside which commits go on
JOBS_AT_ONCE = 100  # whose rows are counted in one command
LOOKED_AT = 50_000  # rows of several lines that are read, by an index alone, to find those beyond
BYTES_AT_ONCE = 64 << 20  # of outputs removed in one command


def page(database: MongoDatabase, query: RunQuery) -> RunPage:
    """Raises `Invalid` for a place that no page gave."""
    wanted = filter_of(query)
    fields = {"seq": 1, "run": 1}
    rows = list(database.history.find(wanted, fields).sort("seq", -1).limit(query.limit + 1))
    following = str(rows[query.limit - 1]["seq"]) if len(rows) > query.limit else None
    runs = [decoded(row["_id"], row.get("run", "")) for row in rows[: query.limit]]
    return RunPage([run for run in runs if run is not None], following)


def tidy(database: MongoDatabase) -> Meta:
    """Finish what writers that died have left."""
    meta = database.meta()
    if dead := database.dead(meta):
        with database.turn("tidy"):
            finish(database, meta, dead, dead=True)
    return meta


def beyond(database: MongoDatabase, jobs: Sequence[str], keep: int) -> Iterator[list[str]]:
    """Ids of what is beyond the latest `keep` of each line of these jobs, in portions."""
    lines = [line_of(job, ran) for job in jobs for ran in (0, 1)]
    counted = database.history.aggregate(
        [{"$match": {"line": {"$in": lines}}}, {"$group": {"_id": "$line", "count": {"$sum": 1}}}]
    )
    some: dict[str, int] = {}
    size = 0
    for each in list(counted):
        if each["count"] > keep:
            some[each["_id"]] = each["count"] - keep
            size += each["count"]
            if size >= LOOKED_AT:
                yield from _earliest(database, some)
                some, size = {}, 0
    yield from _earliest(database, some)


def _earliest(database: MongoDatabase, counts: dict[str, int]) -> Iterator[list[str]]:
    """Ids of so many rows of each line, those appended first."""
    left = dict(counts)
    rows = (
        database.history.find({"line": {"$in": list(counts)}}, {"line": 1, "seq": 1}).sort([("line", 1), ("seq", 1)])
        if len(counts) > 1
        else database.history.find({"line": {"$in": list(counts)}}, {"line": 1, "seq": 1})
        .sort("seq", 1)
        .limit(sum(counts.values()))
    )
    if not counts:
        return
    found: list[str] = []
    for row in rows:
        if left[row["line"]]:
            left[row["line"]] -= 1
            found.append(row["_id"])
    yield from portions(found, REMOVED_AT_ONCE)


def some_of(database: MongoDatabase, wanted: Document) -> list[str]:
    """Ids of rows that a filter finds, as many as are removed at once."""
    return [row["_id"] for row in database.history.find(wanted, {"_id": 1}).limit(REMOVED_AT_ONCE)]


def remove(database: MongoDatabase, ids: Sequence[str]) -> int:
    """Rows of the history, and their outputs first. Returns how many rows went."""
    with database.turn("tidy"):
        _drop_outputs(database, list(database.outputs.find({"run_id": {"$in": list(ids)}}, {"seq": 1, "length": 1})))
        return database.history.delete_many({"_id": {"$in": list(ids)}}).deleted_count


def _drop_outputs(database: MongoDatabase, rows: Sequence[Document]) -> None:
    if not rows:
        return
    counted = database.meta().counted
    size = sum(row["length"] for row in rows if row["seq"] <= counted)
    if size:
        database.add_to_outputs(-size)
    database.outputs.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})


def count_outputs(database: MongoDatabase, *, afresh: bool) -> int:
    """The bytes of all outputs that can be seen."""
    with database.turn("tidy"):
        meta = database.meta()
        before, total = (0, 0) if afresh else (meta.counted, meta.outputs)
        until = database.horizon(meta)
        if until > before or afresh:
            found = list(
                database.outputs.aggregate(
                    [
                        {"$match": {"seq": {"$gt": before, "$lte": until}}},
                        {"$group": {"_id": None, "size": {"$sum": "$length"}}},
                    ]
                )
            )
            total += int(found[0]["size"]) if found else 0
            database.keep(outputs=total, counted=max(until, before))
        return total


def drop_oldest(database: MongoDatabase, size: int) -> int:
    """Remove outputs, the earliest appended first, until `size` bytes went or as many as go at once. Returns how many
    bytes went."""
    with database.turn("tidy"):
        rows: list[Document] = []
        went = 0
        for row in database.outputs.find({}, {"seq": 1, "length": 1}).sort("seq", 1).limit(REMOVED_AT_ONCE):
            if went >= min(size, BYTES_AT_ONCE):
                break
            rows.append(row)
            went += row["length"]
        _drop_outputs(database, rows)
        return went


def forget_deletions(database: MongoDatabase) -> None:
    """Keep `KEPT_DELETIONS`, of which `changes` tells."""
    bounds = list(
        database.records.find({"gone": {"$gt": 0}}, {"gone": 1}).sort("gone", -1).skip(KEPT_DELETIONS).limit(1)
    )
    if bounds:
        with database.turn("tidy"):
            # What came with a deletion stays there until it is copied.
            bound = min(bounds[0]["gone"], database.copied(refresh=True))
            # First what `changes` goes by: who asks in between loads everything.
            database.keep(forgotten=max(bound, database.meta().forgotten))
            database.records.delete_many({"gone": {"$lte": bound}})


def portions(values: Sequence[str], size: int) -> Iterator[list[str]]:
    """Distinct ones, so many at once."""
    distinct = iter(dict.fromkeys(values))
    while some := list(islice(distinct, size)):
        yield some
