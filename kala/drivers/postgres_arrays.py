"""Columns as PostgreSQL's binary arrays, for `postgres_rows.py`. psycopg's own look at every item several times, which
takes longer than to write a thousand rows."""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain
from struct import pack
from typing import Any

from psycopg import Connection, postgres
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper


class Column(list[object]):
    """Values of one type, as one parameter."""


class Blobs(Column):
    """bytea[]: bytes, or None."""


class Texts(Column):
    """text[]."""


class Numbers(Column):
    """bigint[]."""


def teach(connection: Connection[Any]) -> None:
    """Let a connection take columns as parameters; and numbers as one type, and so in one statement, whatever their
    size."""
    for number in Int8Dumper, Int8BinaryDumper:
        connection.adapters.register_dumper(int, number)
    for column, dumper in (Blobs, _BlobsDumper), (Texts, _TextsDumper), (Numbers, _NumbersDumper):
        connection.adapters.register_dumper(column, dumper)


class _ColumnDumper(Dumper):
    format = Format.BINARY
    item = 0  # the type of each, by its number

    def dump(self, obj: Sequence[object]) -> bytes:
        # Dimensions, whether there are nulls, the type; of the one dimension its length and first index.
        head = pack(">iiI", 1 if obj else 0, None in obj, self.item)
        return head + pack(">ii", len(obj), 1) + self.items(obj) if obj else head

    @abstractmethod
    def items(self, column: Sequence[object]) -> bytes:
        """Each with its length before it, -1 of null."""


class _BlobsDumper(_ColumnDumper):
    item = postgres.types["bytea"].oid
    oid = postgres.types["bytea"].array_oid

    def items(self, column: Sequence[bytes | None]) -> bytes:  # type: ignore[override]  # each has its own columns
        parts = ((b"\xff\xff\xff\xff", b"") if one is None else (pack(">i", len(one)), one) for one in column)
        return b"".join(chain.from_iterable(parts))


class _TextsDumper(_BlobsDumper):
    item = postgres.types["text"].oid
    oid = postgres.types["text"].array_oid

    def items(self, column: Sequence[str]) -> bytes:  # type: ignore[override]
        return super().items([one.encode() for one in column])


class _NumbersDumper(_ColumnDumper):
    item = postgres.types["int8"].oid
    oid = postgres.types["int8"].array_oid

    def items(self, column: Sequence[int]) -> bytes:  # type: ignore[override]
        return pack(f">{'iq' * len(column)}", *chain.from_iterable((8, one) for one in column))
