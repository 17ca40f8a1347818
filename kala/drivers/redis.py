"""Redis, or Valkey: hashes and sorted sets under `kala:`, written and read by one script on the server (`redis.lua`).

A call of the script is atomic, and no other client is served meanwhile. So each is small: a batch goes in portions, all
sent at once, and what is long is done in steps, a few milliseconds each. Connections serve one call at a time, so no
lock is held, and who reads a long stream slowly holds nothing.
"""

import re
import secrets
import time
from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import Any

import msgspec

from kala.clock import SECOND, Moment
from kala.drivers import redis_rows as rows
from kala.drivers.contract import Changes, Conflict, Element, RunPage, RunQuery, Stored, refuse_larger
from kala.drivers.redis_faults import faults
from kala.drivers.redis_link import Link, deadline
from kala.drivers.redis_script import Script, string
from kala.drivers.redis_server import look_at
from kala.drivers.rows import position
from kala.drivers.server import Server
from kala.errors import StoreRefused, StoreUnavailable
from kala.job import Output, Run

AT_ONCE = 200  # records in one answer
LOOKED_AT = 1_000  # rows of the history in one call: some 10 ms, in which nobody else is served
REMOVED = 250  # rows in one call: the same
JOBS_AT_ONCE = 500  # whose history is looked through in one call

Row = tuple[str, bytes, bytes]  # the number by which a run was appended, its id, its row


