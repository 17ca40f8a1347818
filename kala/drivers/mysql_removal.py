"""What `mysql.py` removes: history, outputs above a limit, deletions that are told no more; each in short transactions.

How many bytes of outputs are kept is counted when somebody asks, so a commit pays nothing: `outputs` in kala_meta is
the sum up to the row number `counted`. Rows become visible in the order of their numbers (`mysql_commit.py`), so none
is passed over. What is dropped of these is taken off at once.
"""

from collections.abc import Sequence
from typing import Any

from kala.drivers.mysql_link import Session
from kala.drivers.mysql_rows import AT_ONCE, listed

COUNTED_AT_ONCE = 10_000  # rows
BYTES_AT_ONCE = 16 << 20  # of outputs in one transaction
KEPT_DELETIONS = 10_000
"""Deleted records that `changes` still tells of after `prune`. Above `max_batch`, which may share one number."""

_SUMS = b"select number from kala_meta where name in ('counted', 'outputs') order by name for update"
"""They are locked before anything is removed, so that two that remove do so in turn."""


def remove(session: Session, database: str, select: bytes) -> tuple[int, bool]:
    """Remove some of the rows of the history whose `seq, id` are given by `select`, with their outputs. Returns how
    many went, and whether these were all."""
    found = session.ask(b"%s limit %d" % (select, AT_ONCE))[0].rows
    if not found:
        return 0, True

    def transaction() -> int:
        sums, outputs = session.begin(
            database,
            _SUMS,
            b"select seq, bytes from kala_outputs where run_id in %s" % listed(run_id for _, run_id in found),
        )
        drop = _dropping(sums.rows, outputs.rows)
        numbers = listed(seq for seq, _ in found)
        return session.end(*drop, b"delete from kala_history where seq in %s" % numbers)[-1].changed

    return session.repeated(transaction), len(found) < AT_ONCE


def _dropping(sums: Sequence[tuple[Any, ...]], outputs: Sequence[tuple[Any, ...]]) -> list[bytes]:
    """What deletes outputs, of which `seq, bytes` are given."""
    if not outputs:
        return []
    ((counted,), _) = sums
    size = sum(size for seq, size in outputs if seq <= counted)
    return [
        *(
            b"delete from kala_outputs where seq in %s" % listed(seq for seq, _ in outputs[start : start + AT_ONCE])
            for start in range(0, len(outputs), AT_ONCE)
        ),
        b"update kala_meta set number = number - %d where name = 'outputs'" % size,
    ]


def count_outputs(session: Session, database: str) -> tuple[int, bool]:
    """The bytes of the outputs that are counted, and whether these are all; some more are counted first."""

    def transaction() -> tuple[int, bool]:
        ((counted,), (total,)) = session.begin(database, _SUMS)[0].rows
        ((size, last, number),) = session.ask(
            b"select sum(bytes), max(seq), count(*) from (select seq, bytes from kala_outputs where seq > %d"
            b" order by seq limit %d) fresh" % (counted, COUNTED_AT_ONCE)
        )[0].rows
        if not number:
            session.give_up()
            return total, True
        total += int(size)
        session.end(
            b"update kala_meta set number = %d where name = 'outputs'" % total,
            b"update kala_meta set number = %d where name = 'counted'" % last,
        )
        return total, number < COUNTED_AT_ONCE

    return session.repeated(transaction)


def drop_oldest(session: Session, database: str, size: int) -> int:
    """Delete outputs that are counted, the earliest appended first, until `size` bytes went, or as many as are deleted
    at once. Returns how many bytes went."""

    def transaction() -> int:
        sums, found = session.begin(
            database,
            _SUMS,
            b"select seq, bytes from kala_outputs where seq <= (select number from kala_meta where name = 'counted')"
            b" order by seq limit %d" % AT_ONCE,
        )
        outputs, dropped = [], 0
        for seq, each in found.rows:
            if dropped >= min(size, BYTES_AT_ONCE):
                break
            outputs.append((seq, each))
            dropped += each
        if outputs:
            session.end(*_dropping(sums.rows, outputs))
        else:  # somebody's hand has emptied the table
            session.end(b"update kala_meta set number = 0 where name = 'outputs'")
        return dropped

    return session.repeated(transaction)


def forget_deletions(session: Session, database: str) -> bool:
    """Remove some of the deletions above those that are kept. Returns whether these were all."""

    def transaction() -> bool:
        (bound,) = session.begin(
            database,
            b"select changed from kala_records force index (kala_records_changed) where gone = 1"
            b" order by changed desc limit 1 offset %d" % KEPT_DELETIONS,
        )
        if not bound.rows:
            session.give_up()
            return True
        ((last,),) = bound.rows
        removed = session.end(
            b"update kala_meta set number = greatest(number, %d) where name = 'forgotten'" % last,
            b"delete from kala_records where gone = 1 and changed <= %d order by changed limit 1000" % last,
        )[-1].changed
        return removed < 1_000

    return session.repeated(transaction)
