"""Elements as rows and queries as SELECTs, for `sqlite.py`. Nothing here waits for a lock or ends a transaction."""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain

import msgspec

from kala.drivers.contract import Element, RunQuery, Stored
from kala.drivers.sqlite_file import code_of
from kala.errors import Invalid, StoreCorrupt
from kala.job import Run, decode_run, encode
from kala.states import NOT_RUN

ROWS_AT_ONCE = 512
"""Rows in one statement, a power of two: at most 7 parameters each, and SQLite takes 32,766."""

OUTPUTS_AT_ONCE = 64
"""Fewer, since a prepared statement keeps what was bound to it last."""

Row = tuple[object, ...]

_log = logging.getLogger(__name__)


def in_statements(rows: Sequence[Row], at_once: int = ROWS_AT_ONCE) -> Iterator[tuple[str, Row]]:
    """All rows as the `values` clauses of a few statements, with their parameters.

    Numbers of rows are powers of two, so that some ten texts serve every batch and stay prepared.
    """
    start = 0
    while start < len(rows):
        count = min(at_once, 1 << ((len(rows) - start).bit_length() - 1))
        one = f"({', '.join('?' * len(rows[start]))})"
        yield "values " + ", ".join([one] * count), tuple(chain.from_iterable(rows[start : start + count]))
        start += count


def record_row(element: Element, changed: int) -> Row:
    """A row of kala_records. JSON is kept as text, so that the sqlite3 shell shows it; other bytes stay a blob."""
    value: bytes | str | None = element.value
    if element.value is not None and b"\0" not in element.value:
        with suppress(UnicodeDecodeError):  # then it stays a blob
            value = element.value.decode()
    return (element.kind, element.key, element.revision, changed, value)


def run_row(run: Run) -> Row:
    """A row of kala_history, but for its number."""
    at = run.ended if run.ended is not None else run.created
    ran = int(run.state not in NOT_RUN)
    return (run.id, run.job_id, ran, run.state.value, run.scheduled_for, at, encode(run).decode())


def decoded(run_id: str, text: str | bytes) -> Run | None:
    """The run in a row. One that cannot be read is logged, and None."""
    try:
        return decode_run(text)
    except msgspec.DecodeError as error:
        _log.error("%s", StoreCorrupt("run", run_id, str(error)))
        return None


def records(connection: sqlite3.Connection, kind: str) -> Iterator[Stored]:
    """Every record of a kind that can be read, on a connection of its own."""
    connection.text_factory = bytes
    reached = 0
    try:
        for row, key, revision, value in connection.execute(
            "select rowid, key, revision, value from kala_records not indexed"
            " where kind = ? and value is not null order by rowid",
            (kind,),
        ):
            reached = row
            yield from _checked(kind, key, revision, value)
    except sqlite3.DatabaseError as error:
        if code_of(error) != sqlite3.SQLITE_CORRUPT:
            raise
        yield from _what_is_left(connection, kind, reached)


def _what_is_left(connection: sqlite3.Connection, kind: str, after: int) -> Iterator[Stored]:
    """A page of the table is damaged: go by the index, which has the keys, and name the records on that page."""
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
        if found is not None and found[1] is not None:
            yield from _checked(kind, key, *found)


def _checked(kind: str, key: bytes, revision: object, value: object) -> Iterator[Stored]:
    """A record whose columns are as we write them; one that someone's hand has spoilt is logged and passed over."""
    if isinstance(revision, int) and isinstance(value, bytes):
        try:
            yield Stored(kind, key.decode(), revision, value)
            return
        except UnicodeDecodeError:
            pass  # named below, with every other fault
    _log.error("%s", StoreCorrupt(kind, key.decode(errors="replace"), "a column is not of its type"))


def differing(connection: sqlite3.Connection, batch: Sequence[Element]) -> dict[int, Stored | None]:
    """What is stored for those elements, by their place, for which it is not at the expected revision."""
    found: dict[int, Stored | None] = {}
    wanted = [(place, each.kind, each.key, each.expected) for place, each in enumerate(batch)]
    for values, parameters in in_statements(wanted):
        for place, revision, value in connection.execute(
            f"""with wanted (place, kind, key, expected) as ({values})
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


def page(query: RunQuery) -> tuple[str, dict[str, object]]:
    """The SELECT of `seq, id, run` for a page and one row more, and its parameters; "" when nothing can match.

    It is a merge of arms, each of which one index gives in the order of the page: without sorting, a page of a job
    costs the same among ten million rows. Only a span of time over all jobs is looked up first, and sorted.
    """
    values: dict[str, object] = {"rows": query.limit + 1}
    common: list[str] = []
    if query.after is not None:
        values["after"] = _position(query.after)
        common.append("seq < :after")
    for sign, name, bound in (">=", "since", query.since), ("<", "until", query.until):
        if bound is not None:
            values[name] = bound
            common.append(f"scheduled_for {sign} :{name}")
    states = sorted(query.states) if query.states is not None else []
    values |= {f"state{number}": state.value for number, state in enumerate(states)}
    of_states = f"state in ({', '.join(f':state{number}' for number in range(len(states)))})"
    if query.states is not None and not states:
        return "", {}
    if query.job_id is not None:
        values["job"] = query.job_id
        sides = {int(state not in NOT_RUN) for state in states} if states else {0, 1}
        arms = [f"job_id = :job and ran = {side}" + (f" and {of_states}" if states else "") for side in sorted(sides)]
    elif query.since is not None or query.until is not None:
        conditions = " and ".join(common + ([of_states] if states else []))
        arms = [
            "seq in (select seq from kala_history indexed by kala_history_scheduled"
            f" where {conditions} order by seq desc limit :rows)"
        ]
        common = []
    else:
        arms = [f"state = :state{number}" for number in range(len(states))] or ["true"]
    tail = "".join(f" and {condition}" for condition in common)
    selects = [f"select seq, id, run from kala_history where {arm}{tail}" for arm in arms]
    return " union all ".join(selects) + " order by seq desc limit :rows", values


def _position(after: str) -> int:
    # Longer than 18 digits would not fit a column.
    if not (after.isascii() and after.isdecimal() and len(after) <= 18):
        raise Invalid({"after": "is not the `next` of a page"})
    return int(after)
