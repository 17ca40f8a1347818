"""Why a run is as it is, or why occurrences did not run, in one sentence for people."""

from functools import lru_cache

from kala import schedule
from kala.clock import SECOND, Moment, rfc3339
from kala.job import Job, Record, Run
from kala.ledger import (
    CANCELLED,
    DELETED,
    DISABLED,
    DOWN,
    EDITED,
    LABEL_LIMIT,
    LIMIT,
    OVERLAP,
    PAUSED,
    REPLACED,
    RETRY,
    SHUTDOWN,
    plan_of,
)
from kala.schedule.durations import read_interval
from kala.schedule.spoken import in_words
from kala.schedule.wording import length
from kala.states import NOT_RUN, State, Trigger

NOTABLY = SECOND
"""A run is called late when it started later than this."""

_NOT_RUN = {
    DISABLED: "the job was disabled",
    DELETED: "the job was deleted",
    EDITED: "the job got another schedule",
    DOWN: "no daemon, or no database, was up to start {them} in time, and catch_up did not make {them} good",
    PAUSED: "the daemon was paused, and catch_up did not make {them} good",
    REPLACED: "a later occurrence took its place, as overlap is replace",
}
_WAITS = {
    LIMIT: "as many runs are on as may be at once (--max-runs)",
    SHUTDOWN: "the daemon stopped before it could go on",
    PAUSED: "its turn comes next",  # now that the daemon is paused no more
    "": "its turn comes next",
}
_CANCELLED = {
    CANCELLED: "someone asked for that",
    REPLACED: "the next occurrence came, and overlap is replace",
    SHUTDOWN: "the daemon stopped",
}


def explain(run: Run, job: Job | None, *, paused: bool = False) -> str:
    """One sentence about a run or a range. `job` is the definition by which it was decided, None when that is gone."""
    if run.state in NOT_RUN:
        return _non_run(run, job)
    if run.state is State.WAITING:
        return _waiting(run, paused)
    if run.state in (State.CLAIMED, State.RUNNING):
        ending = f", and is being ended: {_CANCELLED.get(run.cancel, run.cancel)}" if run.cancel else ""
        return f"{'is on' if run.state is State.RUNNING else 'is about to start'} ({_cause(run)}){ending}"
    if run.state in (State.LOST, State.CANCELLED):
        return f"{run.state.value} ({_cause(run)}): {_cut_off(run)}"
    number = f", at attempt {run.attempts[-1].number}" if len(run.attempts) > 1 else ""
    said = f"{run.state.value.replace('_', ' ')} ({_cause(run)}){number}{_lateness(run)}"
    error = run.attempts[-1].error if run.attempts and run.state is not State.SUCCEEDED else ""
    then = f"{'; ' if error else ''}then {_NOT_RUN.get(run.reason, run.reason)}" if run.reason else ""
    return f"{said}: {error}{then}" if error or then else said


def _cut_off(run: Run) -> str:
    if run.reason in _NOT_RUN and run.reason not in _CANCELLED:  # it was to have another attempt
        error = run.attempts[-1].error if run.attempts else ""
        return f"{error or 'it was cut off'}; then {_NOT_RUN[run.reason]}"
    if run.state is State.LOST:
        return f"{run.reason}, so its outcome is not known"
    return _CANCELLED.get(run.reason, run.reason)


def _non_run(run: Run, job: Job | None) -> str:
    several = f"{run.count:,} occurrences " if run.count > 1 else ""
    return f"{several}{run.state.value}: {_why_not(run, job)}"


def _why_not(run: Run, job: Job | None) -> str:
    if run.reason in _NOT_RUN:
        return _NOT_RUN[run.reason].format(them="them" if run.count > 1 else "it")
    if run.reason != OVERLAP:
        return run.reason
    on = (
        f"the run of {rfc3339(run.blocker)} was still on"
        if run.blocker is not None
        else "what a run set off was still on"
    )
    if job is None or job.overlap not in ("skip", "queue"):
        return on
    if job.overlap == "skip" or job.resume_at_next_scheduled_time:
        return f"{on}, and overlap is skip"
    return f"{on}, and only the latest occurrence waits, as overlap is queue"


