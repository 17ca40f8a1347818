"""The collections of `mongo.py`, what describes them (`kala_meta`), the numbers of commits, and turns.

A commit takes its numbers from `kala_meta`, and is in `flying` there, under its mark, until all that it writes can be
seen. Records show in another order than that of their numbers, so a listener goes no further than what was given out
when the earliest commit in flight began. A mark that is there for `EXPIRY` is a dead writer's.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from bson import Int64
from msgspec import Struct
from pymongo import IndexModel, ReadPreference, ReturnDocument, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from kala.clock import SECOND, Moment
from kala.drivers.mongo_address import Client, Document
from kala.errors import StoreRefused, StoreUnavailable

SCHEMA = 1
EXPIRY = 30.0
"""Seconds that a writer's mark is heeded, by the monotonic clock of who looks on: far above the contract's `TIMEOUT`,
in which its commit has ended."""
LOCK_WAIT = 4.0  # seconds for a turn

Rows = Collection[Document]


class Meta(Struct, frozen=True):
    """`kala_meta` at one time."""

    database: str  # an id of this one's
    last: int  # the latest number given out
    flying: dict[str, int]  # by mark: a number that was given out before it began
    forgotten: int  # number of the latest deletion that is no longer told of
    outputs: int  # bytes of the outputs up to the number `counted`
    counted: int


class MongoDatabase:
    """A database of a server, and what this process knows of it. Errors are pymongo's, beside the store's own."""

    def __init__(self, client: Client, name: str, place: str) -> None:
        self.place = place
        build = client.admin.command("buildInfo")
        self.server = f"MongoDB {build['version']}"
        version = str(build.get("ferretdbVersion") or build.get("ferretdb", {}).get("version", "")).removeprefix("v")
        if version:
            self.server += f" (FerretDB {version})"
        elif "secantusVersion" in build:
            self.server += f" (SecantusDB {build['secantusVersion']})"
        self.atomic = not version.startswith("1.")
        """Whether an update looks and writes in one step. FerretDB 1 looks, and then writes: two clients may both have
        found what they looked for. There writers take turns, and each write names nothing but the `_id`: whatever else
        is asked for makes it read the whole collection, and slowly."""
        database = client.get_database(
            name,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("local"),
        )
        self.records: Rows = database["kala_records"]
        self.durable_records = self.records.with_options(read_concern=ReadConcern("majority"))
        self.history: Rows = database["kala_history"]
        self.outputs: Rows = database["kala_outputs"]
        self.apart: Rows = database["kala_apart"]  # history too large for its record's document
        self._meta: Rows = database["kala_meta"]
        self._durable_meta = self._meta.with_options(read_concern=ReadConcern("majority"))
        self._unhurried = self._meta.with_options(write_concern=WriteConcern(1))
        self._seen: dict[str, float] = {}  # marks in flight, by the monotonic clock since when
        self._turn_seen = ("", 0.0)  # the same of whose turn it was
        self._left: set[str] = set()  # marks of turns of our own that may not have been given back
        self.id = ""
        self._last = 0  # number that was given out, of those that are known here
        self._copied = 0

    def prepare(self) -> None:
        """Make what is missing, and see that the rest is ours. Raises `StoreRefused`."""
        found = self._meta.find_one({"_id": "kala"})
        if found is None:
            if self.records.find_one({}) is not None:
                raise StoreRefused(
                    f"{self.place}: it has records, but kala_meta does not say of which version: restore that"
                    " collection from a copy, or name another database"
                )
            with self.turn("make"):  # also since FerretDB 1 breaks when two make the same index
                found = self._meta.find_one({"_id": "kala"}) or self._make()
        version = found.get("schema")
        if not isinstance(version, int) or version > SCHEMA:
            raise StoreRefused(
                f"{self.place}: its schema is version {version}, and this program knows versions up to {SCHEMA}:"
                " install the newer program that wrote it, or name another database"
            )
        meta = _read(found)
        self.id, self._last = meta.database, meta.last

    def _make(self) -> Document:
        """Done again after a failure in between, it comes to the same."""
        gone = IndexModel([("gone", 1)], name="kala_gone", sparse=True)
        self.records.create_indexes([_index("kind"), _index("changed"), gone])
        # `line` is a job's runs or its ranges. Each ends in `seq`, so that a page is read from one without sorting.
        names = [("seq",), ("line", "seq"), ("state", "seq"), ("scheduled_for",), ("at",)]
        self.history.create_indexes([_index(*each) for each in names])
        self.outputs.create_indexes([_index("run_id", "attempt"), _index("seq", "length")])
        self.apart.create_indexes([_index("mark")])
        zeros = dict.fromkeys(("last", "forgotten", "outputs", "counted"), Int64(0))
        made = {"_id": "kala", "schema": SCHEMA, "database": secrets.token_hex(8), "flying": {}, **zeros}
        self._meta.insert_one(made)
        return made

    def now(self) -> Moment:
        """The clock of the server, by the millisecond."""
        told: datetime = self._meta.database.command("hello")["localTime"]
        return round(told.replace(tzinfo=UTC).timestamp() * 1_000) * (SECOND // 1_000)

    def meta(self) -> Meta:
        """As a majority has it. Raises `StoreRefused` when it is another database than was opened."""
        found = self._durable_meta.find_one({"_id": "kala"})
        if found is None or found.get("database") != self.id:
            raise self._replaced()
        meta = _read(found)
        self._look(meta)
        return meta

    def begin(self, mark: str, numbers: int) -> tuple[int, int]:
        """Take so many numbers: the first of them, and up to which the history is copied (`copied`). Raises
        `StoreRefused` when the database was emptied or replaced."""
        found = self._meta.find_one_and_update(
            {"_id": "kala", "database": self.id},
            {"$inc": {"last": numbers}, "$set": {f"flying.{mark}": Int64(self._last)}},
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            raise self._replaced()
        meta = _read(found)
        self._look(meta)
        first = meta.last - numbers + 1
        return first, min([first - 1, *(number for other, number in meta.flying.items() if other != mark)])

    def end(self, mark: str) -> None:
        """Nothing hangs on it: a mark that stays expires."""
        self._unhurried.update_one({"_id": "kala"}, {"$unset": {f"flying.{mark}": ""}})

    def keep(self, **values: int) -> None:
        self._meta.update_one({"_id": "kala"}, {"$set": {name: Int64(value) for name, value in values.items()}})

    def add_to_outputs(self, size: int) -> None:
        self._meta.update_one({"_id": "kala"}, {"$inc": {"outputs": Int64(size)}})

    def copied(self, refresh: bool) -> int:
        """Records with a number up to this have all their history where it belongs. As it was lately, or is now."""
        if refresh:
            meta = self.meta()
            self._copied = max(self._copied, min([meta.last, *meta.flying.values()]))
        return self._copied

    def horizon(self, meta: Meta) -> int:
        """All records with a number up to this can be seen."""
        dead = self.dead(meta)
        return min([meta.last, *(number for mark, number in meta.flying.items() if mark not in dead)])

    def dead(self, meta: Meta) -> set[str]:
        """Marks in flight of writers that are no more."""
        return {mark for mark in meta.flying if self._is_over(mark)}

    def _look(self, meta: Meta) -> None:
        now = time.monotonic()
        seen = self._seen
        self._seen = {mark: seen.get(mark, now) for mark in meta.flying}
        self._last = max(self._last, meta.last)

    def _is_over(self, mark: str) -> bool:
        return time.monotonic() - self._seen.get(mark, time.monotonic()) > EXPIRY

    def _replaced(self) -> StoreRefused:
        return StoreRefused(f"{self.place}: the database was emptied or replaced while in use: start again")

    @contextmanager
    def turn(self, what: str) -> Iterator[None]:
        """Be the only one of all daemons that does this. A turn that does not end is its dead owner's."""
        name, mark = f"turn:{what}" if self.atomic else "turn", secrets.token_hex(8)
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            self._left.add(mark)  # should the answer be lost
            try:
                self._unhurried.insert_one({"_id": name, "mark": mark})
                break
            except DuplicateKeyError:
                self._left.discard(mark)
                self._wait_for_turn(name, deadline)
        self._left.discard(mark)
        try:
            yield
        finally:
            self._left.add(mark)
            self._unhurried.delete_one({"_id": name})
            self._left.discard(mark)

    def _wait_for_turn(self, name: str, deadline: float) -> None:
        mark = str((self._meta.find_one({"_id": name}) or {}).get("mark"))
        if self._turn_seen[0] != mark:
            self._turn_seen = (mark, time.monotonic())
        if mark in self._left or time.monotonic() - self._turn_seen[1] > EXPIRY:
            self._meta.delete_one({"_id": name, "mark": mark})
            self._left.discard(mark)
        elif time.monotonic() > deadline:
            raise StoreUnavailable(f"{self.place}: another daemon has had its turn for {LOCK_WAIT:g} s")
        else:
            time.sleep(0.002)


def _index(*fields: str) -> IndexModel:
    return IndexModel([(field, 1) for field in fields], name="_".join(("kala", *fields)))


def _read(found: Document) -> Meta:
    flying = found.get("flying")
    return Meta(
        str(found.get("database")),
        int(found["last"]),
        {mark: int(number) for mark, number in flying.items()} if isinstance(flying, dict) else {},
        int(found["forgotten"]),
        int(found["outputs"]),
        int(found["counted"]),
    )
