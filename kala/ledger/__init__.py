"""Every decision about a job's runs, as pure functions: a record in; the next record, history rows and events out.

A decision that comes too late raises `Stale` and changes nothing. `register.py` has the decisions about definitions.
Policies are here and nowhere else; ARCHITECTURE.md, "Policies", has them in words.

Ids are given, never made, so that a decision taken again after a conflict is the same one.
"""

from kala.ledger.change import (
    CANCELLED,
    DELETED,
    DISABLED,
    DOWN,
    EDITED,
    LABEL_LIMIT,
    LEAD,
    LIMIT,
    OVERLAP,
    PAUSED,
    REPLACED,
    RETRY,
    SHUTDOWN,
    Change,
    chance,
    child_run_id,
    claimable,
    derived_id,
    due,
    event_of,
    expected,
    find,
    is_on,
    jittered,
    label_limit,
    merged,
    next_up,
    overlap_of,
    plan_of,
)
from kala.ledger.claims import LATE, catch_up, claim
from kala.ledger.ends import advance, end_attempt, retries
from kala.ledger.gaps import close_gap
from kala.ledger.leaving import drop_waiting, leave_schedule, take_over
from kala.ledger.notices import KINDS, next_notices, notified, put_off, still_owing
from kala.ledger.turns import begin, cancel, deliver, is_wanted, put_back, start

__all__ = [
    "CANCELLED",
    "DELETED",
    "DISABLED",
    "DOWN",
    "EDITED",
    "KINDS",
    "LABEL_LIMIT",
    "LATE",
    "LEAD",
    "LIMIT",
    "OVERLAP",
    "PAUSED",
    "REPLACED",
    "RETRY",
    "SHUTDOWN",
    "Change",
    "advance",
    "begin",
    "cancel",
    "catch_up",
    "chance",
    "child_run_id",
    "claim",
    "claimable",
    "close_gap",
    "deliver",
    "derived_id",
    "drop_waiting",
    "due",
    "end_attempt",
    "event_of",
    "expected",
    "find",
    "is_on",
    "is_wanted",
    "jittered",
    "label_limit",
    "leave_schedule",
    "merged",
    "next_notices",
    "next_up",
    "notified",
    "overlap_of",
    "plan_of",
    "put_back",
    "put_off",
    "retries",
    "start",
    "still_owing",
    "take_over",
]
