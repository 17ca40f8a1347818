"""Reading every record of a kind, for `mysql.py`: in portions, between which nothing is held."""

import logging
from collections.abc import Iterator

from kala.drivers.contract import Stored
from kala.drivers.mysql_link import Line, Lines
from kala.drivers.mysql_rows import literal, range_of
from kala.errors import StoreCorrupt

AT_ONCE = 1_000  # records in one portion, and
BYTES_AT_ONCE = 4 << 20  # of values, unless one is larger

_log = logging.getLogger(__name__)


def records(lines: Lines, line: Line, kind: str) -> Iterator[Stored]:
    """Every record of a kind that can be read. `line` is for this alone."""
    after, end = range_of(kind)
    limit, beyond = AT_ONCE, b">="  # the first name is that of an empty key
    while True:
        with lines.turn(line) as session:
            ((count, last, size),) = session.ask(
                b"select count(*), max(name), sum(bytes) from (select name, length(value) as bytes from kala_records"
                b" force index (primary) where name %s %s and name < %s and gone = 0 order by name limit %d) found"
                % (beyond, literal(after), literal(end), limit)
            )[0].rows
            if not count:
                return
            if count > 1 and size is not None and size > BYTES_AT_ONCE:
                limit = count // 2
                continue
            rows = session.ask(
                b"select name, revision, value from kala_records force index (primary)"
                b" where name %s %s and name <= %s and gone = 0" % (beyond, literal(after), literal(last))
            )[0].rows
        for name, revision, value in rows:
            yield from _checked(kind, name, revision, value)
        after, limit, beyond = last, min(limit * 2, AT_ONCE), b">"


def _checked(kind: str, name: bytes, revision: int, value: bytes | None) -> Iterator[Stored]:
    """A record as we write it; one that someone's hand has spoilt is logged and passed over."""
    key = name[len(kind) + 1 :]
    fault = "it is not deleted, and has no value"
    if value is not None:
        try:
            yield Stored(kind, key.decode(), revision, value)
            return
        except UnicodeDecodeError:
            fault = "its key is no text"
    _log.error("%s", StoreCorrupt(kind, key.decode(errors="replace"), fault))
