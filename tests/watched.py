"""Jobs whose runs somebody is told of, what happens to them, and short words for what they owe."""

from records import T0, attempt, decided, job, record, run, when

from kala import ledger
from kala.clock import SECOND
from kala.job import Notice, Notify, Record, replace
from kala.states import State

A, B = "http://a.example/hook", "http://b.example/hook"
FAILED, SUCCEEDED = State.FAILED, State.SUCCEEDED
DEFAULT = ("failure", "recovery", "lost", "missed")


def notify(*on: str, url: str = A, **more: str) -> Notify:
    return Notify(url, **({"on": on} if on else {}), **more)


def watched(*targets: Notify, **more: object) -> Record:
    return record(job(notify=list(targets or [notify()]), catch_up="none"), **more)


def ended(before: Record, state: State, now: int = T0 + 2 * SECOND, *, name: str = "r") -> Record:
    """A run of the job has been on, and ends so."""
    on = replace(before, open=(*before.open, run(name)))
    change = decided(
        ledger.end_attempt,
        on,
        run_id=name,
        attempt=attempt(state, ended=now),
        output=b"",
        now=now,
        children=(),
        instance="i",
    )
    return change.record


def lost(before: Record, now: int = T0 + 2 * SECOND) -> Record:
    on = replace(before, open=(*before.open, run("l")))
    return decided(ledger.take_over, on, alive=frozenset({"other"}), instance="i", now=now).record


def claimed(before: Record, seconds: float) -> Record:
    """The next occurrence is claimed so late."""
    cursor = before.cursor or 0
    now = cursor + round(seconds * SECOND)
    change = decided(
        ledger.claim,
        before,
        version=1,
        cursor=cursor,
        now=now,
        run_id=f"c{cursor}",
        instance="i",
        slot=True,
    )
    return change.record


def taken(before: Record, now: int) -> Record:
    """What is to be sent next has been."""
    (notice, *_) = ledger.next_notices(before)
    return decided(ledger.notified, before, notice_id=notice.id, now=now).record


def owed(after: Record) -> list[str]:
    """As `kind to-whom when +more`."""
    return [told(one) for one in after.notices]


def told(one: Notice) -> str:
    more = f" +{one.more}" if one.more else ""
    return f"{one.kind} {one.url[7]} {when(one.not_before)}{more}"


def failing(before: Record) -> Record:
    return replace(before, failing=True)
