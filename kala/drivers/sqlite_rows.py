"""Elements as rows and queries as SELECTs, for `sqlite.py`. Nothing here waits for a lock or ends a transaction."""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain

from kala.drivers.contract import Element, RunQuery, Stored
from kala.drivers.rows import conditions_of
from kala.drivers.sqlite_file import code_of
from kala.errors import StoreCorrupt
from kala.states import NOT_RUN, State

ROWS_AT_ONCE = 1_024
"""Rows in one statement: at most 7 parameters each, and SQLite takes 32,766."""
DENSE = 20_000
"""Rows: counting them in an index, or sorting them, takes a few milliseconds."""

FEW = 1_000
"""Records: looking them up by their keys takes some milliseconds."""

Row = tuple[object, ...]

_log = logging.getLogger(__name__)


def in_statements(rows: Sequence[Row], at_once: int = ROWS_AT_ONCE) -> Iterator[tuple[str, Row]]:
    """All rows as a SELECT to insert from, or rather as few as need be, each with its parameters.

    A SELECT has room for a power of two of rows, the rest of them null, so that some ten texts serve every batch and
    stay prepared.
    """
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        room, width = 1 << (len(some) - 1).bit_length(), len(some[0])
        one = f"({', '.join('?' * width)})"
        unused = (None,) * ((room - len(some)) * width)
        yield (
            f"select * from (values {', '.join([one] * room)}) where column1 is not null",
            (*chain.from_iterable(some), *unused),
        )


def record_row(element: Element, changed: int) -> Row:
    """A row of kala_records. JSON is kept as text, so that the sqlite3 shell shows it; other bytes stay a blob."""
    value = element.value
    return (element.kind, element.key, element.revision, changed, None if value is None else _as_text(value))


def _as_text(value: bytes) -> str | bytes:
    try:
        return value if b"\0" in value else value.decode()
    except UnicodeDecodeError:
        return value


def records(connection: sqlite3.Connection, kind: str) -> Iterator[Stored]:
    """Every record of a kind that can be read, on a connection of its own."""
    connection.text_factory = bytes
    if _are_few(connection, kind):
        yield from _by_keys(connection, kind, 0)
        return
    reached = 0
    try:
        for row, key, revision, value in connection.execute(
            "select rowid, key, revision, value from kala_records not indexed"
            " where kind = ? and value is not null order by rowid",
            (kind,),
        ):
            reached = row
            if (stored := _checked(kind, key, revision, value)) is not None:
                yield stored
    except sqlite3.DatabaseError as error:
        if code_of(error) != sqlite3.SQLITE_CORRUPT:
            raise
        yield from _by_keys(connection, kind, reached)


def _are_few(connection: sqlite3.Connection, kind: str) -> bool:
    """Whether a kind is to be read by its keys, one by one: who asks for instances every few seconds would otherwise
    read all jobs each time."""
    try:
        (count,) = connection.execute(
            f"select count(*) from (select 1 from kala_records where kind = ? limit {FEW})", (kind,)
        ).fetchone()
    except sqlite3.DatabaseError as error:
        if code_of(error) != sqlite3.SQLITE_CORRUPT:
            raise
        return False  # a page of the index is damaged: the table may be whole
    return bool(count < FEW)


def _by_keys(connection: sqlite3.Connection, kind: str, after: int) -> Iterator[Stored]:
    """Those beyond a row by the index, which has the keys: where a page of the table is damaged, the records on it are
    named."""
    for row, key in connection.execute(
        "select rowid, key from kala_records where kind = ? and rowid > ? order by key", (kind, after)
    ):
        try:
            found = connection.execute("select revision, value from kala_records where rowid = ?", (row,)).fetchone()
        except sqlite3.DatabaseError as error:
            if code_of(error) != sqlite3.SQLITE_CORRUPT:
                raise
            _log.error("%s", StoreCorrupt(kind, key.decode(errors="replace"), str(error)))
            continue
        if found is not None and found[1] is not None and (stored := _checked(kind, key, *found)) is not None:
            yield stored


def _checked(kind: str, key: bytes, revision: object, value: object) -> Stored | None:
    """A record whose columns are as we write them; one that someone's hand has spoilt is logged, and None."""
    if isinstance(revision, int) and isinstance(value, bytes):
        try:
            return Stored(kind, key.decode(), revision, value)
        except UnicodeDecodeError:
            pass  # named below, with every other fault
    _log.error("%s", StoreCorrupt(kind, key.decode(errors="replace"), "a column is not of its type"))
    return None


def differing(connection: sqlite3.Connection, batch: Sequence[Element]) -> dict[int, Stored | None]:
    """What is stored for those elements, by their place, for which it is not at the expected revision."""
    found: dict[int, Stored | None] = {}
    wanted = [(place, each.kind, each.key, each.expected) for place, each in enumerate(batch)]
    for these, parameters in in_statements(wanted):
        for place, revision, value in connection.execute(
            f"""with wanted (place, kind, key, expected) as ({these})
            select place, revision, cast(value as blob) from wanted left join kala_records using (kind, key)
            where iif(value is null, 0, revision) <> expected""",
            parameters,
        ):
            each = batch[place]
            found[place] = None if value is None else Stored(each.kind, each.key, revision, value)
    return found


def last_change(connection: sqlite3.Connection) -> int:
    """The number of the latest commit that wrote records, also when all that it wrote is forgotten."""
    last: int = connection.execute(
        "select max(coalesce((select max(changed) from kala_records), 0), value) from kala_meta"
        " where name = 'forgotten'"
    ).fetchone()[0]
    return last


def is_dense(connection: sqlite3.Connection, query: RunQuery) -> bool:
    """Whether a span of time over all jobs, up to now, has so many rows that a page is found soon from its end."""
    if query.job_id is not None or query.since is None or query.until is not None:
        return False
    conditions, values = conditions_of(query, ":{}")
    count: int = connection.execute(
        "select count(*) from (select 1 from kala_history indexed by kala_history_scheduled"
        f" where {' and '.join(conditions)} limit {DENSE})",
        values,
    ).fetchone()[0]
    return count == DENSE


def page(query: RunQuery, *, dense: bool = False) -> tuple[str, dict[str, object]]:
    """The SELECT of `seq, id, run` for a page and one row more, and its parameters.

    It is a merge of arms, each of which one index gives in the order of the page: without sorting, a page of a job
    costs the same among ten million rows. Only a span of time over all jobs is looked up first, and sorted, unless it
    is `dense`.
    """
    conditions, values = conditions_of(query, ":{}")
    values["rows"] = query.limit + 1
    arms = [""]
    if query.job_id is not None:
        states = State if query.states is None else query.states
        arms = [f"job_id = :job and ran = {side}" for side in sorted({int(state not in NOT_RUN) for state in states})]
    elif (query.since is not None or query.until is not None) and not dense:
        arms = [
            "seq in (select seq from kala_history indexed by kala_history_scheduled"
            f" where {' and '.join(conditions)} order by seq desc limit :rows)"
        ]
        conditions = []
    elif query.states is not None and not dense:
        arms = [f"state = :state{number}" for number in range(len(query.states))]
    selects = [
        f"select seq, id, run from kala_history where {' and '.join(filter(None, [arm, *conditions])) or 'true'}"
        for arm in arms or ["false"]
    ]
    return " union all ".join(selects) + " order by seq desc limit :rows", values
