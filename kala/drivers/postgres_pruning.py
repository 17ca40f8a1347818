"""Removing history, outputs and deletions, for `postgres.py`: the statements of one bounded transaction each.

How many bytes of outputs are kept is counted as they are written and removed (`kala_output_bytes`).
"""

from collections.abc import Sequence
from typing import Any

from kala.drivers.postgres_arrays import Numbers
from kala.drivers.postgres_connection import Bounded

FOUND_AT_ONCE = 20_000  # rows, looked up beside writes
PRUNED_AT_ONCE = 1_000  # rows in one transaction: some 50 ms, for which commits wait
BYTES_AT_ONCE = 16 << 20  # of outputs, likewise
KEPT_DELETIONS = 10_000
"""Deleted records that `changes` still tells of after `prune`. Above `max_batch`, which may share one number."""
TRIMMING = int.from_bytes(b"Kalb", "big")
"""Of the advisory locks: who trims outputs holds it, so that two do not drop twice as much."""

BEYOND = """
select h.seq from unnest(%(jobs)b) as j (job_id) cross join (values (0::smallint), (1::smallint)) as s (ran)
cross join lateral (select seq from kala_history where job_id = j.job_id and ran = s.ran
  order by seq desc offset %(keep)b) as h"""
OLDER = "select seq from kala_history where at < %(older_than)b"
OF_JOBS = """
select h.seq from unnest(%(jobs)b) as j (job_id) join kala_history h on h.job_id = j.job_id"""

_UNCOUNT = """uncounted as (insert into kala_output_bytes (shard, bytes)
    select %(shard)b, -sum(bytes) from outputs having count(*) > 0
    on conflict (shard) do update set bytes = kala_output_bytes.bytes + excluded.bytes)"""


def find(connection: Bounded, select: str, values: dict[str, Any]) -> list[int]:
    """Some of the numbers that `select` gives: all, when they are fewer than `FOUND_AT_ONCE`."""
    rows = connection.execute(f"select seq from ({select}) rows limit {FOUND_AT_ONCE}", values, binary=True).fetchall()
    return [number for (number,) in rows]


def remove(connection: Bounded, numbers: Sequence[int], shard: int) -> int:
    """Remove rows of the history with their outputs. Returns how many went: those that another daemon removes just now
    are left to it."""
    (gone,) = _row(
        connection,
        f"""with mine as materialized (select seq from kala_history where seq = any(%(numbers)b)
          order by seq for update skip locked),
        gone as (delete from kala_history where seq in (select seq from mine) returning id),
        outputs as (delete from kala_outputs where run_id in (select id from gone)
          returning octet_length(data) as bytes),
        {_UNCOUNT}
        select count(*) from gone""",
        {"numbers": Numbers(numbers), "shard": shard},
    )
    return int(gone)


def trim(connection: Bounded, limit: int, shard: int) -> tuple[int, bool]:
    """Remove some of the outputs that were appended first, while all are more than `limit` bytes. Returns how many
    bytes went, and whether there are more to go."""
    connection.execute("select pg_advisory_xact_lock(%s)", (TRIMMING,))
    (total,) = _row(connection, "select coalesce(sum(bytes), 0)::bigint from kala_output_bytes", {})
    if total <= limit:
        return 0, False
    count, dropped = _row(
        connection,
        f"""with oldest as (select number, data from kala_outputs order by number limit {PRUNED_AT_ONCE}),
        sums as (select number, sum(octet_length(data)) over (order by number) - octet_length(data) as before
          from oldest),
        outputs as (delete from kala_outputs where number in (select number from sums where before < %(bytes)b)
          returning octet_length(data) as bytes),
        {_UNCOUNT}
        select count(*), coalesce(sum(bytes), 0)::bigint from outputs""",
        {"bytes": min(total - limit, BYTES_AT_ONCE), "shard": shard},
    )
    if not count:  # somebody's hand has emptied the table
        connection.execute("delete from kala_output_bytes where not exists (select 1 from kala_outputs)")
    return dropped, dropped < total - limit and bool(count)


def forget_deletions(connection: Bounded) -> bool:
    """Remove some of the oldest rows of deleted records. Returns whether there are more.

    Only what no transaction under way could have written goes: a token that was given since has seen it.
    """
    (gone,) = _row(
        connection,
        f"""with kept as (select changed from kala_records where value is null
          and changed < pg_snapshot_xmin(pg_current_snapshot())
          order by changed desc limit 1 offset {KEPT_DELETIONS}),
        doomed as (select kind, key from kala_records where value is null and changed <= (select changed from kept)
          order by changed limit {PRUNED_AT_ONCE}),
        gone as (delete from kala_records r using doomed d where r.kind = d.kind and r.key = d.key
          and r.value is null and r.changed <= (select changed from kept) returning r.changed),
        last as (select changed from gone order by changed desc limit 1),
        noted as (update kala_meta set value = last.changed::text from last
          where name = 'forgotten' and last.changed > value::xid8)
        select count(*) from gone""",
        {},
    )
    return bool(gone == PRUNED_AT_ONCE)


def _row(connection: Bounded, statement: str, values: dict[str, Any] | Sequence[Any]) -> tuple[Any, ...]:
    [row] = connection.execute(statement, values).fetchall()
    return row
