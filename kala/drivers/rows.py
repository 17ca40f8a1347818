"""The history as rows, for the drivers that keep it in such: a run's columns, a query's conditions, a page's place."""

import logging
from typing import NamedTuple

import msgspec

from kala.clock import Moment
from kala.drivers.contract import RunQuery
from kala.errors import Invalid, StoreCorrupt
from kala.job import Run, decode_run, encode
from kala.states import NOT_RUN

_log = logging.getLogger(__name__)


class RunRow(NamedTuple):
    """A run as columns by which it is found, and its JSON."""

    id: str
    job_id: str
    ran: int  # 0 for ranges of occurrences that did not run
    state: str
    scheduled_for: Moment
    at: Moment  # when it ended, or else was created
    run: str


def run_row(run: Run) -> RunRow:
    at = run.ended if run.ended is not None else run.created
    ran = int(run.state not in NOT_RUN)
    return RunRow(run.id, run.job_id, ran, run.state.value, run.scheduled_for, at, encode(run).decode())


def decoded(run_id: str, text: str | bytes) -> Run | None:
    """The run in a row. One that cannot be read is logged, and None."""
    try:
        return decode_run(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.error("%s", StoreCorrupt("run", run_id, str(error)))
        return None


def conditions_of(query: RunQuery, mark: str) -> tuple[list[str], dict[str, object]]:
    """What holds for every row of a query, but for its job, as SQL over the columns of `RunRow` and `seq`, the number
    by which rows were appended; and the parameters: `job` is among them. `mark` is how a parameter is written:
    `":{}"`, `"%({})s"`."""
    conditions: list[str] = []
    values: dict[str, object] = {}
    for name, column, value in (
        ("job", "", query.job_id),
        ("after", "seq <", None if query.after is None else position(query.after)),
        ("since", "scheduled_for >=", query.since),
        ("until", "scheduled_for <", query.until),
    ):
        if value is not None:
            values[name] = value
            conditions += [f"{column} {mark.format(name)}"] if column else []
    if query.states is not None:
        values |= {f"state{number}": state.value for number, state in enumerate(sorted(query.states))}
        marks = ", ".join(mark.format(f"state{number}") for number in range(len(query.states)))
        conditions.append(f"state in ({marks})" if marks else "1 = 0")
    return conditions, values


def position(after: str) -> int:
    """The number in the `next` of a page. Raises `Invalid`."""
    # Longer than 18 digits would not fit a column.
    if not (after.isascii() and after.isdecimal() and len(after) <= 18):
        raise Invalid({"after": "is not the `next` of a page"})
    return int(after)
