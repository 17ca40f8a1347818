"""A commit of `postgres.py`: what it asks, decides and says. A batch is a few statements, whatever its size."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from kala.drivers.contract import Conflict, Element, Stored, is_done
from kala.drivers.postgres_arrays import Blobs, Column, Numbers, Texts
from kala.drivers.rows import run_row

BYTES_AT_ONCE = 16 << 20  # of history or outputs, in one statement

Statement = tuple[str, Sequence[Any]]
_Row = TypeVar("_Row")

# Locks what is stored, in one order, so that writers wait for each other in turn and not in a circle.
LOCK_RECORDS = """
select w.place, r.revision, r.value is not null,
  case when (case when r.value is null then 0 else r.revision end) <> w.expected then r.value end
from unnest(%b, %b, %b) with ordinality as w (kind, key, expected, place)
join kala_records r on r.kind = w.kind and r.key = w.key
order by r.kind, r.key for update of r"""

UPDATE_RECORDS = """
update kala_records r set revision = w.revision, changed = pg_current_xact_id(), value = w.value
from unnest(%b, %b, %b, %b) as w (kind, key, revision, value)
where r.kind = w.kind and r.key = w.key"""

INSERT_RECORDS = """
insert into kala_records (kind, key, revision, changed, value)
select kind, key, revision, pg_current_xact_id(), value
from unnest(%b, %b, %b, %b) as w (kind, key, revision, value)
order by kind collate "C", key"""

APPEND_HISTORY = """
insert into kala_history (id, job_id, ran, state, scheduled_for, at, run)
select id, job_id, ran, state, scheduled_for, at, run
from unnest(%b, %b, %b, %b, %b, %b, %b)
  with ordinality as w (id, job_id, ran, state, scheduled_for, at, run, place)
order by place on conflict (id) do nothing"""

APPEND_OUTPUTS = """
with added as (
  insert into kala_outputs (run_id, attempt, size, data) select run_id, attempt, size, data
  from unnest(%b, %b, %b, %b)
    with ordinality as w (run_id, attempt, size, data, place)
  order by place on conflict (run_id, attempt) do nothing returning octet_length(data) as bytes)
insert into kala_output_bytes (shard, bytes) select %b, coalesce(sum(bytes), 0) from added
on conflict (shard) do update set bytes = kala_output_bytes.bytes + excluded.bytes"""


class Decided(NamedTuple):
    """What becomes of a batch."""

    answers: list[Conflict | None]
    done: list[Element]  # whose history is to be there
    updated: list[Element]
    inserted: list[Element]


def lock(batch: Sequence[Element]) -> Statement:
    """Locks and reads what is stored for a batch."""
    return (
        LOCK_RECORDS,
        [
            Texts([each.kind for each in batch]),
            Blobs([each.key.encode() for each in batch]),
            Numbers([each.expected for each in batch]),
        ],
    )


def decide(batch: Sequence[Element], locked: Iterable[tuple[Any, ...]]) -> Decided:
    """Decide about each element by the rows that `lock` gave."""
    stored: dict[int, tuple[int, bool, Any]] = {
        place - 1: (number, there, value) for place, number, there, value in locked
    }
    decided = Decided([None] * len(batch), [], [], [])
    for place, element in enumerate(batch):
        revision, there, value = stored.get(place, (0, False, None))
        if (revision if there else 0) != element.expected:
            current = Stored(element.kind, element.key, revision, value) if there else None
            if not is_done(element, current):
                decided.answers[place] = Conflict(current)
                continue
        elif place in stored:
            if there or element.value is not None:
                decided.updated.append(element)
        elif element.value is not None:
            decided.inserted.append(element)
        decided.done.append(element)
    return decided


def writes(decided: Decided, shard: int) -> list[Statement]:
    """What writes it. The sizes of outputs are counted in the row `shard`."""
    found: list[Statement] = [
        (statement, _records(elements))
        for statement, elements in ((UPDATE_RECORDS, decided.updated), (INSERT_RECORDS, decided.inserted))
        if elements
    ]
    found += [(APPEND_HISTORY, columns) for columns in _history(decided.done)]
    found += [(APPEND_OUTPUTS, [*columns, shard]) for columns in _outputs(decided.done)]
    return found


def _records(elements: Sequence[Element]) -> list[Column]:
    """The parameters of `UPDATE_RECORDS` and `INSERT_RECORDS`."""
    return [
        Texts([each.kind for each in elements]),
        Blobs([each.key.encode() for each in elements]),
        Numbers([each.revision for each in elements]),
        Blobs([each.value for each in elements]),
    ]


def _history(elements: Sequence[Element]) -> Iterator[list[Column]]:
    """The parameters of `APPEND_HISTORY`, in as few portions as the rows' size allows."""
    rows = [run_row(run) for each in elements for run in each.runs]
    for portion in _portions(rows, [len(row.run) for row in rows]):
        id, job_id, ran, state, scheduled_for, at, run = zip(*portion, strict=True)
        yield [
            Blobs([one.encode() for one in id]),
            Blobs([one.encode() for one in job_id]),
            Numbers(ran),
            Texts(state),
            Numbers(scheduled_for),
            Numbers(at),
            Blobs([one.encode() for one in run]),
        ]


def _outputs(elements: Sequence[Element]) -> Iterator[list[Column]]:
    """The parameters of `APPEND_OUTPUTS` but for the last, likewise."""
    rows = [output for each in elements for output in each.outputs]
    for portion in _portions(rows, [len(row.data) for row in rows]):
        yield [
            Blobs([one.run_id.encode() for one in portion]),
            Numbers([one.attempt for one in portion]),
            Numbers([one.size for one in portion]),
            Blobs([one.data for one in portion]),
        ]


def _portions(rows: Sequence[_Row], sizes: Sequence[int]) -> Iterator[Sequence[_Row]]:
    if sum(sizes) <= BYTES_AT_ONCE:
        yield from [rows] if rows else []
        return
    start = size = 0
    for place, more in enumerate(sizes):
        if size and size + more > BYTES_AT_ONCE:
            yield rows[start:place]
            start, size = place, 0
        size += more
    yield rows[start:]
