"""What `postgres.py` reads: all records of a kind, pages of the history, what was written since a snapshot."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

from psycopg import errors

from kala.drivers.contract import RunQuery, Stored
from kala.drivers.postgres_connection import Bounded
from kala.drivers.postgres_faults import OURS
from kala.drivers.rows import conditions_of
from kala.errors import StoreCorrupt
from kala.states import NOT_RUN, State

DENSE = 20_000
"""Rows: counting them in an index, or sorting them, takes a few milliseconds."""
PAGE = 1_000  # records, of at most
PAGE_BYTES = 4 << 20  # and one record: what `records` reads at once

_log = logging.getLogger(__name__)

# What a snapshot did not see, beside the token of now. Transactions that were lost in a failover may have had the
# numbers that others have now: each server that takes over begins a timeline.
CHANGES = """
with now as (
  select d.value as database, left(pg_walfile_name(pg_current_wal_lsn()), 8) as timeline,
    pg_current_snapshot() as snapshot, f.value::xid8 as forgotten
  from kala_meta d, kala_meta f where d.name = 'database' and f.name = 'forgotten'),
head as (
  select database || ':' || timeline || ':' || snapshot::text as token,
    case when database = %(database)s and timeline = %(timeline)s
      and forgotten < pg_snapshot_xmin(%(snapshot)s::pg_snapshot)
      and pg_snapshot_xmax(%(snapshot)s::pg_snapshot) <= pg_snapshot_xmax(snapshot)
    then pg_snapshot_xmin(%(snapshot)s::pg_snapshot) end as first
  from now)
select head.token, head.first is null, r.kind, r.key, r.revision, r.value
from head left join kala_records r
  on r.changed >= head.first and not pg_visible_in_snapshot(r.changed, %(snapshot)s::pg_snapshot)"""


def records(connection: Bounded, kind: str) -> Iterator[Stored]:
    """Every record of a kind that can be read, by pages in the order of their keys: nothing is held in between."""
    after, number = b"", PAGE
    first = True
    while True:
        connection.until = time.monotonic() + OURS
        above = ">=" if first else ">"
        keys_only = f"""select key, revision, value from kala_records
            where kind = %b and key {above} %b and value is not null order by key limit {number}"""
        try:
            rows = connection.execute(
                f"""select key, revision, value from (select key, revision, value,
                    sum(octet_length(value)) over (order by key) - octet_length(value) as before
                  from ({keys_only}) few) page where before < {PAGE_BYTES} order by key""",
                (kind, after),
                binary=True,
            ).fetchall()
        except (errors.DataCorrupted, errors.InternalError_) as error:
            # Only what is stored apart from its row can be lost alone. The record is found by reading them singly.
            if number > 1:
                number = 1
                continue
            (key,) = connection.execute(
                f"select key from ({keys_only}) few", (kind, after), binary=True
            ).fetchone() or (b"",)
            _log.error("%s", StoreCorrupt(kind, key.decode(errors="replace"), str(error)))
            first, after, number = False, key, PAGE
            continue
        for _, key, revision, value in readable((kind, *row) for row in rows):
            yield Stored(kind, key, revision, value)
        if not rows:
            return
        first, after = False, rows[-1][0]


def readable(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Rows of kind, key, revision and value with their keys as text. One that somebody's hand has spoilt is logged."""
    for kind, key, revision, value in rows:
        try:
            yield kind, key.decode(), revision, value
        except UnicodeDecodeError as error:
            _log.error("%s", StoreCorrupt(kind, key.decode(errors="replace"), str(error)))


def is_dense(connection: Bounded, query: RunQuery) -> bool:
    """Whether a span of time over all jobs, up to now, has so many rows that a page is found soon from its end."""
    if query.job_id is not None or query.since is None or query.until is not None:
        return False
    conditions, values = conditions_of(query, "%({})s")
    found = connection.execute(
        f"select count(*) from (select 1 from kala_history where {' and '.join(conditions)}"
        f" order by scheduled_for limit {DENSE}) few",
        values,
    ).fetchone()
    return found is not None and found[0] == DENSE


def page(query: RunQuery, *, dense: bool = False) -> tuple[str, dict[str, object]]:
    """The SELECT of `seq, id, run` for a page and one row more, and its parameters.

    It is put together from arms, each of which one index gives in the order of the page: a page of a job costs the same
    among ten million rows. Only a span of time over all jobs is looked up first, and sorted, unless it is `dense`.
    """
    conditions, values = conditions_of(query, "%({})s")
    if query.job_id is not None:
        values["job"] = query.job_id.encode()
    values["rows"] = query.limit + 1
    source = "kala_history"
    arms = [""]
    if query.job_id is not None:
        states = State if query.states is None else query.states
        arms = [f"job_id = %(job)s and ran = {side}" for side in sorted({int(one not in NOT_RUN) for one in states})]
    elif (query.since is not None or query.until is not None) and not dense:
        span = f"with span as materialized (select seq from kala_history where {' and '.join(conditions)})"
        return (
            f"{span} select seq, id, run from {source} where seq in (select seq from span order by seq desc"
            " limit %(rows)s) order by seq desc",
            values,
        )
    elif query.states is not None and not dense:
        arms = [f"state = %(state{number})s" for number in range(len(query.states))]
    selects = [
        f"(select seq, id, run from {source} where {' and '.join(filter(None, [arm, *conditions])) or 'true'}"
        " order by seq desc limit %(rows)s)"
        for arm in arms or ["false"]
    ]
    return f"select * from ({' union all '.join(selects)}) arms order by seq desc limit %(rows)s", values
