"""Queries of the history as SELECTs, for `mysql.py`."""

from collections.abc import Iterator, Sequence

from kala.drivers.contract import RunQuery
from kala.drivers.mysql_link import Session
from kala.drivers.mysql_rows import AT_ONCE, listed, literal, portions, statement
from kala.drivers.rows import conditions_of
from kala.states import NOT_RUN, State

DENSE = 20_000
"""Rows: counting them in an index, or sorting them, takes a few milliseconds."""
SIDES_AT_ONCE = 50  # in one statement: all are looked up, however few rows are taken
MARK = "%({})s"


def is_dense(session: Session, query: RunQuery) -> bool:
    """Whether a span of time over all jobs, up to now, has so many rows that a page is found soon from its end."""
    if query.job_id is not None or query.since is None or query.until is not None:
        return False
    conditions, values = conditions_of(query, MARK)
    text = (
        "select count(*) from (select 1 from kala_history force index (kala_history_scheduled)"
        f" where {' and '.join(conditions)} limit {DENSE}) found"
    )
    count: int = session.ask(statement(text, values))[0].rows[0][0]
    return count == DENSE


def page(query: RunQuery, *, dense: bool = False) -> bytes:
    """The SELECT of `seq, id, run` for a page and one row more.

    It is a merge of arms, each of which one index gives in the order of the page: without sorting, a page of a job
    costs the same among ten million rows. Only a span of time over all jobs is looked up first, and sorted, unless it
    is `dense`.
    """
    conditions, values = conditions_of(query, MARK)
    values["rows"] = query.limit + 1
    index, arms = "primary", [""]
    if query.job_id is not None:
        states = State if query.states is None else query.states
        index = "kala_history_job"
        arms = [
            f"job_id = %(job)s and ran = {side}" for side in sorted({int(state not in NOT_RUN) for state in states})
        ]
    elif (query.since is not None or query.until is not None) and not dense:
        text = (
            "select seq, id, run from (select seq from kala_history force index (kala_history_scheduled)"
            f" where {' and '.join(conditions)} order by seq desc limit %(rows)s) found"
            " join kala_history using (seq) order by seq desc"
        )
        return statement(text, values)
    elif query.states is not None and not dense:
        index = "kala_history_state"
        arms = [f"state = %(state{number})s" for number in range(len(query.states))]
    selects = [
        f"(select seq, id, run from kala_history force index ({index})"
        f" where {' and '.join(filter(None, [arm, *conditions])) or '1 = 1'} order by seq desc limit %(rows)s)"
        for arm in arms or ["1 = 0"]
    ]
    return statement(" union all ".join(selects) + " order by seq desc limit %(rows)s", values)


def beyond(session: Session, jobs: Sequence[str], keep: int) -> Iterator[bytes]:
    """SELECTs of `seq, id` of what is beyond the latest `keep` of each of these jobs, of its runs and of its ranges.

    Sides of jobs with more than that are found first, in the index alone; most have none.
    """
    sides = session.ask(
        b"select job_id, ran, count(*) - %d from kala_history force index (kala_history_job) where job_id in %s"
        b" group by job_id, ran having count(*) > %d" % (keep, listed(jobs), keep)
    )[0].rows
    some: list[bytes] = []
    size = 0
    for job, ran, number in sides:
        if some and (len(some) == SIDES_AT_ONCE or size + number > AT_ONCE):
            yield b" union all ".join(some)
            some, size = [], 0
        some.append(
            b"(select seq, id from kala_history force index (kala_history_job) where job_id = %(job)s and ran = %(ran)d"
            b" and seq <= (select seq from kala_history force index (kala_history_job) where job_id = %(job)s"
            b" and ran = %(ran)d order by seq desc limit 1 offset %(keep)d))"
            % {b"job": literal(job), b"ran": ran, b"keep": keep}
        )
        size += number
    if some:
        yield b" union all ".join(some)


def older(moment: int) -> bytes:
    """The SELECT of `seq, id` of what ended, or else was created, before a moment."""
    return b"select seq, id from kala_history where at < %d" % moment


def of_jobs(jobs: Sequence[str]) -> Iterator[bytes]:
    """SELECTs of `seq, id` of all that these jobs have."""
    for some in portions(jobs):
        yield b"select seq, id from kala_history force index (kala_history_job) where job_id in %s" % listed(some)
