"""Metrics of what is done: runs, occurrences, jobs, notifications, events and who hears them."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from kala import ledger
from kala.clock import SECOND, Clock
from kala.counted import OTHER, Counted
from kala.hub import Hub
from kala.metrics.families import by, counter, counters, gauge, gauges, histograms
from kala.scheduler import Scheduler
from kala.store.roster import Roster

LABEL_LIMIT = ledger.LABEL_LIMIT.rstrip(": ")
WAITS = ledger.LIMIT, LABEL_LIMIT, ledger.OVERLAP, ledger.RETRY, ledger.PAUSED, ledger.SHUTDOWN
"""Why runs wait, without the label that may follow; all else is `OTHER`."""
EACH = "*"
"""In place of the value of a label that is limited for each: there may be ever so many."""


def of_runs(counted: Counted) -> Iterator[Metric]:
    yield counters(
        "kala_claims", "Runs that were claimed: taken from a schedule, or asked for.", ["trigger"], by(counted.claims)
    )
    yield counters("kala_attempts", "Attempts that started: processes, or HTTP calls.", ["type"], by(counted.attempts))
    yield counters("kala_retries", "The same, but for the first of each run.", ["type"], by(counted.retries))
    yield counters("kala_runs", "Runs that ended.", ["state", "trigger"], counted.runs.items())
    yield counters(
        "kala_occurrences_not_run", "Occurrences that did not run.", ["state", "reason"], counted.not_run.items()
    )
    yield histograms(
        "kala_run_lateness_seconds",
        "From the moment at which a run was to start to its first attempt's start.",
        ["trigger"],
        {(trigger,): one for trigger, one in counted.lateness.items()},
    )
    yield histograms(
        "kala_run_duration_seconds",
        "From a run's first attempt's start to its last one's end.",
        ["type"],
        {(kind,): one for kind, one in counted.durations.items()},
    )


def of_jobs(roster: Roster, clock: Clock) -> Iterator[Metric]:
    totals, first = roster.totals(), roster.first_due()
    yield gauges("kala_jobs", "Jobs.", ["state"], by({"enabled": totals.active, "disabled": totals.disabled}))
    overdue = 0.0 if first is None else max((clock.now() - first) / SECOND, 0.0)
    yield gauge("kala_schedule_overdue_seconds", "Since the earliest occurrence that is due and not claimed.", overdue)
    waits = Counter(dict.fromkeys((*WAITS, OTHER), 0))
    for reason, count in roster.waits.items():
        kind = LABEL_LIMIT if reason.startswith(ledger.LABEL_LIMIT) else reason
        waits[kind if kind in waits else OTHER] += count
    yield gauges("kala_runs_waiting", "Runs that wait, on all daemons of the database.", ["reason"], by(waits))
    yield gauge("kala_notifications_owed", "Notifications that are still to be sent, by whichever daemon.", roster.owed)


def of_scheduler(scheduler: Scheduler) -> Iterator[Metric]:
    posts = scheduler.posts
    yield gauge("kala_runs_running", "Attempts that are on.", scheduler.running)
    yield gauge("kala_runs_running_limit", "So many may be on (--max-runs).", scheduler.max_runs)
    yield gauge("kala_paused", "1 while the daemons of the database are paused.", scheduler.pause.on)
    results = by({"sent": posts.sent, "failed": posts.failed})
    yield counters("kala_notification_posts", "Posts of notifications, by what became of them.", ["result"], results)
    yield counter("kala_notifications_dropped", "Notifications that were given up.", posts.dropped)


def of_pools(scheduler: Scheduler) -> Iterator[Metric]:
    named: dict[tuple[str, str], int] = {}
    for one in scheduler.limits:
        pool = one.name, EACH if one.value is None else one.value
        named[pool] = min(one.most, named.get(pool, one.most))  # as `pools.py` has it
    yield gauges("kala_pool_limit", "So many may be on (--limit-runs).", ["label", "value"], named.items())
    runs = Counter({(*pool, state): 0 for pool in named for state in ("running", "waiting")})
    for row in scheduler.pools():
        value = row.value if (row.label, row.value) in named else EACH
        runs[row.label, value, "running"] += row.running
        runs[row.label, value, "waiting"] += row.waiting
    yield gauges(
        "kala_pool_runs", "Runs under a limit of their jobs' label.", ["label", "value", "state"], runs.items()
    )


def of_hub(hub: Hub) -> Iterator[Metric]:
    yield counter("kala_events_published", "Events that listeners were, or would have been, told.", hub.last)
    yield gauge("kala_event_listeners", "Who listens to events.", hub.listeners)
    yield counter(
        "kala_event_listeners_cut_off", "Listeners that were cut off, since they read too slowly.", hub.cut_off
    )
