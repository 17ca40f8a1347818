"""Values, rows and statements as `mysql.py` writes them. Every value is written by `literal`, wherever it came from.

A record's name is its kind and its key, as `job/ID`: one column, so that a list of them is always looked up in the
primary key, in its order.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kala.drivers.contract import Element
from kala.drivers.rows import RunRow, run_row
from kala.errors import ValueTooLarge
from kala.job import Output, Run

LONGEST = 1_024
"""Bytes of a key or an id: an index holds no more than 3,072 in all."""
AT_ONCE = 500
"""Names in one list: MariaDB makes a join of a thousand."""


def literal(value: object) -> bytes:
    """A value as SQL. Text and bytes are both byte strings, of which no byte is changed by anybody's character set.

    The session's sql_mode is ours, in which a backslash escapes.
    """
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"_binary'%s'" % value.replace(b"\\", b"\\\\").replace(b"'", b"\\'")
    if isinstance(value, int):
        return b"%d" % value
    if value is None:
        return b"null"
    raise TypeError(f"{type(value).__name__} is not a value")


def statement(text: str, values: Mapping[str, object]) -> bytes:
    """`text`, with the values in place of its `%(name)s`."""
    return text.encode() % {name.encode(): literal(value) for name, value in values.items()}


def listed(values: Iterable[object]) -> bytes:
    """`(1, 2, 3)`."""
    return b"(%s)" % b", ".join(map(literal, values))


def portions(values: Sequence[str], size: int = AT_ONCE) -> Iterator[Sequence[str]]:
    """The distinct ones, so many at once."""
    distinct = list(dict.fromkeys(values))
    for start in range(0, len(distinct), size):
        yield distinct[start : start + size]


def packets(statements: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Statements in as few messages as may be, each of less than `most` bytes."""
    some: list[bytes] = []
    size = 0
    for one in statements:
        if some and size + len(one) + 16 > most:
            yield b"; ".join(some)
            some, size = [], 0
        some.append(one)
        size += len(one) + 2
    if some:
        yield b"; ".join(some)


def inserts(head: str, rows: Iterable[bytes], tail: str, most: int) -> Iterator[bytes]:
    """As few statements as may be that insert all rows, each fit for a packet of `most` bytes."""
    room = most - len(head) - len(tail) - 64
    some: list[bytes] = []
    size = 0
    for row in rows:
        if some and size + len(row) > room:
            yield b"%s %s %s" % (head.encode(), b", ".join(some), tail.encode())
            some, size = [], 0
        some.append(row)
        size += len(row) + 2
    if some:
        yield b"%s %s %s" % (head.encode(), b", ".join(some), tail.encode())


def name_of(kind: str, key: str) -> bytes:
    return f"{kind}/{key}".encode()


def range_of(kind: str) -> tuple[bytes, bytes]:
    """All names of a kind are the first or above it, and below the second."""
    return f"{kind}/".encode(), f"{kind}0".encode()  # 0 comes behind the slash


def record_row(element: Element) -> bytes:
    """`(name, revision, changed, gone, value)`: a record that is deleted stays as a row, which `changes` tells of."""
    gone = element.value is None
    return b"(%s, %d, @changed, %d, %s)" % (
        literal(name_of(element.kind, element.key)),
        element.revision,
        gone,
        literal(element.value),
    )


def history_row(run: Run, most: int) -> bytes:
    """Raises `ValueTooLarge` when no packet of `most` bytes holds it."""
    row = listed(run_row(run))
    if len(row) > most - 1_024:
        raise ValueTooLarge(f"run {run.id}", len(row), most - 1_024)
    return row


HISTORY = f"insert into kala_history ({', '.join(RunRow._fields)}) values"


def output_row(output: Output) -> bytes:
    return listed((output.run_id, output.attempt, output.size, len(output.data), output.data))


OUTPUTS = "insert into kala_outputs (run_id, attempt, size, bytes, data) values"


def refuse_longer(batch: Sequence[Element]) -> None:
    """Raise `ValueTooLarge` for a key or an id that no index takes."""
    for element in batch:
        _refuse(f"the key of {element.kind} {element.key}", element.key, LONGEST)
        for run in element.runs:
            _refuse(f"the id of run {run.id}", run.id, LONGEST)
            _refuse(f"the job's id of run {run.id}", run.job_id, LONGEST)
        for output in element.outputs:
            _refuse(f"the run's id of an output of {output.run_id}", output.run_id, LONGEST)


def _refuse(what: str, text: str, limit: int) -> None:
    if len(text) * 4 > limit and (size := len(text.encode())) > limit:
        raise ValueTooLarge(what, size, limit)
