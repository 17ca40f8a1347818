"""Definitions drawn at random, and what their schedules name."""

from hypothesis import strategies as st
from records import MINUTELY, ONCE

from kala.clock import Moment
from kala.job import Job, Record
from kala.ledger import plan_of

SCHEDULES = [
    ONCE,
    "",
    MINUTELY,
    "R1/2030-01-01T00:00:00Z/PT1M",
    "R3/2030-01-01T00:00:10Z/PT20S",
    "R/2030-01-01T00:00:00Z/PT7S",
    "R0/2030-01-01T00:03:00Z/PT1M",
    "R5/2030-01-01T00:02:00Z/PT5M",
    "R4/2030-01-01T00:00:00[Europe/Paris]/PT1M",  # by its clock it is one: its first occurrence was an hour ago
    "R2/2030-01-01T01:01:00[Europe/Paris]/PT1M",
    "*/2 * * * *",
    "*/20 * * * * *",
]
DEFINITIONS = st.builds(
    Job,
    st.just("j"),
    st.just("true"),
    schedule=st.sampled_from(SCHEDULES),
    retries=st.integers(0, 2),
    epsilon=st.sampled_from(["", "PT0S", "PT30S"]),
    on_failure_job=st.sampled_from(["", "F"]),
    parent_jobs=st.sampled_from([None, None, None, None, ["P"], ["P", "Q"]]),
    parents_mode=st.sampled_from(["any", "all"]),
    resume_at_next_scheduled_time=st.sampled_from([False, False, True]),
    overlap=st.sampled_from(["queue", "skip", "allow", "replace", "replace"]),
    catch_up=st.sampled_from(["once", "none", "all"]),
    catch_up_limit=st.integers(1, 4),
    catch_up_window=st.sampled_from(["", "PT1M", "PT3M"]),
    on_lost=st.sampled_from(["record", "rerun"]),
    retry_delay=st.sampled_from(["", "PT5S", "PT2M"]),
    retry_backoff=st.sampled_from([1.0, 3.0]),
    jitter=st.sampled_from(["", "", "PT30S", "PT10M"]),
)


class Era:
    """The time of one schedule: what it has named until now, and how many claims there may be."""

    def __init__(self, record: Record) -> None:
        self.job, self.first, self.claims = record.job, record.cursor, record.remaining

    def named(self, until: Moment | None) -> list[Moment]:
        """The occurrences from the first cursor to `until`."""
        if self.first is None or until is None or until < self.first:
            return []
        return self.between(self.first, until)

    def between(self, first: Moment, last: Moment) -> list[Moment]:
        return list(plan_of(self.job).occurrences(first - 1, last)) if self.job.schedule else [first]
