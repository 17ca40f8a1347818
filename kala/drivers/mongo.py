"""MongoDB, and what speaks its protocol: a document for each record, whose revision every write is conditional on.

pymongo keeps the connections: each call takes one of its pool and gives it back, and a broken one is made anew. Every
call has its time, whatever it asks of the server. Writes wait for a majority and its journal.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import pymongo

from kala.clock import Moment
from kala.drivers import mongo_history
from kala.drivers.contract import Changes, Conflict, Element, RunPage, RunQuery, Stored, refuse_larger
from kala.drivers.mongo_address import Client, Document, checked_address, client_of, database_of
from kala.drivers.mongo_commit import commit, copy_of, finish
from kala.drivers.mongo_database import MongoDatabase
from kala.drivers.mongo_documents import id_of, is_deleted, line_of, output_of, stored
from kala.drivers.mongo_faults import faults
from kala.drivers.rows import decoded
from kala.drivers.server import Server
from kala.errors import StoreUnavailable
from kala.job import Output, Run

TIME = 8.0
"""Seconds of a call: below the contract's `TIMEOUT`."""
OPENING, FINDING = 5.0, 2.0  # seconds of it that finding the server may take, at first and later
IN_TURN = 50, 8 * 1024 * 1024
"""`max_batch` and `max_batch_bytes` where writers take turns: FerretDB 1 reads all documents for each write."""
UNSETTLED = {"settled": 0}  # what of a record is not read
LOADED_AT_ONCE = 500  # records, from one answer of the server to the next

_log = logging.getLogger(__name__)


class MongoDriver:
    """A database of a server, or of a set of them. Raises `SettingsError` for an address that cannot be read."""

    name = "mongo"
    server = ""
    max_value = max_output = 8 * 1024 * 1024
    max_batch = 250
    max_batch_bytes = 16 * 1024 * 1024

    def __init__(self, server: Server) -> None:
        self._address = checked_address(server)
        self._tls = server.tls
        self._name = database_of(self._address)
        self.place = f"{self._address.place.removesuffix(f'/{self._address.path}')}/{self._name}"
        self._client: Client | None = None
        self._database: MongoDatabase | None = None
        self._has_counted = False

    def open(self) -> None:
        self.close()
        client = client_of(self._address, self._tls)
        try:
            with faults(self.place, self._name), pymongo.timeout(TIME):
                _find_server(client, OPENING)
                database = MongoDatabase(client, self._name, self.place)
                database.prepare()
                meta = database.meta()
                finish(database, meta, set(meta.flying), dead=False)
        except BaseException:
            client.close()
            raise
        self._client, self._database, self.server = client, database, database.server
        self._has_counted = False
        if not database.atomic:
            self.max_batch, self.max_batch_bytes = IN_TURN
            _log.warning(
                "%s: %s does not apply conditional updates in one step: daemons take turns, and what one of them that"
                " is held up for 30 s writes after that may be lost. Use MongoDB, or FerretDB 2",
                self.place,
                database.server,
            )

    def close(self) -> None:
        client, self._client, self._database = self._client, None, None
        if client is not None:
            client.close()

    @contextmanager
    def _call(self) -> Iterator[MongoDatabase]:
        client, database = self._client, self._database
        if client is None or database is None:
            raise StoreUnavailable(f"{self.place}: it is not open")
        with faults(self.place, self._name), pymongo.timeout(TIME):
            if not client.topology_description.has_writable_server():
                _find_server(client, FINDING)
            yield database

    def now(self) -> Moment:
        with self._call() as database:
            return database.now()

    def load(self, kind: str) -> Iterator[Stored]:
        with self._call() as database:
            cursor = database.durable_records.find(
                {"kind": kind, "revision": {"$ne": 0}}, UNSETTLED, batch_size=LOADED_AT_ONCE
            )
        try:
            while True:
                with self._call():
                    found = list(islice(cursor, LOADED_AT_ONCE))
                    copy_of(database, found)
                yield from filter(None, map(stored, found))
                if len(found) < LOADED_AT_ONCE:
                    return
        finally:
            cursor.close()

    def get(self, kind: str, key: str) -> Stored | None:
        with self._call() as database:
            found = database.durable_records.find_one({"_id": id_of(kind, key)}, UNSETTLED)
            copy_of(database, [found] if found is not None else [])
        return stored(found)

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        refuse_larger(batch, self)
        with self._call() as database:
            return commit(database, batch)

    def run(self, run_id: str) -> Run | None:
        with self._call() as database:
            found = database.history.find_one({"_id": run_id})
        return None if found is None else decoded(run_id, str(found.get("run", "")))

    def runs(self, query: RunQuery) -> RunPage:
        with self._call() as database:
            return mongo_history.page(database, query)

    def output(self, run_id: str) -> list[Output]:
        with self._call() as database:
            return [output_of(each) for each in database.outputs.find({"run_id": run_id}).sort("attempt", 1)]

    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: Moment | None) -> int:
        count = 0
        with self._call() as database:
            mongo_history.tidy(database)
        for some in mongo_history.portions(jobs or (), mongo_history.JOBS_AT_ONCE):
            with self._call() as database:
                found = list(mongo_history.beyond(database, some, keep))
            for ids in found:
                with self._call() as database:
                    count += mongo_history.remove(database, ids)
        if older_than is not None:
            count += self._remove_all({"at": {"$lt": older_than}})
        with self._call() as database:
            mongo_history.forget_deletions(database)
        return count

    def trim_outputs(self, limit: int) -> int:
        with self._call() as database:
            mongo_history.tidy(database)
            total = mongo_history.count_outputs(database, afresh=not self._has_counted)
            self._has_counted = True
        dropped = 0
        while total - dropped > limit:
            with self._call() as database:
                went = mongo_history.drop_oldest(database, total - dropped - limit)
            if not went:
                break  # somebody else has removed them
            dropped += went
        return dropped

    def forget(self, jobs: Sequence[str]) -> int:
        count = 0
        for some in mongo_history.portions(jobs, mongo_history.JOBS_AT_ONCE):
            lines = [line_of(job, ran) for job in some for ran in (0, 1)]
            count += self._remove_all({"line": {"$in": lines}})
        return count

    def _remove_all(self, wanted: Document) -> int:
        """All rows of the history that a filter finds, in portions."""
        count = 0
        while True:
            with self._call() as database:
                ids = mongo_history.some_of(database, wanted)
                if not ids:
                    return count
                count += mongo_history.remove(database, ids)

    def changes(self, since: str) -> Changes:
        given, _, digits = since.partition(":")
        number = int(digits) if digits.isdecimal() else -1
        with self._call() as database:
            meta = database.meta()
            horizon = database.horizon(meta)
            token = f"{database.id}:{horizon}"
            if given != database.id or not meta.forgotten <= number <= meta.last:
                return Changes([], [], token, reset=True)
            found = list(database.durable_records.find({"changed": {"$gt": number}}, UNSETTLED))
            copy_of(database, found)
        deleted = [(each["kind"], each["key"]) for each in found if is_deleted(each)]
        return Changes(list(filter(None, map(stored, found))), deleted, token)


def _find_server(client: Client, seconds: float) -> None:
    with pymongo.timeout(seconds):
        client.admin.command("ping")
