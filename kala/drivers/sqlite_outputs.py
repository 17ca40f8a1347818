"""How many bytes of outputs `sqlite.py` keeps, and dropping the oldest. All of it within a transaction that writes.

They are counted when somebody asks, so a commit pays nothing: `outputs` in kala_meta is the sum up to the row number
`outputs_counted`. What is dropped of these is taken off at once. (Triggers would make every deletion copy its pages.)
"""

import sqlite3
from collections.abc import Sequence

COUNTED_AT_ONCE = 10_000  # rows: each may be a page to read
DROPPED_AT_ONCE = 1_000  # rows, and
BYTES_AT_ONCE = 16 << 20  # in one transaction: some 50 ms, for which commits wait


def count(connection: sqlite3.Connection) -> tuple[int, bool]:
    """The bytes of the outputs that are counted, and whether these are all; some more are counted first."""
    connection.execute(
        f"""with fresh (number, size) as (select rowid, length(data) from kala_outputs
            where rowid > (select value from kala_meta where name = 'outputs_counted')
            order by rowid limit {COUNTED_AT_ONCE}),
          sums (name, value) as (select 'outputs', sum(size) from fresh
            union all select 'outputs_counted', max(number) - (select value from kala_meta
              where name = 'outputs_counted') from fresh)
        update kala_meta set value = kala_meta.value + sums.value from sums
          where sums.name = kala_meta.name and sums.value is not null"""
    )
    found: tuple[int, int] = connection.execute(
        """select value, not exists (select 1 from kala_outputs
            where rowid > (select value from kala_meta where name = 'outputs_counted'))
        from kala_meta where name = 'outputs'"""
    ).fetchone()
    return found[0], bool(found[1])


def drop(connection: sqlite3.Connection, where: str, values: Sequence[object]) -> int:
    """Delete outputs. Returns how many bytes went of what was counted."""
    size: int = connection.execute(
        f"select coalesce(sum(length(data)), 0) from kala_outputs where {where}"
        " and rowid <= (select value from kala_meta where name = 'outputs_counted')",
        values,
    ).fetchone()[0]
    connection.execute(f"delete from kala_outputs where {where}", values)
    connection.execute("update kala_meta set value = value - ? where name = 'outputs'", (size,))
    # The numbers of rows that were the last are given again.
    connection.execute(
        "update kala_meta set value = min(value, (select coalesce(max(rowid), 0) from kala_outputs))"
        " where name = 'outputs_counted'"
    )
    return size


def drop_oldest(connection: sqlite3.Connection, size: int) -> int:
    """Delete outputs, the earliest appended first, until `size` bytes went or as many as are deleted at once. Returns
    how many bytes went."""
    (last,) = connection.execute(
        f"""select max(number) from (select number, sum(size) over (order by number) - size as before from
            (select rowid as number, length(data) as size from kala_outputs order by rowid limit {DROPPED_AT_ONCE}))
        where before < ?""",
        (min(size, BYTES_AT_ONCE),),
    ).fetchone()
    if last is None:  # somebody's hand has emptied the table
        connection.execute("update kala_meta set value = 0 where name in ('outputs', 'outputs_counted')")
        return 0
    return drop(connection, "rowid <= ?", (last,))
