"""A batch as one transaction of two messages, for `mysql.py`.

The first locks the records that are there, in the order of their names, and tells their revisions. The second takes
the next number of kala_meta's `changes`, writes everything, and commits. All others that write wait for that number, so
what is written becomes visible in the order of the numbers, and of those that the tables give; and nobody has it while
a message is on its way.
"""

from collections.abc import Iterator, Sequence

from kala.drivers.contract import Conflict, Element, Stored, is_done
from kala.drivers.mysql_link import Session
from kala.drivers.mysql_rows import (
    AT_ONCE,
    HISTORY,
    OUTPUTS,
    history_row,
    inserts,
    listed,
    literal,
    name_of,
    output_row,
    record_row,
)

_RECORDS = "kala_records (name, revision, changed, gone, value) values"


def commit(session: Session, database: str, batch: Sequence[Element]) -> list[Conflict | None]:
    """See `Driver.commit`."""
    names = [name_of(element.kind, element.key) for element in batch]
    ordered = sorted(names)
    locked = session.begin(
        database,
        *(
            b"select name, if(gone, 0, revision) from kala_records force index (primary) where name in %s order by name"
            b" for update" % listed(some)
            for some in _lists(ordered)
        ),
    )
    # 0: it was there, and is deleted.
    revisions: dict[bytes, int] = dict(row for answer in locked for row in answer.rows)
    others = _stored(
        session,
        [
            (name, element)
            for name, element in zip(names, batch, strict=True)
            if revisions.get(name, 0) not in (0, element.expected)
        ],
    )

    answers: list[Conflict | None] = [None] * len(batch)
    written: dict[bytes, Element] = {}
    history: list[bytes] = []
    outputs: list[bytes] = []
    for place, (name, element) in enumerate(zip(names, batch, strict=True)):
        if revisions.get(name, 0) != element.expected:
            if not is_done(element, others.get(name)):
                answers[place] = Conflict(others.get(name))
                continue
        elif element.value is not None or element.expected:
            written[name] = element
        history += [history_row(run, session.most) for run in element.runs]
        outputs += [output_row(output) for output in element.outputs]
    if not (written or history or outputs):
        session.give_up()
        return answers

    # What nobody had when it was looked up may be there by now: to insert that is an error, and all is done again.
    created = [record_row(written[name]) for name in ordered if name in written and name not in revisions]
    changed = [record_row(written[name]) for name in ordered if name in written and name in revisions]
    session.end(
        b"update kala_meta set number = number + 1 where name = 'changes' and text = %s" % literal(database),
        # Null, which no record's may be, when the database is another by now.
        b"set @changed = (select number from kala_meta where name = 'changes' and text = %s)" % literal(database),
        *inserts(HISTORY, history, "on duplicate key update id = id", session.most),
        *inserts(OUTPUTS, outputs, "on duplicate key update run_id = run_id", session.most),
        *inserts(f"insert into {_RECORDS}", created, "", session.most),
        *inserts(f"replace into {_RECORDS}", changed, "", session.most),
    )
    return answers


def _stored(session: Session, elements: Sequence[tuple[bytes, Element]]) -> dict[bytes, Stored]:
    """What is stored for these elements, by name."""
    found: dict[bytes, Stored] = {}
    by_name = dict(elements)
    for some in _lists(list(by_name)):
        for name, revision, value in session.ask(
            b"select name, revision, value from kala_records where name in %s and gone = 0" % listed(some)
        )[0].rows:
            element = by_name[name]
            found[name] = Stored(element.kind, element.key, revision, value)
    return found


def _lists(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]
