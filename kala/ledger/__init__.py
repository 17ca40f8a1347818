"""Every decision about a job's runs, as pure functions: a record in; the next record, history rows and events out.

A decision that comes too late raises `Stale` and changes nothing. `register.py` has the decisions about definitions.
Policies are here and nowhere else; ARCHITECTURE.md, "Policies", has them in words.

Ids are given, never made, so that a decision taken again after a conflict is the same one.
"""

from kala.ledger.change import (
    DELETED,
    DISABLED,
    DOWN,
    EDITED,
    LEAD,
    LIMIT,
    OVERLAP,
    SHUTDOWN,
    Change,
    child_run_id,
    claimable,
    due,
    find,
    is_on,
    merged,
    next_up,
    overlap_of,
)
from kala.ledger.claims import LATE, catch_up, claim
from kala.ledger.ends import advance, end_attempt, retries
from kala.ledger.gaps import close_gap
from kala.ledger.leaving import drop_waiting, leave_schedule, take_over
from kala.ledger.turns import begin, deliver, is_wanted, put_back, start

__all__ = [
    "DELETED",
    "DISABLED",
    "DOWN",
    "EDITED",
    "LATE",
    "LEAD",
    "LIMIT",
    "OVERLAP",
    "SHUTDOWN",
    "Change",
    "advance",
    "begin",
    "catch_up",
    "child_run_id",
    "claim",
    "claimable",
    "close_gap",
    "deliver",
    "drop_waiting",
    "due",
    "end_attempt",
    "find",
    "is_on",
    "is_wanted",
    "leave_schedule",
    "merged",
    "next_up",
    "overlap_of",
    "put_back",
    "retries",
    "start",
    "take_over",
]
