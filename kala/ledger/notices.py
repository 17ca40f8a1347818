"""Notifications: what is owed to the addresses in a job's `notify`, from the write that causes it until it is sent.

They are in the job's record, so that what happened and that someone is to hear of it are one write. Of one kind, for
one address, at most two are owed: one that may be on its way, and one that stands for all that came since.
"""

from collections.abc import Sequence

from kala import schedule
from kala.clock import DAY, SECOND, Moment
from kala.errors import Stale
from kala.job import Job, Notice, Notify, Record, Run, replace
from kala.ledger.change import Change, derived_id
from kala.states import State

FAILURE, RECOVERY, LOST, MISSED, TOO_LATE = "failure", "recovery", "lost", "missed", "late"
KINDS = (FAILURE, RECOVERY, LOST, TOO_LATE, MISSED)
HOW_IT_IS = frozenset({FAILURE, RECOVERY, LOST})
"""Kinds that say whether the job fails: they are sent in the order in which they came, so that the last one is true."""
RETRY_FIRST, RETRY_LAST = 5 * SECOND, 600 * SECOND
"""Microseconds until a notification that was not taken is sent again: doubled each time, from the first to the last."""
GIVEN_UP = DAY
"""After trying for so long a notification that nobody takes is dropped."""
ATTEMPTS = 10
"""Attempts of its run that a notification keeps, the first and the latest: records stay small."""


def owing(
    record: Record, kind: str, run: Run, now: Moment, instance: str, targets: Sequence[Notify] | None = None
) -> Record:
    """The record, owing a notification about `run` to each address (of `targets`) that wants this kind."""
    if not record.job.notify or record.deleted is not None:
        return record
    notices = record.notices
    run = _brief(run)
    for target in record.job.notify if targets is None else targets:
        if kind not in target.on:
            continue
        # A range that grows keeps its id, and each time it has grown is news.
        about = f"{kind} {target.url} {run.until or ''}"
        last = (record.noticed or {}).get(_rate(kind, target.url))
        soonest = now if last is None else max(now, last + schedule.duration(target.every))
        new = Notice(derived_id(run.id, about), kind, now, target.url, run, not_before=soonest, instance=instance)
        notices = _with(notices, new, now)
    return replace(record, notices=notices)


def _with(notices: tuple[Notice, ...], new: Notice, now: Moment) -> tuple[Notice, ...]:
    """One more, or the one that waits stands for it, too: behind all others then, as it tells what came last."""
    alike = [one for one in notices if _is_alike(one, new)]
    if any(one.id == new.id for one in alike):
        return notices
    if not alike or (len(alike) == 1 and (alike[0].tries or alike[0].not_before <= now)):  # it may be on its way
        return (*notices, new)
    waits = alike[-1]
    new = replace(new, not_before=waits.not_before, more=waits.more + 1)
    return (*(one for one in notices if one is not waits), new)


def _is_alike(one: Notice, other: Notice) -> bool:
    return (one.kind, one.url) == (other.kind, other.url)


def _rate(kind: str, url: str) -> str:
    return f"{kind} {url}"


def _brief(run: Run) -> Run:
    if len(run.attempts) <= ATTEMPTS:
        return run
    return replace(run, attempts=(run.attempts[0], *run.attempts[1 - ATTEMPTS :]))


def owing_late(record: Record, run: Run, now: Moment, instance: str) -> Record:
    """The record, owing a notification when the run that starts now is later than its job's addresses tolerate."""
    if not record.job.notify or run.state is not State.CLAIMED or run.attempts:
        return record
    late = now - run.expected
    concerned = [target for target in record.job.notify if late > schedule.duration(target.late_after)]
    return owing(record, TOO_LATE, run, now, instance, concerned)


def owing_end(record: Record, run: Run, now: Moment, instance: str) -> Record:
    """The record after one of its runs has ended: whether it is failing, and what is owed for that."""
    kind = ""
    if run.state in (State.FAILED, State.TIMED_OUT):
        kind = FAILURE
    elif run.state is State.LOST:
        kind = LOST
    elif run.state is State.SUCCEEDED and record.failing:
        kind = RECOVERY
    if kind:
        record = owing(replace(record, failing=kind != RECOVERY), kind, run, now, instance)
    return record


def still_owing(record: Record) -> Record:
    """The record, of which the definition has changed: to whom its job tells nothing any more, nothing is owed."""
    wanted = {(kind, target.url) for target in record.job.notify or () for kind in target.on}
    kept = tuple(one for one in record.notices if (one.kind, one.url) in wanted)
    return replace(record, notices=kept) if len(kept) < len(record.notices) else record


def next_notices(record: Record) -> list[Notice]:
    """For each address the notification that is to be sent to it next, at its `not_before`.

    Of those that say how the job is it is the first, and of any other kind; of these the one that comes soonest.
    """
    heads: dict[tuple[str, str], Notice] = {}
    for one in record.notices:
        heads.setdefault((one.url, FAILURE if one.kind in HOW_IT_IS else one.kind), one)
    soonest: dict[str, Notice] = {}
    for one in heads.values():
        if one.url not in soonest or one.not_before < soonest[one.url].not_before:
            soonest[one.url] = one
    return list(soonest.values())


def notified(record: Record, *, notice_id: str, now: Moment) -> Change:
    """A notification was taken: it is owed no more, and the next of its kind goes there `every` later."""
    notice = _demand(record, notice_id)
    spans = _spans(record.job)
    noticed = {**(record.noticed or {}), _rate(notice.kind, notice.url): now}
    noticed = {rate: at for rate, at in noticed.items() if at + spans.get(rate, 0) > now}
    soonest = now + spans.get(_rate(notice.kind, notice.url), 0)
    left = tuple(
        replace(one, not_before=max(one.not_before, soonest)) if _is_alike(one, notice) else one
        for one in record.notices
        if one is not notice
    )
    return Change(replace(record, notices=left, noticed=noticed or None))


def _spans(job: Job) -> dict[str, int]:
    """`every` in microseconds, by kind and address."""
    return {
        _rate(kind, target.url): schedule.duration(target.every) for target in job.notify or () for kind in target.on
    }


def put_off(record: Record, *, notice_id: str, now: Moment) -> Change:
    """A notification was not taken: it is sent again later, or, after `GIVEN_UP`, never."""
    notice = _demand(record, notice_id)
    since = notice.refused or now
    if now - since >= GIVEN_UP:
        return Change(replace(record, notices=tuple(one for one in record.notices if one is not notice)))
    delay = min(RETRY_FIRST << min(notice.tries, 20), RETRY_LAST)
    later = replace(notice, tries=notice.tries + 1, refused=since, not_before=now + delay)
    return Change(replace(record, notices=tuple(later if one is notice else one for one in record.notices)))


def _demand(record: Record, notice_id: str) -> Notice:
    notice = next((one for one in record.notices if one.id == notice_id), None)
    if notice is None:
        raise Stale(f"notification {notice_id} is owed no more")
    return notice