class RedisDriver:
    """`server` names one server and the number of a database: `host:port/2`, `redis://…`, `rediss://…` for TLS, or
    `unix:///path/of/redis.sock?db=2`. Raises `SettingsError` for another address. Sentinel and Cluster are not used."""

    name = "redis"
    max_value = max_output = 16 * 1024 * 1024
    max_batch = 1_000
    max_batch_bytes = 16 * 1024 * 1024

    def __init__(self, server: Server) -> None:
        self._link = Link(server)
        self._script = Script(self._link)
        self._call = self._script.call
        self.place = self._link.place
        self.server = ""

    def open(self) -> None:
        self.close()
        self._link.open()
        try:
            until = deadline()
            server = look_at(self._link, until)
            self._time(until)  # so that every right is known to be there
            version, ours = self._script.open(secrets.token_hex(8), until)
            if version > ours:
                raise StoreRefused(
                    f"{self.place}: its schema is version {version}, and this program knows versions up to {ours}:"
                    " install the newer program that wrote it, or name another database"
                )
        except BaseException:
            self.close()
            raise
        self.server = server

    def close(self) -> None:
        self._link.close()

    def now(self) -> Moment:
        return self._time()

    def _time(self, until: float | None = None) -> Moment:
        (answer,) = self._link.ask(("TIME",), until=until)
        with faults(self.place):
            if isinstance(answer, Exception):
                raise answer
        return int(answer[0]) * SECOND + int(answer[1])

    def load(self, kind: str) -> Iterator[Stored]:
        after: msgspec.Raw | bool = False
        while found := self._call("load", kind, after, AT_ONCE):
            for key, text in zip(found[::2], found[1::2], strict=True):
                stored = rows.record(kind, key, text)
                if stored is not None:
                    yield stored
            after = string(found[-2])

    def get(self, kind: str, key: str) -> Stored | None:
        text = self._call("get", kind, key)
        stored = rows.record(kind, key.encode(), text)
        if stored is None and text is not None:
            raise StoreRefused(f"{self.place}: {kind} {key!r} was written by hand and cannot be read: HDEL it")
        return stored

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        refuse_larger(batch, self)
        if not batch:
            return []
        given: list[int | bytes] = []
        for epoch, changed, answers in self._script.calls("commit", list(rows.portions(batch))):
            self._script.heard(epoch, changed)
            given += answers
        return [rows.answer(element, each) for element, each in zip(batch, given, strict=True)]

    def run(self, run_id: str) -> Run | None:
        row = self._call("run", run_id)
        return None if row is None else rows.run_in(run_id.encode(), row)

    def runs(self, query: RunQuery) -> RunPage:
        after = None if query.after is None else str(position(query.after))
        if query.states is not None and not query.states:
            return RunPage([], None)
        page = self._page(query, after, deadline())
        following = page[query.limit - 1][0] if len(page) > query.limit else None
        runs = [rows.run_in(run_id, row) for _, run_id, row in page[: query.limit]]
        return RunPage([run for run in runs if run is not None], following)

    def _page(self, query: RunQuery, after: str | None, until: float) -> list[Row]:
        """Number, id and row of what matches, the latest first, one more than the page takes.

        A span of time is not known by the numbers. So the rows are gone through from the latest on, but no more of them
        than the span has; then the page is somewhere far, and the span itself is gone through.
        """
        conditions, limit = rows.conditions(query), query.limit + 1
        span = (conditions.get("since"), conditions.get("till"))
        bound = None if span == (None, None) else self._call("count", *[each or False for each in span], until=until)
        keys = rows.arms(query)
        page: list[Row] = []
        reached, looked = after, 0
        while bound is None or (bound > LOOKED_AT and looked < bound):
            self._in_time(until)
            number, place, found = self._call(
                "page", keys, reached or False, conditions, limit - len(page), LOOKED_AT, until=until
            )
            page += zip(map(bytes.decode, found[1::3]), found[::3], found[2::3], strict=True)
            reached, looked = place.decode(), looked + number
            if not reached or len(page) == limit:
                return page
        return self._span(conditions, after, limit, until)

    def _span(self, conditions: dict[str, Any], after: str | None, limit: int, until: float) -> list[Any]:
        latest: dict[bytes, int] = {}
        place: list[bytes] = []
        while True:
            self._in_time(until)
            found, *place = self._call(
                "span", list(map(string, place)) or False, after or False, conditions, LOOKED_AT, until=until
            )
            latest |= zip(found[::2], map(int, found[1::2]), strict=True)
            latest = dict(nlargest(limit, latest.items(), key=lambda each: each[1]))
            if not place:
                break
        page: list[Row] = []
        ids = list(latest)
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            for run_id, row in zip(some, self._call("rows", list(map(string, some)), until=until), strict=True):
                if row is not None:
                    page.append((str(latest[run_id]), run_id, row))
        return page

    def _in_time(self, until: float) -> None:
        if time.monotonic() > until:
            raise StoreUnavailable(f"{self.place}: looking through the history took too long: ask for less of it")

    def output(self, run_id: str) -> list[Output]:
        return rows.outputs(run_id, self._call("output", run_id))

    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: Moment | None) -> int:
        count = 0
        left = list(dict.fromkeys(jobs or ()))
        while left:
            removed, done = self._call("prune", left[:JOBS_AT_ONCE], keep, REMOVED)
            count, left = count + removed, left[done:]
        more = older_than is not None
        while more:
            removed, more = self._call("prune_older", str(older_than), REMOVED)
            count += removed
        return count

    def trim_outputs(self, limit: int) -> int:
        count, more = 0, True
        while more:
            dropped, more = self._call("trim", limit, AT_ONCE)
            count += dropped
        return count

    def forget(self, jobs: Sequence[str]) -> int:
        return self.prune(jobs, keep=0, older_than=None)

    def changes(self, since: str) -> Changes:
        origin, _, place = since.partition(":")
        epoch, _, number = place.partition(":")
        valid = origin == self._script.database and _NUMBER.fullmatch(epoch) and _NUMBER.fullmatch(number)
        now, last, *found = self._call("changes", *((epoch, number) if valid else ("0", "-1")), False, AT_ONCE)
        self._script.heard(now, last)
        token = f"{self._script.database}:{now}:{last}"
        if not found:
            return Changes([], [], token, reset=True)
        deleted, page = [rows.named(name) for name in found[0]], found[1]
        stored: list[Stored] = []
        while page:
            for name, text in zip(page[::3], page[2::3], strict=True):
                kind, key = rows.named(name)
                one = rows.record(kind, key.encode(), text)
                stored += [] if one is None else [one]
            # What is written meanwhile has a number behind `last`: the next call tells of it.
            _, _, *found = self._call("changes", str(now), page[-2].decode(), str(last), AT_ONCE)
            if not found:
                return Changes([], [], token, reset=True)
            page = found[1]
        return Changes(stored, deleted, token)


_NUMBER = re.compile("[0-9]{1,15}")