def _waiting(run: Run, paused: bool) -> str:
    if paused:
        return f"waits ({_cause(run)}): the daemon is paused"
    if run.reason == RETRY:
        at = f" at {rfc3339(run.not_before)}" if run.not_before is not None else ""
        last = run.attempts[-1]
        error = f": {last.error}" if last.error else ""
        return f"waits for its next attempt{at}: attempt {last.number} {last.state.value.replace('_', ' ')}{error}"
    if run.reason == OVERLAP:
        on = (
            f"the run of {rfc3339(run.blocker)}" if run.blocker is not None else "a run of its job, or what it set off,"
        )
        return f"waits ({_cause(run)}): {on} is still on"
    if run.not_before is not None and not run.reason:
        return f"waits ({_cause(run)}): its moment is {rfc3339(run.not_before)}"
    if run.reason.startswith(LABEL_LIMIT):
        label = run.reason.removeprefix(LABEL_LIMIT)
        return f"waits ({_cause(run)}): as many runs of jobs with the label {label} are on as may be (--limit-runs)"
    return f"waits ({_cause(run)}): {_WAITS.get(run.reason, run.reason)}"


def _cause(run: Run) -> str:
    at = rfc3339(run.scheduled_for)
    if run.trigger is Trigger.SCHEDULE:
        return f"by schedule, for {at}"
    if run.trigger is Trigger.CATCH_UP:
        return f"made good by catch-up, for {at}"
    if run.trigger is Trigger.MANUAL:
        return f"started by hand at {at}"
    if run.trigger is Trigger.NOW:
        return f"a job without schedule, at {at}"
    set_off = "the success" if run.trigger is Trigger.PARENT else "the failure"
    return f"set off by {set_off} of run {run.parent_run}"


def _lateness(run: Run) -> str:
    late = lateness(run)
    return f", {late / SECOND:.1f} s late" if late is not None and late > NOTABLY else ""


def lateness(run: Run, started: Moment | None = None) -> int | None:
    """Microseconds from when it was to start to its start (`started` while its first attempt is on)."""
    begun = run.started if run.started is not None else started
    return None if begun is None else max(begun - run.expected, 0)


def why_nothing_comes(record: Record, *, paused: bool = False) -> str:
    """One sentence when no run of a job is to come by itself; empty when one is."""
    job = record.job
    if record.disabled:
        return "the job is disabled: nothing of it starts until it is enabled"
    if record.is_child:
        if len(job.parent_jobs or ()) == 1:
            return "the job is a child: it runs when its parent has succeeded"
        if job.parents_mode == "all":
            return "the job is a child: it runs when all of its parents have succeeded"
        return "the job is a child: it runs when one of its parents has succeeded"
    if record.cursor is not None:
        return "the daemon is paused: nothing starts until it is resumed" if paused else ""
    if not job.schedule:
        return "the job has no schedule: it ran once, when it was made, and runs again when it is started by hand"
    plan = plan_of(job)
    if record.remaining == 0 and plan.repetitions is None:
        return "the job was done already where it was taken over from"
    if plan.is_single and plan.start is not None:
        return f"the one occurrence of its schedule, {rfc3339(plan.start)}, has come"
    if record.remaining == 0 and plan.repetitions is not None:
        return f"all {plan.repetitions + 1:,} occurrences of its schedule have come"
    return "its schedule names no further occurrence until the end of the year 9999"


def when(job: Job, now: Moment) -> str:
    """When a job runs, in words. They do not tell whether it is disabled, or done."""
    parents = len(job.parent_jobs or ())
    if parents == 1:
        return "after its parent has succeeded"
    if parents:
        needed = "all of its parents have" if job.parents_mode == "all" else "one of its parents has"
        return f"after {needed} succeeded"
    if not job.schedule:
        return "once, when it was made"
    start = plan_of(job).start
    words = _words(job.schedule, job.time_zone, job.dst_gap, job.dst_fold, start is not None and start > now)
    if not job.jitter or not any(spread := read_interval(job.jitter)):
        return words
    return f"{words}, put off by up to {length(spread)}"


@lru_cache(maxsize=4_096)
def _words(text: str, zone: str, gap: str, fold: str, is_to_begin: bool) -> str:
    return in_words(schedule.parse(text, zone, gap, fold), is_to_begin=is_to_begin)
